//! Holds what some records say against what is stored: two lists of endpoints in order of id, walked side by side.
//!
//! Only what the records say counts. An endpoint may have more, from elsewhere; so may a segment have other members.

use std::{
    ops::ControlFlow,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
};

use pinport_model::{ApplicationId, EndpointStatus, OptOut};
use serde_json::Value;

use crate::{
    Result, Room, Scope, Store, StoreError, Stored,
    ranges::{AsStored, Spare, StoredRows, in_order},
    record::{
        DATE_TEXT, Tag,
        read::{Member, Members, find},
        write::{
            csv::FIXED,
            json::{JsonWriter, Order},
        },
    },
};

/// Bytes of endpoints that are read at once, on each side.
const BATCH: usize = 8 << 20;

/// Loads of a range that wait on each side.
const LOADS: usize = 8;

/// Loads that are compared next.
const WAITING: usize = 2;

/// What a comparison found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Endpoints that the records speak of.
    pub said: u64,
    /// Those that are stored as the records say.
    pub equal: u64,
    /// Those that are not stored.
    pub missing: u64,
    /// Those that are stored with other values.
    pub different: u64,
    /// Those that are not stored, and that the records only update: an import fails such records.
    pub unknown: u64,
    /// Stored endpoints that no record speaks of.
    pub others: u64,
    /// The first that are missing or differ, in order of id.
    pub first: Vec<Difference>,
}

/// An endpoint that is not stored as a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The endpoint's id.
    pub id: String,
    /// The first member that differs; `None` if the endpoint is not stored.
    pub member: Option<DifferentMember>,
}

/// A member with two values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferentMember {
    /// Its name, as a CSV header has it.
    pub name: String,
    /// What the records say, as JSON. `None`: they remove it.
    pub said: Option<String>,
    /// What is stored, as JSON.
    pub stored: Option<String>,
}

/// One side of a comparison.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Where the endpoints are.
    pub store: &'a dyn Store,
    /// Which of them.
    pub scope: Scope<'a>,
}

/// Compares two sides. Up to `most` differences are kept; the others are counted. `None`, if `go_on` says no before the end.
///
/// # Errors
/// When a store cannot be read.
pub fn compare(
    said: Side<'_>,
    stored: Side<'_>,
    most: usize,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Comparison>> {
    let application = match stored.scope {
        Scope::Application(id) => id,
        Scope::Version(segment, _) => segment.application,
    };
    let mut walk = Walk { comparison: Comparison::default(), most, application };
    let is_whole = thread::scope(|scope| {
        let mut sides = [said, stored].map(|side| {
            let (sender, receiver) = mpsc::sync_channel(WAITING);
            let spare = Spare::default();
            let back = spare.clone();
            scope.spawn(move || read(side, &sender, &spare));
            Rows { receiver, load: StoredRows::default(), next: 0, back }
        });
        let [said, stored] = &mut sides;
        let (mut of_records, mut of_store) = (said.advance()?, stored.advance()?);
        let mut steps = 0_u64;
        loop {
            steps += 1;
            if steps.is_multiple_of(4096) && !go_on() {
                return Ok(false);
            }
            let order = match (of_records, of_store) {
                (false, false) => return Ok(true),
                (true, false) => std::cmp::Ordering::Less,
                (false, true) => std::cmp::Ordering::Greater,
                (true, true) => said.row().id.cmp(stored.row().id),
            };
            match order {
                std::cmp::Ordering::Less => walk.missing(&said.row())?,
                std::cmp::Ordering::Greater => walk.comparison.others += 1,
                std::cmp::Ordering::Equal => walk.both(&said.row(), &stored.row())?,
            }
            if order.is_le() {
                of_records = said.advance()?;
            }
            if order.is_ge() {
                of_store = stored.advance()?;
            }
        }
    });
    is_whole.map(|is_whole: bool| is_whole.then_some(walk.comparison))
}

struct Walk {
    comparison: Comparison,
    most: usize,
    application: ApplicationId,
}

impl Walk {
    fn missing(&mut self, said: &Stored<'_>) -> Result<()> {
        self.comparison.said += 1;
        if find(said.record, Tag::Incomplete)?.is_some() {
            self.comparison.unknown += 1;
            return Ok(());
        }
        self.comparison.missing += 1;
        self.keep(said.id()?, None);
        Ok(())
    }

    fn both(&mut self, said: &Stored<'_>, stored: &Stored<'_>) -> Result<()> {
        self.comparison.said += 1;
        let Some(member) = first_difference(said, stored)? else {
            self.comparison.equal += 1;
            return Ok(());
        };
        self.comparison.different += 1;
        if self.comparison.first.len() < self.most {
            let path = Path::of(&member)?;
            let value = |endpoint: &Stored<'_>| -> Result<Option<String>> {
                let mut json = Vec::new();
                JsonWriter::new(self.application, Order::Model).write(endpoint, &mut json)?;
                let endpoint: Value = serde_json::from_slice(&json)
                    .map_err(|error| StoreError::Corrupt(format!("an endpoint is no JSON: {error}")))?;
                Ok(path.value(&endpoint).map(Value::to_string))
            };
            let (said_value, stored_value) = (value(said)?, value(stored)?);
            let member = DifferentMember { name: path.name(), said: said_value, stored: stored_value };
            self.keep(said.id()?, Some(member));
        }
        Ok(())
    }

    fn keep(&mut self, id: &str, member: Option<DifferentMember>) {
        if self.comparison.first.len() < self.most {
            self.comparison.first.push(Difference { id: id.to_owned(), member });
        }
    }
}

/// The first member that the records say and that is stored with another value, or not at all.
fn first_difference<'a>(said: &Stored<'a>, stored: &Stored<'_>) -> Result<Option<Member<'a>>> {
    let is_incomplete = find(said.record, Tag::Incomplete)?.is_some();
    for (said, stored) in [(said.record, stored.record), (said.user_record, stored.user_record)] {
        let (mut ours, mut theirs) = (Members::new(said), Members::new(stored));
        let mut their = theirs.next()?;
        while let Some(our) = ours.next()? {
            if is_passed_over(&our, is_incomplete) {
                continue;
            }
            while let Some(member) = their
                && (member.tag, member.name) < (our.tag, our.name)
            {
                their = theirs.next()?;
            }
            let same = their.filter(|their| (their.tag, their.name) == (our.tag, our.name));
            let is_equal = match same {
                Some(their) => their.value == our.value,
                None => our.is_removal() || is_default(&our),
            };
            if !is_equal {
                return Ok(Some(our));
            }
        }
    }
    Ok(None)
}

/// Whether a member is the importer's and not the record's: dates that it made, the job's mark, and the marks of an
/// endpoint that lacks an address, whose consent is not known from these records alone.
fn is_passed_over(member: &Member<'_>, is_incomplete: bool) -> bool {
    let is = |tag: Tag| member.tag == tag as u8;
    is(Tag::CreationDate)
        || is(Tag::Incomplete)
        || is(Tag::RequestId)
        || is(Tag::Job)
        || is(Tag::EffectiveDate) && member.value.first() != Some(&DATE_TEXT)
        || is(Tag::OptOut) && is_incomplete && member.value == [OptOut::All as u8]
}

/// Whether a member has the value that an endpoint without it has.
fn is_default(member: &Member<'_>) -> bool {
    member.tag == Tag::Status as u8 && member.value == [EndpointStatus::Active as u8]
        || member.tag == Tag::OptOut as u8 && member.value == [OptOut::None as u8]
}

/// Where a member is in an endpoint's JSON.
struct Path<'a> {
    /// The members around it, with dots between.
    prefix: &'a str,
    name: &'a str,
}

impl<'a> Path<'a> {
    fn of(member: &Member<'a>) -> Result<Self> {
        let damaged = |_| StoreError::Corrupt("a member's name is no UTF-8".into());
        let prefix = match member.tag {
            tag if tag == Tag::Attribute as u8 => "Attributes",
            tag if tag == Tag::Metric as u8 => "Metrics",
            tag if tag == Tag::UserAttribute as u8 => "User.UserAttributes",
            tag => {
                let name = FIXED.iter().find(|(_, known)| *known as u8 == tag).map_or("?", |(name, _)| name);
                let (prefix, name) = name.rsplit_once('.').unwrap_or(("", name));
                return Ok(Self { prefix, name });
            }
        };
        Ok(Self { prefix, name: str::from_utf8(member.name).map_err(damaged)? })
    }

    fn name(&self) -> String {
        let dot = if self.prefix.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.prefix, self.name)
    }

    fn value<'v>(&self, endpoint: &'v Value) -> Option<&'v Value> {
        let around = self.prefix.split('.').filter(|part| !part.is_empty());
        around.chain([self.name]).try_fold(endpoint, |value, part| value.get(part))
    }
}

/// Reads a side out, load by load, until no one takes any more.
fn read(side: Side<'_>, sender: &SyncSender<Result<StoredRows>>, spare: &Spare<StoredRows>) {
    let room = Room { batch: BATCH, loads: LOADS };
    let from = (side.scope, None);
    let outcome = in_order(side.store, from, room, &mut || AsStored::new(spare), &mut |rows| {
        let is_taken = sender.send(Ok(rows)).is_ok();
        Ok::<_, StoreError>(if is_taken { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    });
    if let Err(error) = outcome {
        // The other end may have gone: it has what it wanted.
        let _ = sender.send(Err(error));
    }
}

/// The rows of one side, as they arrive.
struct Rows {
    receiver: Receiver<Result<StoredRows>>,
    load: StoredRows,
    /// The row after the one at hand.
    next: usize,
    /// Where loads go that were compared.
    back: Spare<StoredRows>,
}

impl Rows {
    /// Goes to the next row; false at the end.
    fn advance(&mut self) -> Result<bool> {
        while self.next == self.load.len() {
            let Ok(load) = self.receiver.recv() else { return Ok(false) };
            self.back.give(std::mem::replace(&mut self.load, load?));
            self.next = 0;
        }
        self.next += 1;
        Ok(true)
    }

    /// The row at hand.
    fn row(&self) -> Stored<'_> {
        self.load.row(self.next - 1)
    }
}
