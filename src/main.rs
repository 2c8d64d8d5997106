//! pinport

mod sample;

use std::{io, process::ExitCode};

use clap::Parser;

#[derive(Debug, clap::Parser)]
#[command(version, about)]
enum Command {
    /// Make rows of sample endpoints.
    Sample(sample::Args),
}

fn main() -> ExitCode {
    let Command::Sample(args) = Command::parse();
    match sample::run(&args, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
