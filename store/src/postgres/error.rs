//! What the client crate's errors mean here. No error shows a password: the crate's do not hold any, and what names the
//! server has none.

use std::{error::Error as _, fmt};

use postgres::{Error, error::SqlState};

use crate::StoreError;

/// An error of the engine's that is no other.
pub(super) fn failed(action: &str, server: &str, why: &dyn fmt::Display) -> StoreError {
    StoreError::Engine(format!("failed to {action} ({server}): {why}"))
}

/// What an error says, in one line.
pub(super) fn words(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        let mut words = format!("{} ({})", error.message(), error.code().code());
        if let Some(detail) = error.detail() {
            words.push_str(": ");
            words.push_str(detail);
        }
        return words.replace('\n', " ");
    }
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}

/// Whether another try may go well, because the server was away or too busy: nothing is wrong with what was asked.
pub(super) fn is_unavailable(error: &Error) -> bool {
    if error.is_closed() {
        return true;
    }
    match error.code() {
        // Not an answer of the server's. What the crate could not encode or decode is a defect and stays.
        None => {
            error.source().is_some_and(|cause| cause.is::<std::io::Error>())
                || error.to_string().contains("connect")
        }
        Some(code) => {
            let class = code.code().get(..2).unwrap_or_default();
            // Connection exceptions, a server that goes or comes, and one without room for another connection.
            class == "08"
                || class == "57" && *code != SqlState::QUERY_CANCELED
                || *code == SqlState::TOO_MANY_CONNECTIONS
                || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        }
    }
}

/// Whether the transaction lost against another one, and may be tried again as a whole.
pub(super) fn is_collision(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE]
            .contains(code)
    })
}

/// The error that a caller sees.
pub(super) fn of(server: &str, error: &Error) -> StoreError {
    if is_unavailable(error) || is_collision(error) {
        return StoreError::Unavailable { server: server.into(), message: words(error) };
    }
    if error.code() == Some(&SqlState::DISK_FULL) {
        return StoreError::Full { path: server.into(), message: words(error) };
    }
    StoreError::Engine(format!("{server}: {}", words(error)))
}
