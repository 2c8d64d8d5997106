//! Every boundary there is (`store/src/boundary.rs`), and where it is passed.

/// Where a boundary is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum In {
    /// The first import into a new folder.
    First,
    /// Another import into a folder that is there.
    Import,
    /// An import that goes on after a crash.
    Recovery,
    /// An import of which an object is lost.
    Lost,
    /// A server: uploads, marks, the end of jobs.
    Server,
    /// An export of a server.
    Export,
}

/// All boundaries, each with the first place where a test ends the process at it.
pub(crate) const BOUNDARIES: &[(&str, In)] = &[
    ("folder.made", In::First),
    ("file.written", In::First),
    ("file.renamed", In::First),
    ("store.locked", In::Import),
    ("store.swept", In::Import),
    ("store.opened", In::Import),
    ("write.begun", In::Import),
    ("write.durable", In::Import),
    ("plan.begun", In::Import),
    ("plan.synced", In::Import),
    ("plan.renamed", In::Import),
    ("job.saved", In::Import),
    ("failures.cut", In::Import),
    ("rejects.removed", In::Recovery),
    ("rejects.cut", In::Import),
    ("rejects.closed", In::Import),
    ("rejects.begun", In::Import),
    ("run.begun", In::Import),
    ("run.synced", In::Import),
    ("piece.begun", In::Import),
    ("piece.judged", In::Import),
    ("piece.failures-written", In::Import),
    ("failures.synced", In::Import),
    ("rejects.synced", In::Import),
    ("piece.told", In::Lost),
    ("piece.staged", In::Import),
    ("ingest.begun", In::Import),
    ("ingest.durable", In::Import),
    ("piece.committed", In::Import),
    ("job.all-committed", In::Import),
    ("job.ending", In::Import),
    ("job.ended", In::Import),
    ("report.told", In::Import),
    ("upload.begun", In::Server),
    ("upload.received", In::Server),
    ("upload.durable", In::Server),
    ("job.created", In::Server),
    ("mark.made", In::Server),
    ("mark.durable", In::Server),
    ("mark.removed", In::Server),
    ("cancel.begun", In::Server),
    ("cancel.durable", In::Server),
    ("marks.cleared", In::Server),
    ("settle.begun", In::Server),
    ("settle.compacted", In::Server),
    ("settle.joined", In::Server),
    ("export.created", In::Export),
    ("export.part-written", In::Export),
    ("export.part-there", In::Export),
    ("export.part-counted", In::Export),
    ("export.manifest-written", In::Export),
];

/// The boundaries of one place.
pub(crate) fn of(place: In) -> impl Iterator<Item = &'static str> {
    BOUNDARIES.iter().filter(move |(_, found)| *found == place).map(|(name, _)| *name)
}
