//! Segments of criteria: the rules one by one, and in [`random`] random criteria over random endpoints, on every engine.
//!
//! The engine in memory finds members by asking decoded endpoints; it is what the other is held against.

mod random;

use std::collections::BTreeMap;

use pinport_model::{
    ApplicationId, Channel, Criteria, Segment, SegmentId, Timestamp,
    criteria::{AttributeDimension, AttributeType, Combine, Dimensions, Group, Groups, SegmentReference},
    segment::{MemberCount, VERSIONS_KEPT},
};
use pinport_store::StoreError;

use crate::support::{Bench, copies_job, job, new, segment_job};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn attribute(kind: AttributeType, values: &[&str]) -> AttributeDimension {
    AttributeDimension {
        attribute_type: Some(kind),
        values: values.iter().map(|text| (*text).into()).collect(),
    }
}

fn of_attribute(name: &str, kind: AttributeType, values: &[&str]) -> Dimensions {
    Dimensions {
        attributes: BTreeMap::from([(name.into(), attribute(kind, values))]),
        ..Dimensions::default()
    }
}

fn of(dimensions: Dimensions) -> Criteria {
    Criteria { dimensions: Some(dimensions), segment_groups: None }
}

fn of_group(group: Group) -> Criteria {
    Criteria { dimensions: None, segment_groups: Some(Groups { groups: vec![group], include: None }) }
}

fn on(sources: &[SegmentId]) -> Group {
    let source_segments = sources.iter().map(|id| SegmentReference { id: *id, version: None }).collect();
    Group { source_segments, ..Group::default() }
}

impl Bench {
    fn made(&self, application: ApplicationId, criteria: Criteria) -> Segment {
        let segment = Segment::of_criteria(application, None, BTreeMap::new(), criteria);
        self.store().create_segment(&segment).unwrap();
        segment
    }

    fn found(&self, application: ApplicationId, criteria: Criteria) -> String {
        let segment = self.made(application, criteria);
        self.member_ids(&segment).join(" ")
    }
}

pub(crate) fn criteria_find_members_when_they_are_read(bench: Bench) {
    let application = bench.application("a");
    let records = [
        new("a", "1").attribute("plan", "gold").user("u"),
        new("b", "2").attribute("plan", "silver").user_attribute("age", "7").user("v"),
        new("c", "3").user("u").user_attribute("age", "8"),
    ];
    bench.import(&job(application), &records);
    let gold = of_attribute("plan", AttributeType::Inclusive, &["gold", "lead"]);
    let segment = bench.made(application, of(gold.clone()));
    assert_eq!(bench.member_ids(&segment), ["a"]);
    assert_eq!(
        bench.found(application, of(of_attribute("plan", AttributeType::Exclusive, &["gold"]))),
        "b c"
    );
    assert_eq!(bench.found(application, of(of_attribute("plan", AttributeType::Contains, &["il"]))), "b");
    // What a user has belongs to all its endpoints.
    let user_attributes = BTreeMap::from([("age".into(), attribute(AttributeType::Inclusive, &["8"]))]);
    let old = Dimensions { user_attributes, ..Dimensions::default() };
    assert_eq!(bench.found(application, of(old.clone())), "a c");
    assert_eq!(bench.found(application, Criteria::default()), "a b c");
    // An endpoint that comes later is found the next time.
    bench.import(&job(application), &[new("d", "4").attribute("plan", "gold")]);
    assert_eq!(bench.member_ids(&segment), ["a", "d"]);

    let both = |combine| Group {
        dimensions: vec![gold.clone(), old.clone()],
        combine: Some(combine),
        ..Group::default()
    };
    assert_eq!(bench.found(application, of_group(both(Combine::All))), "a");
    assert_eq!(bench.found(application, of_group(both(Combine::Any))), "a c d");
    assert_eq!(bench.found(application, of_group(both(Combine::None))), "b");
    let include = |include, groups: Vec<Group>| Criteria {
        dimensions: None,
        segment_groups: Some(Groups { groups, include: Some(include) }),
    };
    let groups = vec![both(Combine::None), both(Combine::All)];
    assert_eq!(bench.found(application, include(Combine::Any, groups.clone())), "a b");
    assert_eq!(bench.found(application, include(Combine::None, groups.clone())), "c d");
    assert_eq!(bench.found(application, include(Combine::All, groups)), "");
}

pub(crate) fn criteria_narrow_segments(bench: Bench) {
    let application = bench.application("a");
    let imported = segment_job(application);
    bench.import(&imported, &[new("a", "1").city("x"), new("b", "2"), new("c", "3").attribute("p", "q")]);
    let copies = copies_job(application);
    bench.import(&copies, &[new("b", "9").attribute("p", "copy"), new("z", "5").attribute("p", "q")]);
    bench.import(&job(application), &[new("d", "4").attribute("p", "q")]);
    let (imported, copies) = (bench.segment(&imported).id, bench.segment(&copies).id);

    let p = of_attribute("p", AttributeType::Inclusive, &["q"]);
    let narrowed = |sources: &[SegmentId], how| {
        of_group(Group { dimensions: vec![p.clone()], source_type: Some(how), ..on(sources) })
    };
    assert_eq!(bench.found(application, narrowed(&[imported], Combine::All)), "c");
    // A copy of what is not registered belongs to the segments that are made of its segment.
    assert_eq!(bench.found(application, narrowed(&[copies], Combine::Any)), "z");
    assert_eq!(bench.found(application, narrowed(&[imported, copies], Combine::Any)), "c z");
    assert_eq!(bench.found(application, narrowed(&[imported], Combine::None)), "d");
    assert_eq!(
        bench.found(
            application,
            of_group(Group { source_type: Some(Combine::All), ..on(&[imported, copies]) })
        ),
        "b"
    );

    // Segments of criteria are sources too, and say what they are now.
    let of_p = bench.made(application, of(p.clone()));
    let within = of_group(Group { source_type: Some(Combine::All), ..on(&[of_p.id, imported]) });
    let within = bench.made(application, within);
    assert_eq!(bench.member_ids(&within), ["c"]);
    let changed = of_attribute("p", AttributeType::Exclusive, &["q"]);
    bench.store().update_segment(application, of_p.id, None, Some(&of(changed))).unwrap();
    assert_eq!(bench.member_ids(&within), ["a", "b"]);
    let first = SegmentReference { id: of_p.id, version: Some(1) };
    let first = of_group(Group { source_segments: vec![first], ..Group::default() });
    assert_eq!(bench.found(application, first), "c d");
}

pub(crate) fn a_segment_of_criteria_has_versions(bench: Bench) {
    let application = bench.application("a");
    bench.import(&job(application), &[new("a", "1").city("x"), new("b", "2")]);
    let one = of_attribute("x", AttributeType::Inclusive, &["1"]);
    let segment = bench.made(application, of(one.clone()));
    assert_eq!(bench.store().segment(application, segment.id).unwrap().unwrap(), segment);
    assert!(matches!(bench.store().create_segment(&segment), Err(StoreError::Conflict(_))));

    // A name alone makes a version too, which has the count of the one before.
    let channels = [0; Channel::ALL.len()];
    let count = MemberCount { size: 7, channels, at: Timestamp::from_millis(9) };
    bench.store().save_count(&segment, 1, &count).unwrap();
    let named = bench.store().update_segment(application, segment.id, Some("gold"), None).unwrap();
    let current = named.current().unwrap();
    assert_eq!((named.name.as_str(), current.version, current.size), ("gold", 2, 7));
    assert_eq!(current.counted, Some(count.at));
    let changed = of(of_attribute("x", AttributeType::Exclusive, &["1"]));
    let named = bench.store().update_segment(application, segment.id, None, Some(&changed)).unwrap();
    assert_eq!((named.criteria(), named.current().unwrap().counted), (Some(&changed), None));
    assert_eq!(bench.store().segment(application, segment.id).unwrap().unwrap(), named);
    let version = |number| bench.store().segment_version(&named, number).unwrap();
    assert_eq!(version(1).unwrap().criteria.as_deref(), Some(&of(one)));
    let ids = |number| {
        let found = bench.store().members(&named, &version(number).unwrap(), None, 9).unwrap();
        found.into_iter().map(|endpoint| endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!((ids(1), ids(3)), (vec![], vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(bench.store().version_jobs(&named, &version(1).unwrap(), 9).unwrap(), Some(vec![]));

    for _ in 3..=VERSIONS_KEPT {
        bench.store().update_segment(application, segment.id, None, None).unwrap();
    }
    assert_eq!((version(1), version(2).map(|version| version.version)), (None, Some(2)));
    bench.store().save_count(&named, 1, &count).unwrap();
    assert_eq!(version(1), None);

    let counted = bench.store().count_members(&named, &version(3).unwrap(), &|| true).unwrap().unwrap();
    assert_eq!((counted.size, counted.channels[Channel::Email as usize]), (2, 2));
    assert_eq!(bench.store().count_members(&named, &version(3).unwrap(), &|| false).unwrap(), None);

    // An import adds to no segment of criteria, and criteria take no segment of an import.
    let mut into = job(application);
    into.definition.segment = Some(segment.id);
    assert!(matches!(bench.store().create_job(&into), Err(StoreError::Conflict(_))));
    let imported = segment_job(application);
    bench.import(&imported, &[new("a", "1")]);
    let imported = bench.segment(&imported);
    let refused = bench.store().update_segment(application, imported.id, None, Some(&changed));
    assert!(matches!(refused, Err(StoreError::Criteria(_))), "{refused:?}");
    let renamed = bench.store().update_segment(application, imported.id, Some("n"), None).unwrap();
    assert_eq!((renamed.name.as_str(), renamed.current()), ("n", imported.current()));

    assert!(bench.store().delete_segment(application, segment.id).unwrap());
    assert_eq!(bench.store().segment(application, segment.id).unwrap(), None);
    let gone = bench.store().update_segment(application, segment.id, None, None);
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

pub(crate) fn criteria_lead_to_segments_and_never_back(bench: Bench) {
    let application = bench.application("a");
    let refused = |criteria: Criteria| {
        let segment = Segment::of_criteria(application, None, BTreeMap::new(), criteria);
        match bench.store().create_segment(&segment) {
            Err(StoreError::Criteria(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    let unknown = SegmentId::generate();
    assert_eq!(
        refused(of_group(on(&[unknown]))),
        format!(
            "SegmentGroups.Groups[0].SourceSegments[0]: there is no segment {unknown} with members: an import into \
             it has to end first"
        )
    );
    let first = bench.made(application, Criteria::default());
    let third = SegmentReference { id: first.id, version: Some(3) };
    let reason = refused(of_group(Group { source_segments: vec![third], ..Group::default() }));
    assert!(reason.ends_with(&format!("there is no version 3 of segment {}", first.id)), "{reason}");

    let second = bench.made(application, of_group(on(&[first.id])));
    for circle in [first.id, second.id] {
        let circle = of_group(on(&[circle]));
        match bench.store().update_segment(application, first.id, None, Some(&circle)) {
            Err(StoreError::Criteria(reason)) => assert!(reason.contains("made of itself"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    // A chain that is too deep, and one that many ways lead through.
    let mut last = second.id;
    for _ in 0..9 {
        last = bench.made(application, of_group(on(&[last; 100]))).id;
    }
    assert!(refused(of_group(on(&[last]))).contains("more than 10 segments lie one within the other"));

    // What is gone is told when the others are read.
    assert!(bench.store().delete_segment(application, first.id).unwrap());
    let read = bench.store().members(&second, second.current().unwrap(), None, 9);
    assert!(
        matches!(&read, Err(StoreError::Conflict(reason)) if reason.contains("cannot be read")),
        "{read:?}"
    );
}
