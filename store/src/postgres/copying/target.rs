//! Writes what is copied into a database.

use super::{
    super::{
        Postgres,
        connection::Connection,
        copy,
        documents::{int4, key, text},
        hash::h8,
        rows::{COPY_MEMBERS, COPY_OPS, COPY_UOPS, Place, op, uop},
        segments,
    },
    names::Names,
};
use crate::{
    Result, StoreError,
    copied::{Batch, Entry, Writer},
};

const COPY_ADDRESSES: &str = "COPY addresses (h8, space, address, id) FROM STDIN BINARY";

pub(super) struct Target<'a> {
    pub(super) store: &'a Postgres,
    pub(super) names: Names,
}

/// Rows of a batch, by table.
#[derive(Default)]
struct Tables {
    ops: copy::Rows,
    uops: copy::Rows,
    members: copy::Rows,
    addresses: copy::Rows,
}

impl Writer for Target<'_> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let names = &mut self.names;
        self.store.pool().write(|connection| {
            let mut tables = Tables::default();
            for entry in &batch.entries {
                put(connection, names, &mut tables, entry)?;
            }
            for (text, rows) in [
                (COPY_OPS, tables.ops),
                (COPY_UOPS, tables.uops),
                (COPY_MEMBERS, tables.members),
                (COPY_ADDRESSES, tables.addresses),
            ] {
                connection.copy_in(text, &rows)?;
            }
            connection.execute("UPDATE copying SET cursor = $1", &[&batch.cursor])?;
            Ok(())
        })
    }
}

/// The next number of a sequence.
fn drawn(connection: &mut Connection, sequence: &str) -> Result<i32> {
    let found = connection.query(&format!("SELECT nextval('{sequence}')::int4"), &[])?;
    Ok(found[0].get(0))
}

#[expect(clippy::too_many_lines, reason = "an arm for each kind of entry")]
fn put(connection: &mut Connection, names: &mut Names, tables: &mut Tables, entry: &Entry) -> Result<()> {
    let at = |space, layer| Place { space, layer, copies: false, version: [0, 0, 0] };
    match entry {
        Entry::Application(application) => {
            let space = drawn(connection, "space_no")?;
            connection.execute(
                "INSERT INTO applications (id, space, name, doc) VALUES ($1, $2, $3, $4::text::json)",
                &[&key(application.id.as_bytes()), &space, &application.name.as_bytes(), &text(application)?],
            )?;
            names.add_application(application.id, space);
        }
        Entry::Settings(application, settings) => {
            let sql = "UPDATE applications SET settings = $2::text::json WHERE id = $1";
            connection.execute(sql, &[&key(application.as_bytes()), &text(settings)?])?;
        }
        Entry::Segment(state) => segments::put_state(connection, state)?,
        Entry::Version(segment, version) => segments::put_version(connection, *segment, version)?,
        Entry::Layer(layer) => {
            let number = drawn(connection, "space_no")?;
            let job = layer.job.map(|job| key(job.as_bytes()));
            connection.execute(
                "INSERT INTO layers (layer, segment, job, copies, place, last) VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    &number,
                    &key(layer.segment.as_bytes()),
                    &job,
                    &layer.copies,
                    &layer.first.cast_signed(),
                    &layer.last.cast_signed(),
                ],
            )?;
            names.add_layer(number, layer.clone());
        }
        Entry::Job(job) => {
            let number = drawn(connection, "job_no")?;
            connection.execute(
                "INSERT INTO jobs (job, id, application, ended, left_out, doc) VALUES ($1, $2, $3, true, $4, $5::text::json)",
                &[
                    &number,
                    &key(job.id.as_bytes()),
                    &key(job.definition.application.as_bytes()),
                    &i64::try_from(job.left_out).unwrap_or(i64::MAX),
                    &text(job)?,
                ],
            )?;
            connection.execute("INSERT INTO parts (job, part, state) VALUES ($1, 0, 'done')", &[&number])?;
            names.jobs.insert(job.id, number);
        }
        Entry::Piece(job, piece) => {
            // Of a job that was deleted meanwhile nothing is left.
            let Some(number) = names.jobs.get(job) else { return Ok(()) };
            connection.execute(
                "INSERT INTO pieces (job, part, piece, token, record) VALUES ($1, 0, $2, 0, $3::text::json)",
                &[number, &int4("piece", piece.piece)?, &text(piece)?],
            )?;
        }
        Entry::Endpoint(application, id, record) => {
            let space = names.space(*application)?;
            op(&mut tables.ops, h8(space, id), &at(space, None), id, record);
        }
        Entry::User(application, user, record) => {
            let space = names.space(*application)?;
            uop(&mut tables.uops, h8(space, user), &at(space, None), user, b"", Some(record));
        }
        Entry::Link(application, user, id) => {
            let space = names.space(*application)?;
            uop(&mut tables.uops, h8(space, user), &at(space, None), user, id, None);
        }
        Entry::Address(application, address, id) => {
            let space = names.space(*application)?;
            tables.addresses.row(4);
            tables.addresses.int8(h8(space, address));
            tables.addresses.int4(space);
            tables.addresses.bytes(address);
            tables.addresses.bytes(id);
        }
        Entry::Member(segment, layer, id, copy) => {
            let number = names.numbers.get(&(*segment, *layer)).copied();
            let number = number
                .ok_or_else(|| StoreError::Corrupt(format!("segment {segment} has no layer {layer}")))?;
            let space = names.space(names.layers[&number].application)?;
            tables.members.row(3);
            tables.members.int8(h8(space, id));
            tables.members.int4(number);
            tables.members.bytes(id);
            if let Some(copy) = copy {
                let place = Place { copies: true, ..at(space, Some(number)) };
                op(&mut tables.ops, h8(space, id), &place, id, copy);
            }
        }
    }
    Ok(())
}
