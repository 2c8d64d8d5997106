//! The list of failed records of a job.

use pinport_model::{Failure, Timestamp};

use crate::message::{FailuresPage, FailuresQuery};

/// How complete the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Matches among the job's first 100 failures, until the answer arrives.
    First,
    /// All.
    All,
    /// The most that an answer holds; there are more.
    Most,
}

/// The list.
#[derive(Debug)]
pub(crate) struct Failures {
    pub(crate) query: FailuresQuery,
    pub(crate) entries: Vec<Failure>,
    pub(crate) extent: Extent,
    pub(crate) row: usize,
    pub(crate) asked: Timestamp,
}

impl Failures {
    pub(crate) fn new(query: FailuresQuery, first: &[Failure], asked: Timestamp) -> Self {
        let mut list = Self { query, entries: Vec::new(), extent: Extent::First, row: 0, asked };
        list.take_first(first);
        list
    }

    /// Shows matches among the job's first failures until an answer arrives.
    pub(crate) fn take_first(&mut self, first: &[Failure]) {
        if self.extent == Extent::First {
            self.entries = first.iter().filter(|failure| self.query.matches(failure)).cloned().collect();
            self.row = self.row.min(self.entries.len().saturating_sub(1));
        }
    }

    /// Takes an answer if it belongs to the last request.
    pub(crate) fn take(&mut self, page: FailuresPage) -> bool {
        if page.query != self.query {
            return false;
        }
        self.entries = page.entries;
        self.extent = if page.more { Extent::Most } else { Extent::All };
        self.row = self.row.min(self.entries.len().saturating_sub(1));
        true
    }

    /// Filters the first failures while a search is typed.
    pub(crate) fn search(&mut self, text: String, first: &[Failure]) {
        self.query.search = text;
        self.extent = Extent::First;
        self.take_first(first);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.extent == Extent::First
    }
}
