//! The words for what a job is and does: the same in the dashboard, in `--once` and in progress lines.

use std::collections::BTreeMap;

use pinport_model::{
    FailureClass, FailureCode, JobStatus,
    progress::Progress,
    view::{JobView, PieceState},
};

use crate::{
    look::{Role, Symbols},
    text::{append, bytes, count},
};

/// How a status is shown: a symbol and a word, and what kind of news it is.
pub(crate) struct StatusWord {
    pub(crate) symbol: &'static str,
    pub(crate) word: &'static str,
    /// At most four letters, where room is scarce.
    pub(crate) short: &'static str,
    pub(crate) role: Role,
}

/// A job that should run and does not move.
pub(crate) fn stalled(symbols: Symbols) -> StatusWord {
    StatusWord { symbol: symbols.choose("⚠", "!"), word: "stalled", short: "stal", role: Role::Warn }
}

pub(crate) fn status(job: &JobView, symbols: Symbols) -> StatusWord {
    let pick = |unicode, ascii| symbols.choose(unicode, ascii);
    let (symbol, word, short, role) = match job.progress.status {
        JobStatus::PendingJob if job.paused => (pick("‖", "="), "paused", "paus", Role::Warn),
        JobStatus::PendingJob => (pick("◌", "."), "waiting", "wait", Role::Dim),
        JobStatus::Created => (pick("◌", "."), "created", "new", Role::Dim),
        JobStatus::PreparingForInitialization => (pick("◌", "."), "preparing", "prep", Role::Active),
        JobStatus::Initializing => (pick("◌", "."), "planning", "plan", Role::Active),
        JobStatus::Processing if job.paused => (pick("‖", "="), "pausing", "paus", Role::Warn),
        JobStatus::Processing => (pick("▶", ">"), "running", "run", Role::Active),
        JobStatus::Completing => (pick("▶", ">"), "completing", "end", Role::Active),
        JobStatus::Completed => (pick("✓", "+"), "completed", "done", Role::Good),
        JobStatus::Failing => (pick("✗", "x"), "failing", "fail", Role::Bad),
        JobStatus::Failed => (pick("✗", "x"), "failed", "fail", Role::Bad),
        JobStatus::Cancelling => (pick("■", "#"), "cancelling", "stop", Role::Warn),
        JobStatus::Cancelled => (pick("■", "#"), "cancelled", "stop", Role::Warn),
    };
    StatusWord { symbol, word, short, role }
}

/// How a piece's state is shown.
pub(crate) fn piece(state: PieceState, symbols: Symbols) -> (&'static str, &'static str, Role) {
    let pick = |unicode, ascii| symbols.choose(unicode, ascii);
    match state {
        PieceState::Waiting => (pick("·", "."), "waiting", Role::Dim),
        PieceState::Reading => (pick("◔", "r"), "reading", Role::Active),
        PieceState::Parsing => (pick("◑", "p"), "parsing", Role::Active),
        PieceState::Committing => (pick("◕", "c"), "committing", Role::Active),
        PieceState::Done => (pick("■", "#"), "done", Role::Good),
        PieceState::Failed => (pick("✗", "X"), "failed", Role::Bad),
    }
}

/// Every state of a piece in order.
pub(crate) const PIECE_STATES: [PieceState; 6] = [
    PieceState::Done,
    PieceState::Committing,
    PieceState::Parsing,
    PieceState::Reading,
    PieceState::Waiting,
    PieceState::Failed,
];

/// The share of the source that was read, if its size is known; an ended job reads no more.
pub(crate) fn share(progress: &Progress) -> Option<f64> {
    if progress.status == JobStatus::Completed {
        return Some(1.0);
    }
    let read = progress.source_bytes as f64 / progress.source_total as f64;
    // What is read is not done before it is committed.
    let most = if progress.status.is_terminal() { 1.0 } else { 0.99 };
    (progress.source_total > 0).then(|| read.min(most))
}

/// Pieces as `done/total`, with what failed.
pub(crate) fn pieces(progress: &Progress) -> String {
    let mut text = format!("{}/{}", count(progress.pieces_done), count(progress.pieces_total));
    if progress.pieces_failed > 0 {
        append!(text, " {} failed", count(progress.pieces_failed));
    }
    text
}

/// Who works on a job, where several servers may: the one that leads it, and who works on which of its parts.
pub(crate) fn workers(job: &JobView) -> Option<String> {
    let mut of_server: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for part in &job.parts {
        of_server.entry(&part.server).or_default().push(part.part);
    }
    let mut text = job.server.as_ref().map(|server| format!("on {server}"));
    for (server, parts) in of_server {
        let numbers = parts.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ");
        let parts = if parts.len() == 1 { "part" } else { "parts" };
        let text = text.get_or_insert_default();
        append!(text, "{}{parts} {numbers} on {server}", if text.is_empty() { "" } else { ", " });
    }
    text
}

/// Records as the report at the end gives them.
pub(crate) fn records(progress: &Progress) -> String {
    let read = count(progress.parsed.max(progress.registered.saturating_add(progress.failed)));
    let (registered, failed) = (count(progress.registered), count(progress.failed));
    if progress.status.is_terminal() {
        return format!("{read} read = {registered} registered + {failed} failed");
    }
    format!("{read} read, {registered} registered, {failed} failed")
}

/// Bytes of the source: `1.0 MiB of 2.0 MiB`.
pub(crate) fn source_bytes(progress: &Progress) -> String {
    let read = bytes(progress.source_bytes);
    if progress.source_total == 0 { read } else { format!("{read} of {}", bytes(progress.source_total)) }
}

/// The name of a failure class in words: `Attributes: value too long`.
pub(crate) fn class(class: &FailureClass) -> String {
    class_name(class.code, class.member.as_deref())
}

/// The same of a code and the member it is about.
pub(crate) fn class_name(code: FailureCode, member: Option<&str>) -> String {
    let code = code.as_str().replace('_', " ");
    match member {
        Some(member) => format!("{member}: {code}"),
        None => code,
    }
}

/// What was wrong with the first record of a class, and where: the words first, a name of an object is long.
pub(crate) fn example(class: &FailureClass) -> (&str, &str) {
    let (place, mut message) = example_parts(&class.example).unwrap_or(("", &class.example));
    if let Some(member) = &class.member {
        let rest = message.strip_prefix(member.as_str()).and_then(|rest| rest.strip_prefix(": "));
        message = rest.unwrap_or(message);
    }
    (message, place)
}

/// `OBJECT line 7 column 3` and the text after it. A name may have a line in it too: the first one that a
/// number and a colon follow is meant.
fn example_parts(example: &str) -> Option<(&str, &str)> {
    example.match_indices(" line ").find_map(|(at, word)| {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut end = at + word.len();
        let line = digits(&example[end..]);
        end += line;
        if let Some(rest) = example[end..].strip_prefix(" column ") {
            end += " column ".len() + digits(rest);
        }
        let message = example[end..].strip_prefix(": ").filter(|_| line > 0)?;
        Some((&example[..end], message))
    })
}

/// `1 job`, `2 jobs`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Milliseconds a job ran, or has run so far. What it waited is left out.
pub(crate) fn ran_ms(job: &JobView) -> i64 {
    i64::try_from(job.progress.ran_ms()).unwrap_or(i64::MAX)
}

/// Milliseconds it waited for its turn, or was paused.
pub(crate) fn waited_ms(job: &JobView, now_ms: i64) -> i64 {
    let end = job.completed.map_or(now_ms, |time| time.as_millis());
    end.saturating_sub(job.created.as_millis()).saturating_sub(ran_ms(job)).max(0)
}

/// Records and decoded bytes a second over the whole of this run of the job.
pub(crate) fn average(progress: &Progress) -> (f64, f64) {
    (progress.records_per_second(), progress.bytes_per_second())
}

/// The last eight digits of an id: enough to tell jobs apart, and to type.
pub(crate) fn short_id(id: pinport_model::JobId) -> String {
    // Ids made in the same minute begin alike; their ends are random.
    let id = id.to_string();
    id[id.len() - 8..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_says_what_before_where() {
        let class = |member: Option<&str>, example: &str| FailureClass {
            code: FailureCode::UnknownValue,
            member: member.map(Into::into),
            count: 1,
            example: example.into(),
        };
        let one =
            class(Some("ChannelType"), "s3://b/a line 7 b.csv line 17 column 3: ChannelType: \"X\" is none");
        assert_eq!(example(&one), ("\"X\" is none", "s3://b/a line 7 b.csv line 17 column 3"));
        assert_eq!(super::class(&one), "ChannelType: unknown value");
        let whole = class(None, "in.json line 2: expected ','");
        assert_eq!(example(&whole), ("expected ','", "in.json line 2"));
        assert_eq!(super::class(&whole), "unknown value");
        for strange in ["", "x line ", "x line 3", "x line 3 column : y"] {
            assert_eq!(
                example(&class(None, strange)).1.len() + example(&class(None, strange)).0.len() > 0,
                !strange.is_empty()
            );
        }
    }
}
