//! A whole store is copied from a folder into a database and back, and what is read is the same; a copy that is interrupted
//! anywhere goes on, and nothing opens its target before it is whole.

use std::{ops::ControlFlow, path::Path};

use pinport_model::{ApplicationId, JobStatus, RecordLimits, SegmentId, Settings, Timestamp};
use pinport_store::{
    EndpointUpdate, Scope, Store, StoreError,
    copying::{Contents, KINDS, Side, Step},
    embedded::{Embedded, EmbeddedOptions},
    postgres::{self, Postgres, PostgresOptions},
    record::write::json::{JsonWriter, Order},
};

use crate::{
    cluster::Cluster,
    support::{Bench, copies_job, job, new, segment_job, update, user_only},
};

/// Something of every kind that a store can hold.
fn fill(bench: &Bench) {
    let applications = ["shop", "shop", "news\0letter"].map(|name| bench.application(name));
    let shop = applications[0];
    bench.store().save_settings(shop, &Settings::default()).unwrap();
    let people = |from: usize, city: &str| {
        let one = |number: usize| {
            let record = new(&format!("id {number}"), "1").city(city).attribute("plan", city);
            record.user(&format!("user {}", number % 7)).user_attribute("note", city)
        };
        (from..from + 40).map(one).collect::<Vec<_>>()
    };
    bench.import(&job(applications[1]), &[new("same", "1"), new("other", "2").user("u\0")]);
    let first = segment_job(shop);
    bench.import(&first, &people(0, "Ulm"));
    // So many layers that some are made one, and so many versions that some are forgotten.
    for round in 0..60 {
        let mut more = job(shop);
        more.definition.segment = first.definition.segment;
        more.definition.register_endpoints = round % 5 != 0;
        bench.import(&more, &people(round, if round % 2 == 0 { "Bonn" } else { "Köln" }));
    }
    let copies = copies_job(shop);
    bench.import(
        &copies,
        &[new("id 3", "9").without("plan"), update("id 4").city("Trier"), new("only here", "1")],
    );
    bench.import(
        &job(shop),
        &[user_only("user 3").user_attribute("note", "x"), new("moved", "1").user("user 1")],
    );
    bench.import(&job(shop), &[update("moved").user("user 2"), update("nobody")]);
    let cancelled = segment_job(shop);
    bench.store().create_job(&cancelled).unwrap();
    bench.commit(&cancelled, 0, &[new("cut off", "1")]);
    bench.commit(&cancelled, 1, &[]);
    bench.finish(&cancelled, JobStatus::Cancelled, 1, false);
    for id in ["by itself", "by itself too"] {
        let address = new(id, "one address").user("user 5");
        let update = EndpointUpdate::new(id, &mut address.draft(), Timestamp::from_millis(3000));
        bench.store().put_endpoints(shop, &[update], &RecordLimits::default()).unwrap();
    }
    assert!(bench.store().delete_endpoint(shop, "id 7").unwrap());
    assert!(bench.store().delete_user_endpoints(shop, "user 6").unwrap() > 0);
}

/// All that can be read of a store.
fn told(store: &dyn Store) -> Vec<String> {
    let mut told = Vec::new();
    let read_out = |application: ApplicationId, scope: Scope<'_>| {
        let mut writer = JsonWriter::new(application, Order::Model);
        let mut lines = Vec::new();
        let each = &mut |stored: pinport_store::Stored<'_>| {
            let mut line = Vec::new();
            writer.write(&stored, &mut line)?;
            lines.push(String::from_utf8(line).unwrap());
            Ok(ControlFlow::Continue(()))
        };
        store.read_out(scope, None, 1 << 20, each).unwrap();
        lines
    };
    for application in store.applications(None, 99).unwrap() {
        let id = application.id;
        told.push(format!("{application:?} {:?}", store.settings(id).unwrap()));
        assert!(store.applications_by_name(&application.name).unwrap().contains(&application));
        told.extend(read_out(id, Scope::Application(id)));
        for user in (0..7).map(|user| format!("user {user}")).chain(["u\0".into()]) {
            told.push(format!("{user}: {:?}", store.user_endpoints(id, &user, None, 999).unwrap()));
        }
        for segment in store.segments(id, None, 99).unwrap() {
            told.push(format!("{segment:?}"));
            for version in store.segment_versions(&segment, None, 999).unwrap() {
                told.push(format!("{version:?} {:?}", store.version_jobs(&segment, &version, 99).unwrap()));
                told.extend(read_out(id, Scope::Version(&segment, &version)));
            }
        }
        for job in store.jobs(Some(id), None, 999).unwrap() {
            told.push(format!("{job:?} {:?}", store.pieces(job.id, 0, 99).unwrap()));
        }
    }
    told
}

fn embedded(folder: &Path) -> Side {
    Side::Embedded(Embedded::open_to_copy(folder, EmbeddedOptions::default()).unwrap())
}

/// A schema that is made, with its URL.
fn schema(cluster: &Cluster, name: &str) -> (Side, String) {
    let url = format!("{}?schema={name}", cluster.url());
    let options = || PostgresOptions::new(&url, |_| None).unwrap();
    postgres::init(&options()).unwrap();
    let store = Postgres::open_to_copy(options(), "a copy", &RecordLimits::default()).unwrap();
    (Side::Postgres(store), url)
}

fn open(url: &str) -> Result<Postgres, StoreError> {
    Postgres::open(PostgresOptions::new(url, |_| None).unwrap(), "a server", &RecordLimits::default())
}

fn copied(from: &Side, to: &Side) -> Contents {
    let contents = from.copy("the source", to, &mut |_| ControlFlow::Continue(())).unwrap();
    to.finish().unwrap();
    contents
}

#[test]
fn a_store_goes_into_a_database_and_back() {
    let cluster = Cluster::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let bench = Bench::of(Embedded::open(folders[0].path(), EmbeddedOptions::default()).unwrap());
    fill(&bench);
    let expected = told(bench.store());
    drop(bench);
    let from = embedded(folders[0].path());
    let (database, url) = schema(&cluster, "one");
    let contents = copied(&from, &database);
    let counts = contents.counts();
    assert!(counts.iter().all(|count| *count > 0), "{:?}", KINDS.iter().zip(counts).collect::<Vec<_>>());
    assert!(told(database.store()) == expected, "what the database has is something else");
    // Into another database, and back.
    let (second, _) = schema(&cluster, "two");
    assert_eq!(copied(&database, &second), contents);
    assert!(told(second.store()) == expected, "what the second database has is something else");
    let back = embedded(folders[1].path());
    assert_eq!(copied(&second, &back), contents);
    assert!(told(back.store()) == expected, "what came back is something else");
    // All three go on as stores do: imports, versions and folds of layers.
    drop((back, database));
    let stores = [
        Bench::of(Embedded::open(folders[1].path(), EmbeddedOptions::default()).unwrap()),
        Bench::of(open(&url).unwrap()),
    ];
    let segment = |bench: &Bench| -> (ApplicationId, SegmentId) {
        let shop = bench.store().applications(None, 1).unwrap()[0].id;
        (shop, bench.store().segments(shop, None, 99).unwrap().last().unwrap().id)
    };
    let jobs: Vec<_> = (0..40).map(|_| job(segment(&stores[0]).0)).collect();
    for bench in &stores {
        for job in &jobs {
            let mut job = job.clone();
            job.definition.segment = Some(segment(bench).1);
            let records: Vec<_> =
                (0..5).map(|number| new(&format!("new {number}"), "1").city("Mainz")).collect();
            bench.import(&job, &[records, vec![new("id 2", "5").city("Mainz")]].concat());
        }
        bench.store().settle().unwrap();
    }
    let after: Vec<_> = stores.iter().map(|bench| told(bench.store())).collect();
    assert!(after[0] == after[1] && after[0].len() > expected.len(), "they go on in different ways");
    // What is not empty takes no copy.
    let refused = second.copy("a", &from, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(refused.to_string().contains("is not empty"), "{refused}");
}

#[test]
fn a_copy_that_is_interrupted_goes_on() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::of(Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap());
    fill(&bench);
    let expected = told(bench.store());
    drop(bench);
    let from = embedded(folder.path());
    let (whole, _) = schema(&cluster, "whole");
    let contents = copied(&from, &whole);
    for to_folder in [false, true] {
        let source = if to_folder { &whole } else { &from };
        // Each third step, because each takes a copy.
        for stop in (1..).step_by(3) {
            let target = tempfile::tempdir().unwrap();
            let name = format!("stopped_{stop}");
            let reopened = || match to_folder {
                true => (embedded(target.path()), String::new()),
                false => schema(&cluster, &name),
            };
            let (to, url) = reopened();
            let mut steps = 0;
            let interrupted = source.copy("the source", &to, &mut |_| {
                steps += 1;
                if steps == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if interrupted.is_ok() {
                assert!(stop > 8, "there are {stop} steps");
                break;
            }
            drop(to);
            let opened = match to_folder {
                true => Embedded::open(target.path(), EmbeddedOptions::default()).map(drop),
                false => open(&url).map(drop),
            };
            let refused = opened.unwrap_err().to_string();
            assert!(refused.contains("has not ended") && refused.contains("the source"), "{refused}");
            let (to, _) = reopened();
            let other = source.copy("another source", &to, &mut |_| ControlFlow::Continue(()));
            assert!(other.unwrap_err().to_string().contains("has not ended"));
            let mut first = None;
            let done = source.copy("the source", &to, &mut |step| {
                first.get_or_insert(step);
                ControlFlow::Continue(())
            });
            assert_eq!(done.unwrap(), contents);
            // It did not begin again.
            let all: u64 = contents.counts().iter().sum();
            assert!(
                matches!(first, Some(Step::Copied(some) | Step::Verified(some)) if some < all),
                "{first:?}"
            );
            to.finish().unwrap();
            // Counts and hashes were compared; what they stand for is looked at now and then.
            assert!(stop % 9 != 1 || told(to.store()) == expected, "stopped at {stop}");
        }
    }
}

#[test]
fn a_copy_that_lost_something_is_noticed() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::of(Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap());
    fill(&bench);
    drop(bench);
    let from = embedded(folder.path());
    for (number, (sql, kind)) in [
        ("DELETE FROM ops WHERE h8 = (SELECT min(h8) FROM ops WHERE space > 0)", "endpoints"),
        (
            "UPDATE uops SET rec = rec || rec WHERE h8 = (SELECT min(h8) FROM uops WHERE rec IS NOT NULL)",
            "users",
        ),
        ("DELETE FROM members WHERE (layer, id) = (SELECT layer, id FROM members LIMIT 1)", "members"),
        ("UPDATE jobs SET doc = replace(doc::text, 'CANCELLED', 'FAILED')::json", "jobs"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("lost_{number}");
        let (to, _) = schema(&cluster, &name);
        let mut is_done = false;
        let refused = from.copy("the source", &to, &mut |step| {
            if matches!(step, Step::Verified(_)) && !is_done {
                is_done = true;
                cluster.ask(&format!("SET search_path = {name}; {sql}"));
            }
            ControlFlow::Continue(())
        });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("is not what the source is") && refused.contains(kind), "{refused}");
    }
}
