//! The one job of a command.

use std::sync::atomic::Ordering;

use pinport_model::{ImportDefinition, ImportJob};

use super::*;
use crate::{
    engine::{JobError, RunOutcome},
    source::Source,
};

impl House {
    fn of_command(&self, store: Option<Arc<dyn Store>>) -> Jobs {
        let engine = Engine::start(EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap();
        let options = JobsOptions::new(self.folder.path().join("jobs"));
        Jobs::of_command(store, Arc::new(engine), options, self.io.handle().clone())
    }

    /// A job of a command, the path of its file and the file's source.
    fn definition(&self, name: &str, lines: usize) -> ImportDefinition {
        let url = self.file(name, lines);
        let location = url.strip_prefix("file://").unwrap().parse().unwrap();
        ImportDefinition {
            source_text: url,
            ..ImportDefinition::new(APPLICATION, location, Format::Json, 64)
        }
    }

    fn source(&self, job: &ImportJob) -> Arc<Source> {
        let source = Source::open(&job.definition.source, SourceOptions::default(), self.io.handle().clone());
        Arc::new(source.unwrap())
    }

    fn run(&self, jobs: &Jobs, job: &ImportJob, cancel: &CancellationToken) -> RunOutcome {
        jobs.begin(job.clone(), self.source(job), cancel.clone()).unwrap().run()
    }
}

#[test]
fn it_runs_beside_jobs_that_stay_as_they_are_and_is_seen_as_a_server_shows_it() {
    let house = House::new();
    let other = house.jobs(0);
    let waiting = other.create(new_job(house.file("other.json", 3))).unwrap().job;
    other.stop(LONG);
    drop(other);
    let jobs = house.of_command(Some(Arc::clone(&house.store)));
    let mut samples = jobs.subscribe();
    let definition = house.definition("a.json", 50);
    assert_eq!(jobs.unfinished(&definition).unwrap(), []);
    let job = jobs.make(JobId::generate(), definition.clone()).unwrap();
    assert_eq!(jobs.unfinished(&definition).unwrap(), std::slice::from_ref(&job));
    let run = jobs.begin(job.clone(), house.source(&job), CancellationToken::new()).unwrap();
    assert_eq!(run.read_before(), 0);
    let begun = jobs.seen(job.id).unwrap().unwrap();
    assert_eq!(begun.view.progress.status, JobStatus::PreparingForInitialization);
    let outcome = run.run();
    assert!(outcome.stopped.is_none(), "{outcome:?}");
    let seen = jobs.seen(job.id).unwrap().unwrap();
    assert_eq!((seen.job.status, seen.job.tally.registered), (JobStatus::Completed, 50));
    assert_eq!(jobs.sample().jobs, std::slice::from_ref(&seen.view));
    let detail = jobs.detail(seen.clone()).unwrap();
    assert_eq!((detail.objects[0].tally.read, detail.objects[0].tally.complete), (50, true));
    assert_eq!(detail.history.last().map(|point| point.records), Some(50));
    // The last sample is of the end, and was sent before the run returned.
    let mut last = None;
    while let Ok(sample) = samples.try_recv() {
        last = Some(sample);
    }
    assert_eq!(last.unwrap().jobs, std::slice::from_ref(&seen.view));
    assert_eq!(house.status(waiting.id), JobStatus::Created, "not its own");
    // A server shows the same of it.
    let server = house.jobs(0);
    assert_eq!(server.seen(job.id).unwrap().unwrap().view, seen.view);
}

#[test]
fn what_stops_it_is_reported_and_the_same_command_goes_on() {
    let house = House::new();
    let jobs = house.of_command(Some(Arc::clone(&house.store)));
    let definition = house.definition("large.json", 50);
    let job = jobs.make(JobId::generate(), definition.clone()).unwrap();
    house.poisoned.full.store(true, Ordering::SeqCst);
    let outcome = house.run(&jobs, &job, &CancellationToken::new());
    assert!(matches!(outcome.stopped, Some(JobError::Store(StoreError::Full { .. }))), "{outcome:?}");
    let seen = jobs.seen(job.id).unwrap().unwrap();
    assert_eq!(seen.view.progress.status, JobStatus::Failed);
    assert!(seen.view.error.unwrap().contains("no space left"));
    assert!(!house.status(job.id).is_terminal(), "it can go on");
    house.poisoned.full.store(false, Ordering::SeqCst);

    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let rests = jobs.unfinished(&definition).unwrap().pop().unwrap();
    let outcome = house.run(&jobs, &rests, &cancelled);
    assert!(matches!(outcome.stopped, Some(JobError::Cancelled)), "{outcome:?}");
    assert_eq!(jobs.seen(job.id).unwrap().unwrap().view.progress.status, JobStatus::Cancelled);
    assert_eq!(house.status(job.id), JobStatus::PendingJob);

    let before = marks::saved_history(&jobs.folder(job.id));
    assert!(!before.is_empty());
    let rests = jobs.unfinished(&definition).unwrap().pop().unwrap();
    let outcome = house.run(&jobs, &rests, &CancellationToken::new());
    assert!(outcome.stopped.is_none(), "{outcome:?}");
    assert_eq!((outcome.job.status, outcome.job.tally.read), (JobStatus::Completed, 50));
    assert_eq!(outcome.job.resumed, 2);
    // The points of earlier runs are kept.
    let seen = jobs.seen(job.id).unwrap().unwrap();
    assert_eq!(jobs.detail(seen).unwrap().history.first(), before.first());
    assert_eq!(jobs.unfinished(&definition).unwrap(), []);
}

#[test]
fn one_that_is_given_up_is_cancelled_with_its_reason() {
    let house = House::new();
    let jobs = house.of_command(Some(Arc::clone(&house.store)));
    let job = jobs.make(JobId::generate(), house.definition("a.json", 3)).unwrap();
    jobs.give_up(job.clone(), "for a new one".into()).unwrap();
    let job = house.store.job(job.id).unwrap().unwrap();
    assert_eq!((job.status, job.error.as_deref()), (JobStatus::Cancelled, Some("for a new one")));
}

#[test]
fn records_are_only_judged_without_a_store() {
    let house = House::new();
    let jobs = house.of_command(None);
    let application = house.store.application(APPLICATION).unwrap().unwrap();
    jobs.store().create_application(&application).unwrap();
    let job = jobs.make(JobId::generate(), house.definition("a.json", 50)).unwrap();
    let outcome = house.run(&jobs, &job, &CancellationToken::new());
    assert_eq!((outcome.job.status, outcome.job.tally.read), (JobStatus::Completed, 50));
    let seen = jobs.seen(job.id).unwrap().unwrap();
    assert_eq!((seen.view.progress.status, seen.view.progress.parsed), (JobStatus::Completed, 50));
    assert!(seen.last.is_some() && jobs.store().endpoint(APPLICATION, "a.json1").unwrap().is_none());
}
