//! Where the pieces of a running job stand, kept as runs: thousands of ended pieces are one entry.

use std::collections::VecDeque;

use pinport_model::view::{PieceRun, PieceState};

use crate::limits::PIECE_RUNS;

/// The pieces of a job.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    ended: Vec<PieceRun>,
    /// The number of the first piece in `open`.
    first: u64,
    open: VecDeque<PieceState>,
}

impl Pieces {
    /// The pieces of a job that goes on; only the number of failed ones is known.
    pub(super) fn after(done: u64, failed: u64) -> Self {
        let mut pieces = Self { first: done + failed, ..Self::default() };
        push(&mut pieces.ended, PieceState::Done, done);
        push(&mut pieces.ended, PieceState::Failed, failed);
        pieces
    }

    /// Moves a piece on. Pieces end in order.
    pub(super) fn set(&mut self, number: u64, state: PieceState) {
        let Some(index) = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        if self.open.len() <= index {
            self.open.resize(index + 1, PieceState::Waiting);
        }
        self.open[index] = state;
        while let Some(state @ (PieceState::Done | PieceState::Failed)) = self.open.front().copied() {
            self.open.pop_front();
            self.first += 1;
            if self.ended.len() < PIECE_RUNS || self.ended.last().is_some_and(|run| run.state == state) {
                push(&mut self.ended, state, 1);
            } else if let Some(run) = self.ended.iter_mut().rev().find(|run| run.state == state) {
                run.count += 1;
            }
        }
    }

    /// All pieces, when `total` are expected.
    pub(super) fn runs(&self, total: u64) -> Vec<PieceRun> {
        let mut runs = self.ended.clone();
        for state in &self.open {
            push(&mut runs, *state, 1);
        }
        let known = self.first + self.open.len() as u64;
        push(&mut runs, PieceState::Waiting, total.saturating_sub(known));
        runs
    }
}

fn push(runs: &mut Vec<PieceRun>, state: PieceState, count: u64) {
    match runs.last_mut() {
        _ if count == 0 => {}
        Some(last) if last.state == state => last.count += count,
        _ => runs.push(PieceRun { state, count }),
    }
}

#[cfg(test)]
mod tests {
    use PieceState::{Committing, Done, Failed, Parsing, Reading, Waiting};

    use super::*;

    fn shown(pieces: &Pieces, total: u64) -> Vec<(PieceState, u64)> {
        pieces.runs(total).into_iter().map(|run| (run.state, run.count)).collect()
    }

    #[test]
    fn equal_neighbours_are_one_run() {
        let mut pieces = Pieces::after(3, 1);
        assert_eq!(shown(&pieces, 10), [(Done, 3), (Failed, 1), (Waiting, 6)]);
        pieces.set(4, Parsing);
        pieces.set(5, Parsing);
        pieces.set(6, Reading);
        pieces.set(5, Committing);
        assert_eq!(
            shown(&pieces, 8),
            [(Done, 3), (Failed, 1), (Parsing, 1), (Committing, 1), (Reading, 1), (Waiting, 1)]
        );
        pieces.set(4, Done);
        pieces.set(5, Done);
        assert_eq!(shown(&pieces, 0), [(Done, 3), (Failed, 1), (Done, 2), (Reading, 1)]);
        // A late word about an ended piece changes nothing.
        pieces.set(4, Reading);
        assert_eq!(shown(&pieces, 0), [(Done, 3), (Failed, 1), (Done, 2), (Reading, 1)]);
    }
}
