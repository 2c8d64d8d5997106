//! The threads that parse and build, shared by all jobs of a process.
//!
//! Each job has a [`Lane`]. Threads serve the lanes in turn, so that jobs get equal shares of the cores,
//! and within a lane building a piece comes before parsing more of it, so that memory is given back first.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::parse::Parser;

/// Blocks that wait in a lane for each thread: enough to keep a thread busy while the reader reads on.
pub(super) const WAITING_PER_THREAD: usize = 2;

type Task = Box<dyn FnOnce(&mut Parser) + Send>;

/// A pool of threads. Dropping it waits for the tasks that have begun; those that wait are dropped.
#[derive(Debug)]
pub(super) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    next_lane: AtomicU64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// Rotated by one with each task that is taken.
    lanes: VecDeque<Queue>,
    stopping: bool,
}

struct Queue {
    lane: u64,
    urgent: VecDeque<Task>,
    waiting: VecDeque<Task>,
}

/// One job's way to the threads. Dropping it drops the tasks that have not begun.
#[derive(Debug)]
pub(super) struct Lane {
    id: u64,
    depth: usize,
    shared: Arc<Shared>,
}

impl Workers {
    /// Starts this many threads. With none, every lane is always full.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let threads = (0..threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::Builder::new().name(format!("worker-{number}")).spawn(move || shared.serve())
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { shared, threads, next_lane: AtomicU64::new(0) })
    }

    /// Opens a lane.
    pub(super) fn lane(&self) -> Lane {
        let id = self.next_lane.fetch_add(1, Ordering::Relaxed);
        let queue = Queue { lane: id, urgent: VecDeque::new(), waiting: VecDeque::new() };
        self.shared.state.lock().lanes.push_back(queue);
        Lane { id, depth: self.depth(), shared: Arc::clone(&self.shared) }
    }

    /// Blocks that may wait in a lane.
    pub(super) fn depth(&self) -> usize {
        self.threads.len() * WAITING_PER_THREAD
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A task that panicked has told its job already.
            let _ = thread.join();
        }
    }
}

impl Lane {
    /// Hands in a task, waiting while the lane is full; `false` when `cancel` fires first.
    pub(super) fn push(
        &self,
        task: impl FnOnce(&mut Parser) + Send + 'static,
        cancel: &CancellationToken,
    ) -> bool {
        let mut state = self.shared.state.lock();
        while self.is_full(&mut state) {
            if cancel.is_cancelled() {
                return false;
            }
            // The time-out only bounds how late a cancellation is noticed.
            self.shared.room.wait_for(&mut state, std::time::Duration::from_millis(50));
        }
        self.add(state, task);
        true
    }

    /// Hands in a task; a full lane gives it back.
    pub(super) fn offer<T: FnOnce(&mut Parser) + Send + 'static>(&self, task: T) -> Option<T> {
        let mut state = self.shared.state.lock();
        if self.is_full(&mut state) {
            return Some(task);
        }
        self.add(state, task);
        None
    }

    fn is_full(&self, state: &mut State) -> bool {
        state.queue(self.id).waiting.len() >= self.depth
    }

    fn add(&self, mut state: MutexGuard<'_, State>, task: impl FnOnce(&mut Parser) + Send + 'static) {
        state.queue(self.id).waiting.push_back(Box::new(task));
        drop(state);
        self.shared.work.notify_one();
    }

    /// Hands in a task that comes before the others of the lane and never waits for room.
    pub(super) fn push_urgent(&self, task: impl FnOnce(&mut Parser) + Send + 'static) {
        self.shared.state.lock().queue(self.id).urgent.push_back(Box::new(task));
        self.shared.work.notify_one();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let index = state.lanes.iter().position(|queue| queue.lane == self.id);
        let queue = index.and_then(|index| state.lanes.remove(index));
        drop(state);
        // Tasks own byte guards: they must not be dropped while the lock is held.
        drop(queue);
    }
}

impl State {
    fn queue(&mut self, lane: u64) -> &mut Queue {
        self.lanes
            .iter_mut()
            .find(|queue| queue.lane == lane)
            .expect("a lane's queue lives as long as the lane")
    }

    fn take(&mut self) -> Option<Task> {
        for _ in 0..self.lanes.len() {
            let task = self
                .lanes
                .front_mut()
                .and_then(|queue| queue.urgent.pop_front().or_else(|| queue.waiting.pop_front()));
            self.lanes.rotate_left(1);
            if task.is_some() {
                return task;
            }
        }
        None
    }
}

impl Shared {
    fn serve(&self) {
        let mut parser = Parser::new();
        let mut state = self.state.lock();
        while !state.stopping {
            let Some(task) = state.take() else {
                self.work.wait(&mut state);
                continue;
            };
            drop(state);
            self.room.notify_all();
            task(&mut parser);
            state = self.state.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn lanes_are_served_in_turn() {
        let workers = Workers::start(1).unwrap();
        let never = CancellationToken::new();
        let (first, second) = (workers.lane(), workers.lane());
        let (gate_sender, gate) = mpsc::sync_channel::<()>(1);
        let (sender, order) = mpsc::sync_channel(8);
        // The only thread waits at the gate until both lanes are filled.
        assert!(first.push(move |_| gate.recv().unwrap(), &never));
        for lane in [(&first, "first"), (&second, "second")] {
            for _ in 0..2 {
                let sender = sender.clone();
                assert!(lane.0.push(move |_| sender.send(lane.1).unwrap(), &never));
            }
        }
        let urgent = sender.clone();
        second.push_urgent(move |_| urgent.send("urgent").unwrap());
        gate_sender.send(()).unwrap();
        let order: Vec<_> = order.iter().take(5).collect();
        assert_eq!(order, ["urgent", "first", "second", "first", "second"]);
    }

    #[test]
    fn a_full_lane_waits_and_a_cancelled_one_gives_up() {
        let workers = Workers::start(1).unwrap();
        let cancel = CancellationToken::new();
        let lane = workers.lane();
        let (gate_sender, gate) = mpsc::sync_channel::<()>(1);
        let (begun_sender, begun) = mpsc::sync_channel(8);
        let task = move |_: &mut Parser| {
            begun_sender.send(()).unwrap();
            let _ = gate.recv();
        };
        assert!(lane.push(task, &cancel));
        begun.recv().unwrap();
        for _ in 0..WAITING_PER_THREAD {
            assert!(lane.offer(|_| {}).is_none());
        }
        assert!(lane.offer(|_| {}).is_some());
        cancel.cancel();
        assert!(!lane.push(|_| {}, &cancel));
        drop(gate_sender);
    }
}
