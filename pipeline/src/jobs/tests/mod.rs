//! Jobs over the in-memory store, across restarts. A supervisor that may run nothing keeps jobs where a test
//! wants them; a second one over the same store is the restart.

mod command;
mod control;
mod making;
mod poisoned;
mod room;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use pinport_model::{
    Application, ApplicationId, Format, JobId, JobStatus, ReadOptions, SegmentId, Timestamp,
    job::FailureBudget,
};
use pinport_store::Store;

use super::*;
use crate::{
    engine::EngineOptions,
    source::{Settings, SourceOptions},
};
use poisoned::Poisoned;

const APPLICATION: ApplicationId = ApplicationId::from_bytes([1; 16]);
const LONG: Duration = Duration::from_secs(30);

struct House {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    poisoned: Arc<Poisoned>,
    look: Duration,
    disk: fn(&Path) -> std::io::Result<Disk>,
    io: tokio::runtime::Runtime,
}

impl House {
    fn new() -> Self {
        let poisoned = Arc::new(Poisoned::default());
        let store: Arc<dyn Store> = poisoned.clone();
        let application = Application {
            id: APPLICATION,
            name: "shop".into(),
            created: Timestamp::now(),
            tags: Default::default(),
        };
        store.create_application(&application).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let look = JobsOptions::new("").look;
        Self { folder, store, poisoned, look, disk: Disk::of, io }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn jobs(&self, max_running: usize) -> Jobs {
        self.jobs_with(
            max_running,
            SourcesConfig { local_root: Some(self.root()), ..SourcesConfig::default() },
        )
    }

    fn jobs_with(&self, max_running: usize, sources: SourcesConfig) -> Jobs {
        let source = SourceOptions {
            retries: 0,
            retry_base: Duration::from_millis(1),
            settings: Settings::empty(),
            ..SourceOptions::default()
        };
        let engine = EngineOptions { threads: 1, ..EngineOptions::default() };
        let options = JobsOptions {
            max_running,
            look: self.look,
            list_retries: 1,
            list_wait: Duration::from_millis(1),
            piece_bytes: 64,
            disk_reserve: Some(1000),
            disk: self.disk,
            ..JobsOptions::new(self.folder.path().join("jobs"))
        };
        Jobs::start(
            Arc::clone(&self.store),
            Arc::new(Engine::start(engine).unwrap()),
            Resolver::new(sources, source).unwrap(),
            options,
            self.io.handle().clone(),
        )
        .unwrap()
    }

    /// Jobs of which those that read a bucket hang: its store takes connections (while the listener lives) and says
    /// nothing.
    fn jobs_of_a_silent_store(&mut self) -> (Jobs, std::net::TcpListener) {
        self.look = Duration::from_millis(1);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let default = RoleConfig {
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            unsigned: true,
            ..RoleConfig::default()
        };
        let sources = SourcesConfig { default, local_root: Some(self.root()), ..SourcesConfig::default() };
        (self.jobs_with(2, sources), listener)
    }

    fn file(&self, name: &str, lines: usize) -> String {
        let path = self.root().join(name);
        let line = |n| format!("{{\"Id\":\"{name}{n}\",\"Address\":\"a{n}@x\",\"ChannelType\":\"EMAIL\"}}\n");
        std::fs::write(&path, (0..lines).map(line).collect::<String>()).unwrap();
        format!("file://{}", path.display())
    }

    fn status(&self, id: JobId) -> JobStatus {
        self.store.job(id).unwrap().unwrap().status
    }
}

fn new_job(url: String) -> NewJob {
    NewJob {
        principal: None,
        application: APPLICATION,
        source_text: url,
        format: Format::Json,
        register_endpoints: true,
        define_segment: true,
        asked_to_define: None,
        segment: None,
        segment_name: None,
        role_arn: Some("role".into()),
        external_id: None,
        request: None,
        upload: None,
        retry_of: None,
        max_failures: None,
        read: ReadOptions::default(),
    }
}

#[test]
fn a_job_runs_to_its_end_and_is_seen_the_same_everywhere() {
    let house = House::new();
    let jobs = house.jobs(2);
    let mut samples = jobs.subscribe();
    let created = jobs.create(new_job(house.file("a.json", 50))).unwrap();
    assert_eq!((created.job.status, created.new), (JobStatus::Created, true));
    assert!(jobs.wait(created.job.id, LONG));
    let seen = jobs.seen(created.job.id).unwrap().unwrap();
    assert_eq!((seen.job.status, seen.job.tally.registered), (JobStatus::Completed, 50));
    assert!(seen.job.completed_pieces > 10);
    let view = jobs.sample().jobs[0].clone();
    assert_eq!(view, seen.view);
    let detail = jobs.detail(seen.clone()).unwrap();
    assert_eq!(detail.pieces.iter().map(|run| run.count).sum::<u64>(), seen.job.completed_pieces);
    assert_eq!((detail.objects[0].tally.read, detail.objects[0].tally.complete), (50, true));
    let again = jobs.detail(seen).unwrap();
    assert_eq!(again.objects, detail.objects, "a look again counts no piece twice");
    let names: Vec<_> = detail.stages.iter().map(|stage| stage.stage.as_str()).collect();
    assert_eq!(names, ["fetch", "decode", "parse", "build", "commit"]);
    assert_eq!(detail.history.last().map(|point| (point.records, point.failed)), Some((50, 0)));
    assert_eq!(jobs.totals().records, 50);
    let sample = house.io.block_on(async { tokio::time::timeout(LONG, samples.recv()).await });
    assert!(sample.unwrap().unwrap().sequence >= 1);
}

#[test]
fn the_first_sample_of_a_listener_has_the_number_of_the_last_one_that_all_got() {
    let house = House::new();
    let jobs = house.jobs(0);
    let mut samples = jobs.subscribe();
    let mut next = || house.io.block_on(async { tokio::time::timeout(LONG, samples.recv()).await }).unwrap();
    jobs.create(new_job(house.file("a.json", 1))).unwrap();
    let seen = next().unwrap().sequence;
    let first = jobs.sample();
    assert!(first.sequence >= seen && first.events.is_empty(), "{first:?}");
    jobs.create(new_job(house.file("b.json", 1))).unwrap();
    let mut last = seen;
    while last <= first.sequence {
        let sample = next().unwrap();
        assert_eq!(sample.sequence, last + 1);
        last = sample.sequence;
    }
}

#[test]
fn a_new_listener_gets_what_it_missed() {
    let house = House::new();
    let jobs = house.jobs(2);
    let created = jobs.create(new_job(house.file("a.json", 50))).unwrap().job;
    assert!(jobs.wait(created.id, LONG));
    // The sampler makes past events of those that it sent.
    let begun = std::time::Instant::now();
    let past = loop {
        let past = jobs.first_sample().past.clone().unwrap();
        if past.events.iter().any(|event| event.text.starts_with("COMPLETED")) {
            break past;
        }
        assert!(begun.elapsed() < LONG, "{past:?}");
        std::thread::yield_now();
    };
    assert!(past.events.is_sorted_by_key(|event| event.time) && past.events.len() > 1, "{past:?}");
    assert!(past.events.iter().all(|event| event.job == Some(created.id) && event.application.is_some()));
    assert_eq!(past.server.last().map(|point| (point.records, point.failed)), Some((50, 0)));
    assert_eq!(past.jobs, [], "none runs");
    assert!(jobs.sample().past.is_none());
    let machine = jobs.sample().machine.unwrap();
    assert!(machine.cpus > 0 && machine.disk_free > machine.disk_reserve, "{machine:?}");
    drop(jobs);

    // Another process still knows how the job ended.
    let again = house.jobs(2).first_sample();
    let events = &again.past.as_ref().unwrap().events;
    let last = events.last().unwrap();
    assert!(last.text.starts_with("COMPLETED: 50 read") && last.job == Some(created.id), "{events:?}");
}

#[test]
fn jobs_wait_in_order_and_go_on_by_themselves_after_a_restart() {
    let house = House::new();
    let (a, b) = (house.file("a.json", 3), house.file("b.json", 3));
    let stopped = house.jobs(0);
    let first = stopped.create(new_job(a)).unwrap().job;
    let second = stopped.create(new_job(b)).unwrap().job;
    for job in [&first, &second] {
        assert_eq!(stopped.seen(job.id).unwrap().unwrap().job.status, JobStatus::PendingJob);
    }
    assert_eq!(stopped.stop(LONG), 0);
    assert!(matches!(stopped.create(new_job("s3://b/k".into())), Err(CreateError::Unavailable(_))));
    let jobs = house.jobs(1);
    for job in [&first, &second] {
        assert!(jobs.wait(job.id, LONG));
        assert_eq!(house.status(job.id), JobStatus::Completed);
    }
    let ended = jobs.sample().jobs.clone();
    let first_end = ended.iter().find(|view| view.id == first.id).unwrap().completed;
    assert!(first_end <= ended.iter().find(|view| view.id == second.id).unwrap().completed);
}

#[test]
fn settling_beside_a_job_rests_four_times_as_long_as_it_works() {
    let mut house = House::new();
    let (jobs, _silent) = house.jobs_of_a_silent_store();
    let held = jobs.create(new_job("s3://bucket/key".into())).unwrap().job.id;
    let worked = Duration::from_millis(50);
    let begun = Instant::now();
    assert!(jobs.inner.may_settle_on(worked));
    assert!(begun.elapsed() >= 4 * worked);
    jobs.cancel(held).unwrap();
    assert!(jobs.wait(held, LONG));
    // Without a job it does not rest.
    let begun = Instant::now();
    assert!(jobs.inner.may_settle_on(LONG));
    assert!(begun.elapsed() < Duration::from_secs(5));
    jobs.stop(LONG);
    assert!(!jobs.inner.may_settle_on(worked));
}

#[test]
fn the_store_settles_when_no_job_runs() {
    let mut house = House::new();
    let (jobs, _silent) = house.jobs_of_a_silent_store();
    let held = jobs.create(new_job("s3://bucket/key".into())).unwrap().job.id;
    let done = jobs.create(new_job(house.file("a.json", 3))).unwrap().job.id;
    assert!(jobs.wait(done, LONG));
    jobs.cancel(held).unwrap();
    assert!(jobs.wait(held, LONG));
    let unfinished = house.poisoned.settled(LONG);
    assert!(!unfinished.is_empty() && unfinished.iter().all(|jobs| *jobs == 0), "{unfinished:?}");
}

#[test]
fn a_failing_job_disturbs_no_other() {
    let house = House::new();
    let stopped = house.jobs(0);
    let gone = stopped.create(new_job(house.file("gone.json", 3))).unwrap().job.id;
    let good = stopped.create(new_job(house.file("good.json", 3))).unwrap().job.id;
    std::fs::remove_file(house.root().join("gone.json")).unwrap();
    let jobs = house.jobs(2);
    for id in [gone, good] {
        assert!(jobs.wait(id, LONG));
    }
    let failed = house.store.job(gone).unwrap().unwrap();
    assert_eq!(failed.status, JobStatus::Failed);
    assert!(failed.error.unwrap().contains("is not below the folder"));
    assert_eq!(house.status(good), JobStatus::Completed);
    assert!(jobs.health().is_ok());
    assert_eq!(jobs.totals().failed, 1);
}

#[test]
fn a_panic_in_a_job_fails_that_job_alone() {
    let house = House::new();
    let jobs = house.jobs(2);
    let poisoned = jobs.create(new_job(house.file("poison.json", 3))).unwrap().job.id;
    let good = jobs.create(new_job(house.file("good.json", 500))).unwrap().job.id;
    for id in [poisoned, good] {
        assert!(jobs.wait(id, LONG));
    }
    let failed = house.store.job(poisoned).unwrap().unwrap();
    assert_eq!(failed.status, JobStatus::Failed);
    assert!(failed.error.unwrap().contains("poison in piece 0"));
    assert_eq!(house.status(good), JobStatus::Completed);
    // Its threads serve on.
    let later = jobs.create(new_job(house.file("later.json", 3))).unwrap().job.id;
    assert!(jobs.wait(later, LONG));
    assert_eq!(house.status(later), JobStatus::Completed);
    assert!(jobs.health().is_ok());
}

/// What a poller sees of a job is a way that the statuses allow, without a step back.
#[test]
fn jobs_are_seen_to_move_forward_only() {
    use JobStatus::{
        Cancelled, Cancelling, Completed, Completing, Created, Failed, Failing, Initializing, PendingJob,
        PreparingForInitialization, Processing,
    };
    let begin = [Created, PendingJob, PreparingForInitialization, Initializing, Processing];
    let house = House::new();
    let jobs = house.jobs(1);
    let see = |id: JobId, until: JobStatus| {
        let mut seen: Vec<JobStatus> = Vec::new();
        loop {
            let status = jobs.seen(id).unwrap().unwrap().job.status;
            if seen.last() != Some(&status) {
                seen.push(status);
            }
            if status.is_terminal() || status == until {
                return seen;
            }
        }
    };
    let check = |seen: &[JobStatus], end: [JobStatus; 2]| {
        let way = [&begin[..], &end].concat();
        assert!(way.windows(2).all(|step| step[0].may_become(step[1])), "{way:?}");
        let place = |status: &JobStatus| way.iter().position(|found| found == status);
        let places: Vec<_> = seen.iter().map(place).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{seen:?}");
        assert_eq!(seen.last(), Some(&end[1]), "{seen:?}");
    };
    let good = jobs.create(new_job(house.file("good.json", 2000))).unwrap().job.id;
    let waiting = jobs.create(new_job(house.file("waiting.json", 3))).unwrap().job.id;
    check(&see(good, Completed), [Completing, Completed]);
    check(&see(waiting, Completed), [Completing, Completed]);
    let over = NewJob { max_failures: Some(FailureBudget::Count(0)), ..new_job(house.file("bad.json", 500)) };
    let bad = house.root().join("bad.json");
    std::fs::write(&bad, std::fs::read_to_string(&bad).unwrap() + "{}\n").unwrap();
    let failing = jobs.create(over).unwrap().job.id;
    check(&see(failing, Failed), [Failing, Failed]);
    let cancelled = jobs.create(new_job(house.file("cancelled.json", 3000))).unwrap().job.id;
    let mut seen = see(cancelled, Processing);
    if jobs.cancel(cancelled).is_ok() {
        seen.extend(see(cancelled, Cancelled));
        check(&seen, [Cancelling, Cancelled]);
    }
}

#[test]
fn a_source_that_does_not_answer_is_tried_again_before_the_job_fails() {
    let house = House::new();
    // No one listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let default = RoleConfig {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        unsigned: true,
        ..RoleConfig::default()
    };
    let jobs = house.jobs_with(2, SourcesConfig { default, ..SourcesConfig::default() });
    let id = jobs.create(new_job("s3://bucket/key".into())).unwrap().job.id;
    assert!(jobs.wait(id, LONG));
    let job = house.store.job(id).unwrap().unwrap();
    assert_eq!(job.status, JobStatus::Failed);
    assert!(job.error.unwrap().contains("cannot be reached"));
}
