//! What only a store in a database must do: outlive the database, tell servers apart, and refuse tables that do not fit.

use std::{ops::ControlFlow, sync::Arc};

use pinport_model::limits::RecordLimits;
use pinport_store::{
    Scope, Store, StoreError,
    postgres::{self, Postgres, PostgresOptions},
    record::write::json::{JsonWriter, Order},
};

use crate::{
    cluster::Cluster,
    support::{Bench, batches, job, new, new_application, piece_record, segment_job, update},
};

pub(crate) fn open(url: &str, owner: &str) -> Result<Postgres, StoreError> {
    Postgres::open(PostgresOptions::new(url, |_| None)?, owner, &RecordLimits::default())
}

/// A server of its own, with tables.
pub(crate) fn started() -> (Cluster, String) {
    let cluster = Cluster::start();
    let url = cluster.url();
    assert!(postgres::init(&PostgresOptions::new(&url, |_| None).unwrap()).unwrap());
    (cluster, url)
}

#[test]
fn tables_that_do_not_fit_are_refused_in_a_sentence() {
    let (cluster, url) = started();
    let options = PostgresOptions::new(&url, |_| None).unwrap();
    assert!(!postgres::init(&options).unwrap(), "they are there");
    let refused = |sql: &str, words: &str| {
        cluster.ask(&format!("SET search_path = pinport; {sql}"));
        let error = open(&url, "a").unwrap_err();
        assert!(matches!(error, StoreError::Unfit(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    };
    open(&url, "a").unwrap();
    refused("UPDATE meta SET layout = 2", "has layout 2.");
    refused("UPDATE meta SET layout = 1, record_layout = 99", "has layout 1.99");
    refused(
        &format!("UPDATE meta SET record_layout = {}, hash_check = 7", pinport_store::record::LAYOUT),
        "another hash",
    );
    let error = open(&format!("{url}?schema=elsewhere"), "a").unwrap_err().to_string();
    assert!(error.contains("pinport store init") && error.contains("elsewhere"), "{error}");
}

#[test]
fn a_database_that_comes_back_is_used_again() {
    let (mut cluster, url) = started();
    let store = open(&url, "a").unwrap();
    let application = new_application("a");
    store.create_application(&application).unwrap();
    let job = segment_job(application.id);
    store.create_job(&job).unwrap();
    let writer = store.writer(&job).unwrap();
    let commit = |piece: u64, id: &str| {
        let mut prepared = writer.prepare(piece, batches(&[new(id, "1"), update("first")])).unwrap();
        prepared.resolve().unwrap();
        prepared.commit(&piece_record(piece))
    };
    commit(0, "first").unwrap();
    cluster.crash();
    // While it is away, callers learn that, and not that something is wrong.
    let error = store.job(job.id).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    cluster.run();
    // All connections were cut. Reads and commits find new ones.
    assert_eq!(store.job(job.id).unwrap().unwrap().id, job.id);
    cluster.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
    commit(1, "second").unwrap();
    assert_eq!(store.last_piece(job.id).unwrap(), Some(piece_record(1)));
    assert_eq!(cluster.ask("SELECT count(*) FROM pinport.ops"), "3");
    assert!(store.endpoint(application.id, "second").unwrap().is_some());
}

#[test]
fn whoever_lost_a_job_commits_nothing_more() {
    let bench = Bench::postgres();
    let application = bench.application("a");
    let job = job(application);
    bench.store().create_job(&job).unwrap();
    let prepare = |writer: &Arc<dyn pinport_store::JobWriter>, piece, id| {
        let mut prepared = writer.prepare(piece, batches(&[new(id, "1")])).unwrap();
        assert_eq!(prepared.resolve().unwrap(), []);
        prepared
    };
    let first = bench.store().writer(&job).unwrap();
    prepare(&first, 0, "a").commit(&piece_record(0)).unwrap();
    let late = prepare(&first, 1, "late");
    let second = bench.store().writer(&job).unwrap();
    let error = late.commit(&piece_record(1)).unwrap_err();
    assert!(matches!(error, StoreError::Lost(_)), "{error:?}");
    assert_eq!(bench.endpoint(application, "late"), None);
    prepare(&second, 1, "b").commit(&piece_record(1)).unwrap();
    assert!(bench.endpoint(application, "b").is_some());
}

#[test]
fn ids_may_hold_any_character() {
    let bench = Bench::postgres();
    let application = bench.application("zero\0name");
    let id = "a\0b\u{1f600}\\x00";
    bench.import(&segment_job(application), &[new(id, "1").user("u\0").user_attribute("n\0", "v\0")]);
    let found = bench.endpoint(application, id).unwrap();
    assert_eq!(found.user.user_id.as_deref(), Some("u\0"));
    assert_eq!(bench.store().user_endpoints(application, "u\0", None, 9).unwrap(), [found]);
    assert_eq!(bench.store().applications_by_name("zero\0name").unwrap().len(), 1);
}

#[test]
fn a_fold_leaves_one_operand_and_spares_jobs_that_run() {
    let (cluster, url) = started();
    let store = open(&url, "a").unwrap();
    let bench = Bench::of(store);
    let application = bench.application("a");
    let records =
        |city: &str| (0..50).map(|id| new(&format!("{id}"), "1").user("u").city(city)).collect::<Vec<_>>();
    bench.import(&job(application), &records("x"));
    let running = job(application);
    bench.store().create_job(&running).unwrap();
    bench.import(&job(application), &records("z"));
    let count = || {
        cluster.ask("SELECT count(*) FROM pinport.ops")
            + "/"
            + &cluster.ask("SELECT count(*) FROM pinport.uops")
    };
    bench.store().settle().unwrap();
    assert_eq!(count(), "100/100", "what came after a job that runs is not folded");
    bench.commit(&running, 0, &records("y"));
    assert_eq!(
        bench.endpoint(application, "7").unwrap().location.city.as_deref(),
        Some("z"),
        "the later job wins"
    );
    bench.finish(&running, pinport_model::JobStatus::Completed, 50, false);
    bench.store().settle().unwrap();
    assert_eq!(count(), "50/50");
    assert_eq!(bench.endpoint(application, "7").unwrap().location.city.as_deref(), Some("z"));
    assert_eq!(bench.store().user_endpoints(application, "u", None, 99).unwrap().len(), 50);
}

/// More rows than are asked for first, with the border within an endpoint, and readers that stop before and after it.
#[test]
fn many_rows_are_read_out_to_where_the_reader_stops() {
    const MANY: usize = 5000;
    let (_cluster, url) = started();
    let bench = Bench::of(open(&format!("{url}?connections=4"), "a").unwrap());
    let application = bench.application("a");
    let records =
        |city: &str| (0..MANY).map(|id| new(&format!("{id:04}"), "1").city(city)).collect::<Vec<_>>();
    bench.import(&job(application), &records("x"));
    bench.import(&job(application), &[new("0000", "1")]);
    let imported = segment_job(application);
    bench.import(&imported, &records("z"));
    let segment = bench.segment(&imported);
    let one_layer = Scope::Version(&segment, segment.current().unwrap());
    let read = |scope: Scope<'_>, most: usize| {
        let (mut writer, mut line) = (JsonWriter::new(application, Order::Model), Vec::new());
        let mut ids = Vec::new();
        bench
            .store()
            .read_out(scope, None, 1 << 20, &mut |stored| {
                line.clear();
                writer.write(&stored, &mut line)?;
                assert!(line.windows(10).any(|part| part == b"\"City\":\"z\""), "{}", line.escape_ascii());
                ids.push(stored.id()?.to_owned());
                Ok(if ids.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .unwrap();
        ids
    };
    let ids: Vec<_> = (0..MANY).map(|id| format!("{id:04}")).collect();
    for scope in [Scope::Application(application), one_layer] {
        assert!(read(scope, 0) == ids);
        // Those who stop give back what they used.
        for most in [1, 2000, 2047, 2048, 2049, MANY - 1].into_iter().cycle().take(24) {
            assert!(read(scope, most) == ids[..most], "{most}");
        }
    }
}

#[test]
fn a_lease_that_ended_takes_files_and_documents_with_it() {
    let (cluster, url) = started();
    let (first, second) = (open(&url, "first").unwrap(), open(&url, "second").unwrap());
    let application = new_application("a");
    first.create_application(&application).unwrap();
    let mut job = job(application.id);
    first.create_job(&job).unwrap();
    first.claim(job.id).unwrap();
    first.keep_file(job.id, 0, "failures", 0, b"one").unwrap();
    let refused = second.claim(job.id).unwrap_err();
    assert!(matches!(&refused, StoreError::Lost(why) if why.contains("first")), "{refused:?}");
    assert!(!second.open_jobs().unwrap()[0].is_free && first.open_jobs().unwrap()[0].is_free);
    let worker = |store: &Postgres| store.open_jobs().unwrap().remove(0).worker;
    assert_eq!(worker(&second).map(|worker| worker.name), Some("first".into()));
    assert_eq!(worker(&first), None);
    // The first one is frozen, and its lease ends. (It is not really, so it may make its lease longer meanwhile.)
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut taken = Err(refused);
    while taken.is_err() && std::time::Instant::now() < deadline {
        cluster.ask("UPDATE pinport.parts SET lease = clock_timestamp() - interval '1 second'");
        taken = second.claim(job.id);
    }
    assert_eq!(taken.unwrap().unwrap().id, job.id);
    assert!(matches!(first.keep_file(job.id, 0, "failures", 3, b"two"), Err(StoreError::Lost(_))));
    job.status = pinport_model::JobStatus::Processing;
    assert!(matches!(first.save_job(&job), Err(StoreError::Lost(_))));
    second.save_job(&job).unwrap();
    second.keep_file(job.id, 0, "failures", 3, b"three").unwrap();
    second.keep_file(job.id, 0, "plan", 0, b"plan").unwrap();
    let mut kept = Vec::new();
    let each = &mut |name: &str, at, bytes: &[u8]| {
        kept.push((name.to_owned(), at, String::from_utf8(bytes.to_vec()).unwrap()));
        Ok(())
    };
    first.kept_files(job.id, 0, each).unwrap();
    let expected = [("failures", 0, "one"), ("failures", 3, "three"), ("plan", 0, "plan")];
    assert_eq!(kept, expected.map(|(name, at, bytes)| (name.to_owned(), at, bytes.to_owned())));
    // When the job has ended, no one adds anything.
    job.status = pinport_model::JobStatus::Completed;
    second.finish_job(&job, false).unwrap();
    assert!(matches!(first.keep_file(job.id, 0, "failures", 0, b"late"), Err(StoreError::Lost(_))));
    assert!(matches!(second.keep_file(job.id, 0, "failures", 0, b"late"), Err(StoreError::Lost(_))));
}

#[test]
fn a_request_makes_one_job_whoever_is_asked() {
    let (cluster, url) = started();
    let (first, second) = (Bench::of(open(&url, "first").unwrap()), open(&url, "second").unwrap());
    let application = first.application("a");
    let window = std::time::Duration::from_secs(60);
    let asked = |request: &str| {
        let mut job = job(application);
        job.request = Some(request.into());
        job
    };
    let made = asked("one");
    assert_eq!(first.store().requested_job("one", window).unwrap(), None);
    assert_eq!(first.store().create_requested_job(&made, window).unwrap(), None);
    assert_eq!(second.create_requested_job(&asked("one"), window).unwrap(), Some(made.id));
    assert_eq!(second.requested_job("one", window).unwrap(), Some(made.id));
    assert_eq!(second.create_requested_job(&asked("two"), window).unwrap(), None);
    // A job that cannot be made leaves no request behind.
    let mut none = asked("three");
    none.definition.application = pinport_model::ApplicationId::generate();
    assert!(second.create_requested_job(&none, window).is_err());
    assert_eq!(second.create_requested_job(&asked("three"), window).unwrap(), None);
    // With its job, or its time, a request is over.
    first.finish(&made, pinport_model::JobStatus::Completed, 0, false);
    assert!(first.store().delete_job(made.id).unwrap());
    assert_eq!(second.create_requested_job(&asked("one"), window).unwrap(), None);
    cluster.ask("UPDATE pinport.requests SET made = made - interval '61 seconds' WHERE request <> 'three'");
    assert_eq!(second.requested_job("two", window).unwrap(), None);
    assert_eq!(second.create_requested_job(&asked("two"), window).unwrap(), None);
    assert_eq!(
        cluster.ask("SELECT string_agg(request, ' ' ORDER BY request) FROM pinport.requests"),
        "three two"
    );
    assert_eq!(cluster.ask("SELECT count(*) FROM pinport.jobs"), "4");
}
