//! Applications: their names, and what goes with them.

use std::collections::BTreeMap;

use pinport_model::JobStatus;
use pinport_store::StoreError;

use crate::support::{Bench, job, new, segment_job};

pub(crate) fn applications_are_found_by_id_and_name(mut bench: Bench) {
    let first = bench.application("first");
    let second = bench.application("second");
    bench.reopen();
    let store = bench.store();
    assert_eq!(store.application(first).unwrap().unwrap().name, "first");
    assert_eq!(store.applications_by_name("second").unwrap()[0].id, second);
    assert!(store.applications_by_name("third").unwrap().is_empty());
    let ids = |after, limit| {
        let found = store.applications(after, limit).unwrap();
        found.into_iter().map(|application| application.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 9), [first, second]);
    assert_eq!(ids(None, 1), [first]);
    assert_eq!(ids(Some(first), 9), [second]);
    assert!(ids(Some(second), 9).is_empty());
}

pub(crate) fn applications_may_share_a_name(mut bench: Bench) {
    let first = bench.application("one");
    let mut application = bench.store().application(first).unwrap().unwrap();
    application.tags = BTreeMap::from([("team".into(), "a".into())]);
    bench.store().save_application(&application).unwrap();
    assert_eq!(bench.store().application(application.id).unwrap(), Some(application.clone()));
    application.id = pinport_model::ApplicationId::generate();
    assert!(matches!(bench.store().save_application(&application), Err(StoreError::NotFound { .. })));
    assert!(matches!(bench.store().create_named_application(&application), Err(StoreError::Conflict(_))));
    bench.store().create_application(&application).unwrap();
    assert!(matches!(bench.store().create_application(&application), Err(StoreError::Conflict(_))));
    let second = application.id;
    bench.reopen();
    let named = |bench: &Bench| {
        let found = bench.store().applications_by_name("one").unwrap();
        found.into_iter().map(|application| application.id).collect::<Vec<_>>()
    };
    assert_eq!(named(&bench), [first, second]);
    bench.store().delete_application(first).unwrap();
    assert_eq!(named(&bench), [second]);
    bench.store().delete_application(second).unwrap();
    assert!(named(&bench).is_empty());
    bench.store().create_named_application(&application).unwrap();
    assert_eq!(named(&bench), [second]);
}

pub(crate) fn deleting_an_application_takes_what_is_in_it(mut bench: Bench) {
    let (app, other) = (bench.application("a"), bench.application("b"));
    let jobs = [segment_job(app), segment_job(other)];
    for (job, address) in jobs.iter().zip(["1", "2"]) {
        bench.import(job, &[new("e", address).user("u").user_attribute("x", address)]);
    }
    let running = job(app);
    bench.store().create_job(&running).unwrap();
    assert!(matches!(bench.store().delete_application(app), Err(StoreError::Conflict(_))));
    bench.finish(&running, JobStatus::Cancelled, 0, false);
    let segment = bench.segment(&jobs[0]);
    bench.store().delete_application(app).unwrap();
    assert!(matches!(bench.store().delete_application(app), Err(StoreError::NotFound { .. })));
    for settled in [false, true] {
        let store = bench.store();
        assert_eq!(store.application(app).unwrap(), None);
        assert!(store.applications_by_name("a").unwrap().is_empty());
        assert_eq!(bench.endpoint(app, "e"), None);
        assert!(store.user_endpoints(app, "u", None, 9).unwrap().is_empty());
        assert!(store.segments(app, None, 9).unwrap().is_empty());
        assert!(bench.members(&segment).is_empty());
        assert_eq!(store.job(jobs[0].id).unwrap(), None);
        assert_eq!(store.last_piece(jobs[0].id).unwrap(), None);
        assert_eq!(store.jobs(None, None, 9).unwrap().len(), 1, "settled: {settled}");
        assert!(store.jobs(Some(app), None, 9).unwrap().is_empty());
        let kept = bench.endpoint(other, "e").unwrap();
        assert_eq!(kept.user.user_attributes["x"], ["2"]);
        assert_eq!(bench.member_ids(&bench.segment(&jobs[1])), ["e"]);
        store.settle().unwrap();
        bench.reopen();
    }
    bench.application("a");
}
