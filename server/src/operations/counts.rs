//! How many members segments of criteria have: counted on a thread in the background, one segment after the other.
//!
//! A segment is counted when its criteria change, and again when somebody looks at its size and the last count is older
//! than [`FRESH_COUNT`]. Each count has its date. The thread ends when nothing waits, and soon when the server does.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;
use pinport_model::{ApplicationId, Segment, SegmentId, Timestamp};
use pinport_store::{Store, StoreError};

use crate::limits::{COUNTS_WAITING, FRESH_COUNT};

/// Segments that wait to be counted.
pub(super) struct Counts {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Arc<dyn Store>,
    stopped: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    segments: VecDeque<(ApplicationId, SegmentId)>,
    /// A thread counts, or is about to.
    is_counting: bool,
}

impl Counts {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let shared = Shared { store, stopped: AtomicBool::new(false), waiting: Mutex::default() };
        Self { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Has a segment counted, unless it has a count that is fresh. Of too many, the next one who asks gets some.
    pub(super) fn want(&self, segment: &Segment) {
        let Some(current) = segment.current().filter(|current| current.criteria.is_some()) else { return };
        let now = Timestamp::now().as_millis();
        let fresh = FRESH_COUNT.as_millis() as i64;
        if current.counted.is_some_and(|counted| now - counted.as_millis() < fresh) {
            return;
        }
        let mut waiting = self.shared.waiting.lock();
        let wanted = (segment.application, segment.id);
        if waiting.segments.contains(&wanted) || waiting.segments.len() >= COUNTS_WAITING {
            return;
        }
        waiting.segments.push_back(wanted);
        if std::mem::replace(&mut waiting.is_counting, true) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("count".into());
        match thread.spawn(move || shared.run()) {
            Ok(started) => *self.thread.lock() = Some(started),
            Err(error) => {
                waiting.is_counting = false;
                tracing::warn!(target: "pinport::segment", %error, "no thread to count members");
            }
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let next = {
                let mut waiting = self.waiting.lock();
                let next = waiting.segments.pop_front().filter(|_| !self.stopped.load(Ordering::SeqCst));
                waiting.is_counting = next.is_some();
                next
            };
            let Some((application, id)) = next else { return };
            if let Err(error) = self.count(application, id) {
                // A reader of the segment gets the reason.
                tracing::warn!(target: "pinport::segment", segment = %id, %error, "its members are not counted");
            }
        }
    }

    fn count(&self, application: ApplicationId, id: SegmentId) -> Result<(), StoreError> {
        let Some(segment) = self.store.segment(application, id)? else { return Ok(()) };
        let Some(version) = segment.current() else { return Ok(()) };
        let go_on = || !self.stopped.load(Ordering::SeqCst);
        match self.store.count_members(&segment, version, &go_on)? {
            Some(count) => self.store.save_count(&segment, version.version, &count),
            None => Ok(()),
        }
    }
}
