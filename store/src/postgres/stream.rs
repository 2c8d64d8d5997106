//! Reading out: all endpoints of an application, or of a version of a segment, as stored bytes in order of id.
//!
//! Two cursors go along together in order of id: one over operands, one over members. Both are of one moment. Users are
//! read for some endpoints at a time.

use std::{collections::VecDeque, ops::ControlFlow};

use pinport_model::{ApplicationId, Segment, SegmentVersion};
use postgres::Row;

use super::{
    connection::Connection,
    criteria::{self, Wanted},
    read,
    segments::{self, Layer},
};
use crate::{
    Result, Scope, Stored,
    record::{
        bounds::{Bounds, Fold},
        merge::overlaid,
        read::is_endpoint,
    },
};

/// Rows that a cursor brings at a time, first and then.
const FEW: &str = "256";
const MANY: &str = "2000";
/// Endpoints whose users are read at once.
const MOST_ROWS: usize = 2000;

pub(super) type Each<'a> = dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>> + 'a;

/// A cursor, with the rows it brought.
struct Cursor {
    name: &'static str,
    rows: VecDeque<Row>,
    is_used: bool,
    is_done: bool,
}

impl Cursor {
    fn open(connection: &mut Connection, name: &'static str, query: Option<String>) -> Result<Self> {
        if let Some(query) = &query {
            connection.batch(&format!("DECLARE {name} NO SCROLL CURSOR FOR {query}"))?;
        }
        Ok(Self { name, rows: VecDeque::new(), is_used: false, is_done: query.is_none() })
    }

    /// The next row, if there is one.
    fn peek(&mut self, connection: &mut Connection) -> Result<Option<&Row>> {
        if self.rows.is_empty() && !self.is_done {
            let count = if self.is_used { MANY } else { FEW };
            self.is_used = true;
            self.rows = connection.query(&format!("FETCH {count} FROM {}", self.name), &[])?.into();
            self.is_done = self.rows.is_empty();
        }
        Ok(self.rows.front())
    }
}

/// What is read.
enum Of {
    All,
    Members(Vec<Layer>),
    Found(Box<Wanted>),
}

/// An endpoint that is handed on when its user is known.
struct Pending {
    id: Vec<u8>,
    record: Vec<u8>,
    /// What the segment holds of it, if the record alone is not what it says.
    copy: Option<Vec<u8>>,
    /// A copy says what its user's attributes are.
    is_whole: bool,
    /// The import segments it is in, if its user decides whether it belongs.
    open: Option<u128>,
}

/// How a read-out is asked for.
pub(super) struct Asked<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) space: i32,
    pub(super) after: Option<&'a [u8]>,
    /// Bytes of endpoints that are held.
    pub(super) batch: usize,
    pub(super) with_users: bool,
    pub(super) bounds: Bounds,
}

/// Reads out. The connection is in a transaction that sees one moment.
pub(super) fn read_out(
    connection: &mut Connection,
    asked: &Asked<'_>,
    go_on: &(dyn Fn() -> bool + Sync),
    each: &mut Each<'_>,
) -> Result<()> {
    // What comes is most of a table, in order.
    connection.batch(
        "SET LOCAL enable_seqscan = on; SET LOCAL cursor_tuple_fraction = 1; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
    )?;
    let of = match asked.scope {
        Scope::Application(_) => Of::All,
        Scope::Version(segment, version) => of(connection, segment, version)?,
    };
    let layers: Vec<Layer> = match &of {
        Of::All => Vec::new(),
        Of::Members(layers) => layers.clone(),
        Of::Found(wanted) => wanted.layers().collect(),
    };
    let only_members = match &of {
        Of::All => false,
        Of::Members(_) => true,
        Of::Found(wanted) => wanted.needs_import(),
    };
    let (operands, members) = queries(asked, &layers, only_members);
    let mut out = Out { asked, of, pending: Vec::new(), bytes: 0, most: 64 };
    let mut operands = Cursor::open(connection, "operands", Some(operands))?;
    let mut members = Cursor::open(connection, "members_of", members)?;
    let mut looked = 0_usize;
    loop {
        let of_operand = operands.peek(connection)?.map(|row| row.get::<_, &[u8]>(0).to_vec());
        let of_member = members.peek(connection)?.map(|row| row.get::<_, &[u8]>(0).to_vec());
        let Some(id) = [of_operand, of_member].into_iter().flatten().min() else { break };
        looked += 1;
        if looked.is_multiple_of(1024) && !go_on() {
            break;
        }
        let records = gather(connection, &mut operands, &id, asked)?;
        let mut numbers = Vec::new();
        while let Some(row) = members.peek(connection)?
            && row.get::<_, &[u8]>(0) == id
        {
            numbers.push(row.get::<_, i32>(1));
            members.rows.pop_front();
        }
        out.take(id, records, &numbers)?;
        if out.is_full() && out.hand_on(connection, each)?.is_break() {
            return Ok(());
        }
    }
    out.hand_on(connection, each).map(drop)
}

fn of(connection: &mut Connection, segment: &Segment, version: &SegmentVersion) -> Result<Of> {
    Ok(match &version.criteria {
        None => Of::Members(segments::layers(connection, segment, version)?),
        Some(made) => Of::Found(Box::new(criteria::plan(connection, segment, made)?)),
    })
}

/// Which rows are read. They hold numbers and bytes alone, so their texts can stand in the query.
fn queries(asked: &Asked<'_>, layers: &[Layer], only_members: bool) -> (String, Option<String>) {
    let list = |numbers: Vec<i32>| numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
    let all = list(layers.iter().map(|layer| layer.layer).collect());
    let copies = layers.iter().filter(|layer| layer.copies).map(|layer| -layer.layer);
    let spaces = list([asked.space].into_iter().chain(copies).collect());
    let after = asked.after.map_or(String::new(), |after| {
        let digits: String = after.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(" AND id > '\\x{digits}'")
    });
    let own = match only_members {
        false => String::new(),
        true if layers.is_empty() => " AND false".into(),
        true => format!(
            " AND EXISTS (SELECT FROM members m WHERE m.h8 = o.h8 AND m.id = o.id AND m.layer IN ({all}))"
        ),
    };
    let operands = format!(
        "SELECT id, space, rec FROM ops o WHERE space IN ({spaces}){after}{own} ORDER BY id, space, job, part, piece"
    );
    let members = (!layers.is_empty())
        .then(|| format!("SELECT id, layer FROM members WHERE layer IN ({all}){after} ORDER BY id"));
    (operands, members)
}

/// The records of an id, by space.
fn gather(
    connection: &mut Connection,
    operands: &mut Cursor,
    id: &[u8],
    asked: &Asked<'_>,
) -> Result<Vec<(i32, Vec<u8>)>> {
    let mut records: Vec<(i32, Vec<u8>)> = Vec::new();
    let mut fold: Option<(i32, Fold)> = None;
    while let Some(row) = operands.peek(connection)?
        && row.get::<_, &[u8]>(0) == id
    {
        let (space, record): (i32, &[u8]) = (row.get(1), row.get(2));
        match &mut fold {
            Some((of, fold)) if *of == space => fold.add(record)?,
            other => {
                let mut next = Fold::new(asked.bounds, space < 0);
                next.begin(record);
                if let Some((space, fold)) = other.replace((space, next)) {
                    records.push((space, fold.end()?));
                }
            }
        }
        operands.rows.pop_front();
    }
    if let Some((space, fold)) = fold {
        records.push((space, fold.end()?));
    }
    Ok(records)
}

/// Endpoints on their way out.
struct Out<'a> {
    asked: &'a Asked<'a>,
    of: Of,
    pending: Vec<Pending>,
    bytes: usize,
    most: usize,
}

impl Out<'_> {
    fn is_full(&self) -> bool {
        self.pending.len() >= self.most || self.bytes >= self.asked.batch
    }

    /// Takes an endpoint, if it is one of those that are read.
    fn take(&mut self, id: Vec<u8>, mut records: Vec<(i32, Vec<u8>)>, numbers: &[i32]) -> Result<()> {
        let mut record_of = |space: i32| {
            let place = records.iter().position(|(of, _)| *of == space)?;
            Some(std::mem::take(&mut records[place].1))
        };
        let registered = match record_of(self.asked.space) {
            Some(record) if is_endpoint(&record)? => Some(record),
            _ => None,
        };
        match &mut self.of {
            Of::All => {
                if let Some(record) = registered {
                    self.push(Pending { id, record, copy: None, is_whole: false, open: None });
                }
            }
            Of::Members(layers) => {
                // The last layer that has it says what it is.
                let Some(layer) = layers.iter().rev().find(|layer| numbers.contains(&layer.layer)) else {
                    return Ok(());
                };
                let copy = if layer.copies { record_of(-layer.layer) } else { None };
                match (copy, registered) {
                    (Some(record), _) if is_endpoint(&record)? => {
                        self.push(Pending { id, record, copy: None, is_whole: true, open: None });
                    }
                    (copy, Some(record)) => {
                        self.push(Pending { id, record, copy, is_whole: false, open: None });
                    }
                    (_, None) => {}
                }
            }
            Of::Found(wanted) => {
                let imports = wanted.imports_of(numbers);
                let is_whole = registered.is_none();
                let record = match registered {
                    Some(record) => record,
                    None => {
                        let mut found = None;
                        for layer in wanted.copies_of(numbers) {
                            if let Some(copy) = record_of(-layer)
                                && is_endpoint(&copy)?
                            {
                                found = Some(copy);
                                break;
                            }
                        }
                        let Some(copy) = found else { return Ok(()) };
                        copy
                    }
                };
                if let Some(open) = wanted.looks_at(&record, imports, is_whole)? {
                    self.push(Pending { id, record, copy: None, is_whole, open });
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, pending: Pending) {
        self.bytes += pending.id.len() + pending.record.len() + pending.copy.as_ref().map_or(0, Vec::len);
        self.pending.push(pending);
    }

    fn hand_on(&mut self, connection: &mut Connection, each: &mut Each<'_>) -> Result<ControlFlow<()>> {
        let Asked { space, with_users, bounds, .. } = *self.asked;
        let pending = std::mem::take(&mut self.pending);
        self.bytes = 0;
        self.most = (self.most * 2).min(MOST_ROWS);
        let needs_user = |row: &&Pending| !row.is_whole && (with_users || row.open.is_some());
        let records = pending.iter().filter(needs_user).map(|row| &row.record[..]);
        let users = read::users_of(connection, space, records, bounds)?;
        let (mut merged, mut spare) = (Vec::new(), Vec::new());
        for row in &pending {
            let user = match needs_user(&row) {
                true => read::named_user(&row.record)?.and_then(|user| users.get(user)),
                false => None,
            };
            let user_record = user.map_or(&[][..], Vec::as_slice);
            if let (Some(imports), Of::Found(wanted)) = (row.open, &mut self.of)
                && !wanted.belongs(&row.record, user_record, imports)?
            {
                continue;
            }
            let stored = match &row.copy {
                None => Stored { id: &row.id, record: &row.record, user_record },
                Some(copy) => {
                    overlaid(&row.record, user_record, copy, &mut spare, &mut merged)?;
                    Stored { id: &row.id, record: &merged, user_record: &[] }
                }
            };
            if each(stored)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The application that a scope is of.
pub(super) fn application_of(scope: Scope<'_>) -> ApplicationId {
    match scope {
        Scope::Application(application) => application,
        Scope::Version(segment, _) => segment.application,
    }
}
