//! One file per command.

mod asked;
mod backup;
mod copy;
mod demo;
mod endpoint;
mod export;
mod import;
mod jobs;
mod man;
mod map;
mod mending;
mod segment;
mod serve;
mod settle;
mod store;
mod top;
mod verify;

pub(crate) use crate::output::write_line;
use std::io::{self, Write as _};

use clap::CommandFactory as _;

use crate::{
    cli::{Cli, Command, ConfigCommand},
    config::environment,
    exit, sample,
};

/// Runs the command; gives the exit code.
pub(crate) fn run(cli: Cli) -> anyhow::Result<u8> {
    environment::check(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
    match cli.command {
        Command::Import(args) => return import::run(&args),
        Command::Export(args) => return export::run(&args),
        Command::Verify(args) => return verify::run(&args),
        Command::Map(args) => map::run(&args)?,
        Command::Serve(args) => serve::run(&args)?,
        Command::Top(args) => top::run(&args)?,
        Command::Demo(args) => demo::run(&args)?,
        Command::Config(ConfigCommand::Check(args)) => return serve::check(&args),
        Command::Doctor(args) => return serve::doctor(&args),
        Command::Endpoint(command) => endpoint::run(command)?,
        Command::Segment(command) => segment::run(command)?,
        Command::Store(command) => store::run(&command)?,
        Command::Settle(args) => settle::run(&args)?,
        Command::Backup(args) => return backup::run(&args),
        Command::Restore(args) => backup::give_back(&args)?,
        Command::Jobs(command) => return jobs::run(command),
        Command::Sample(args) => sample::run(&args, &mut io::stdout().lock())?,
        Command::Completions { shell } => {
            // Rendered first: the generator panics when it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pinport", &mut script);
            io::stdout().write_all(&script)?;
        }
        Command::Man { folder } => man::run(&folder)?,
    }
    Ok(exit::COMPLETED)
}
