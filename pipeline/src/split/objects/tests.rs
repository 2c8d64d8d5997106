//! Objects that are read record by record, however they arrive.

use pinport_model::{Format, RecordLimits};
use proptest::prelude::*;

use super::{
    super::{Head, SplitOptions, Splitter},
    *,
};
use crate::text::{JsonForm, form_of, objects_of};

type Item = (u64, u64, Result<String, FailureCode>);

fn options(block_bytes: usize, max_line: usize) -> SplitOptions {
    let limits = RecordLimits { max_line, ..RecordLimits::default() };
    SplitOptions { block_bytes, limits, ..SplitOptions::default() }
}

/// The records and failures of an object, where its blocks end, and what its start told.
fn drive(
    mut splitter: Splitter,
    input: &str,
    chunk: usize,
    cut: Option<Cut>,
) -> (Vec<Item>, Vec<Origin>, Option<Head>) {
    let (mut items, mut ends) = (Vec::new(), Vec::new());
    let mut rest = &input.as_bytes()[splitter.position().byte as usize..];
    loop {
        match splitter.next(cut).unwrap() {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(&rest[..chunk.min(rest.len())])..],
            Split::Block(block) => {
                if let Some(lost) = &block.lost {
                    items.push((lost.origin.byte, lost.origin.line, Err(lost.reason.code)));
                }
                let bytes = block.bytes();
                let records = block.records.as_ref().expect("these are no lines").iter().cloned();
                let mut found: Vec<_> = records.map(|range| (range, None)).collect();
                found.extend(block.faults.iter().map(|fault| (fault.range.clone(), Some(fault.reason.code))));
                found.sort_by_key(|(range, _)| range.start);
                for (range, code) in found {
                    let lines = bytes[..range.start].iter().filter(|byte| **byte == b'\n').count() as u64;
                    let text = str::from_utf8(&bytes[range.clone()]).unwrap().to_owned();
                    let place = block.first.byte + range.start as u64;
                    items.push((place, block.first.line + lines, code.map_or(Ok(text), Err)));
                }
                assert_eq!(block.bytes_and_line_feed().last(), Some(&b'\n'));
                ends.push(block.end);
                splitter.give_back(block.into_buffer());
            }
            Split::End => break,
        }
    }
    assert_eq!(splitter.position().byte, input.len() as u64);
    (items, ends, splitter.head())
}

/// Reads in every way, and returns what all of them say.
fn read(input: &str, max_line: usize) -> Vec<Item> {
    let start = |block| Splitter::new(Format::Json, options(block, max_line), 0);
    let (expected, _, head) = drive(start(4096), input, usize::MAX, None);
    for block in [1, 16, 100] {
        for chunk in [1, 2, 3, 7, 64] {
            assert_eq!(drive(start(block), input, chunk, None).0, expected, "{block}, {chunk}: {input}");
        }
    }
    for byte in 1..=input.len() as u64 {
        let cut = Some(Cut { byte, line: u64::MAX, records: u64::MAX });
        let mut borders = Vec::new();
        for (block, chunk) in [(1, 1), (40, 5), (4096, usize::MAX)] {
            let (items, ends, _) = drive(start(block), input, chunk, cut);
            assert_eq!(items, expected);
            borders.push(*ends.iter().find(|end| end.byte >= byte).unwrap());
        }
        assert!(borders.iter().all(|border| *border == borders[0]), "{borders:?} for {byte}: {input}");
        let resumed = Splitter::resume(Format::Json, options(32, max_line), borders[0], head.clone());
        let behind: Vec<_> = expected.iter().filter(|item| item.0 >= borders[0].byte).cloned().collect();
        assert_eq!(drive(resumed, input, 3, None).0, behind, "behind {:?}: {input}", borders[0]);
    }
    expected
}

fn texts(input: &str) -> Vec<String> {
    read(input, 1000).into_iter().map(|item| item.2.unwrap_or_else(|code| code.to_string())).collect()
}

#[test]
fn the_form_is_detected_at_the_start() {
    let form = |head: &str| form_of(head.as_bytes(), true);
    for lines in [
        "",
        "{}",
        "{}\n[]\n",
        "{} \r\n{}",
        "[1]\n{}",
        "x",
        "{\"a\":\n",
        "{\"a\":{\n{\"a\":1}\n",
        "{}x\n{}",
        "{\"Item\":{\"a\":1}}\n",
        "{\"a\":\n{\"a\":1}\n{\"a\":1}\n",
        ",{}",
    ] {
        assert_eq!(form(lines), JsonForm::Lines, "{lines}");
    }
    for (objects, enclosed) in [
        ("{}{}", false),
        ("{\n}", false),
        ("[{}]", true),
        ("[\n{}\n]", true),
        ("[]", true),
        ("{},\n{}", false),
        ("{}\r{}", false),
        ("{\"Item\":[{}]}", true),
        ("{\"EndpointResponse\":{}}", true),
        ("{\"ResponseMetadata\":{\"a\":1},\"EndpointsResponse\":{\"Item\":[{}]}}", true),
    ] {
        assert_eq!(form(objects), JsonForm::Objects { enclosed }, "{objects}");
    }
}

#[test]
fn records_end_where_their_braces_do() {
    assert_eq!(texts("{\"a\":\"}{\\\"\"}{\"b\":[{}]}"), ["{\"a\":\"}{\\\"\"}", "{\"b\":[{}]}"]);
    assert_eq!(texts("[{},{\n} , {}]\n"), ["{}", "{\n}", "{}"]);
    assert_eq!(texts("[]"), [""; 0]);
    assert_eq!(texts("{},\n{},\n"), ["{}", "{}"]);
    assert_eq!(texts("[{}][{}]\n\n[\n{}]"), ["{}", "{}", "{}"]);
    assert_eq!(
        texts("{\"Item\":[{\"Id\":\"1\"},{}],\"NextToken\":null,\"x\":{\"Item\":[{}]}}"),
        ["{\"Id\":\"1\"}", "{}"]
    );
    assert_eq!(
        texts(
            "{\"ResponseMetadata\":{\"Id\":\"}\"},\"EndpointsResponse\":{\"Item\":[{\"c\":1}]}}{\"EndpointResponse\":{\"d\":2}}"
        ),
        ["{\"c\":1}", "{\"d\":2}"]
    );
    assert_eq!(
        read("{\n}\n\n {\"a\":\n1}{}", 100).iter().map(|item| (item.0, item.1)).collect::<Vec<_>>(),
        [(0, 1), (6, 4), (14, 5)]
    );
}

#[test]
fn one_broken_object_costs_one() {
    for broken in
        ["{\"a\":\"x}", "{\"a\":1", "{\"a\":[1}", "{\"a\" x}", "{\"a\":\"\n\"}", "x", "{\"a\":{\"b\":1}"]
    {
        for between in ["", "\n", ",\n  "] {
            let input = format!(
                "{{}}{{\"Id\":\"1\"}}{between}{broken}{between}{{\"Id\":\"2\"}}{between}{{\"Id\":\"3\"}}{{}}"
            );
            let said = texts(&input);
            assert_eq!(
                said,
                ["{}", "{\"Id\":\"1\"}", "invalid_json", "{\"Id\":\"2\"}", "{\"Id\":\"3\"}", "{}"],
                "{input}"
            );
        }
    }
    assert_eq!(texts("[{},\n{\"a\":{},\n{}]"), ["{}", "invalid_json", "{}"]);
}

#[test]
fn a_file_that_was_cut_off_says_so() {
    assert_eq!(texts("[{},{}"), ["{}", "{}", "invalid_json"]);
    assert_eq!(texts("[{},{\"a\":"), ["{}", "invalid_json", "invalid_json"]);
    assert_eq!(texts("{}{}{"), ["{}", "{}", "invalid_json"]);
}

#[test]
fn long_objects_are_dropped_alone() {
    for between in ["", "\n", ","] {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(90));
        let said: Vec<_> = read(&format!("{{\"b\":1}}{{}}{between}{long}{between}{{}}{{\"c\":2}}"), 20)
            .into_iter()
            .map(|item| item.2.unwrap_or_else(|code| code.to_string()))
            .collect();
        assert_eq!(said, ["{\"b\":1}", "{}", "line_too_long", "{}", "{\"c\":2}"], "{between:?}");
    }
}

#[test]
fn objects_that_share_a_line_are_found() {
    assert_eq!(objects_of(b"{},").map(|found| found[0].clone()), Some(0..2));
    assert_eq!(objects_of(b"{} {\"a\":1}"), Some(vec![0..2, 3..10]));
    assert_eq!(objects_of(b"[{},{}]"), Some(vec![1..3, 4..6]));
    assert_eq!(objects_of(b"[]"), None);
    assert_eq!(objects_of(b" }"), None);
    assert_eq!(objects_of(b"{}x"), None);
    assert_eq!(objects_of(b"{"), None);
}

#[test]
fn endless_and_hostile_input_takes_bounded_memory_and_linear_time() {
    for (head, part) in [
        ("{}{}", "{\"a\":["),
        ("{}{}", "{\"a\":[\n"),
        ("[{}", " "),
        ("{}{}", "x"),
        ("{}{}", "{\"a\":\""),
        ("{}{}", "\n{\"}\n"),
        ("{}{}", "[\n{\"a\":["),
    ] {
        let mut splitter = Splitter::new(Format::Json, options(4096, 100_000), 0);
        let begun = std::time::Instant::now();
        let mut rest = head.as_bytes().to_vec();
        rest.extend_from_slice(&part.as_bytes().repeat((8 << 20) / part.len()));
        let mut rest = &rest[..];
        loop {
            match splitter.next(None).unwrap() {
                Split::NeedInput if rest.is_empty() => splitter.finish(),
                Split::NeedInput => {
                    assert!(splitter.space().len() <= 1 << 20, "{part:?}");
                    rest = &rest[splitter.push(rest)..];
                }
                Split::Block(block) => splitter.give_back(block.into_buffer()),
                Split::End => break,
            }
        }
        assert!(begun.elapsed().as_secs() < 20, "{part:?} took {:?}", begun.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn objects_do_not_depend_on_how_they_arrive(input in "(\\{\"a\":|\\{\\}|\\{|\\}|\\[|\\]|\"|,|:|\n| |1|x|\\{\"Item\":\\[|\\\\){0,30}") {
        read(&format!("{{}}{{}}{input}"), 12);
    }

    #[test]
    fn good_objects_are_all_found(count in 1_usize..20, between in prop_oneof![Just(""), Just(" "), Just(",\n"), Just("\r")], text in "[a-z{}\\[\\]:,]{0,9}") {
        let object = format!("{{\"k\":\"{text}\",\"l\":[\"{text}\"]}}");
        let input = format!("{{}}{{}}{}", format!("{object}{between}").repeat(count));
        let said: Vec<_> = read(&input, 1000).into_iter().skip(2).map(|item| item.2.unwrap()).collect();
        prop_assert_eq!(said, vec![object; count]);
    }
}
