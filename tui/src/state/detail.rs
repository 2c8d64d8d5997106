//! The open job: its details, and how busy its stages were recently.

use std::cmp::Reverse;

use pinport_model::{
    FailureClass, JobId, JobStatus,
    view::{JobDetail, PieceState, StageName},
};

use crate::layout::Pane;

/// Details closer together than this are too close to compute how busy the stages were.
const SHARES_EVERY_MS: u64 = 900;
/// Below this no stage counts as the bottleneck.
const BUSY_FROM: f64 = 0.5;
/// From this fill on, the stage after the queue is too slow.
const FULL_FROM: f64 = 0.8;

/// How busy a stage was recently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StageShare {
    pub(crate) stage: StageName,
    /// Of its threads' time, or, if `threads` is 0, of the time of all stages.
    pub(crate) busy: f64,
    pub(crate) threads: u32,
    pub(crate) queued: u64,
    pub(crate) queue_limit: u64,
}

impl StageShare {
    fn fill(&self) -> f64 {
        if self.queue_limit == 0 { 0.0 } else { self.queued as f64 / self.queue_limit as f64 }
    }
}

#[derive(Debug, Clone)]
struct Measured {
    elapsed_ms: u64,
    busy_ms: Vec<(StageName, u64)>,
}

/// The open job.
#[derive(Debug)]
pub(crate) struct Detail {
    pub(crate) job: JobId,
    pub(crate) view: Option<Box<JobDetail>>,
    pub(crate) pane: Pane,
    rows: [usize; Pane::ALL.len()],
    /// The selected reason on the failures' screen; 0 is all of them.
    pub(crate) class_row: usize,
    /// Indices of the view's classes, the most frequent first.
    classes: Vec<usize>,
    before: Option<Measured>,
    pub(crate) shares: Vec<StageShare>,
    /// Counts by the order of [`crate::words::PIECE_STATES`].
    pub(crate) pieces: [u64; 6],
}

impl Detail {
    pub(crate) fn new(job: JobId) -> Self {
        Self {
            job,
            view: None,
            pane: Pane::Reasons,
            rows: [0; Pane::ALL.len()],
            class_row: 0,
            classes: Vec::new(),
            before: None,
            shares: Vec::new(),
            pieces: [0; 6],
        }
    }

    pub(crate) fn take(&mut self, view: Box<JobDetail>) {
        self.classes = (0..view.classes.len()).collect();
        self.classes.sort_by_key(|index| Reverse(view.classes[*index].count));
        self.measure(&view);
        self.pieces = [0; 6];
        for run in &view.pieces {
            let at = crate::words::PIECE_STATES.iter().position(|state| *state == run.state).unwrap_or(0);
            self.pieces[at] = self.pieces[at].saturating_add(run.count);
        }
        let known: u64 = self.pieces.iter().fold(0, |sum, count| sum.saturating_add(*count));
        let waiting =
            crate::words::PIECE_STATES.iter().position(|state| *state == PieceState::Waiting).unwrap_or(0);
        let unknown = view.job.progress.pieces_total.saturating_sub(known);
        self.pieces[waiting] = self.pieces[waiting].saturating_add(unknown);
        self.view = Some(view);
        let rows = Pane::ALL.map(|pane| self.rows(pane));
        for (row, rows) in self.rows.iter_mut().zip(rows) {
            *row = (*row).min(rows.saturating_sub(1));
        }
        self.class_row = self.class_row.min(self.classes.len());
    }

    fn measure(&mut self, view: &JobDetail) {
        let progress = &view.job.progress;
        let busy_ms: Vec<(StageName, u64)> = if view.stages.is_empty() {
            let busy = progress.busy_ms;
            vec![
                (StageName::Fetch, busy.fetch),
                (StageName::Decode, busy.decode),
                (StageName::Parse, busy.parse),
                (StageName::Build, busy.build),
                (StageName::Commit, busy.commit),
            ]
        } else {
            view.stages.iter().map(|stage| (stage.stage, stage.busy_ms)).collect()
        };
        let now = Measured { elapsed_ms: progress.elapsed_ms, busy_ms };
        let ended = progress.status.is_terminal();
        let same_run = |before: &&Measured| {
            before.elapsed_ms <= now.elapsed_ms && before.busy_ms.len() == now.busy_ms.len()
        };
        // An ended job shows its whole run.
        let before = self.before.as_ref().filter(same_run).filter(|_| !ended);
        let passed = now.elapsed_ms - before.map_or(0, |before| before.elapsed_ms);
        if passed < SHARES_EVERY_MS && before.is_some() {
            return;
        }
        let spent: Vec<u64> = (now.busy_ms.iter().enumerate())
            .map(|(at, (_, busy))| busy.saturating_sub(before.map_or(0, |before| before.busy_ms[at].1)))
            .collect();
        let all: u64 = spent.iter().fold(0, |sum, spent| sum.saturating_add(*spent));
        // A stage without threads of its own works on those of the stage before it.
        let mut before_it = 0;
        self.shares = (now.busy_ms.iter().enumerate())
            .map(|(at, (stage, _))| {
                let view = view.stages.get(at);
                let own = view.map_or(0, |stage| stage.threads);
                let threads = if own == 0 { before_it } else { own };
                before_it = threads;
                let whole = if threads > 0 { passed.saturating_mul(threads.into()) } else { all };
                let busy = if whole == 0 { 0.0 } else { (spent[at] as f64 / whole as f64).min(1.0) };
                let (queued, queue_limit) = view.map_or((0, 0), |stage| (stage.queued, stage.queue_limit));
                StageShare { stage: *stage, busy, threads, queued, queue_limit }
            })
            .collect();
        self.before = Some(now);
    }

    /// The job's bottleneck, as one sentence.
    pub(crate) fn bottleneck(&self) -> Option<String> {
        let busiest = self.shares.iter().max_by(|a, b| a.busy.total_cmp(&b.busy))?;
        // The last full queue: the stages after it keep up.
        let full = self.shares.iter().rev().find(|share| share.fill() >= FULL_FROM);
        let stage = match full {
            Some(full) if full.busy >= BUSY_FROM || busiest.busy < BUSY_FROM => full,
            _ => busiest,
        };
        let status = self.view.as_ref()?.job.progress.status;
        if stage.busy <= 0.0 && (full.is_none() || status != JobStatus::Processing) {
            return None;
        }
        let name = stage.stage.as_str();
        let percent = crate::text::percent(stage.busy);
        if stage.threads == 0 {
            return Some(format!("most of the work: {name} ({percent} of the busy time)"));
        }
        if status != JobStatus::Processing {
            return Some(format!("busiest: {name} ({percent} busy)"));
        }
        if stage.busy < BUSY_FROM && full.is_some() {
            return Some(format!(
                "bottleneck: {name} (its queue is full, it is {percent} busy: it waits for something)"
            ));
        }
        if stage.busy < BUSY_FROM {
            return Some(format!("no stage is busy (most: {name}, {percent}): the source gives no more"));
        }
        Some(format!("bottleneck: {name} ({percent} busy)"))
    }

    /// Failure classes, the most frequent first.
    pub(crate) fn classes(&self) -> Vec<&FailureClass> {
        let Some(view) = &self.view else { return Vec::new() };
        self.classes.iter().filter_map(|index| view.classes.get(*index)).collect()
    }

    /// Rows that a pane can be scrolled over.
    pub(crate) fn rows(&self, pane: Pane) -> usize {
        let Some(view) = &self.view else { return 0 };
        match pane {
            Pane::Reasons => view.classes.len(),
            Pane::Objects => view.objects.len(),
            Pane::Definition => definition_rows(view),
            Pane::Stages => self.shares.len(),
            Pane::Pieces | Pane::Throughput => 0,
        }
    }

    /// The row that a pane is scrolled to.
    pub(crate) fn row(&self, pane: Pane) -> usize {
        Pane::ALL.iter().position(|known| *known == pane).map_or(0, |at| self.rows[at])
    }

    pub(crate) fn row_mut(&mut self) -> &mut usize {
        let at = Pane::ALL.iter().position(|known| *known == self.pane).unwrap_or(0);
        &mut self.rows[at]
    }
}

/// Rows of every definition.
pub(crate) const DEFINITION_ROWS: usize = 13;

/// Rows of the definition, for scrolling.
pub(crate) fn definition_rows(view: &JobDetail) -> usize {
    DEFINITION_ROWS
        + usize::from(view.definition.retry_of.is_some())
        + view.warnings.len()
        + view.lost.len()
        + view.notices.iter().count()
}
