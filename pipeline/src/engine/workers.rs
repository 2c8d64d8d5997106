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

use crate::{limits::WAITING_PER_THREAD, parse::Parser};

/// What a thread does.
pub(super) trait Work: Send + 'static {
    /// Does it. Each thread has one parser for all its tasks.
    fn run(self, parser: &mut Parser);
}

/// A pool of threads. Dropping it waits for the tasks that have begun; those that wait are dropped.
#[derive(Debug)]
pub(super) struct Workers<T: Work> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
    next_lane: AtomicU64,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    work: Condvar,
    room: Condvar,
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

struct State<T> {
    /// Rotated by one with each task that is taken.
    lanes: VecDeque<Queue<T>>,
    stopping: bool,
}

struct Queue<T> {
    lane: u64,
    urgent: VecDeque<T>,
    waiting: VecDeque<T>,
}

/// One job's way to the threads. Dropping it drops the tasks that have not begun.
#[derive(Debug)]
pub(super) struct Lane<T: Work> {
    id: u64,
    depth: usize,
    shared: Arc<Shared<T>>,
}

impl<T: Work> Workers<T> {
    /// Starts this many threads. With none, every lane is always full.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let state = Mutex::new(State { lanes: VecDeque::new(), stopping: false });
        let shared = Arc::new(Shared { state, work: Condvar::new(), room: Condvar::new() });
        let threads = (0..threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::Builder::new().name(format!("worker-{number}")).spawn(move || shared.serve())
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { shared, threads, next_lane: AtomicU64::new(0) })
    }

    /// Opens a lane.
    pub(super) fn lane(&self) -> Lane<T> {
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

impl<T: Work> Drop for Workers<T> {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A task that panicked has reported it to its job already.
            let _ = thread.join();
        }
    }
}

impl<T: Work> Lane<T> {
    /// Hands in a task, waiting while the lane is full; `false` when `cancel` fires first.
    pub(super) fn push(&self, task: T, cancel: &CancellationToken) -> bool {
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
    pub(super) fn offer(&self, task: T) -> Option<T> {
        let mut state = self.shared.state.lock();
        if self.is_full(&mut state) {
            return Some(task);
        }
        self.add(state, task);
        None
    }

    fn is_full(&self, state: &mut State<T>) -> bool {
        state.queue(self.id).waiting.len() >= self.depth
    }

    fn add(&self, mut state: MutexGuard<'_, State<T>>, task: T) {
        state.queue(self.id).waiting.push_back(task);
        drop(state);
        self.shared.work.notify_one();
    }

    /// Hands in a task that comes before the others of the lane and never waits for room.
    pub(super) fn push_urgent(&self, task: T) {
        self.shared.state.lock().queue(self.id).urgent.push_back(task);
        self.shared.work.notify_one();
    }
}

impl<T: Work> Drop for Lane<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let index = state.lanes.iter().position(|queue| queue.lane == self.id);
        let queue = index.and_then(|index| state.lanes.remove(index));
        drop(state);
        // Tasks own byte guards: they must not be dropped while the lock is held.
        drop(queue);
    }
}

impl<T> State<T> {
    fn queue(&mut self, lane: u64) -> &mut Queue<T> {
        self.lanes
            .iter_mut()
            .find(|queue| queue.lane == lane)
            .expect("a lane's queue lives as long as the lane")
    }

    fn take(&mut self) -> Option<T> {
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

impl<T: Work> Shared<T> {
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
            task.run(&mut parser);
            state = self.state.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    type Task = Box<dyn FnOnce() + Send>;

    impl Work for Task {
        fn run(self, _: &mut Parser) {
            self();
        }
    }

    fn task(work: impl FnOnce() + Send + 'static) -> Task {
        Box::new(work)
    }

    #[test]
    fn lanes_are_served_in_turn() {
        let workers = Workers::start(1).unwrap();
        let never = CancellationToken::new();
        let (first, second) = (workers.lane(), workers.lane());
        let (gate_sender, gate) = mpsc::sync_channel::<()>(1);
        let (sender, order) = mpsc::sync_channel(8);
        // The only thread waits at the gate until both lanes are filled.
        assert!(first.push(task(move || gate.recv().unwrap()), &never));
        for lane in [(&first, "first"), (&second, "second")] {
            for _ in 0..2 {
                let sender = sender.clone();
                assert!(lane.0.push(task(move || sender.send(lane.1).unwrap()), &never));
            }
        }
        let urgent = sender.clone();
        second.push_urgent(task(move || urgent.send("urgent").unwrap()));
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
        let waits = move || {
            begun_sender.send(()).unwrap();
            let _ = gate.recv();
        };
        assert!(lane.push(task(waits), &cancel));
        begun.recv().unwrap();
        for _ in 0..WAITING_PER_THREAD {
            assert!(lane.offer(task(|| {})).is_none());
        }
        assert!(lane.offer(task(|| {})).is_some());
        cancel.cancel();
        assert!(!lane.push(task(|| {}), &cancel));
        drop(gate_sender);
    }
}
