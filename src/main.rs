//! The `pinport` binary: the only place that knows flags, the environment and signals.
//!
//! `cli` says what may be asked, each file of `commands` answers one command, `client` asks a server, `explain` says what went wrong
//! and what to do. Data goes to standard output, everything else to standard error.

mod address;
mod checkup;
mod cli;
mod client;
mod commands;
mod config;
mod data;
mod descriptors;
mod exit;
mod explain;
mod follow;
mod heap;
mod machine;
mod notify;
mod otlp;
mod output;
mod private;
mod progress;
mod reading;
mod report;
mod sample;
mod signals;
mod webhooks;
#[cfg(feature = "failpoints")]
mod wrong_clock;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    wrong_clock::follow();
    private::keep_files();
    let code = match commands::run(cli::Cli::read()) {
        Ok(code) => code,
        Err(error) if explain::is_closed_pipe(&error) => exit::COMPLETED,
        Err(error) => {
            explain::print(error.as_ref());
            explain::exit_code(&error)
        }
    };
    exit::now(code)
}
