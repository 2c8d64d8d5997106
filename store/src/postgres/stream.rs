//! Reading out: all endpoints of an application, or of a version of a segment, as stored bytes in order of id.
//!
//! Operands and members come by COPY in order of id, mixed. Users are read for some endpoints at a time, on a connection
//! of their own. All of it is of one moment.

use std::{
    mem,
    ops::{ControlFlow, Range},
};

use pinport_model::{ApplicationId, Segment, SegmentVersion};

use super::{
    connection::Connection,
    copy_out::{Columns, int4},
    criteria::{self, Wanted},
    read,
    segments::{self, Layer},
};
use crate::{
    Result, Scope, Stored,
    record::{
        bounds::{Bounds, fold_within},
        merge::overlaid,
        read::is_endpoint,
    },
};

/// Rows that are asked for first: most who read a page need no more, and few are found without sorting all.
const FEW: usize = 4096;
/// Endpoints whose users are read at once.
const MOST_ROWS: usize = 2000;

pub(super) type Each<'a> = dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>> + 'a;

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

/// Reads out: rows come from one connection, and the other is asked for users. Both are in a transaction that sees the
/// same moment.
pub(super) fn read_out(
    [rows, users]: [&mut Connection; 2],
    asked: &Asked<'_>,
    go_on: &(dyn Fn() -> bool + Sync),
    each: &mut Each<'_>,
) -> Result<()> {
    // What comes is most of a table, in order.
    rows.batch("SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = 0")?;
    for connection in [&mut *rows, &mut *users] {
        connection.batch("SET LOCAL idle_in_transaction_session_timeout = 0")?;
    }
    let of = match asked.scope {
        Scope::Application(_) => Of::All,
        Scope::Version(segment, version) => of(rows, segment, version)?,
    };
    let mut out = Out { asked, of, pending: Vec::new(), bytes: 0, most: 64, looked: 0 };
    let mut after = asked.after.map(<[u8]>::to_vec);
    for limit in [Some(FEW), None] {
        let (query, only_layer) = query(asked, &out.of, after.as_deref(), limit);
        let (mut found, mut count) = (Found::default(), 0);
        let end = rows.copy_out(&query, limit.is_some(), |rows| {
            while let Some(row) = rows.next()? {
                let id = row[0].unwrap_or_default();
                if found.id != id {
                    out.take(&mut found)?;
                    if out.is_full() && out.hand_on(users, each)?.is_break() {
                        return Ok(End::Stopped);
                    }
                    out.looked += 1;
                    if out.looked.is_multiple_of(1024) && !go_on() {
                        return Ok(End::Stopped);
                    }
                    if !found.id.is_empty() {
                        mem::swap(after.get_or_insert_default(), &mut found.id);
                    }
                    found.clear();
                    found.id.extend_from_slice(id);
                }
                found.add(row);
                found.layers.extend(only_layer);
                count += 1;
            }
            Ok(if limit == Some(count) { End::More } else { End::Whole })
        })?;
        match end {
            End::Stopped => return Ok(()),
            // The last id may have more rows: it comes again.
            End::More => {}
            End::Whole => {
                out.take(&mut found)?;
                break;
            }
        }
    }
    out.hand_on(users, each).map(drop)
}

/// How rows of a query ended.
enum End {
    /// Nobody wants more.
    Stopped,
    /// There may be more.
    More,
    Whole,
}

fn of(connection: &mut Connection, segment: &Segment, version: &SegmentVersion) -> Result<Of> {
    Ok(match &version.criteria {
        None => Of::Members(segments::layers(connection, segment, version)?),
        Some(made) => Of::Found(Box::new(criteria::plan(connection, segment, made)?)),
    })
}

/// Asks for operands, and for members, which have a layer for their space and no record. If all that comes is in one layer,
/// it is returned instead. Layers are numbers and ids bytes, so their texts can stand in the query.
fn query(asked: &Asked<'_>, of: &Of, after: Option<&[u8]>, limit: Option<usize>) -> (String, Option<i32>) {
    let layers: Vec<Layer> = match of {
        Of::All => Vec::new(),
        Of::Members(layers) => layers.clone(),
        Of::Found(wanted) => wanted.layers().collect(),
    };
    let only_members = match of {
        Of::All => false,
        Of::Members(_) => true,
        Of::Found(wanted) => wanted.needs_import(),
    };
    let list = |numbers: Vec<i32>| numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
    let all = list(layers.iter().map(|layer| layer.layer).collect());
    let copies = layers.iter().filter(|layer| layer.copies).map(|layer| -layer.layer);
    let spaces = list([asked.space].into_iter().chain(copies).collect());
    let after = after.map_or(String::new(), |after| {
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
    let operands =
        format!("h8, id, space, job, part, piece, rec FROM ops o WHERE space IN ({spaces}){after}{own}");
    let (rows, only) = match &layers[..] {
        [only] if only_members => (format!("SELECT {operands}"), Some(only.layer)),
        [] => (format!("SELECT {operands}"), None),
        _ => {
            let members = "SELECT h8, id, layer, NULL, NULL, NULL, NULL FROM members";
            (format!("SELECT {operands} UNION ALL {members} WHERE layer IN ({all}){after}"), None)
        }
    };
    // Each part names what rows are distributed by, or else Citus would bring all of them to one place first.
    let limit = limit.map_or(String::new(), |limit| format!(" LIMIT {limit}"));
    (format!("SELECT id, space, job, part, piece, rec FROM ({rows}) found ORDER BY id{limit}"), only)
}

/// What came of an id.
#[derive(Default)]
struct Found {
    id: Vec<u8>,
    /// Space and version of each operand, and where its record is.
    operands: Vec<(i32, [i32; 3], Range<usize>)>,
    records: Vec<u8>,
    layers: Vec<i32>,
}

impl Found {
    fn add(&mut self, [_, place, job, part, piece, record]: Columns<'_, 6>) {
        let place = int4(place);
        let Some(record) = record else { return self.layers.push(place) };
        let begin = self.records.len();
        self.records.extend_from_slice(record);
        self.operands.push((place, [job, part, piece].map(int4), begin..self.records.len()));
    }

    /// The records, one for each space.
    fn folded(&mut self, bounds: Bounds) -> Result<Vec<(i32, Vec<u8>)>> {
        self.operands.sort_unstable_by_key(|(space, version, _)| (*space, *version));
        let spaces = self.operands.chunk_by(|one, other| one.0 == other.0);
        let folded = spaces.map(|operands| {
            let space = operands[0].0;
            let records = operands.iter().map(|(_, _, place)| &self.records[place.clone()]);
            Ok((space, fold_within(bounds, records, space < 0)?.0))
        });
        folded.collect()
    }

    fn clear(&mut self) {
        self.id.clear();
        self.operands.clear();
        self.records.clear();
        self.layers.clear();
    }
}

/// Endpoints on their way out.
struct Out<'a> {
    asked: &'a Asked<'a>,
    of: Of,
    pending: Vec<Pending>,
    bytes: usize,
    most: usize,
    /// Ids that were looked at.
    looked: usize,
}

impl Out<'_> {
    fn is_full(&self) -> bool {
        self.pending.len() >= self.most || self.bytes >= self.asked.batch
    }

    /// Takes an endpoint, if it is one of those that are read.
    fn take(&mut self, found: &mut Found) -> Result<()> {
        let mut records = found.folded(self.asked.bounds)?;
        let (id, numbers) = (found.id.clone(), &*found.layers);
        let mut record_of = |space: i32| {
            let place = records.iter().position(|(of, _)| *of == space)?;
            Some(mem::take(&mut records[place].1))
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
        let pending = mem::take(&mut self.pending);
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
