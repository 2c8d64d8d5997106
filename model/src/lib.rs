//! The nouns of pinport: applications, import jobs, endpoints, drafts, failures and pieces.
//!
//! Nothing here reads, waits or speaks HTTP. Every other crate may depend on this one; it depends on
//! none of them. Start at [`job::ImportJob`] and [`draft::Draft`].

pub mod causes;
pub mod criteria;
pub mod draft;
pub mod endpoint;
pub mod export;
pub mod failure;
pub mod history;
pub mod ids;
pub mod job;
pub mod limits;
pub mod location;
pub mod mapping;
pub mod notice;
pub mod piece;
pub mod progress;
pub mod read;
pub mod remedy;
pub mod segment;
pub mod settings;
pub mod size;
#[cfg(feature = "failpoints")]
pub mod skew;
pub mod time;
pub mod view;

pub use causes::{panic_text, with_causes};
pub use criteria::Criteria;
pub use draft::{Attribute, Draft, Scalar, TextMember};
pub use endpoint::{Channel, Endpoint, EndpointStatus, OptOut};
pub use export::{Compression, ExportDefinition, JobKind, WrittenPart};
pub use failure::{Failure, FailureClass, FailureCode, FailureFilter, Origin, RejectPlace, escape_controls};
pub use ids::{ApplicationId, JobId, SegmentId, hex, looks_like_id};
pub use job::{Format, ImportDefinition, ImportJob, JobStatus, Tally};
pub use limits::RecordLimits;
pub use location::SourceLocation;
pub use mapping::Mapping;
pub use notice::{Notice, NoticeKind, Notices};
pub use piece::{Border, JobPart, LostObject, MAX_LOST, ObjectTally, PieceRecord, PlannedObject, Position};
pub use read::{Delimiter, Encoding, Escape, ReadOptions, ReadRules};
pub use remedy::remedy;
pub use segment::{Application, Segment, SegmentVersion};
pub use settings::Settings;
pub use time::Timestamp;
