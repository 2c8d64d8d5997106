//! One connection: statements that are prepared once, transactions that end, and what a lost one means.
//!
//! All of it blocks. The client crate drives a small runtime of its own, which must not be done on a thread that drives another
//! one: should a caller be a task of an I/O runtime, its thread is given up for that time.

use std::{collections::HashMap, io::Write as _};

use postgres::{Client, CopyOutReader, NoTls, Row, Statement, types::ToSql};
use tokio::task::block_in_place;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{copy, copy_out::Received, error};
use crate::{Result, StoreError};

/// Statements that a connection keeps prepared. Their number is that of the texts in this module's siblings, but for those
/// that have as many parts as a segment has layers.
const MOST_STATEMENTS: usize = 200;

/// Bytes of rows that are handed to the connection at a time.
const CHUNK: usize = 32 << 10;

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection that is set up.
pub(super) struct Connection {
    client: Client,
    server: String,
    /// What it is encrypted with.
    tls: Option<MakeRustlsConnect>,
    statements: HashMap<String, Statement>,
    /// Whether it is inside a transaction that has not ended: it is then of no use to others.
    pub(super) is_dirty: bool,
    /// Whether rows were called off that it may still receive.
    pub(super) is_cut: bool,
}

impl Connection {
    /// Connects.
    pub(super) fn open(
        config: &postgres::Config,
        server: &str,
        tls: Option<MakeRustlsConnect>,
    ) -> Result<Self> {
        let client = block_in_place(|| match &tls {
            None => config.connect(NoTls),
            Some(tls) => config.connect(tls.clone()),
        });
        let client = client.map_err(|error| error::of(server, &error))?;
        Ok(Self {
            client,
            server: server.to_owned(),
            tls,
            statements: HashMap::new(),
            is_dirty: false,
            is_cut: false,
        })
    }

    /// What it is connected to, for messages.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Whether it can be used again.
    pub(super) fn is_good(&self) -> bool {
        !self.is_dirty && !self.client.is_closed()
    }

    pub(super) fn error(&self, error: &postgres::Error) -> StoreError {
        if self.client.is_closed() && error.as_db_error().is_none() {
            return StoreError::Unavailable { server: self.server.clone(), message: error::words(error) };
        }
        error::of(&self.server, error)
    }

    /// A statement that is prepared here, now or before.
    pub(super) fn prepare(&mut self, text: &str) -> Result<Statement> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.prepare_once(text)?;
        if self.statements.len() >= MOST_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    /// A statement that will not be needed again.
    fn prepare_once(&mut self, text: &str) -> Result<Statement> {
        block_in_place(|| self.client.prepare(text)).map_err(|error| self.error(&error))
    }

    pub(super) fn query(&mut self, text: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.prepare(text)?;
        block_in_place(|| self.client.query(&statement, params)).map_err(|error| self.error(&error))
    }

    pub(super) fn query_opt(&mut self, text: &str, params: Params<'_>) -> Result<Option<Row>> {
        Ok(self.query(text, params)?.into_iter().next())
    }

    pub(super) fn execute(&mut self, text: &str, params: Params<'_>) -> Result<u64> {
        let statement = self.prepare(text)?;
        block_in_place(|| self.client.execute(&statement, params)).map_err(|error| self.error(&error))
    }

    /// Statements without parameters, or one that is not worth preparing.
    pub(super) fn batch(&mut self, text: &str) -> Result<()> {
        block_in_place(|| self.client.batch_execute(text)).map_err(|error| self.error(&error))
    }

    /// Appends rows, if there are any, in the binary form of COPY.
    pub(super) fn copy_in(&mut self, text: &str, rows: &copy::Rows) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let statement = self.prepare(text)?;
        let client = &mut self.client;
        let copy = || -> Result<(), postgres::Error> {
            let mut writer = client.copy_in(&statement)?;
            for chunk in rows.parts().flat_map(|part| part.chunks(CHUNK)) {
                if writer.write_all(chunk).is_err() {
                    // Its end says why.
                    break;
                }
            }
            writer.finish().map(drop)
        };
        block_in_place(copy).map_err(|error| self.error(&error))
    }

    /// Hands on the rows of a query, as COPY sends them. If `work` ends before they do, the rest of few is received and
    /// dropped. If they are many they are called off, and the connection is of no use any more: what calls them off may
    /// arrive late, and would then meet another statement.
    pub(super) fn copy_out<T, const N: usize>(
        &mut self,
        query: &str,
        are_few: bool,
        work: impl FnOnce(&mut Received<'_, CopyOutReader<'_>, N>) -> Result<T>,
    ) -> Result<T> {
        let statement = self.prepare_once(&format!("COPY ({query}) TO STDOUT BINARY"))?;
        let Self { client, server, tls, is_cut, .. } = self;
        let cancel = client.cancel_token();
        block_in_place(|| {
            let reader = client.copy_out(&statement).map_err(|error| error::of(server, &error))?;
            let mut rows = Received::new(reader, server);
            let done = work(&mut rows);
            if are_few {
                rows.drain();
            } else if !rows.is_done() {
                *is_cut = true;
                let _ = match tls {
                    None => cancel.cancel_query(NoTls),
                    Some(tls) => cancel.cancel_query(tls.clone()),
                };
            }
            done
        })
    }

    /// Runs `work` in a transaction, which is committed if it comes to a good end and rolled back if not.
    pub(super) fn in_transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.between("BEGIN", work)
    }

    /// Runs `work`, which only reads, and sees all of one moment.
    pub(super) fn in_snapshot<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.between("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)
    }

    fn between<T>(&mut self, begin: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.is_dirty = true;
        self.batch(begin)?;
        match work(self) {
            done if self.is_cut => done,
            Ok(done) => {
                self.batch("COMMIT")?;
                self.is_dirty = false;
                Ok(done)
            }
            Err(error) => {
                if self.batch("ROLLBACK").is_ok() {
                    self.is_dirty = false;
                }
                Err(error)
            }
        }
    }
}
