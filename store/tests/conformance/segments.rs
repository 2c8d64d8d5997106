//! Segments that imports make: their versions, layers and members.

use pinport_model::{Channel, JobStatus, SegmentId, Timestamp, job::SegmentMembers};
use pinport_store::StoreError;

use crate::support::{Bench, copies_job, job, new, segment_job, update, user_only};

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
