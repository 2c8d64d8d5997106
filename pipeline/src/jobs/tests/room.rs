//! Disks without room, stores that stop, and who is next: what one job does to the others.

use std::{path::Path, sync::atomic::Ordering};

use pinport_model::view::Sample;

use super::*;
use crate::jobs::queue::{SHORT, STOPPED};

/// A disk that has as many free bytes as a file beside the jobs says.
fn told(jobs: &Path) -> std::io::Result<Disk> {
    let text = std::fs::read_to_string(jobs.parent().unwrap().join("free"))?;
    Ok(Disk { total: 1 << 30, free: text.parse().unwrap() })
}

impl House {
    fn free(&self, bytes: u64) {
        // At once: it is read while it is written.
        let folder = self.folder.path();
        std::fs::write(folder.join("free.new"), bytes.to_string()).unwrap();
        std::fs::rename(folder.join("free.new"), folder.join("free")).unwrap();
    }

    /// The first sample of which something is true.
    fn until(&self, jobs: &Jobs, is: impl Fn(&Sample) -> bool) -> Arc<Sample> {
        let mut samples = jobs.subscribe();
        let mut sample = jobs.sample();
        let until = std::time::Instant::now() + LONG;
        while !is(&sample) {
            assert!(std::time::Instant::now() < until, "it does not come: {sample:?}");
            let next = async { tokio::time::timeout(Duration::from_millis(5), samples.recv()).await };
            sample = match self.io.block_on(next) {
                Ok(Ok(next)) => next,
                _ => jobs.sample(),
            };
        }
        sample
    }
}

#[test]
fn below_the_reserve_nothing_begins_and_what_runs_waits_until_there_is_room() {
    let mut house = House::new();
    house.disk = told;
    house.free(5000);
    let (jobs, _listener) = house.jobs_of_a_silent_store();
    let id = jobs.create(new_job("s3://bucket/key".into())).unwrap().job.id;
    house.until(&jobs, |sample| sample.jobs[0].progress.status == JobStatus::Initializing);
    house.free(999);
    let sample = house.until(&jobs, |sample| {
        sample.trouble.is_some() && sample.jobs[0].progress.status == JobStatus::PendingJob
    });
    assert!(sample.trouble.as_ref().unwrap().contains("0 MiB free"));
    assert_eq!(sample.jobs[0].waits_for.as_deref(), Some(SHORT));
    assert_eq!(jobs.trouble(), Some(SHORT));
    assert!(jobs.health().is_ok(), "what is stored can be read");
    assert!(matches!(jobs.create(new_job(house.file("b.json", 1))), Err(CreateError::Unavailable(_))));
    assert!(jobs.room().is_err());
    // A little more than the reserve is too little to begin again.
    house.free(1100);
    let b = jobs.create(new_job(house.file("b.json", 1))).unwrap().job.id;
    let sample = house.until(&jobs, |sample| sample.jobs.len() == 2);
    assert!(sample.trouble.is_some() && sample.jobs.iter().all(|job| job.waits_for.is_some()));
    house.free(1 << 20);
    assert!(jobs.wait(b, LONG));
    assert_eq!(house.status(b), JobStatus::Completed);
    house.until(&jobs, |sample| {
        let view = sample.jobs.iter().find(|job| job.id == id).unwrap();
        sample.trouble.is_none() && view.waits_for.is_none() && view.progress.status != JobStatus::PendingJob
    });
    jobs.stop(LONG);
}

#[test]
fn a_job_that_finds_the_disk_full_waits_and_others_go_on() {
    let house = House::new();
    let jobs = house.jobs(2);
    house.poisoned.full.store(true, Ordering::SeqCst);
    let large = jobs.create(new_job(house.file("large.json", 30))).unwrap().job.id;
    let is_parked = |sample: &Sample| {
        let large = sample.jobs.iter().find(|job| job.id == large).unwrap();
        let why = large.waits_for.as_deref();
        why.is_some_and(|why| why.contains("disk is full") && !why.contains("secret"))
    };
    house.until(&jobs, is_parked);
    let other = jobs.create(new_job(house.file("other.json", 30))).unwrap().job.id;
    assert!(jobs.wait(other, LONG));
    assert_eq!(house.status(other), JobStatus::Completed);
    assert!(jobs.health().is_ok());
    // Longer than any other retry lasts.
    house.until(&jobs, is_parked);
    house.poisoned.full.store(false, Ordering::SeqCst);
    assert!(jobs.wait(large, LONG));
    let job = house.store.job(large).unwrap().unwrap();
    assert_eq!((job.status, job.tally.registered), (JobStatus::Completed, 30));
}

#[test]
fn a_store_that_stops_shows_everywhere_also_while_no_job_runs() {
    let house = House::new();
    let jobs = house.jobs(1);
    let waiting = house.jobs(0).create(new_job(house.file("a.json", 3))).unwrap().job.id;
    house.poisoned.stopped.store(true, Ordering::SeqCst);
    let sample = house.until(&jobs, |sample| sample.trouble.is_some());
    assert!(sample.trouble.as_ref().unwrap().contains("nothing can be stored any more (a write failed"));
    assert!(jobs.health().is_err() && jobs.store_stopped().is_cancelled());
    assert_eq!(jobs.trouble(), Some(STOPPED));
    drop(jobs);
    let jobs = house.jobs(1);
    let sample = house.until(&jobs, |sample| sample.jobs.iter().any(|job| job.waits_for.is_some()));
    assert_eq!((sample.jobs[0].id, sample.jobs[0].waits_for.as_deref()), (waiting, Some(STOPPED)));
}

/// 6,000 jobs of one application are not before the first of another.
#[test]
fn applications_take_turns() {
    let house = House::new();
    let other = ApplicationId::from_bytes([2; 16]);
    let application =
        Application { id: other, name: "other".into(), created: Timestamp::now(), tags: Default::default() };
    house.store.create_application(&application).unwrap();
    let stopped = house.jobs(0);
    let create = |name: &str, application| {
        stopped.create(NewJob { application, ..new_job(house.file(name, 1)) }).unwrap().job.id
    };
    let many: Vec<_> = (0..20).map(|number| create(&format!("{number}.json"), APPLICATION)).collect();
    let first = create("first.json", other);
    let second = create("second.json", other);
    drop(stopped);
    let jobs = house.jobs(1);
    for id in many.iter().chain([&first, &second]) {
        assert!(jobs.wait(*id, LONG));
    }
    let ended = |id| house.store.job(id).unwrap().unwrap().completed.unwrap();
    let before = |id| many.iter().filter(|one| ended(**one) < ended(id)).count();
    assert!(before(first) <= 2, "{} jobs of the other application came before", before(first));
    assert!(before(second) <= 4, "{}", before(second));
    assert!(many.is_sorted_by_key(|id| ended(*id)), "each application's jobs stay in order");
}

#[test]
fn a_key_runs_as_many_jobs_as_it_may() {
    let mut house = House::new();
    house.look = Duration::from_millis(1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let default = RoleConfig {
        endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        unsigned: true,
        ..RoleConfig::default()
    };
    let grant = |max_running| Grant { max_running, ..Grant::everything() };
    let grants = [("one".to_owned(), grant(Some(1))), ("any".to_owned(), grant(None))].into_iter().collect();
    let jobs = house.jobs_with(
        3,
        SourcesConfig { default, grants, local_root: Some(house.root()), ..SourcesConfig::default() },
    );
    let create = |key: &str| {
        let new = NewJob { principal: Some(key.into()), ..new_job("s3://bucket/key".into()) };
        jobs.create(new).unwrap().job.id
    };
    let (first, second, other) = (create("one"), create("one"), create("any"));
    let runs = |sample: &Sample, id| {
        let view = sample.jobs.iter().find(|job| job.id == id).unwrap();
        view.progress.status == JobStatus::Initializing
    };
    let sample = house.until(&jobs, |sample| runs(sample, first) && runs(sample, other));
    assert!(!runs(&sample, second));
    jobs.cancel(first).unwrap();
    house.until(&jobs, |sample| runs(sample, second));
    jobs.stop(LONG);
}
