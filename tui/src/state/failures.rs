//! The list of failed records of a job.

use pinport_model::{Failure, Format, ReadOptions, RejectPlace, Timestamp};

use crate::message::{FailuresPage, FailuresQuery, RecordBytes, RecordQuery};

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
    /// Records that were marked to be mended.
    pub(crate) marked: Vec<RejectPlace>,
    /// The bytes of the selected record, if they have come.
    pub(crate) record: Option<RecordBytes>,
    /// The record whose bytes were requested last.
    wanted: Option<RecordQuery>,
}

impl Failures {
    pub(crate) fn new(query: FailuresQuery, first: &[Failure], asked: Timestamp) -> Self {
        let mut list = Self {
            query,
            entries: Vec::new(),
            extent: Extent::First,
            row: 0,
            asked,
            marked: Vec::new(),
            record: None,
            wanted: None,
        };
        list.take_first(first);
        list
    }

    /// Shows matches among the job's first failures until an answer arrives.
    pub(crate) fn take_first(&mut self, first: &[Failure]) {
        if self.extent == Extent::First {
            let matches = self.query.matcher();
            self.entries = first.iter().filter(|failure| matches(failure)).cloned().collect();
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

    /// Marks the selected record, or takes its mark away. Says whether its bytes are kept.
    pub(crate) fn mark(&mut self) -> bool {
        let Some(place) = self.entries.get(self.row).and_then(|entry| entry.reject) else { return false };
        match self.marked.iter().position(|marked| *marked == place) {
            Some(at) => drop(self.marked.remove(at)),
            None => self.marked.push(place),
        }
        true
    }

    pub(crate) fn is_marked(&self, failure: &Failure) -> bool {
        failure.reject.is_some_and(|place| self.marked.contains(&place))
    }

    /// The part of the rejects that the marked records are in, or else the selected one.
    pub(crate) fn part(&self) -> Option<u32> {
        let selected = || self.entries.get(self.row)?.reject;
        self.marked.first().copied().or_else(selected).map(|place| place.part)
    }

    /// The request for the bytes of the selected record, once for each.
    pub(crate) fn want_record(&mut self, format: Format, read: &ReadOptions) -> Option<RecordQuery> {
        let failure = self.entries.get(self.row)?;
        let place = failure.reject?;
        let is_wanted =
            self.wanted.as_ref().is_some_and(|wanted| (wanted.job, wanted.place) == (self.query.job, place));
        if is_wanted {
            return None;
        }
        let (failure, read) = (failure.clone(), read.clone());
        let query = RecordQuery { job: self.query.job, format, read, place, failure };
        self.wanted = Some(query.clone());
        Some(query)
    }

    /// Requests the bytes once more if they have not come: the connection was lost.
    pub(crate) fn want_again(&mut self) {
        self.wanted = self.record.as_ref().map(|record| record.query.clone());
    }

    pub(crate) fn take_record(&mut self, record: RecordBytes) -> bool {
        let is_wanted = self.wanted.as_ref() == Some(&record.query);
        if is_wanted {
            self.record = Some(record);
        }
        is_wanted
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.extent == Extent::First
    }
}
