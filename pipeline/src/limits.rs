//! Every bound of the pipeline, with its reason. What a user can set is in [`EngineOptions`](crate::engine::EngineOptions) and
//! [`SourceOptions`](crate::source::SourceOptions); docs/limits.md lists both.

use std::time::Duration;

// What a job reads ahead, and where its pieces end.

/// Lines after which a piece is cut although it has not its bytes: very short records would otherwise take many times
/// their size in drafts or failures.
pub(crate) const PIECE_LINES: u64 = 1 << 16;

/// Objects after which a piece is cut, so that its record stays small.
pub(crate) const PIECE_OBJECTS: usize = 4096;

/// What a record takes beside its bytes while its piece is in flight: its place in the batch and in the sorted run, or
/// its failure, which is the larger: up to 390 with its text and its bytes.
pub(crate) const RECORD_OVERHEAD: u64 = 512;

/// Blocks that wait in a lane for each thread: enough to keep a thread busy while the reader reads on.
pub(crate) const WAITING_PER_THREAD: usize = 2;

/// Built pieces that wait for their turn. The budget of bytes stops a job long before; this is only the bound that
/// everything has.
pub(crate) const BUILT_PIECES: usize = 256;

/// Runs of ended pieces that are kept apart; beyond them failed pieces are counted at the end.
pub(crate) const PIECE_RUNS: usize = 1000;

/// Bytes of a source from which on it is worth a look how much comes out of its compressed objects.
pub(crate) const RATIO_FROM: u64 = 16 << 20;

/// Decoded bytes of that look.
pub(crate) const RATIO_BYTES: usize = 256 << 10;

/// Bytes of the first object that are looked at before a job is begun.
pub(crate) const LOOK_BYTES: usize = 64 << 10;

/// Skipped objects that are named in the job's warnings; the plan has them all.
pub(crate) const NAMED_SKIPS: usize = 20;

/// Jobs before this one whose ids are counted together with its own; the store counts where more added to the segment.
pub(crate) const COUNTED_JOBS: usize = 8;

// Jobs in parts.

/// Parts of a job: each is a row that is looked at every second.
pub(crate) const MOST_PARTS: u64 = 1000;

/// The share of the room for a job's failures that each of its parts has, until it is a piece of the job: one of so many.
pub(crate) const KEPT_OF_PART: u64 = 4;

/// Parts of a job that a server works on at a time. The next one is read while the last pieces of the one before are committed.
pub(crate) const PARTS_AT_ONCE: usize = 2;

/// How often a server that works on a job in parts looks how far the others have come.
pub(crate) const PARTS_LOOK: Duration = Duration::from_millis(500);

// Blocks.

/// Lines of a block, about: each may become a failure, which takes many times the size of a short record.
pub(crate) const BLOCK_LINES: u64 = 16 << 10;

/// Records of a block.
pub(crate) const BLOCK_RECORDS: u64 = 16 << 10;

/// Bytes after an opening brace in which the first name and what follows it must be to name what holds records.
pub(crate) const HOLDER_NAME_BYTES: usize = 256;

/// An object that is nested deeper when it breaks is passed over as far as it was read. Others are looked through
/// again from their start, so this bounds how often a byte is looked at.
pub(crate) const HOLDER_DEPTH: u32 = 32;

/// Bytes of an object that are looked at.
pub(crate) const SNIFF_BYTES: usize = 16 << 10;

/// Lines in which a header is looked for.
pub(crate) const HEADER_LINES: usize = 10;

/// Buffers kept for reuse. More are in flight while a source brings more than is parsed; kept until the end, they would be
/// memory that pieces need.
pub(crate) const POOLED_BUFFERS: usize = 16;

/// A buffer that grew beyond this many times the block size is not kept.
pub(crate) const KEEP_FACTOR: usize = 4;

/// This part of a buffer is free before the bytes of a request: records that straddle two chunks are shorter, mostly.
pub(crate) const CHUNK_ROOM: usize = 32;

/// Fewer bytes than this part of a buffer are kept in memory of their own.
pub(crate) const LEAST_CHUNK: usize = 4;

// Reading objects.

/// Bytes that are looked at: a tar header has this many.
pub(crate) const HEAD_BYTES: usize = 512;

/// Decoded bytes that decide whether an object is CSV or JSON.
pub(crate) const CONTENT_BYTES: usize = 4 << 10;

/// Bytes of a file that are decoded for that.
pub(crate) const RAW_BYTES: usize = 64 << 10;

/// Bytes decoded at a time for the next layer.
pub(crate) const LAYER_BUFFER: usize = 64 << 10;

/// Bytes of a buffer for what is not read into those of a job.
pub(crate) const READ_BUFFER: usize = 256 << 10;

/// Bytes read at once for a decompressor.
pub(crate) const FILE_BUFFER: usize = 256 << 10;

/// Bytes decoded at a time.
pub(crate) const TEXT_BUFFER: usize = 64 << 10;

/// Bytes that are read from a pipe at once.
pub(crate) const PIPE_BUFFER: usize = 256 << 10;

/// Buffers read ahead.
pub(crate) const PIPE_AHEAD: usize = 8;

/// Memory that a .xz file may ask for: `xz -9` needs 65 MiB. (zstd's own limit is a window of 128 MiB.)
pub(crate) const XZ_MEMORY: u64 = 192 << 20;

/// Bytes of a window. Small: that much may be lost before damage.
pub(crate) const DECODE_WINDOW: usize = 4096;

/// Bytes of a header that is compared with those of other members, and of a name.
pub(crate) const ARCHIVE_HEADER: usize = 1 << 20;

/// Bytes of a name, or of what a tar says beside a member.
pub(crate) const ARCHIVE_NAME: u64 = 64 << 10;

/// Members that were skipped and whose names wait to be asked for.
pub(crate) const ARCHIVE_NAMED_SKIPS: usize = 20;

/// Characters of a name in a note.
pub(crate) const ARCHIVE_NAME_SHOWN: usize = 50;

// Listing.

/// Objects held back while it is not known whether the listing is in key order: ten pages. A listing that
/// ends before, or shows its disorder before, is sorted.
pub(crate) const LISTED_HELD: usize = 10_000;

/// Pages without an object, one after the other, after which a listing is taken for one that never ends.
pub(crate) const EMPTY_PAGES: usize = 1000;

/// Objects of a listing. One that has more is taken for one that never ends.
pub(crate) const LISTED: u64 = 1_000_000_000;

/// Looks at content in flight.
pub(crate) const LISTING_LOOKS: usize = 32;

/// Bytes of a look. Enough for the first block of all but bzip2, which is looked at again by reading.
pub(crate) const LISTING_LOOK: u64 = 16 << 10;

// Stores on the network.

/// Bytes of a listing's page or an error document. A page of 1,000 keys of 1 KiB takes about 1.5 MiB.
pub(crate) const DOCUMENT_BYTES: usize = 16 << 20;

/// A small range counts for this part of the budget, so that this many of them are in flight.
pub(crate) const SMALL_RANGES: u64 = 64;

/// Bytes that a try has to bring to count as progress.
pub(crate) const LEAST_PROGRESS: u64 = 16 << 10;

/// Bytes of an answer; STS sends about 2 KiB.
pub(crate) const STS_ANSWER: usize = 64 << 10;

/// Longest wait for the program: it may ask an identity provider.
pub(crate) const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes that it may print; keys and a token take about 2 KiB.
pub(crate) const PROCESS_OUTPUT: u64 = 64 << 10;

/// Longest wait for an answer about credentials.
pub(crate) const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a part of an upload. Stores take 10,000 parts of at least 5 MiB.
pub(crate) const PART_BYTES: usize = 8 << 20;

/// Parts that are on their way at a time.
pub(crate) const PARTS_IN_FLIGHT: usize = 2;

/// A transfer that is slower than so many bytes a second has stalled.
pub(crate) const SLOWEST_UPLOAD: usize = 64 << 10;

/// How long an upload that is given up is cleared away for.
pub(crate) const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a piece of what is compared, at least: a piece waits for the disk, and none of these is ever to be resumed.
pub(crate) const VERIFY_PIECE: u64 = 16 << 20;

/// Bytes of a block when a source is read again for the places of a few records.
pub(crate) const VERIFY_BLOCK: usize = 512 << 10;

/// Places that are given to whoever types a source.
pub(crate) const PLACES_SHOWN: usize = 100;

/// Entries of a folder that are looked at for them.
pub(crate) const PLACES_LOOKED_AT: usize = 10_000;

/// Stores and folders that are listed for them at a time.
pub(crate) const PLACES_ASKED_AT_ONCE: usize = 4;

/// How long a store may take for its page of them.
pub(crate) const PLACES_TIMEOUT: Duration = Duration::from_secs(5);

// Exports.

/// Bytes of rows that are handed over at a time.
pub(crate) const EXPORT_HANDED: usize = 256 << 10;

/// Buffers of that size of a range of ids that wait for its turn: all of it, unless rows are long. Each thread that reads has
/// two ranges.
pub(crate) const EXPORT_LOADS: usize = 12;

/// Buffers of that size that wait to be written.
pub(crate) const EXPORT_BUFFERS: usize = 4;

/// Bytes of a file that are written at a time.
pub(crate) const EXPORT_WRITTEN: usize = 512 << 10;

/// Blocks of [`EXPORT_HANDED`] bytes that each thread that makes gzip has.
pub(crate) const GZIP_AHEAD: usize = 2;

/// Bytes of a group of rows in a Parquet file, before they are encoded. Two groups are held: one is filled while the one before
/// is written.
pub(crate) const PARQUET_GROUP: usize = 16 << 20;

/// Rows of a group: what is small as stored takes little more to be told apart.
pub(crate) const PARQUET_GROUP_ROWS: usize = 1 << 16;

/// Groups of one Parquet file. Its footer is held to the end: 14 KiB for each, 58 MB for all.
pub(crate) const PARQUET_GROUPS: usize = 4096;

// Jobs and their views.

/// Bytes of the first ids of a job, which lie in one file: to make a file for each part of them takes a small job longer than all
/// else at its end. They are read at once, with those of the jobs that it is counted with.
pub(crate) const IDS_IN_ONE_FILE: u64 = 1 << 20;

/// Events that wait for the next sample; more are dropped, oldest first.
pub(crate) const EVENTS_WAITING: usize = 256;

/// Past events that a new listener gets; more are dropped, oldest first.
pub(crate) const EVENTS_KEPT: usize = 256;

/// Running jobs whose histories a new listener gets, up to 512 points each. The others' come with their details.
pub(crate) const HISTORIES_SHOWN: usize = 16;

/// Samples that a slow listener may lag behind.
pub(crate) const SAMPLES_KEPT: usize = 16;

/// Ended jobs in a sample.
pub(crate) const ENDED_SHOWN: usize = 50;

/// Jobs that have not ended in a sample; the newest of an application with many are left out, for they wait.
pub(crate) const OPEN_SHOWN: usize = 500;

/// How often a sample is taken.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// Jobs that are counted at a time.
pub(crate) const COUNTED_AT_ONCE: usize = 1000;

/// Threads that look at the data of new jobs, those included that were given up and have not noticed. While there are
/// more, jobs are made unseen.
pub(crate) const LOOKS_AT_ONCE: usize = 64;

/// Requests that are remembered.
pub(crate) const REQUESTS_KEPT: usize = 10_000;

/// Objects in a job's detail.
pub(crate) const VIEW_OBJECTS: usize = 1000;

/// Failures in a job's detail and in the service's answers.
pub(crate) const VIEW_FAILURES: usize = 100;

/// Jobs whose tallies by object are kept.
pub(crate) const VIEW_TALLIED: usize = 16;

/// Pieces that are read from the store at a time.
pub(crate) const VIEW_PIECES: usize = 500;

/// How long a pause may take until the job rests.
pub(crate) const PAUSE_WAIT: Duration = Duration::from_secs(10);

/// Jobs that are read at a time.
pub(crate) const RETENTION_PAGE: usize = 500;

/// Parts that are read from the store at a time for the manifest.
pub(crate) const PARTS_SHOWN: usize = 500;

/// How often it is looked whether jobs stand still.
pub(crate) const STALL_LOOK: Duration = Duration::from_secs(1);
