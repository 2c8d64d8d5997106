//! The list of jobs: which are shown, in which order, and which one is selected.
//!
//! The order is made when something changes, never while drawing.

use std::cmp::{Ordering, Reverse};

use pinport_model::{JobId, JobStatus, view::JobView};

use super::meter::Meters;
use crate::{layout::Column, look::Symbols, words};

/// Jobs by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StatusFilter {
    #[default]
    All,
    Active,
    Ended,
    WithFailures,
}

impl StatusFilter {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::All => Self::Active,
            Self::Active => Self::Ended,
            Self::Ended => Self::WithFailures,
            Self::WithFailures => Self::All,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::WithFailures => "with failures",
        }
    }

    fn admits(self, job: &JobView) -> bool {
        match self {
            Self::All => true,
            Self::Active => !job.progress.status.is_terminal(),
            Self::Ended => job.progress.status.is_terminal(),
            Self::WithFailures => job.progress.failed > 0 || job.progress.status == JobStatus::Failed,
        }
    }
}

/// The list of jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    all: Vec<JobView>,
    /// Indices of the jobs that are shown, in order.
    shown: Vec<u32>,
    pub(crate) filter: String,
    pub(crate) status: StatusFilter,
    pub(crate) sort: Option<Column>,
    pub(crate) reversed: bool,
    selected: Option<JobId>,
    /// A job to select as soon as a sample has it.
    awaited: Option<JobId>,
    /// Where the selection was, should its job leave the list.
    row: usize,
}

impl Jobs {
    pub(crate) fn replace(&mut self, jobs: Vec<JobView>, meters: &Meters) {
        self.all = jobs;
        match self.awaited.filter(|id| self.find(*id).is_some()) {
            Some(id) => self.select(id, meters),
            None => self.arrange(meters),
        }
    }

    /// Selects a job that was made here, now or when a sample has it.
    pub(crate) fn await_job(&mut self, id: JobId, meters: &Meters) {
        match self.find(id) {
            Some(_) => self.select(id, meters),
            None => self.awaited = Some(id),
        }
    }

    /// Makes the list anew after the jobs, the filter or the order changed.
    pub(crate) fn arrange(&mut self, meters: &Meters) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let admits = |job: &JobView| self.status.admits(job) && words.iter().all(|word| is_match(job, word));
        let mut shown: Vec<u32> =
            (0_u32..).zip(&self.all).filter(|(_, job)| admits(job)).map(|(index, _)| index).collect();
        self.sort_rows(&mut shown, meters);
        if self.reversed {
            shown.reverse();
        }
        self.shown = shown;
        self.find_selection();
    }

    fn sort_rows(&self, shown: &mut [u32], meters: &Meters) {
        let job = |index: &u32| &self.all[*index as usize];
        let meter = |index: &u32| meters.of(job(index).id);
        let rate = |index: &u32, bytes: bool| {
            let now = meter(index).and_then(|meter| if bytes { meter.bytes() } else { meter.records() });
            let average = words::average(&job(index).progress);
            let ended = job(index).progress.status.is_terminal();
            let rate = if ended { Some(if bytes { average.1 } else { average.0 }) } else { now };
            rate.unwrap_or(0.0) as u64
        };
        // A stable sort: jobs that are equal stay newest first, as the server gives them.
        match self.sort {
            None => shown.sort_by_key(|index| job(index).progress.status.is_terminal()),
            Some(Column::Id) => shown.sort_by_cached_key(|index| words::short_id(job(index).id)),
            Some(Column::Application) => {
                shown.sort_by(|a, b| job(a).application_name.cmp(&job(b).application_name))
            }
            Some(Column::Source) => shown.sort_by(|a, b| job(a).source.cmp(&job(b).source)),
            Some(Column::Status) => {
                shown.sort_by_key(|index| words::status(job(index), Symbols::Ascii).word);
            }
            Some(Column::Progress) => shown.sort_by(|a, b| {
                let share = |index| words::share(&job(index).progress).unwrap_or(0.0);
                share(b).partial_cmp(&share(a)).unwrap_or(Ordering::Equal)
            }),
            Some(Column::Pieces) => shown.sort_by_key(|index| Reverse(job(index).progress.pieces_total)),
            // The trend has no order of its own.
            Some(Column::Rows | Column::Trend) => {
                shown.sort_by_cached_key(|index| Reverse(rate(index, false)))
            }
            Some(Column::Bytes) => shown.sort_by_cached_key(|index| Reverse(rate(index, true))),
            Some(Column::Failures) => shown.sort_by_key(|index| Reverse(job(index).progress.failed)),
            Some(Column::Age) => shown.sort_by_key(|index| Reverse(job(index).created)),
            Some(Column::Ran) => shown.sort_by_cached_key(|index| Reverse(words::ran_ms(job(index)))),
            Some(Column::Left) => shown.sort_by_cached_key(|index| {
                meter(index).and_then(|meter| meter.left_ms(job(index))).unwrap_or(i64::MAX)
            }),
        }
    }

    fn find_selection(&mut self) {
        let found = self.selected.and_then(|id| self.shown.iter().position(|index| self.id(*index) == id));
        self.row = found.unwrap_or(self.row).min(self.shown.len().saturating_sub(1));
        self.selected = self.shown.get(self.row).map(|index| self.id(*index));
    }

    fn id(&self, index: u32) -> JobId {
        self.all[index as usize].id
    }

    /// Moves the selection.
    pub(crate) fn move_by(&mut self, rows: isize) {
        self.awaited = None;
        self.row = self.row.saturating_add_signed(rows).min(self.shown.len().saturating_sub(1));
        self.selected = self.shown.get(self.row).map(|index| self.id(*index));
    }

    /// Selects a job, taking filters away that hide it.
    pub(crate) fn select(&mut self, id: JobId, meters: &Meters) {
        self.selected = Some(id);
        self.awaited = None;
        if !self.shown.iter().any(|index| self.id(*index) == id) {
            self.filter.clear();
            self.status = StatusFilter::All;
        }
        self.arrange(meters);
    }

    pub(crate) fn selected(&self) -> Option<&JobView> {
        self.shown.get(self.row).map(|index| &self.all[*index as usize])
    }

    pub(crate) fn row(&self) -> usize {
        self.row
    }

    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    /// The job in a row of the list.
    pub(crate) fn at(&self, row: usize) -> Option<&JobView> {
        self.shown.get(row).map(|index| &self.all[*index as usize])
    }

    pub(crate) fn all(&self) -> &[JobView] {
        &self.all
    }

    pub(crate) fn find(&self, id: JobId) -> Option<&JobView> {
        self.all.iter().find(|job| job.id == id)
    }
}

/// Whether a word of the filter (in lower case) is in a job: `status:failed` looks at the status alone, `!word`
/// wants jobs without it.
fn is_match(job: &JobView, word: &str) -> bool {
    if let Some(unwanted) = word.strip_prefix('!') {
        return unwanted.is_empty() || !is_match(job, unwanted);
    }
    let has = |text: &str, word: &str| text.to_lowercase().contains(word);
    let status = words::status(job, Symbols::Ascii).word;
    if let Some(wanted) = word.strip_prefix("status:") {
        return status.starts_with(wanted) || has(job.progress.status.as_str(), wanted);
    }
    status.starts_with(word)
        || has(&job.application_name, word)
        || has(&job.source, word)
        || job.segment_name.as_deref().is_some_and(|name| has(name, word))
        || job.id.to_string().contains(word)
        || job.format.as_str().eq_ignore_ascii_case(word)
}
