//! The arguments that say where a store is, and those of `pinport store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::data::Place;

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The folder of the store and of the jobs' files
    #[arg(long, default_value = "pinport-data", env = "PINPORT_DATA", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The database that holds the store, if the folder does not: postgres://USER@HOST/DATABASE
    #[arg(long, env = "PINPORT_STORE_URL", hide_env_values = true, value_name = "URL")]
    store_url: Option<String>,
}

impl DataArgs {
    /// Where the store is.
    pub(crate) fn place(&self) -> Place<'_> {
        Place::new(&self.data, self.store_url.as_deref())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make pinport's tables in a database
    ///
    /// They are in a schema of their own, `pinport` unless the URL says another with ?schema=. Where they are already,
    /// nothing changes.
    #[command(
        after_help = "Example:\n  pinport store init --store-url postgres://pinport@db.example/pinport?sslmode=verify-full"
    )]
    Init(StoreArgs),
    /// Look whether a database can be reached, and has the tables that this pinport writes
    #[command(
        after_help = "Example:\n  pinport store check --store-url postgres://pinport@db.example/pinport"
    )]
    Check(StoreArgs),
    /// Copy a whole store: from a data folder into a database, or back
    ///
    /// The target is empty: a folder that is new, or a database after `pinport store init`. No server uses either of them
    /// meanwhile. What is copied are applications, endpoints, users, segments with all kept versions, and ended jobs with their
    /// failures and rejects. At the end both are read again and compared by counts and hashes. A copy that was interrupted goes
    /// on when the same command is given again; until it is whole, nothing opens the target.
    #[command(
        after_help = "Examples:\n  pinport store copy pinport-data postgres://pinport@db.example/pinport\n  pinport store copy postgres://pinport@db.example/pinport back-again"
    )]
    Copy(CopyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The data folder, or the URL of the database, that is copied
    pub(crate) from: String,
    /// The data folder, or the URL of the database, that gets the copy
    pub(crate) to: String,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The database: postgres://USER@HOST/DATABASE. A password belongs into PGPASSFILE or ~/.pgpass
    #[arg(long, env = "PINPORT_STORE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) store_url: String,
}
