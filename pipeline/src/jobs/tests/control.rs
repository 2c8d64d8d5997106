//! What is asked of jobs: to pause, to go on, to be cancelled.

use super::*;

#[test]
fn a_paused_job_rests_across_a_restart_until_it_is_resumed() {
    let house = House::new();
    let stopped = house.jobs(0);
    let id = stopped.create(new_job(house.file("a.json", 3))).unwrap().job.id;
    stopped.pause(id).unwrap();
    stopped.pause(id).unwrap();
    let jobs = house.jobs(2);
    let other = jobs.create(new_job(house.file("b.json", 3))).unwrap().job.id;
    assert!(jobs.wait(other, LONG));
    let seen = jobs.seen(id).unwrap().unwrap();
    assert_eq!((seen.job.status, seen.view.paused), (JobStatus::PendingJob, true));
    jobs.resume(id).unwrap();
    assert!(jobs.wait(id, LONG));
    assert_eq!(house.status(id), JobStatus::Completed);
    assert!(matches!(jobs.resume(id), Err(ControlError::Conflict(_))));
}

/// A job that rests keeps what it showed, and goes on from there.
#[test]
fn a_paused_job_keeps_its_numbers() {
    let house = House::new();
    let jobs = house.jobs(1);
    // As many pieces as lines: it takes a while.
    let id = jobs.create(new_job(house.file("a.json", 60_000))).unwrap().job.id;
    let see = |jobs: &Jobs| jobs.seen(id).unwrap().unwrap();
    let has_worked = || jobs.detail(see(&jobs)).unwrap().stages.iter().any(|stage| stage.busy_ms > 0);
    while see(&jobs).view.progress.registered == 0 || !has_worked() {
        std::thread::yield_now();
    }
    jobs.pause(id).unwrap();
    while see(&jobs).job.status != JobStatus::PendingJob {
        assert!(!see(&jobs).job.status.is_terminal(), "it was too fast to be paused");
        std::thread::yield_now();
    }
    let rested = see(&jobs).view;
    let shown = &rested.progress;
    assert!(shown.source_bytes > 0 && shown.elapsed_ms > 0 && shown.bytes_total > shown.bytes, "{shown:?}");
    assert!(shown.pieces_done > 0 && shown.pieces_total > shown.pieces_done, "{shown:?}");
    let detail = jobs.detail(see(&jobs)).unwrap();
    assert!(!detail.history.is_empty() && detail.stages.iter().any(|stage| stage.busy_ms > 0));
    drop(jobs);

    let again = house.jobs(0);
    assert_eq!(see(&again).view, rested, "a restart changes nothing");
    assert_eq!(again.detail(see(&again)).unwrap().history, detail.history);
    drop(again);

    let jobs = house.jobs(1);
    jobs.resume(id).unwrap();
    let committed = shown.parsed;
    loop {
        let now = see(&jobs);
        let (progress, status) = (&now.view.progress, now.job.status);
        assert!(progress.parsed >= committed && progress.registered >= shown.registered, "{progress:?}");
        assert!(progress.pieces_done <= progress.pieces_total, "{progress:?}");
        if status.is_terminal() {
            break;
        }
    }
    assert!(jobs.wait(id, LONG));
    let ended = see(&jobs).view.progress;
    assert_eq!((ended.status, ended.parsed), (JobStatus::Completed, 60_000));
    assert_eq!(ended.before.elapsed_ms, shown.elapsed_ms, "the time of both runs counts");
    assert_eq!((ended.bytes_left(), ended.seconds_left()), (Some(0), None));
}

/// Pieces that a job never came to are not among those it did.
#[test]
fn a_cancelled_job_does_not_count_pieces_that_it_never_read() {
    let house = House::new();
    let jobs = house.jobs(1);
    let id = jobs.create(new_job(house.file("a.json", 60_000))).unwrap().job.id;
    while jobs.seen(id).unwrap().unwrap().view.progress.registered == 0 {
        std::thread::yield_now();
    }
    jobs.cancel(id).unwrap();
    assert!(jobs.wait(id, LONG));
    let seen = jobs.seen(id).unwrap().unwrap();
    let progress = seen.view.progress.clone();
    assert_eq!(progress.status, JobStatus::Cancelled);
    assert!(progress.pieces_done < progress.pieces_total, "{progress:?}");
    let pieces = jobs.detail(seen).unwrap().pieces;
    assert_eq!(pieces.iter().map(|run| run.count).sum::<u64>(), progress.pieces_total);
    let totals = jobs.totals();
    assert_eq!((totals.cancelled, totals.ran_ms), (1, progress.ran_ms()));
}

#[test]
fn a_waiting_job_is_cancelled_at_once_and_a_marked_one_after_a_restart() {
    let house = House::new();
    let stopped = house.jobs(0);
    let one = stopped.create(new_job(house.file("a.json", 3))).unwrap().job.id;
    let other = stopped.create(new_job(house.file("b.json", 3))).unwrap().job.id;
    stopped.cancel(one).unwrap();
    assert_eq!(house.status(one), JobStatus::Cancelled);
    assert!(matches!(stopped.cancel(one), Err(ControlError::Conflict(_))));
    // The process died between the request and the end of the job.
    marks::set_cancel(&stopped.folder(other)).unwrap();
    let jobs = house.jobs(2);
    assert!(jobs.wait(other, LONG));
    assert_eq!(house.status(other), JobStatus::Cancelled);
    let none = JobId::from_bytes([9; 16]);
    assert!(matches!(jobs.cancel(none), Err(ControlError::NotFound(_))));
}

#[test]
fn a_running_job_is_cancelled_with_what_it_committed() {
    let house = House::new();
    let jobs = house.jobs(2);
    let id = jobs.create(new_job(house.file("a.json", 20_000))).unwrap().job.id;
    // It may end before it hears of it; then it must say so and stay COMPLETED.
    let asked = jobs.cancel(id);
    assert!(jobs.wait(id, LONG));
    let job = house.store.job(id).unwrap().unwrap();
    let expected = if asked.is_ok() { JobStatus::Cancelled } else { JobStatus::Completed };
    assert_eq!(job.status, expected);
    let committed = house.store.last_piece(id).unwrap().map_or(0, |last| last.total.read);
    assert_eq!(job.tally.read, committed);
    assert!(job.completed.is_some());
}

#[test]
fn a_job_whose_source_is_silent_is_shown_and_cancelled_at_once() {
    let mut house = House::new();
    let (jobs, _silent) = house.jobs_of_a_silent_store();
    let mut samples = jobs.subscribe();
    let id = jobs.create(new_job("s3://bucket/key".into())).unwrap().job.id;
    // Nothing changes any more; it is shown all the same.
    for _ in 0..5 {
        let sample = house.io.block_on(async { tokio::time::timeout(LONG, samples.recv()).await });
        assert_eq!(sample.unwrap().unwrap().jobs[0].id, id);
    }
    jobs.cancel(id).unwrap();
    // Far less than the time for which a store may be silent.
    assert!(jobs.wait(id, LONG / 3));
    assert_eq!(house.status(id), JobStatus::Cancelled);
}

#[test]
fn a_running_job_is_neither_resumed_nor_waited_for() {
    let mut house = House::new();
    let (jobs, _silent) = house.jobs_of_a_silent_store();
    let id = jobs.create(new_job("s3://bucket/key".into())).unwrap().job.id;
    assert!(matches!(jobs.resume(id), Err(ControlError::Conflict(why)) if why == "is not paused"));
    jobs.cancel(id).unwrap();
    assert!(jobs.wait(id, LONG / 3));
}

#[test]
fn a_cancelled_job_never_completes() {
    let progress = crate::engine::JobProgress::new(JobId::from_bytes([0; 16]));
    assert!(progress.set_status(JobStatus::Processing));
    assert!(progress.begin_cancel());
    for next in [JobStatus::Processing, JobStatus::Completing] {
        assert!(!progress.set_status(next), "{next}");
    }
    assert!(!progress.begin_end());
    assert_eq!(progress.snapshot().status, JobStatus::Cancelling);
    let completing = crate::engine::JobProgress::new(JobId::from_bytes([0; 16]));
    assert!(completing.set_status(JobStatus::Completing));
    assert!(!completing.begin_cancel());
}
