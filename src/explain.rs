//! What a user reads when something went wrong: a sentence, its causes, and what to do about it.

use std::io::{self, Write as _};

use pinport_model::{escape_controls, with_causes};
use pinport_pipeline::{engine::JobError, export::ExportError, source::SourceError};
use pinport_store::StoreError;

use crate::client::ClientError;
use crate::exit::{Logged, Usage};

/// Prints the error with its causes, then the hint on a line of its own.
pub(crate) fn print(error: &(dyn std::error::Error + 'static)) {
    if error.is::<Logged>() {
        return;
    }
    let mut text = format!("error: {}", with_causes(error));
    if let Some(hint) = hint_of(error) {
        text.push_str(&format!("\nhint: {hint}"));
    }
    // Each line is escaped for itself: names and messages may hold anything.
    let lines: Vec<_> = text.lines().map(escape_controls).collect();
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}

/// The same as one line of the log.
pub(crate) fn log(error: &(dyn std::error::Error + 'static)) {
    let said = with_causes(error);
    tracing::error!(error = %escape_controls(&said), hint = hint_of(error), "the server ends");
}

fn hint_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let is_output =
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull);
    if is_output {
        return Some("what standard output goes to has no room left: write it to another place".into());
    }
    std::iter::successors(Some(error), |error| error.source()).find_map(hint)
}

/// The exit code for an error: 2 when the call was wrong, else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Logged>() {
        Some(Logged(code)) => *code,
        None if error.is::<Usage>() => 2,
        None => 1,
    }
}

/// Whether the reader of our output went away, as `head` does: that is no error.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let store = cause.downcast_ref::<StoreError>().and_then(store_hint);
    let source = || cause.downcast_ref::<SourceError>().and_then(SourceError::hint).map(Into::into);
    let io = || cause.downcast_ref::<io::Error>().and_then(io_hint).map(Into::into);
    // A job's error stands in the place of what it carries.
    let carried = || match cause.downcast_ref::<JobError>()? {
        JobError::Store(error) => store_hint(error),
        JobError::Source(error) => error.hint().map(Into::into),
        _ => None,
    };
    let exported = || match cause.downcast_ref::<ExportError>()? {
        ExportError::Target(error) => error.hint_of_writing().map(Into::into),
        ExportError::Store(error) => store_hint(error),
        _ => None,
    };
    let server = || cause.downcast_ref::<ClientError>().and_then(ClientError::hint).map(Into::into);
    store.or_else(server).or_else(source).or_else(io).or_else(carried).or_else(exported)
}

fn store_hint(error: &StoreError) -> Option<String> {
    Some(match error {
        StoreError::InUse { .. } => "wait until it is done, or name another folder with --data".into(),
        StoreError::NewerLayout { .. } => "use the pinport that wrote it, or a newer one".into(),
        StoreError::Full { message, .. } | StoreError::Stopped(message) | StoreError::Engine(message) => {
            disk_hint(message)?.into()
        }
        StoreError::Io { source, .. } => disk_hint(&source.to_string())?.into(),
        StoreError::Corrupt(_) => {
            "restore the data folder from a backup, or import anew into another one".into()
        }
        _ => return None,
    })
}

fn io_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some("check who owns the file and its folders"),
        _ => disk_hint(&error.to_string()),
    }
}

/// What to do about what the system says of the disk: the engine hands on only the text.
fn disk_hint(message: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 4] = [
        (
            "no space left",
            "free some space, then run the same command again: it goes on behind the last committed piece",
        ),
        (
            "too many open files",
            "raise the limit of open files (ulimit -n 8192), then run the same command again: it goes on behind the last committed piece",
        ),
        (
            "read-only file system",
            "make the data folder writable, then run the same command again: it goes on behind the last committed piece",
        ),
        (
            "input/output error",
            "the disk fails: the system's log says more. On a sound one run the same command again: it goes on behind the last committed piece",
        ),
    ];
    let message = message.to_lowercase();
    HINTS.iter().find(|(word, _)| message.contains(word)).map(|(_, hint)| *hint)
}
