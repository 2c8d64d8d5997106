//! How fast records are split, parsed and encoded, on one thread. Ignored: it measures, it does not judge.
//! `cargo test --release -p pinport-pipeline --test speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is a test")]

use std::fmt::Write;

use pinport_model::{Format, ReadRules, RecordLimits, Timestamp};
use pinport_pipeline::{
    parse::{ParseContext, Parser},
    split::{Split, SplitOptions, Splitter},
};

const ROWS: usize = 400_000;

fn json() -> String {
    let mut text = String::new();
    for row in 0..ROWS as u64 {
        let random = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(
            text,
            "{{\"Id\":\"{:08x}-{:04x}-4f3a-9c1d-{:012x}\",\"ChannelType\":\"EMAIL\",\"Address\":\"user{row}@example.com\",\
             \"Attributes\":{{\"plan\":[\"premium\"],\"interests\":[\"music\",\"sports\"],\"source\":[\"web-{}\"]}},\
             \"Location\":{{\"City\":\"Seattle\",\"Country\":\"US\",\"PostalCode\":\"98121\",\"Region\":\"WA\",\"Latitude\":47.{},\"Longitude\":-122.3}},\
             \"Demographic\":{{\"AppVersion\":\"1.{}\",\"Locale\":\"en_US\",\"Make\":\"apple\",\"Platform\":\"ios\",\"Timezone\":\"America/Los_Angeles\"}},\
             \"Metrics\":{{\"visits\":{}.0,\"spend\":{}.25}},\
             \"EffectiveDate\":\"2026-09-21T14:13:20.000Z\",\"OptOut\":\"NONE\",\
             \"User\":{{\"UserId\":\"user-{}\",\"UserAttributes\":{{\"tier\":[\"gold\"]}}}}}}",
            random as u32, random as u16, random >> 16, row % 7, row % 1000, row % 10, row % 90, row % 500, row / 2,
        )
        .unwrap();
    }
    text
}

fn csv(quoted: bool) -> String {
    let q = if quoted { "\"" } else { "" };
    let mut text = String::from(
        "Id,ChannelType,Address,Attributes.plan,Attributes.interests,Attributes.interests,Attributes.source,\
         Location.City,Location.Country,Location.PostalCode,Location.Region,Location.Latitude,Location.Longitude,\
         Demographic.AppVersion,Demographic.Locale,Demographic.Make,Demographic.Platform,Demographic.Timezone,\
         Metrics.visits,Metrics.spend,EffectiveDate,OptOut,User.UserId,User.UserAttributes.tier\n",
    );
    for row in 0..ROWS as u64 {
        let random = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(
            text,
            "{:08x}-{:04x}-4f3a-9c1d-{:012x},EMAIL,{q}user{row}@example.com{q},{q}premium{q},{q}music{q},{q}sports{q},{q}web-{}{q},\
             {q}Seattle{q},US,98121,WA,47.{},-122.3,1.{},en_US,{q}apple{q},ios,{q}America/Los_Angeles{q},{}.0,{}.25,\
             2026-09-21T14:13:20.000Z,NONE,user-{},gold",
            random as u32, random as u16, random >> 16, row % 7, row % 1000, row % 10, row % 90, row % 500, row / 2,
        )
        .unwrap();
    }
    text
}

/// CPU time of this thread, as Linux counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn measure(name: &str, format: Format, text: &str, parse: bool) {
    let options = SplitOptions::default();
    let context = ParseContext {
        now: Timestamp::from_millis(1_790_000_000_000),
        limits: RecordLimits::default(),
        rules: ReadRules::default(),
        map: None,
        mark: None,
    };
    let mut best = f64::MAX;
    for _ in 0..3 {
        let begun = cpu_seconds();
        let mut splitter = Splitter::new(format, options.clone(), 0);
        let mut parser = Parser::new();
        let mut input = text.as_bytes();
        let mut rows = 0;
        loop {
            match splitter.next(None).unwrap() {
                Split::NeedInput if input.is_empty() => splitter.finish(),
                Split::NeedInput => input = &input[splitter.push(input)..],
                Split::End => break,
                Split::Block(block) if !parse => {
                    rows += block.bytes().len();
                    splitter.give_back(block.into_buffer());
                }
                Split::Block(block) => {
                    let (parsed, buffer) = parser.parse(block, &context);
                    assert_eq!(parsed.failed, []);
                    rows += parsed.drafts.len();
                    splitter.give_back(buffer);
                }
            }
        }
        assert!(rows == ROWS || !parse);
        best = best.min(cpu_seconds() - begun);
    }
    println!(
        "{name}: {} bytes a row, {:.3} GB per CPU second, {:.2} us a row",
        text.len() / ROWS,
        text.len() as f64 / best / 1e9,
        best * 1e6 / ROWS as f64
    );
}

#[test]
#[ignore = "measures"]
fn speed() {
    let json = json();
    measure("JSON split", Format::Json, &json, false);
    measure("JSON split, parse, encode", Format::Json, &json, true);
    let plain = csv(false);
    measure("CSV split", Format::Csv, &plain, false);
    measure("CSV split, parse, encode", Format::Csv, &plain, true);
    let quoted = csv(true);
    measure("quoted CSV split", Format::Csv, &quoted, false);
    measure("quoted CSV split, parse, encode", Format::Csv, &quoted, true);
}
