//! `pinport store`: the tables of a store in a database.

use std::io::{self, Write as _};

use pinport_model::RecordLimits;
use pinport_store::postgres::{self, Postgres};

use crate::{cli::StoreCommand, data::database};

pub(super) fn run(command: &StoreCommand) -> anyhow::Result<()> {
    let mut out = io::stderr().lock();
    match command {
        StoreCommand::Init(args) => {
            let options = database(&args.store_url)?;
            let server = options.server().to_owned();
            match postgres::init(&options)? {
                true => writeln!(
                    out,
                    "{server} has pinport's tables now: use it with --store-url or [store] url"
                )?,
                false => writeln!(out, "{server} had pinport's tables already: nothing is changed")?,
            }
        }
        StoreCommand::Check(args) => {
            let options = database(&args.store_url)?;
            let server = options.server().to_owned();
            Postgres::open(options, "a check", &RecordLimits::default())?;
            writeln!(out, "{server} can be used")?;
        }
        StoreCommand::Copy(args) => {
            drop(out);
            return super::copy::run(args);
        }
    }
    Ok(())
}
