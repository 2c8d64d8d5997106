//! `pinport map`: proposes a mapping for a file, and shows what its first records are before and after.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write as _},
};

use anyhow::Context as _;
use pinport_model::{Format, Mapping, ReadOptions, SourceLocation, escape_controls};
use pinport_pipeline::{
    engine::first_data,
    mapping::{self, HEAD_BYTES, Outcome, Proposal, Shown},
    source::{Source, SourceOptions, format_of_name},
};

use crate::{cli::MapArgs, exit::Usage};

/// Records from which a mapping is guessed.
const GUESSED_FROM: usize = 200;
/// Characters of a value that are shown.
const SHOWN: usize = 60;

pub(super) fn run(args: &MapArgs) -> anyhow::Result<()> {
    let location: SourceLocation = args.source.parse().map_err(|error| Usage(format!("{error}")))?;
    let format = args.format.map(Format::from).or_else(|| format_of_name(&args.source)).ok_or_else(|| {
        Usage("the name does not say what the file holds: add --format csv or --format json".into())
    })?;
    let mut read = args.reading.options();
    let head = head(&location, format, &read)?;
    let whole = head.len() < HEAD_BYTES;
    let wrong = |reason: String| anyhow::anyhow!("{}: {reason}", args.source);
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let is_proposed = read.map.is_none();
    if is_proposed {
        let sample = mapping::sample(&head, whole, format, &read, GUESSED_FROM).map_err(wrong)?;
        let Proposal { mapping, notes } = mapping::propose(&sample);
        out.write_all(written(&args.source, &mapping, &notes).as_bytes())?;
        out.flush()?;
        read.map = Some(Box::new(mapping));
    }
    let mut text = String::new();
    match mapping::preview(&head, whole, format, &read, args.rows) {
        Ok(shown) => {
            shown.iter().for_each(|shown| show(&mut text, shown));
            let failed = shown.iter().filter(|shown| matches!(shown.outcome, Outcome::Failed(_))).count();
            let dropped = shown.iter().filter(|shown| shown.outcome == Outcome::Dropped).count();
            let good = shown.len() - failed - dropped;
            let records = if shown.len() == 1 { "record" } else { "records" };
            writeln!(text, "{} {records}: {good} good, {failed} failed, {dropped} dropped", shown.len())?;
        }
        Err(reason) => writeln!(text, "no record can be read by it: {reason}")?,
    }
    // The proposal can be sent to a file; what it does is for whoever watches.
    if is_proposed {
        err.write_all(text.as_bytes())?
    } else {
        out.write_all(text.as_bytes())?
    }
    Ok(())
}

/// The first decoded bytes of the source's first object that may hold records.
fn head(location: &SourceLocation, format: Format, read: &ReadOptions) -> anyhow::Result<Vec<u8>> {
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("io")
        .enable_all()
        .build()
        .context("failed to start the threads")?;
    let source = Source::open(location, SourceOptions::default(), io.handle().clone())?.reading(format, read);
    Ok(first_data(&source, format, HEAD_BYTES)?.1)
}

/// A record as it is, and what came of it.
fn show(text: &mut String, Shown { line, before, outcome }: &Shown) {
    let after = match outcome {
        Outcome::Members(members) => listed(members),
        Outcome::Failed(why) => format!("FAILS: {why}"),
        Outcome::Dropped => "dropped by a rule".into(),
    };
    let before = listed(before);
    let _ = write!(text, "line {line}\n  before  {before}\n  after   {after}\n");
}

/// Names with their values, without those that are empty.
fn listed(members: &[(String, String)]) -> String {
    let shown = |value: &str| {
        let value = escape_controls(value).into_owned();
        match value.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value,
        }
    };
    let filled = members.iter().filter(|(_, value)| !value.trim().is_empty());
    let pairs: Vec<_> = filled.map(|(name, value)| format!("{}={}", shown(name), shown(value))).collect();
    pairs.join("  ")
}

/// The mapping as TOML, with what to think of.
fn written(source: &str, mapping: &Mapping, notes: &[String]) -> String {
    let mut text = format!(
        "# A mapping for {}. Correct it, then: pinport import … --map FILE\n",
        escape_controls(source)
    );
    for note in notes {
        let _ = writeln!(text, "# {}", escape_controls(note));
    }
    if *mapping == Mapping::default() {
        text.push_str("# The file needs none: its names are those of members.\n");
        return text;
    }
    let mut table = |head: &str, pairs: &BTreeMap<String, String>| {
        if !pairs.is_empty() {
            let _ = writeln!(text, "\n[{head}]");
            for (name, value) in pairs {
                let _ = writeln!(text, "{} = {}", quoted(name), quoted(value));
            }
        }
    };
    table("rename", &mapping.rename);
    table("constants", &mapping.constants);
    for (member, words) in &mapping.values {
        table(&format!("values.{}", quoted(member)), words);
    }
    if !mapping.normalise.is_none() {
        text.push_str("\n[normalise]\n");
        let normalise = &mapping.normalise;
        for (name, is_set) in [
            ("trim", normalise.trim),
            ("email", normalise.email),
            ("phone", normalise.phone),
            ("country", normalise.country),
        ] {
            if is_set {
                let _ = writeln!(text, "{name} = true");
            }
        }
    }
    text
}

/// A TOML string: its escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
