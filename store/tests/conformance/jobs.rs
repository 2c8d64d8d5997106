//! Jobs and their pieces: what may come after what.

use pinport_model::{JobId, JobStatus, SegmentId};
use pinport_store::StoreError;

use crate::support::{Bench, batches, job, new, piece_record, segment_job, update};

pub(crate) fn a_job_goes_forward_and_ends_once(mut bench: Bench) {
    let app = bench.application("a");
    let mut job = job(app);
    assert!(matches!(bench.store().save_job(&job), Err(StoreError::NotFound { .. })));
    bench.store().create_job(&job).unwrap();
    assert!(matches!(bench.store().create_job(&job), Err(StoreError::Conflict(_))));
    job.status = JobStatus::Processing;
    job.warnings.push("a column is unknown".into());
    bench.store().save_job(&job).unwrap();
    bench.reopen();
    assert_eq!(bench.store().job(job.id).unwrap(), Some(job.clone()));
    assert_eq!(bench.store().unfinished_jobs().unwrap(), [job.clone()]);

    assert!(
        matches!(bench.store().finish_job(&job, false), Err(StoreError::Conflict(_))),
        "it has not ended"
    );
    job.status = JobStatus::Completed;
    assert!(matches!(bench.store().save_job(&job), Err(StoreError::Conflict(_))), "it must be finished");
    bench.store().finish_job(&job, false).unwrap();
    assert!(matches!(bench.store().finish_job(&job, false), Err(StoreError::Conflict(_))));
    assert!(matches!(bench.store().save_job(&job), Err(StoreError::Conflict(_))));
    assert!(bench.store().writer(&job).is_err());
    assert_eq!(bench.store().unfinished_jobs().unwrap(), []);
    assert_eq!(bench.store().job(job.id).unwrap(), Some(job));
    assert_eq!(bench.store().job(JobId::generate()).unwrap(), None);
}

pub(crate) fn a_job_needs_its_application_and_segment(bench: Bench) {
    let job_of_none = job(pinport_model::ApplicationId::generate());
    assert!(matches!(
        bench.store().create_job(&job_of_none),
        Err(StoreError::NotFound { what: "application", .. })
    ));
    let mut job = job(bench.application("a"));
    job.definition.segment = Some(SegmentId::from_bytes([9; 16]));
    assert!(matches!(bench.store().create_job(&job), Err(StoreError::NotFound { what: "segment", .. })));
    assert_eq!(bench.store().unfinished_jobs().unwrap(), []);
}

pub(crate) fn jobs_are_listed_newest_first(bench: Bench) {
    let (one, two) = (bench.application("1"), bench.application("2"));
    let jobs: Vec<_> = [one, two, one, two, one].into_iter().map(job).collect();
    for job in [2, 0, 4, 1, 3] {
        bench.store().create_job(&jobs[job]).unwrap();
    }
    let list = |app, before: Option<usize>, limit| {
        let before = before.map(|index| jobs[index].id);
        let found = bench.store().jobs(app, before, limit).unwrap();
        let place = |job: pinport_model::ImportJob| jobs.iter().position(|known| *known == job).unwrap();
        found.into_iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 9), [4, 3, 2, 1, 0]);
    assert_eq!(list(None, Some(3), 2), [2, 1]);
    assert_eq!(list(Some(one), None, 2), [4, 2]);
    assert_eq!(list(Some(one), Some(2), 2), [0]);
    assert_eq!(list(Some(two), Some(1), 2), [0; 0]);
}

pub(crate) fn pieces_are_committed_in_order(mut bench: Bench) {
    let job = job(bench.application("a"));
    bench.store().create_job(&job).unwrap();
    assert_eq!(bench.store().last_piece(job.id).unwrap(), None);
    let writer = bench.store().writer(&job).unwrap();
    // Prepared in any order.
    let mut second = writer.prepare(1, batches(&[new("b", "2")])).unwrap();
    let mut first = writer.prepare(0, batches(&[new("a", "1")])).unwrap();
    let mut early = writer.prepare(1, batches(&[new("c", "3")])).unwrap();
    for piece in [&mut early, &mut first, &mut second] {
        assert_eq!(piece.resolve().unwrap(), []);
    }
    assert!(matches!(early.commit(&piece_record(1)), Err(StoreError::Conflict(_))), "piece 0 is due");
    assert_eq!(bench.endpoint(job.definition.application, "c"), None);
    first.commit(&piece_record(0)).unwrap();
    assert_eq!(bench.endpoint(job.definition.application, "b"), None, "prepared is not committed");
    second.commit(&piece_record(1)).unwrap();
    drop(writer);
    bench.reopen();
    let store = bench.store();
    assert_eq!(store.last_piece(job.id).unwrap(), Some(piece_record(1)));
    assert_eq!(store.pieces(job.id, 0, 9).unwrap(), [piece_record(0), piece_record(1)]);
    assert_eq!(store.pieces(job.id, 1, 9).unwrap(), [piece_record(1)]);
    assert_eq!(store.pieces(job.id, 0, 1).unwrap(), [piece_record(0)]);
    assert!(bench.endpoint(job.definition.application, "b").is_some());
}

pub(crate) fn a_piece_without_records_counts(bench: Bench) {
    let job = segment_job(bench.application("a"));
    bench.store().create_job(&job).unwrap();
    bench.commit(&job, 0, &[]);
    assert_eq!(bench.store().last_piece(job.id).unwrap(), Some(piece_record(0)));
    // A piece is stored by its own number, whatever its record says.
    let writer = bench.store().writer(&job).unwrap();
    writer.prepare(1, Vec::new()).unwrap().commit(&piece_record(7)).unwrap();
    let last = bench.store().last_piece(job.id).unwrap().unwrap();
    assert_eq!((last.piece, last.failures_len), (1, 70));
}

pub(crate) fn a_dropped_piece_leaves_nothing(bench: Bench) {
    let job = segment_job(bench.application("a"));
    bench.store().create_job(&job).unwrap();
    let writer = bench.store().writer(&job).unwrap();
    drop(writer.prepare(0, batches(&[new("a", "1").user("u")])).unwrap());
    let mut waiting = writer.prepare(0, batches(&[new("a", "1"), update("a").user("u")])).unwrap();
    waiting.resolve().unwrap();
    drop(waiting);
    assert_eq!(bench.endpoint(job.definition.application, "a"), None);
    assert_eq!(bench.store().last_piece(job.id).unwrap(), None);
    bench.finish(&job, JobStatus::Failed, 0, false);
    assert!(bench.segment(&job).current.is_none(), "a failed job without members makes no version");
}

pub(crate) fn a_committed_job_takes_no_piece_after_its_end(bench: Bench) {
    let job = job(bench.application("a"));
    bench.store().create_job(&job).unwrap();
    let writer = bench.store().writer(&job).unwrap();
    let late = writer.prepare(0, batches(&[new("a", "1")])).unwrap();
    bench.finish(&job, JobStatus::Cancelled, 0, false);
    assert!(matches!(late.commit(&piece_record(0)), Err(StoreError::Conflict(_))));
    assert_eq!(bench.endpoint(job.definition.application, "a"), None);
}
