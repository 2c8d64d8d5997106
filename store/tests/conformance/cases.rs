//! What every engine must do. Each case is a function of a fresh store; `main.rs` runs all on all engines.

use std::collections::BTreeMap;

use pinport_model::{
    Channel, Draft, EndpointStatus, FailureCode, JobId, JobStatus, OptOut, SegmentId, TextMember, Timestamp,
    job::SegmentMembers,
};
use pinport_store::StoreError;

use crate::support::{
    Bench, Record, batches, copies_job, job, new, origin, piece_record, segment_job, update, user_only,
};

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

pub(crate) fn a_new_endpoint_has_its_defaults(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").attribute("plan", "gold")]);
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.application_id, app.to_string());
    assert_eq!(endpoint.channel_type, Some(Channel::Email));
    assert_eq!(endpoint.opt_out, OptOut::None);
    assert_eq!(endpoint.endpoint_status, EndpointStatus::Active);
    assert_eq!(endpoint.cohort_id, pinport_model::endpoint::cohort("a"));
    assert_eq!(endpoint.creation_date, Timestamp::from_millis(2000).to_string());
    assert_eq!(endpoint.effective_date, endpoint.creation_date);
    assert_eq!(endpoint.attributes, BTreeMap::from([("plan".into(), vec!["gold".into()])]));
    assert!(endpoint.user.is_empty());
}

pub(crate) fn the_later_record_wins(bench: Bench) {
    let app = bench.application("a");
    let first = [new("a", "1").city("Ulm"), new("b", "1"), new("a", "2"), new("a", "3").attribute("x", "1")];
    bench.import(&job(app), &first);
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.address.as_deref(), Some("3"));
    assert_eq!(endpoint.location.city.as_deref(), Some("Ulm"), "absent members stay");

    let next = job(app);
    bench.store().create_job(&next).unwrap();
    bench.commit(&next, 0, &[new("a", "4"), new("b", "4")]);
    bench.commit(&next, 1, &[new("a", "5").attribute("x", "2").attribute("y", "1")]);
    bench.store().settle().unwrap();
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.address.as_deref(), Some("5"));
    assert_eq!(endpoint.attributes["x"], ["2"]);
    assert_eq!(endpoint.attributes.len(), 2);
    assert_eq!(bench.endpoint(app, "b").unwrap().address.as_deref(), Some("4"));
}

pub(crate) fn the_first_creation_date_stays(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").created("2019"), new("a", "2").created("2020"), new("b", "1")]);
    bench.import(&job(app), &[new("a", "3").created("2021"), new("b", "2").created("2022")]);
    assert_eq!(bench.endpoint(app, "a").unwrap().creation_date, "2019");
    assert_eq!(bench.endpoint(app, "b").unwrap().creation_date, Timestamp::from_millis(2000).to_string());
}

pub(crate) fn an_attribute_without_values_is_removed(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").attribute("x", "1").attribute("y", "1").without("z")]);
    bench.import(&job(app), &[update("a").without("x")]);
    for settled in [false, true] {
        let attributes = bench.endpoint(app, "a").unwrap().attributes;
        assert_eq!(attributes.into_keys().collect::<Vec<_>>(), ["y"], "settled: {settled}");
        bench.store().settle().unwrap();
    }
    bench.import(&job(app), &[update("a").attribute("x", "2").without("y"), update("a").without("x")]);
    assert!(bench.endpoint(app, "a").unwrap().attributes.is_empty());
}

pub(crate) fn a_user_shares_attributes_over_endpoints(bench: Bench) {
    let app = bench.application("a");
    let records = [
        new("a", "1").user("u").user_attribute("plan", "gold"),
        new("b", "2").user("u"),
        new("c", "3").user("uu").user_attribute("plan", "tin"),
    ];
    bench.import(&job(app), &records);
    let plan = |id: &str| bench.endpoint(app, id).unwrap().user.user_attributes.get("plan").cloned();
    assert_eq!(plan("b"), Some(vec!["gold".into()]));
    assert_eq!(plan("c"), Some(vec!["tin".into()]));
    bench.import(&job(app), &[update("b").user("u").user_attribute("plan", "silver")]);
    assert_eq!(plan("a"), Some(vec!["silver".into()]));

    let ids = |user: &str, limit| {
        let found = bench.store().user_endpoints(app, user, None, limit).unwrap();
        found.into_iter().map(|endpoint| endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("u", 9), ["a", "b"]);
    assert_eq!(ids("u", 1), ["a"]);
    assert_eq!(ids("uu", 9), ["c"]);
    assert_eq!(ids("none", 9), [""; 0]);
    let behind = |id| bench.store().user_endpoints(app, "u", Some(id), 9).unwrap().len();
    assert_eq!((behind(""), behind("a"), behind("b")), (2, 1, 0));
}

pub(crate) fn user_attributes_without_a_user_find_it(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("a", "1").user("u"), new("b", "2").user("u"), new("c", "3")]);
    // Blind, an update, and one of an endpoint that has no user.
    bench.import(
        &job(app),
        &[
            new("a", "1").user_attribute("x", "1"),
            update("b").user_attribute("y", "2"),
            update("c").user_attribute("z", "3"),
        ],
    );
    let names = |id: &str| {
        let endpoint = bench.endpoint(app, id).unwrap();
        endpoint.user.user_attributes.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names("a"), ["x", "y"]);
    assert_eq!(names("b"), ["x", "y"]);
    assert_eq!(names("c"), ["z"]);
}

pub(crate) fn an_endpoint_may_change_its_user(bench: Bench) {
    let app = bench.application("a");
    let first = [
        new("a", "1").user("u").user_attribute("plan", "gold"),
        new("b", "2").user("v").user_attribute("plan", "tin"),
    ];
    bench.import(&job(app), &first);
    bench.import(&job(app), &[update("a").user("v")]);
    assert_eq!(bench.endpoint(app, "a").unwrap().user.user_attributes["plan"], ["tin"]);
    assert!(bench.store().user_endpoints(app, "u", None, 9).unwrap().is_empty());
    assert_eq!(bench.store().user_endpoints(app, "v", None, 9).unwrap().len(), 2);
    let failed = bench.import(&job(app), &[user_only("u")]);
    assert_eq!(failed[0].reason.code, FailureCode::UnknownUser, "a user without endpoints is none");
    // And to no user at all.
    bench.import(&job(app), &[update("b").user("")]);
    assert!(bench.endpoint(app, "b").unwrap().user.is_empty());
    assert_eq!(bench.store().user_endpoints(app, "v", None, 9).unwrap().len(), 1);
}

pub(crate) fn updates_need_an_endpoint(bench: Bench) {
    let app = bench.application("a");
    let records = [
        update("late").city("Ulm"),
        new("a", "1"),
        update("a").city("Bonn"),
        update("none").city("Köln"),
        new("late", "2"),
        update("late").city("Rom"),
        Record { address: Some("x".into()), ..update("half") },
        Record { channel: Some(Channel::Sms), ..update("half") },
    ];
    let failed = bench.import(&job(app), &records);
    let places: Vec<_> = failed.iter().map(|failed| failed.origin).collect();
    assert_eq!(places, [origin(0), origin(3), origin(6), origin(7)]);
    assert_eq!(failed[0].reason.code, FailureCode::UnknownEndpoint);
    assert_eq!(
        failed[1].reason.message,
        "no endpoint \"none\" to update; a new endpoint needs Address and ChannelType"
    );
    assert_eq!(failed[1].raw, Some(records[3].raw().into_bytes()));
    assert_eq!(failed[3].channel, Some(Channel::Sms));
    let city = |id: &str| bench.endpoint(app, id).and_then(|endpoint| endpoint.location.city);
    assert_eq!(city("a").as_deref(), Some("Bonn"));
    assert_eq!(city("late").as_deref(), Some("Rom"));
    assert_eq!(bench.endpoint(app, "half"), None);
    // Of the store, and in another application.
    assert!(bench.import(&job(app), &[update("a").city("Ulm")]).is_empty());
    assert_eq!(bench.import(&job(bench.application("b")), &[update("a").city("Ulm")]).len(), 1);
}

pub(crate) fn a_user_alone_brings_its_endpoints(bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("s1", "1").user("u"), new("s2", "2").user("u"), new("s3", "3").user("v")]);
    let job = segment_job(app);
    let records = [
        user_only("p"),
        new("p1", "4").user("p"),
        update("s2").user("v"),
        user_only("u").user_attribute("plan", "gold"),
        user_only("p"),
        user_only("nobody"),
    ];
    let failed = bench.import(&job, &records);
    assert_eq!(failed.iter().map(|failed| failed.origin).collect::<Vec<_>>(), [origin(0), origin(5)]);
    assert_eq!(failed[1].reason.member.as_deref(), Some("User.UserId"));
    assert_eq!(failed[1].raw, Some(records[5].raw().into_bytes()));
    // s2 is a member by its own record; s3 is none.
    assert_eq!(bench.member_ids(&bench.segment(&job)), ["p1", "s1", "s2"]);
    assert_eq!(bench.endpoint(app, "s1").unwrap().user.user_attributes["plan"], ["gold"]);
}

pub(crate) fn copies_do_not_register(mut bench: Bench) {
    let app = bench.application("a");
    bench.import(&job(app), &[new("r", "1").user("u").attribute("x", "1").user_attribute("plan", "gold")]);
    let job = copies_job(app);
    let records = [
        new("c", "2").user("w").user_attribute("plan", "tin").city("Ulm"),
        update("c").city("Bonn"),
        update("r").city("Rom").without("x"),
        update("none").city("Köln"),
        user_only("w").user_attribute("plan", "lead"),
    ];
    let failed = bench.import(&job, &records);
    assert_eq!(failed.len(), 1);
    assert_eq!(bench.endpoint(app, "c"), None);
    assert_eq!(bench.endpoint(app, "r").unwrap().location.city, None);
    bench.reopen();
    bench.store().settle().unwrap();
    let members = bench.members(&bench.segment(&job));
    assert_eq!(members.iter().map(|member| &member.id[..]).collect::<Vec<_>>(), ["c", "r"]);
    assert_eq!(members[0].location.city.as_deref(), Some("Bonn"));
    assert_eq!(members[0].user.user_attributes["plan"], ["lead"]);
    assert_eq!(members[1].location.city.as_deref(), Some("Rom"));
    assert_eq!(members[1].address.as_deref(), Some("1"), "the rest is the registered endpoint's");
    assert_eq!(members[1].user.user_attributes["plan"], ["gold"]);
    assert!(members[1].attributes.is_empty(), "a copy may remove what the registered endpoint has");
    assert!(bench.store().user_endpoints(app, "w", None, 9).unwrap().is_empty());
    // A later piece of the same job sees the copies of earlier ones; another job does not.
    let next = copies_job(app);
    bench.store().create_job(&next).unwrap();
    assert_eq!(bench.commit(&next, 0, &[update("c"), user_only("w"), new("d", "5").user("w")]).len(), 2);
    assert_eq!(bench.commit(&next, 1, &[update("d"), user_only("w"), user_only("u")]).len(), 0);
    bench.finish(&next, JobStatus::Completed, 4, false);
    assert_eq!(bench.member_ids(&bench.segment(&next)), ["d", "r"]);
}

pub(crate) fn imports_add_versions_to_a_segment(mut bench: Bench) {
    let app = bench.application("a");
    let first = segment_job(app);
    bench.store().create_job(&first).unwrap();
    assert!(bench.segment(&first).current.is_none(), "the segment is there from the start");
    bench.commit(&first, 0, &[new("b", "1"), new("a", "1"), new("b", "2")]);
    bench.finish(&first, JobStatus::Completed, 3, false);
    let segment = bench.segment(&first);
    assert_eq!(segment.current().unwrap().size, 2);
    assert_eq!(bench.member_ids(&segment), ["a", "b"]);

    let to = |segment: SegmentId| {
        let mut job = job(app);
        job.definition.segment = Some(segment);
        job
    };
    let added = to(segment.id);
    bench.import(&added, &[new("c", "1"), new("a", "2")]);
    bench.reopen();
    let segment = bench.segment(&added);
    let current = segment.current().unwrap();
    assert_eq!((current.version, current.size, current.first_layer, current.last_layer), (2, 3, 0, 1));
    assert_eq!(current.channels[Channel::Email as usize], 5);
    assert_eq!(current.job, added.id);
    assert_eq!(segment.modified, Timestamp::from_millis(5000));
    assert_eq!(bench.member_ids(&segment), ["a", "b", "c"]);
    // The version before is still there.
    let old = bench.store().segment_version(&segment, 1).unwrap().unwrap();
    let old = bench.store().members(&segment, &old, None, 9).unwrap();
    assert_eq!(old.len(), 2);

    let replacing = to(segment.id);
    bench.store().create_job(&replacing).unwrap();
    bench.commit(&replacing, 0, &[new("d", "1")]);
    assert_eq!(bench.member_ids(&bench.segment(&replacing)), ["a", "b", "c"], "until the job has ended");
    bench.finish(&replacing, JobStatus::Completed, 1, true);
    assert_eq!(bench.member_ids(&bench.segment(&replacing)), ["d"]);

    let cancelled = to(segment.id);
    bench.store().create_job(&cancelled).unwrap();
    bench.commit(&cancelled, 0, &[new("e", "1")]);
    bench.finish(&cancelled, JobStatus::Cancelled, 1, false);
    let segment = bench.segment(&cancelled);
    assert!(segment.current().unwrap().partial);
    assert_eq!(bench.member_ids(&segment), ["d", "e"]);

    let failed = to(segment.id);
    bench.store().create_job(&failed).unwrap();
    bench.finish(&failed, JobStatus::Failed, 0, false);
    assert_eq!(bench.versions(&failed), [4, 3, 2, 1], "no members, no version");
    let empty = to(segment.id);
    bench.import(&empty, &[]);
    assert_eq!(bench.versions(&empty), [5, 4, 3, 2, 1], "but a completed job makes one");
}

pub(crate) fn a_count_of_members_holds_for_its_version_alone(bench: Bench) {
    let app = bench.application("a");
    let first = segment_job(app);
    bench.store().create_job(&first).unwrap();
    bench.commit(&first, 0, &[new("a", "1"), new("b", "1")]);
    bench.finish(&first, JobStatus::Completed, 2, false);
    let segment = bench.segment(&first).id;
    // The second one counted for a version that another made meanwhile: what it adds, nothing, is counted.
    for (version, count, size) in [(2, 7, 7), (2, 9, 7)] {
        let mut counted = job(app);
        counted.definition.segment = Some(segment);
        bench.store().create_job(&counted).unwrap();
        bench.commit(&counted, 0, &[new("c", "1")]);
        counted.segment_members = Some(SegmentMembers { version, count });
        bench.finish(&counted, JobStatus::Completed, 1, false);
        assert_eq!(bench.segment(&counted).current().unwrap().size, size);
    }
}

pub(crate) fn members_are_found_among_many_endpoints(mut bench: Bench) {
    let app = bench.application("a");
    let other = bench.application("b");
    let ids: Vec<_> = (0..400).map(|number| format!("e{number:03}")).collect();
    let record = |index: usize| new(&ids[index], "1").user(&format!("u{}", index % 7));
    let everyone: Vec<_> = (0..400).map(record).collect();
    bench.import(&job(other), &everyone);
    let plan = |value: &str| user_only("u3").user_attribute("plan", value);
    bench.import(&job(app), &[everyone, vec![plan("gold")]].concat());
    // Neighbours, a gap that is worth a seek, one that is not, and the first and the last endpoint.
    let some = [0, 1, 2, 8, 60, 61, 64, 301, 399];
    let segment_job = segment_job(app);
    bench.import(&segment_job, &some.map(record));
    bench.store().delete_endpoint(app, &ids[61]).unwrap();
    bench.reopen();
    let members = bench.members(&bench.segment(&segment_job));
    let expected: Vec<_> = some.into_iter().filter(|index| *index != 61).collect();
    assert_eq!(
        members.iter().map(|member| &member.id).collect::<Vec<_>>(),
        expected.iter().map(|index| &ids[*index]).collect::<Vec<_>>()
    );
    for (member, index) in members.iter().zip(expected) {
        assert_eq!(member.user.user_attributes.contains_key("plan"), index % 7 == 3, "{index}");
    }
}

pub(crate) fn the_last_layer_says_what_a_member_is(bench: Bench) {
    let app = bench.application("a");
    let copies = copies_job(app);
    bench.import(&copies, &[new("a", "copy"), new("b", "copy")]);
    let mut registering = job(app);
    registering.definition.segment = copies.definition.segment;
    bench.import(&registering, &[new("a", "registered")]);
    let addresses = |bench: &Bench| {
        let members = bench.members(&bench.segment(&copies));
        members.into_iter().filter_map(|member| member.address).collect::<Vec<_>>()
    };
    assert_eq!(addresses(&bench), ["registered", "copy"]);
    assert!(bench.store().delete_endpoint(app, "a").unwrap());
    assert_eq!(addresses(&bench), ["copy"], "a deleted endpoint is no member");
}

pub(crate) fn segments_are_listed_renamed_and_deleted(mut bench: Bench) {
    let app = bench.application("a");
    let mut jobs: Vec<_> = (0..3).map(|_| segment_job(app)).collect();
    jobs[0].definition.segment_name = Some("everyone".into());
    for job in &jobs {
        bench.import(job, &[new("a", "1")]);
    }
    let store = bench.store();
    let ids = |before, limit| {
        let found = store.segments(app, before, limit).unwrap();
        found.into_iter().map(|segment| segment.id).collect::<Vec<_>>()
    };
    let all: Vec<_> = jobs.iter().map(|job| SegmentId::from(job.id)).collect();
    assert_eq!(ids(None, 9), [all[2], all[1], all[0]]);
    assert_eq!(ids(Some(all[2]), 1), [all[1]]);
    assert_eq!(bench.segment(&jobs[0]).name, "everyone");
    assert_eq!(bench.segment(&jobs[1]).name, all[1].to_string());

    let mut renamed = bench.segment(&jobs[1]);
    renamed.name = "some".into();
    let current = renamed.current.take();
    store.save_segment(&renamed).unwrap();
    assert_eq!(bench.segment(&jobs[1]).name, "some");
    assert_eq!(bench.segment(&jobs[1]).current, current, "only name and tags change");

    let removed = bench.segment(&jobs[0]);
    let mut busy = job(app);
    busy.definition.segment = Some(all[0]);
    store.create_job(&busy).unwrap();
    assert!(matches!(store.delete_segment(app, all[0]), Err(StoreError::Conflict(_))));
    bench.finish(&busy, JobStatus::Failed, 0, false);
    assert!(store.delete_segment(app, all[0]).unwrap());
    assert!(!store.delete_segment(app, all[0]).unwrap());
    assert!(matches!(store.save_segment(&removed), Err(StoreError::NotFound { .. })));
    bench.reopen();
    assert!(bench.members(&removed).is_empty());
    assert_eq!(bench.member_ids(&bench.segment(&jobs[1])), ["a"], "the others have theirs");
    assert!(bench.endpoint(app, "a").is_some(), "endpoints stay");
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

pub(crate) fn single_endpoints_are_put_and_deleted(mut bench: Bench) {
    let app = bench.application("a");
    let now = Timestamp::from_millis(7000);
    let mut draft = Draft::default();
    draft.set_text(TextMember::City, Some("Ulm"));
    let whole = new("a", "1").user("u").user_attribute("x", "1");
    bench.store().put_endpoint(app, "a", &mut whole.draft(), now).unwrap();
    bench.store().put_endpoint(app, "a", &mut draft, Timestamp::from_millis(8000)).unwrap();
    let attributes = update("a").user_attribute("y", "2");
    bench.store().put_endpoint(app, "a", &mut attributes.draft(), now).unwrap();
    bench.reopen();
    let endpoint = bench.endpoint(app, "a").unwrap();
    assert_eq!(endpoint.location.city.as_deref(), Some("Ulm"));
    assert_eq!(endpoint.creation_date, now.to_string());
    assert_eq!(endpoint.user.user_attributes.len(), 2);
    // Imports and single writes see each other, the later wins.
    bench.import(&job(app), &[new("a", "2"), new("b", "2").user("u")]);
    assert_eq!(bench.endpoint(app, "a").unwrap().address.as_deref(), Some("2"));
    bench.store().put_endpoint(app, "a", &mut new("a", "3").draft(), now).unwrap();
    assert_eq!(bench.endpoint(app, "a").unwrap().address.as_deref(), Some("3"));

    assert!(bench.store().delete_endpoint(app, "a").unwrap());
    assert!(!bench.store().delete_endpoint(app, "a").unwrap());
    assert_eq!(bench.endpoint(app, "a"), None);
    assert_eq!(bench.store().user_endpoints(app, "u", None, 9).unwrap().len(), 1);
    assert_eq!(bench.endpoint(app, "b").unwrap().user.user_attributes["x"], ["1"]);
    bench.store().delete_endpoint(app, "b").unwrap();
    bench.import(&job(app), &[new("c", "1").user("u")]);
    let user = bench.endpoint(app, "c").unwrap().user;
    assert!(user.user_attributes.is_empty(), "the attributes went with the user's last endpoint");
    let unknown =
        bench.store().put_endpoint(pinport_model::ApplicationId::generate(), "a", &mut whole.draft(), now);
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
}

pub(crate) fn endpoints_may_lack_address_and_channel(mut bench: Bench) {
    let app = bench.application("a");
    let now = Timestamp::from_millis(7000);
    // One that comes by itself is made.
    bench.store().put_endpoint(app, "put", &mut update("put").user("u").draft(), now).unwrap();
    // Of an import, only what was exported.
    let exported = || update("e").created("2020").cohort("7").user("u");
    let records = [exported(), update("other"), exported().city("Ulm"), new("e2", "2").cohort("42")];
    let failed = bench.import(&job(app), &records);
    assert_eq!(failed.len(), 1, "{failed:?}");
    bench.reopen();
    for settled in [false, true] {
        let found = bench.endpoint(app, "e").unwrap();
        assert_eq!((found.address, found.channel_type, found.opt_out), (None, None, OptOut::All));
        assert_eq!((&*found.creation_date, &*found.cohort_id), ("2020", "7"));
        assert_eq!(found.location.city.as_deref(), Some("Ulm"), "settled: {settled}");
        let put = bench.endpoint(app, "put").unwrap();
        assert_eq!((put.address, put.opt_out), (None, OptOut::All));
        assert_eq!(bench.endpoint(app, "e2").unwrap().cohort_id, "42");
        assert_eq!(bench.store().user_endpoints(app, "u", None, 9).unwrap().len(), 2);
        bench.store().settle().unwrap();
    }
    // It can be updated, and stays opted out when it gets an address: no one has said otherwise.
    bench.import(&job(app), &[new("e", "1"), update("put").city("Bonn")]);
    let found = bench.endpoint(app, "e").unwrap();
    assert_eq!((found.address.as_deref(), found.opt_out), (Some("1"), OptOut::All));
    assert_eq!(bench.endpoint(app, "put").unwrap().location.city.as_deref(), Some("Bonn"));
    // One that is whole does not opt out by an export without OptOut.
    bench.import(&job(app), &[new("w", "1"), update("w").created("2021")]);
    assert_eq!(bench.endpoint(app, "w").unwrap().opt_out, OptOut::None);
    // Copies in a segment are the same.
    let copies = copies_job(app);
    bench.import(&copies, &[update("copy").cohort("1"), update("copy").city("Ulm"), update("e").cohort("9")]);
    let members = bench.members(&bench.segment(&copies));
    let seen: Vec<_> =
        members.iter().map(|member| (&*member.id, &*member.cohort_id, member.opt_out)).collect();
    assert_eq!(seen, [("copy", "1", OptOut::All), ("e", "9", OptOut::All)]);
    assert_eq!(members[0].location.city.as_deref(), Some("Ulm"));
    assert_eq!(members[1].address.as_deref(), Some("1"), "what is registered shows through");
    assert_eq!(bench.endpoint(app, "copy"), None);
    assert!(bench.store().delete_endpoint(app, "put").unwrap());
}

pub(crate) fn an_update_makes_an_endpoint_active_and_others_of_its_address_inactive(mut bench: Bench) {
    let (app, other_app) = (bench.application("a"), bench.application("b"));
    let now = Timestamp::from_millis(7000);
    let put = |bench: &Bench, app, record: Record| {
        let id = record.id.clone().unwrap();
        bench.store().put_endpoint(app, &id, &mut record.draft(), now).unwrap();
    };
    let status = |bench: &Bench, id: &str| bench.endpoint(app, id).unwrap().endpoint_status;
    let (active, inactive) = (EndpointStatus::Active, EndpointStatus::Inactive);
    put(&bench, app, new("a", "1"));
    put(&bench, app, new("c", "11"));
    put(&bench, other_app, new("b", "1"));
    put(&bench, app, new("b", "1"));
    assert_eq!(["a", "b", "c"].map(|id| status(&bench, id)), [inactive, active, active]);
    assert_eq!(bench.endpoint(other_app, "b").unwrap().endpoint_status, active);
    // An update that says nothing of the status or the address makes the one active and leaves the other.
    put(&bench, app, update("a").city("Ulm"));
    assert_eq!(["a", "b"].map(|id| status(&bench, id)), [active, active]);
    bench.reopen();
    put(&bench, app, new("b", "1").status(inactive));
    assert_eq!(["a", "b"].map(|id| status(&bench, id)), [inactive, inactive]);
    // Records of an import make theirs active, and ask for no address.
    bench.import(&job(app), &[update("a").city("Bonn"), new("i", "1"), new("c", "2").status(inactive)]);
    assert_eq!(["a", "b", "c", "i"].map(|id| status(&bench, id)), [active, inactive, inactive, active]);
    bench.import(&job(app), &[new("d", "3").status(inactive), update("d").city("Ulm")]);
    assert_eq!(status(&bench, "d"), active, "in one piece too");
    // One that has moved to another address is left alone.
    put(&bench, app, new("a", "5"));
    put(&bench, app, new("z", "1"));
    assert_eq!(["a", "z"].map(|id| status(&bench, id)), [active, active]);
    assert!(bench.store().delete_endpoint(app, "a").unwrap());
    put(&bench, app, new("y", "5"));
    assert_eq!(bench.endpoint(app, "a"), None, "what was deleted does not come back");
}
