//! Reading out on all processors: several threads take ranges of ids, one after the other, and what they make of the endpoints
//! in them arrives in order.
//!
//! ```text
//! Store::read_ranges    hands each thread's taker one range after the other
//! Gather                makes loads of the endpoints of a range, on the same thread
//! in_order              a queue for each range, emptied in the order in which ranges began
//! ```
//!
//! A range that is not due waits once its queue is full. The one that is due never does: so what lies in queues is bounded, and
//! no thread waits for another in a circle.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
};

use parking_lot::Mutex;

use crate::{Result, Scope, Store, StoreError, Stored};

/// Threads that read at most: each holds a batch of endpoints, and its loads wait.
const THREADS: usize = 8;

/// Takes endpoints, range by range.
pub trait RangeTaker {
    /// A range begins. What is in it comes after all that is in the ranges that began before, whoever takes them. To break
    /// is to want no more ranges.
    fn begin(&mut self) -> ControlFlow<()>;
    /// The next endpoint of the range. To break is to want no more endpoints.
    fn add(&mut self, stored: &Stored<'_>) -> Result<ControlFlow<()>>;
    /// The range has no more endpoints; or these cannot be read, or were not taken.
    fn end(&mut self, outcome: Result<()>);
}

/// Makes something of endpoints, a load at a time.
pub trait Gather: Send {
    /// What is handed over.
    type Load: Send;
    /// Adds an endpoint.
    fn add(&mut self, stored: &Stored<'_>) -> Result<()>;
    /// Whether the load is to be handed over.
    fn is_full(&self) -> bool;
    /// The load, unless nothing was added to it. The next one is empty.
    fn take(&mut self) -> Option<Self::Load>;
}

/// How much of what is read out is held at a time.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes of endpoints, over all threads.
    pub batch: usize,
    /// Loads of a range that wait for its turn. For each thread two ranges wait at most.
    pub loads: usize,
}

/// Reads all endpoints that `scope` has after `after`, and hands what is gathered from them to `take`, in order of id. `gather`
/// is asked for one for each thread. All endpoints are of one moment.
///
/// # Errors
/// What `take` says, or when the store cannot be read: loads of what was read before are taken first.
pub fn in_order<G: Gather, E: From<StoreError>>(
    store: &dyn Store,
    from: (Scope<'_>, Option<&str>),
    room: Room,
    gather: &mut dyn FnMut() -> G,
    take: &mut dyn FnMut(G::Load) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    in_order_on(threads(), store, from, room, gather, take)
}

/// Threads that a read has: one a processor, up to 8.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(THREADS)
}

/// The same on so many threads.
pub(crate) fn in_order_on<G: Gather, E: From<StoreError>>(
    threads: usize,
    store: &dyn Store,
    (scope, after): (Scope<'_>, Option<&str>),
    room: Room,
    gather: &mut dyn FnMut() -> G,
    take: &mut dyn FnMut(G::Load) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    // Each thread reads one range, and as many are over and not taken yet.
    let (queue, queues) = mpsc::sync_channel(threads);
    let mut takers: Vec<_> = (0..threads)
        .map(|_| InOrder { gather: gather(), queue: queue.clone(), loads: room.loads, current: None })
        .collect();
    drop(queue);
    thread::scope(|scope_of_threads| {
        let reading = thread::Builder::new().name("read-out".to_owned());
        let reading = reading.spawn_scoped(scope_of_threads, move || {
            let mut takers: Vec<_> =
                takers.iter_mut().map(|taker| taker as &mut (dyn RangeTaker + Send)).collect();
            store.read_ranges(scope, after, room.batch, &mut takers)
        });
        let no_thread = |source| {
            let path = "a thread that reads".into();
            E::from(StoreError::Io { action: "start", path, source })
        };
        let reading = reading.map_err(no_thread)?;
        // Whoever reads ends soon after these are dropped.
        for queue in queues {
            for load in queue {
                if take(load?)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
    })
}

/// A buffer that can be used again.
pub trait Buffer: Default {
    /// Empties it; what it has room for stays.
    fn clear(&mut self);
}

/// Buffers that are used again: a new one costs more than to fill it.
#[derive(Debug)]
pub struct Spare<T>(Arc<Mutex<Vec<T>>>);

/// Buffers that lie ready.
const SPARE: usize = 64;

impl<T: Buffer> Spare<T> {
    /// Gives a buffer back.
    pub fn give(&self, mut buffer: T) {
        buffer.clear();
        let mut spare = self.0.lock();
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    }

    /// A buffer that is empty.
    pub fn take(&self) -> T {
        self.0.lock().pop().unwrap_or_default()
    }
}

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Spare<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Endpoints as they lie in the store, in one buffer.
#[derive(Debug, Default)]
pub struct StoredRows {
    bytes: Vec<u8>,
    /// Where the id, the record and the user's record of each end.
    ends: Vec<[usize; 3]>,
}

impl StoredRows {
    fn push(&mut self, row: &Stored<'_>) {
        let ends = [row.id, row.record, row.user_record].map(|part| {
            self.bytes.extend_from_slice(part);
            self.bytes.len()
        });
        self.ends.push(ends);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of them.
    pub(crate) fn row(&self, at: usize) -> Stored<'_> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before][2]);
        let [id, record, user] = self.ends[at];
        let bytes = &self.bytes;
        Stored { id: &bytes[start..id], record: &bytes[id..record], user_record: &bytes[record..user] }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Stored<'_>> {
        (0..self.len()).map(|at| self.row(at))
    }
}

impl Buffer for StoredRows {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Gathers endpoints as they lie in the store.
#[derive(Debug, Default)]
pub struct AsStored {
    rows: StoredRows,
    spare: Spare<StoredRows>,
}

impl AsStored {
    /// Bytes of one load.
    pub const BYTES: usize = 256 << 10;

    /// `spare`: where buffers come from.
    pub fn new(spare: &Spare<StoredRows>) -> Self {
        Self { rows: spare.take(), spare: spare.clone() }
    }
}

impl Gather for AsStored {
    type Load = StoredRows;

    #[inline]
    fn add(&mut self, stored: &Stored<'_>) -> Result<()> {
        self.rows.push(stored);
        Ok(())
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.rows.bytes.len() >= Self::BYTES
    }

    fn take(&mut self) -> Option<StoredRows> {
        (self.rows.len() > 0).then(|| std::mem::replace(&mut self.rows, self.spare.take()))
    }
}

/// Puts the loads of each range into a queue of its own.
struct InOrder<G: Gather> {
    gather: G,
    queue: SyncSender<Receiver<Result<G::Load>>>,
    /// Loads that a queue has room for.
    loads: usize,
    /// The queue of the range that is read.
    current: Option<SyncSender<Result<G::Load>>>,
}

impl<G: Gather> InOrder<G> {
    /// Hands over what was gathered; false if no one takes it.
    fn hand_over(&mut self) -> bool {
        match (self.gather.take(), &self.current) {
            (None, _) => true,
            (Some(load), Some(current)) => current.send(Ok(load)).is_ok(),
            (Some(_), None) => false,
        }
    }
}

impl<G: Gather> RangeTaker for InOrder<G> {
    fn begin(&mut self) -> ControlFlow<()> {
        let (current, loads) = mpsc::sync_channel(self.loads);
        self.current = Some(current);
        match self.queue.send(loads) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    #[inline]
    fn add(&mut self, stored: &Stored<'_>) -> Result<ControlFlow<()>> {
        self.gather.add(stored)?;
        if self.gather.is_full() && !self.hand_over() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn end(&mut self, outcome: Result<()>) {
        self.hand_over();
        if let (Err(error), Some(current)) = (outcome, &self.current) {
            // Without one who takes it, no one wants to know.
            let _ = current.send(Err(error));
        }
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use pinport_model::{Application, ApplicationId, Channel, Draft, TextMember, Timestamp};

    use super::*;
    use crate::memory::Memory;

    const APPLICATION: ApplicationId = ApplicationId::from_bytes([1; 16]);
    const ROOM: Room = Room { batch: 1 << 20, loads: 8 };

    fn store(endpoints: usize) -> Memory {
        let store = Memory::default();
        let now = Timestamp::from_millis(0);
        let (name, tags) = ("a".into(), Default::default());
        store.create_application(&Application { id: APPLICATION, name, created: now, tags }).unwrap();
        for number in 0..endpoints {
            let mut draft = Draft::default();
            draft.channel = Some(Channel::Email);
            draft.set_text(TextMember::Address, Some("somewhere"));
            store.put_endpoint(APPLICATION, &format!("{number:05}"), &mut draft, now).unwrap();
        }
        store
    }

    /// Gathers ids by twos, and cannot read one of them.
    #[derive(Default)]
    struct Pairs(Vec<String>, Option<&'static str>);

    impl Gather for Pairs {
        type Load = Vec<String>;

        fn add(&mut self, stored: &Stored<'_>) -> Result<()> {
            if self.1 == Some(stored.id()?) {
                return Err(StoreError::Corrupt("of a test".into()));
            }
            self.0.push(stored.id()?.to_owned());
            Ok(())
        }

        fn is_full(&self) -> bool {
            self.0.len() == 2
        }

        fn take(&mut self) -> Option<Vec<String>> {
            (!self.0.is_empty()).then(|| std::mem::take(&mut self.0))
        }
    }

    #[test]
    fn what_was_gathered_arrives_whole_and_in_order() {
        for count in [0, 1, 5, 40] {
            let (store, mut found) = (store(count), Vec::new());
            let from = (Scope::Application(APPLICATION), None);
            let taken = in_order_on(3, &store, from, ROOM, &mut Pairs::default, &mut |pair| {
                found.push(pair.concat());
                Ok::<_, StoreError>(ControlFlow::Continue(()))
            });
            taken.unwrap();
            assert_eq!(found.len(), count.div_ceil(2));
            assert_eq!(found.concat(), (0..count).map(|number| format!("{number:05}")).collect::<String>());
        }
    }

    #[test]
    fn what_was_read_before_an_error_arrives_before_it() {
        let (store, mut found) = (store(30), Vec::new());
        let from = (Scope::Application(APPLICATION), Some("00001"));
        let mut gather = || Pairs(Vec::new(), Some("00007"));
        let taken = in_order_on(2, &store, from, ROOM, &mut gather, &mut |pair| {
            found.extend(pair);
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        });
        assert!(matches!(taken, Err(StoreError::Corrupt(_))), "{taken:?}");
        assert_eq!(found, ["00002", "00003", "00004", "00005", "00006"]);
    }

    /// More waits than queues have room for: it ends all the same.
    #[test]
    fn it_ends_where_no_more_is_taken() {
        let store = store(500);
        for most in [1, 3, 100] {
            for fails in [false, true] {
                let mut taken = 0;
                let from = (Scope::Application(APPLICATION), None);
                let outcome = in_order_on(2, &store, from, ROOM, &mut Pairs::default, &mut |_| {
                    taken += 1;
                    match taken == most {
                        true if fails => Err(StoreError::Corrupt("of a test".into())),
                        true => Ok(ControlFlow::Break(())),
                        false => Ok(ControlFlow::Continue(())),
                    }
                });
                assert_eq!((outcome.is_err(), taken), (fails, most));
            }
        }
        let nowhere = (Scope::Application(ApplicationId::from_bytes([2; 16])), None);
        let mut none = |_| -> Result<_> { panic!("there is none") };
        in_order_on(2, &store, nowhere, ROOM, &mut Pairs::default, &mut none).unwrap();
    }
}
