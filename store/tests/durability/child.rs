//! The work of the child process, and what the parent needs to know of it.

use std::{io::Write, path::Path};

use pinport_model::{
    Application, ApplicationId, Attribute, Channel, Draft, Format, ImportDefinition, ImportJob, JobId,
    Origin, PieceRecord, Scalar, SegmentId, SourceLocation, TextMember, Timestamp, limits::RecordLimits,
};
use pinport_store::{
    DraftBatch, DraftKind, EndpointUpdate, Result, Store,
    embedded::{Embedded, EmbeddedOptions},
};

pub(crate) const APPLICATION: ApplicationId = ApplicationId::from_bytes([1; 16]);
pub(crate) const JOB: [u8; 16] = [2; 16];
/// Records of a piece, beside the one that all pieces have.
pub(crate) const RECORDS: u64 = 200;

/// Pieces that a traced child commits.
pub(crate) const TRACED: u64 = 4;

pub(crate) fn id_of(piece: u64, record: u64) -> String {
    // Ids of different pieces lie among each other.
    format!("{record:03}-{piece}")
}

pub(crate) fn address_of(piece: u64) -> String {
    format!("address {piece}")
}

/// Commits pieces after the last one, each with a line when it is durable.
pub(crate) fn run(folder: &Path, pieces: u64, small_piece: usize) {
    let store = Embedded::open(folder, EmbeddedOptions { small_piece, ..Default::default() }).unwrap();
    begin(&store);
    say("opened");
    let first = store.last_piece(JobId::from_bytes(JOB)).unwrap().map_or(0, |last| last.piece + 1);
    for piece in first..first.saturating_add(pieces) {
        commit(&store, piece).unwrap();
        say(&format!("acknowledged {piece}"));
    }
    let mut draft = Draft::default();
    draft.set_text(TextMember::City, Some("Ulm"));
    store.put_endpoint(APPLICATION, "shared", &mut draft, Timestamp::from_millis(1)).unwrap();
    say("put");
    let mut batch: Vec<_> = (0..100).map(|number| (format!("batch {number}"), Draft::default())).collect();
    let updates: Vec<_> = batch
        .iter_mut()
        .map(|(id, draft)| {
            draft.set_text(TextMember::City, Some("Ulm"));
            EndpointUpdate::new(id, draft, Timestamp::from_millis(1))
        })
        .collect();
    store.put_endpoints(APPLICATION, &updates, &RecordLimits::default()).unwrap();
    say("hundred");
}

/// One line in one write, so that a trace shows it whole.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Makes the application and the job, if they are not there.
pub(crate) fn begin(store: &Embedded) {
    let now = Timestamp::from_millis(1);
    if store.application(APPLICATION).unwrap().is_none() {
        let (name, tags) = ("a".into(), Default::default());
        store.create_application(&Application { id: APPLICATION, name, created: now, tags }).unwrap();
    }
    let id = JobId::from_bytes(JOB);
    if store.job(id).unwrap().is_some() {
        return;
    }
    let definition = ImportDefinition {
        segment: Some(SegmentId::from(id)),
        ..ImportDefinition::new(APPLICATION, SourceLocation::Stdin, Format::Json, 1)
    };
    store.create_job(&ImportJob::new(id, definition, now)).unwrap();
}

pub(crate) fn commit(store: &Embedded, piece: u64) -> Result<()> {
    let job = store.job(JobId::from_bytes(JOB))?.unwrap();
    let writer = store.writer(&job)?;
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let mut batch = DraftBatch::new(origin, job.created);
    let (address, number) = (address_of(piece), piece.to_string());
    let user = format!("user {piece}");
    for record in 0..=RECORDS {
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some(&address));
        if record == RECORDS {
            batch.push(&mut draft, DraftKind::Blind, "shared", b"", origin);
            continue;
        }
        draft.set_text(TextMember::UserId, Some(&user));
        draft.values.push(Scalar::Text(&number));
        draft.user_attributes.push(Attribute { name: "piece", start: 0, end: 1 });
        batch.push(&mut draft, DraftKind::Blind, &id_of(piece, record), b"", origin);
    }
    let mut prepared = writer.prepare(piece, vec![batch])?;
    prepared.resolve()?;
    prepared.commit(&PieceRecord { piece, ..PieceRecord::default() })
}
