//! What every engine must do with endpoints that come by themselves, some at a time.

use pinport_model::{
    Draft, EndpointStatus, FailureCode, JobStatus, Settings, Timestamp, limits::RecordLimits,
};
use pinport_store::{AttributeKind, EndpointUpdate, Scope, StoreError};

use crate::support::{Bench, Record, job, new, origin, update};

fn updates(records: &[Record]) -> Vec<EndpointUpdate> {
    let now = Timestamp::from_millis(3000);
    let id = |record: &Record| record.id.clone().unwrap();
    records.iter().map(|record| EndpointUpdate::new(&id(record), &mut record.draft(), now)).collect()
}

fn put(
    bench: &Bench,
    application: pinport_model::ApplicationId,
    records: &[Record],
    limits: &RecordLimits,
) -> Result<(), StoreError> {
    bench.store().put_endpoints(application, &updates(records), limits)
}

pub(crate) fn updates_come_in_one_write_and_see_each_other(mut bench: Bench) {
    let app = bench.application("a");
    let limits = RecordLimits::default();
    put(&bench, app, &[new("old", "x")], &limits).unwrap();
    let records = [
        update("bare").city("Ulm"),
        new("bare", "y"),
        new("one", "x").user("u"),
        // Without a user's name these are the user's that the update before named.
        update("one").user_attribute("plan", "gold"),
        new("two", "x").user("v"),
        new("three", "x").city("Bonn"),
        update("three").attribute("a", "1"),
        update("two").status(EndpointStatus::Active),
    ];
    put(&bench, app, &records, &limits).unwrap();
    bench.reopen();
    let get = |id: &str| bench.endpoint(app, id).unwrap();
    let status = |id: &str| get(id).endpoint_status;
    // The last one with the address took it from those before it; one was made active after that.
    assert_eq!(status("old"), EndpointStatus::Inactive);
    assert_eq!(status("one"), EndpointStatus::Inactive);
    assert_eq!(status("two"), EndpointStatus::Active);
    assert_eq!(status("three"), EndpointStatus::Active);
    assert_eq!(get("bare").location.city.as_deref(), Some("Ulm"));
    assert_eq!(get("bare").address.as_deref(), Some("y"));
    assert_eq!(get("three").attributes["a"], ["1"]);
    assert_eq!(get("one").user.user_attributes["plan"], ["gold"]);
    let found = bench.store().user_endpoints(app, "u", None, 9).unwrap();
    assert_eq!(found.len(), 1);
}

pub(crate) fn an_update_that_is_refused_refuses_all_of_its_write(bench: Bench) {
    let app = bench.application("a");
    let limits = RecordLimits { max_attributes: 3, ..RecordLimits::default() };
    put(&bench, app, &[new("a", "1").attribute("a", "1").attribute("b", "1")], &limits).unwrap();
    let records =
        [new("before", "1"), update("a").attribute("c", "1").attribute("d", "1"), new("behind", "2")];
    let refused = put(&bench, app, &records, &limits);
    let Err(StoreError::TooLarge { id, reason }) = refused else { panic!("{refused:?}") };
    assert_eq!((&id[..], reason.code), ("a", FailureCode::TooManyAttributes));
    assert_eq!(reason.message, "has 4 names with those it had, the limit is 3");
    assert_eq!((bench.endpoint(app, "before"), bench.endpoint(app, "behind")), (None, None));
    assert_eq!(bench.endpoint(app, "a").unwrap().attributes.len(), 2);
    // One may go while another comes.
    put(&bench, app, &[update("a").attribute("c", "1")], &limits).unwrap();
    put(&bench, app, &[update("a").attribute("d", "1").without("a")], &limits).unwrap();
    let names: Vec<_> = bench.endpoint(app, "a").unwrap().attributes.into_keys().collect();
    assert_eq!(names, ["b", "c", "d"]);
}

pub(crate) fn merged_endpoints_and_users_have_limits(bench: Bench) {
    let app = bench.application("a");
    let limits = RecordLimits { max_attributes: 20, max_endpoint: 1500, ..RecordLimits::default() };
    let code = |result: Result<(), StoreError>| match result {
        Ok(()) => None,
        Err(StoreError::TooLarge { reason, .. }) => Some(reason.code),
        Err(other) => panic!("{other:?}"),
    };
    let many = |user: bool, batch: usize, value: &str| {
        (0..10).fold(new("e", "1").user("u"), |record, number| {
            let name = format!("{batch}-{number}");
            if user { record.user_attribute(&name, value) } else { record.attribute(&name, value) }
        })
    };
    for user in [false, true] {
        assert_eq!(code(put(&bench, app, &[many(user, 0, "x")], &limits)), None);
        assert_eq!(code(put(&bench, app, &[many(user, 1, "x")], &limits)), None);
        let more = put(&bench, app, &[many(user, 2, "x")], &limits);
        assert_eq!(code(more), Some(FailureCode::TooManyAttributes));
        // In one write they are as many.
        let long = "v".repeat(90);
        assert_eq!(code(put(&bench, app, &[many(user, 0, &long)], &limits)), None);
        let more = put(&bench, app, &[many(user, 1, &long)], &limits);
        assert_eq!(code(more), Some(FailureCode::EndpointTooLarge));
    }
    let one_write: Vec<_> = (0..3).map(|batch| many(false, batch, "x")).collect();
    assert_eq!(code(put(&bench, app, &one_write, &limits)), Some(FailureCode::TooManyAttributes));
    // What an import made larger may be changed, not enlarged.
    let imported = job(app);
    bench.import(&imported, &[many(false, 7, "x"), many(false, 8, "x")]);
    assert_eq!(code(put(&bench, app, &[many(false, 8, "y")], &limits)), None);
    let more = put(&bench, app, &[update("e").attribute("new", "1")], &limits);
    assert_eq!(code(more), Some(FailureCode::TooManyAttributes));
}

pub(crate) fn all_endpoints_of_a_user_are_deleted(mut bench: Bench) {
    const MANY: usize = 2500;
    let app = bench.application("a");
    let first = job(app);
    let mut records: Vec<_> = (0..MANY)
        .map(|number| new(&format!("{number:04}"), "x").user("u").user_attribute("plan", "gold"))
        .collect();
    records.push(new("other", "x").user("v").user_attribute("plan", "free"));
    records.push(new("moved", "x").user("u"));
    bench.import(&first, &records);
    let second = job(app);
    bench.store().create_job(&second).unwrap();
    bench.commit(&second, 0, &[update("moved").user("v")]);
    bench.finish(&second, JobStatus::Completed, 1, false);
    assert_eq!(bench.store().delete_user_endpoints(app, "u").unwrap(), MANY as u64);
    bench.reopen();
    assert!(bench.store().user_endpoints(app, "u", None, usize::MAX).unwrap().is_empty());
    for number in [0, 999, 1000, 1001, MANY - 1] {
        assert_eq!(bench.endpoint(app, &format!("{number:04}")), None);
    }
    let others = bench.store().user_endpoints(app, "v", None, 9).unwrap();
    assert_eq!(others.iter().map(|other| &other.id[..]).collect::<Vec<_>>(), ["moved", "other"]);
    assert_eq!(others[0].user.user_attributes["plan"], ["free"]);
    assert_eq!(bench.store().delete_user_endpoints(app, "u").unwrap(), 0);
    // The user's attributes went with the last endpoint.
    let put = |record: Record| put(&bench, app, &[record], &RecordLimits::default()).unwrap();
    put(new("again", "1").user("u"));
    assert!(bench.endpoint(app, "again").unwrap().user.user_attributes.is_empty());
    // They go too where the user has no endpoints any more.
    put(update("again").user_attribute("plan", "gold"));
    put(update("again").user("v"));
    assert_eq!(bench.store().delete_user_endpoints(app, "u").unwrap(), 0);
    put(update("again").user("u"));
    assert!(bench.endpoint(app, "again").unwrap().user.user_attributes.is_empty());
}

pub(crate) fn a_wide_record_of_a_large_piece_fails_when_it_has_no_room(mut bench: Bench) {
    let app = bench.application("a");
    let wide = |id: &str, names: std::ops::Range<usize>| {
        names.fold(new(id, "x").user("u"), |record, name| record.attribute(&format!("{name:03}"), "1"))
    };
    let of_user = |names: std::ops::Range<usize>| {
        names.fold(update("a"), |record, name| record.user_attribute(&format!("{name:03}"), "1"))
    };
    let others = |count: usize| (0..count).map(|other| new(&format!("other{other}"), "y"));
    let mut piece: Vec<_> = others(300).collect();
    piece.push(wide("a", 0..200));
    assert_eq!(bench.import(&job(app), &piece), []);
    // Narrow records of the same endpoint and user count, before and after.
    let mut piece: Vec<_> = others(300).collect();
    piece.extend([
        wide("a", 200..230),
        wide("a", 100..240),
        wide("a", 230..260),
        new("b", "y").user("u").user_attribute("more", "1"),
        of_user(0..249),
        of_user(249..250),
        of_user(0..100),
    ]);
    let failed = bench.import(&job(app), &piece);
    let places: Vec<_> = failed.iter().map(|failed| failed.origin).collect();
    assert_eq!(places, [origin(302), origin(305)]);
    assert!(failed.iter().all(|failed| failed.reason.code == FailureCode::TooManyAttributes));
    // Many narrow ones are too many as well.
    let mut piece: Vec<_> = (0..30).map(|narrow| wide("c", narrow * 10..narrow * 10 + 10)).collect();
    piece.extend(others(300));
    let failed = bench.import(&job(app), &piece);
    assert_eq!(
        failed.iter().map(|failed| failed.origin).collect::<Vec<_>>(),
        [25, 26, 27, 28, 29].map(origin)
    );
    let check = |bench: &Bench| {
        let found = bench.endpoint(app, "a").unwrap();
        assert_eq!((found.attributes.len(), found.user.user_attributes.len()), (240, 250));
        assert_eq!(bench.endpoint(app, "c").unwrap().attributes.len(), 250);
    };
    check(&bench);
    bench.store().settle().unwrap();
    assert_eq!(bench.store().left_out(), 0);
    bench.reopen();
    check(&bench);
}

pub(crate) fn records_without_room_count_as_failures_of_their_jobs(mut bench: Bench) {
    const JOBS: usize = 7;
    const NAMES: usize = 50;
    let app = bench.application("a");
    let name = |name: usize| format!("{name:03}");
    let jobs: Vec<_> = (0..JOBS).map(|_| job(app)).collect();
    for (number, job) in jobs.iter().enumerate() {
        // Of no record can be said that it has no room before those of other pieces are merged.
        let mut piece: Vec<_> = (0..300).map(|other| new(&format!("other{other}"), "y")).collect();
        let names = || number * NAMES..(number + 1) * NAMES;
        piece.push(names().fold(new("a", "x"), |record, index| record.attribute(&name(index), "1")));
        let of_user = new("b", "x").user("u");
        piece.push(names().fold(of_user, |record, index| record.user_attribute(&name(index), "1")));
        assert_eq!(bench.import(job, &piece), []);
    }
    let check = |bench: &Bench| {
        let counts = jobs.iter().map(|job| bench.store().job(job.id).unwrap().unwrap().left_out);
        assert_eq!(counts.collect::<Vec<_>>(), [0, 0, 0, 0, 0, 2, 2]);
        let listed = bench.store().jobs(Some(app), None, 10).unwrap();
        assert_eq!(listed.iter().map(|job| job.left_out).sum::<u64>(), 4);
        assert_eq!(bench.endpoint(app, "a").unwrap().attributes.len(), 250);
        assert_eq!(bench.endpoint(app, "b").unwrap().user.user_attributes.len(), 250);
    };
    bench.store().settle().unwrap();
    assert_eq!(bench.store().left_out(), 4 * NAMES as u64);
    check(&bench);
    bench.reopen();
    check(&bench);
    // It is counted once.
    bench.store().settle().unwrap();
    check(&bench);
    assert!(bench.store().delete_job(jobs[6].id).unwrap());
    assert!(bench.store().job(jobs[6].id).unwrap().is_none());
}

pub(crate) fn imports_do_not_fill_an_endpoint_beyond_its_limits(mut bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "x").user("u").attribute("first", "1")]);
    let mut failed = Vec::new();
    for import in 0..30 {
        let (mut record, mut of_user) = (new("a", &format!("x{import}")), update("a"));
        for name in 0..20 {
            record = record.attribute(&format!("a-{import:02}-{name:02}"), "1");
            of_user = of_user.user_attribute(&format!("u-{import:02}-{name:02}"), "1");
        }
        failed.extend(bench.import(&job(app), &[record.clone()]));
        // Also when the record comes again, or others beside it.
        failed.extend(bench.import(&job(app), &[of_user, new("b", "y"), record]));
    }
    // 12 imports of 20 names have room beside the first one.
    assert_eq!(failed.len(), 3 * 18);
    assert!(failed.iter().all(|failed| failed.reason.code == FailureCode::TooManyAttributes));
    assert_eq!(failed[0].reason.message, "has 261 names with those it had, the limit is 250");
    let check = |bench: &Bench| {
        let found = bench.endpoint(app, "a").unwrap();
        assert_eq!((found.attributes.len(), found.user.user_attributes.len()), (241, 240));
        assert_eq!(found.attributes["first"], ["1"]);
        assert_eq!(found.address.as_deref(), Some("x11"));
    };
    check(&bench);
    bench.store().settle().unwrap();
    assert_eq!(bench.store().left_out(), 0);
    bench.reopen();
    check(&bench);
    // A name that goes makes room for another.
    let more = |count: usize| {
        (0..count).fold(update("a"), |record, name| record.attribute(&format!("m{name}"), "1"))
    };
    assert_eq!(bench.import(&job(app), &[more(10), more(10).without("first"), more(11)]).len(), 2);
    assert_eq!(bench.endpoint(app, "a").unwrap().attributes.len(), 250);
}

pub(crate) fn imports_do_not_make_an_endpoint_of_many_bytes(bench: Bench) {
    let app = bench.application("a");
    let long = "v".repeat(100);
    bench.import(&job(app), &[new("a", "x")]);
    // 250 names are no more than it may have, but with their values they take 28 KB.
    let mut failed = Vec::new();
    for import in 0..5 {
        let mut record = update("a").city(&"c".repeat(100 + import));
        for name in 0..50 {
            record = record.attribute(&format!("a-{import}-{name:02}"), &long);
        }
        failed.extend(bench.import(&job(app), &[record]).into_iter().map(|failed| failed.reason.code));
    }
    assert_eq!(failed, [FailureCode::EndpointTooLarge; 3]);
    let found = bench.endpoint(app, "a").unwrap();
    assert_eq!((found.attributes.len(), found.location.city.unwrap().len()), (100, 101));
}

pub(crate) fn attributes_are_removed_from_all_endpoints(mut bench: Bench) {
    let (application, other) = (bench.application("a"), bench.application("b"));
    for application in [application, other] {
        let records = [
            new("a", "1").attribute("x", "1").attribute("y", "2").user("u").user_attribute("x", "3"),
            new("b", "2").attribute("x", "1").user_attribute("x", "4"),
        ];
        bench.import(&job(application), &records);
        let mut draft = Draft::default();
        draft.metrics = vec![("x", 1.5), ("y", 2.5)];
        bench.store().put_endpoint(application, "a", &mut draft, Timestamp::from_millis(5)).unwrap();
    }
    let is_x = |name: &str| name == "x";
    let remove = |kind| bench.store().remove_attributes(application, kind, &is_x).unwrap();
    for kind in [AttributeKind::Endpoint, AttributeKind::Metric, AttributeKind::User] {
        assert_eq!(remove(kind).into_iter().collect::<Vec<_>>(), ["x"], "{kind:?}");
        assert!(remove(kind).is_empty(), "{kind:?}");
    }
    let untouched = bench.endpoint(other, "a").unwrap();
    assert_eq!((untouched.attributes.len(), untouched.metrics.len()), (2, 2));
    // Also when what removed them is merged for good, and when they come again.
    for _ in 0..2 {
        let a = bench.endpoint(application, "a").unwrap();
        assert_eq!(a.attributes.keys().collect::<Vec<_>>(), ["y"]);
        assert_eq!(a.metrics.keys().collect::<Vec<_>>(), ["y"]);
        assert!(a.user.user_attributes.is_empty());
        let b = bench.endpoint(application, "b").unwrap();
        assert!(b.attributes.is_empty() && b.user.user_attributes.is_empty());
        bench.check_read_out(Scope::Application(application), application, &[a, b]);
        bench.store().settle().unwrap();
        bench.reopen();
    }
    let mut draft = Draft::default();
    draft.metrics = vec![("x", 7.0)];
    bench.store().put_endpoint(application, "a", &mut draft, Timestamp::from_millis(6)).unwrap();
    assert_eq!(bench.endpoint(application, "a").unwrap().metrics["x"], 7.0);
}

pub(crate) fn settings_are_of_their_application(mut bench: Bench) {
    let (application, other) = (bench.application("a"), bench.application("b"));
    assert_eq!(bench.store().settings(application).unwrap(), None);
    let settings = Settings { last_modified_date: Some(Timestamp::from_millis(7)), ..Settings::default() };
    bench.store().save_settings(application, &settings).unwrap();
    bench.reopen();
    assert_eq!(bench.store().settings(application).unwrap(), Some(settings.clone()));
    assert_eq!(bench.store().settings(other).unwrap(), None);
    bench.store().delete_application(application).unwrap();
    assert_eq!(bench.store().settings(application).unwrap(), None);
    let gone = bench.store().save_settings(application, &settings);
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}
