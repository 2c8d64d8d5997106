//! Segments of criteria: the rules one by one, and random criteria over random endpoints, on every engine.
//!
//! The engine in memory finds members by asking decoded endpoints; it is what the other is held against.

use std::collections::BTreeMap;

use pinport_model::{
    ApplicationId, Attribute, Channel, Criteria, Draft, Scalar, Segment, SegmentId, TextMember, Timestamp,
    criteria::{
        AttributeDimension, AttributeType, Behavior, Combine, Comparison, Coordinates, DemographicDimensions,
        DimensionType, Dimensions, Duration, GpsPoint, Group, Groups, LocationDimensions, MetricDimension,
        Recency, RecencyType, SegmentReference, SetDimension,
    },
    segment::{MemberCount, VERSIONS_KEPT},
};
use pinport_store::{Scope, StoreError};
use proptest::{collection::vec, option, prelude::*, sample::select};

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

/// What an endpoint is made with.
#[derive(Debug, Clone, Default)]
struct Made {
    id: String,
    user: Option<String>,
    channel: Option<Channel>,
    effective: Option<String>,
    texts: Vec<(TextMember, String)>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    metrics: Vec<(String, f64)>,
    attributes: Vec<(String, Vec<String>)>,
    user_attributes: Vec<(String, Vec<String>)>,
}

impl Made {
    fn put(&self, bench: &Bench, application: ApplicationId) {
        let mut draft = Draft::default();
        draft.id = Some(&self.id);
        draft.channel = self.channel;
        draft.set_text(TextMember::Address, Some("x"));
        draft.set_text(TextMember::UserId, self.user.as_deref());
        draft.set_text(TextMember::EffectiveDate, self.effective.as_deref());
        for (member, text) in &self.texts {
            draft.set_text(*member, Some(text));
        }
        (draft.latitude, draft.longitude) = (self.latitude, self.longitude);
        draft.metrics = self.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        for (from, user) in [(&self.attributes, false), (&self.user_attributes, true)] {
            for (name, values) in from {
                let start = draft.values.len() as u32;
                draft.values.extend(values.iter().map(|value| Scalar::Text(value)));
                let end = draft.values.len() as u32;
                let to = if user { &mut draft.user_attributes } else { &mut draft.attributes };
                to.push(Attribute { name, start, end });
            }
        }
        let now = Timestamp::now();
        bench.store().put_endpoint(application, &self.id, &mut draft, now).unwrap();
    }
}

const TEXTS: [&str; 9] = [
    "",
    "a",
    "ab",
    "b",
    "2026-03-01T00:00:00Z",
    "2026-03-01",
    "2026-03-01T23:30:00+02:00",
    "2025-01-01T12:00:00Z",
    "2026-02-31",
];
const TIMES: [&str; 4] =
    ["2026-03-01T00:00:00Z", "2026-03-01", "2025-01-01T12:00:00Z", "2026-03-02T10:00:00Z"];
const NAMES: [&str; 3] = ["p", "q", "pq"];
const MEMBERS: [TextMember; 5] =
    [TextMember::Country, TextMember::AppVersion, TextMember::Make, TextMember::Model, TextMember::Platform];
const PLACES: [f64; 4] = [0.0, 0.5, 45.0, -89.0];

fn text() -> impl Strategy<Value = String> {
    select(&TEXTS[..]).prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    select(&NAMES[..]).prop_map(str::to_owned)
}

fn endpoint() -> impl Strategy<Value = Made> {
    let attributes = || vec((name(), vec(text(), 0..3)), 0..3);
    // Far from where recency begins: the engines look at the clock one after the other.
    let effective = prop_oneof![
        Just(None),
        Just(Some("no date".to_owned())),
        select(&[0, 3, 10, 20, 40][..]).prop_map(|days| {
            let time = Timestamp::now().as_millis() - days * DAY - DAY / 2;
            Some(Timestamp::from_millis(time).to_string())
        }),
    ];
    let user = option::of(select(&["u", "v", ""][..]).prop_map(str::to_owned));
    let place = || option::of(select(&PLACES[..]));
    let texts = vec((select(&MEMBERS[..]), text()), 0..4);
    let metrics = vec((name(), select(&[-1.0, 0.0, 1.5][..])), 0..3);
    let all = ("[a-f]", user, option::of(select(Channel::ALL)), effective, texts);
    (all, place(), place(), metrics, attributes(), attributes()).prop_map(
        |(
            (id, user, channel, effective, texts),
            latitude,
            longitude,
            metrics,
            attributes,
            user_attributes,
        )| Made {
            id,
            user,
            channel,
            effective,
            texts,
            latitude,
            longitude,
            metrics,
            attributes,
            user_attributes,
        },
    )
}

fn wanted() -> impl Strategy<Value = AttributeDimension> {
    use AttributeType::{After, Before, Between, Contains, Exclusive, Inclusive, On};
    let texts = (option::of(select(&[Inclusive, Exclusive, Contains][..])), vec(text(), 1..3));
    let times = (select(&[Before, After, On][..]), vec(select(&TIMES[..]), 1..3));
    let between = vec(select(&TIMES[..]), 2);
    prop_oneof![
        texts.prop_map(|(attribute_type, values)| AttributeDimension { attribute_type, values }),
        times.prop_map(|(kind, values)| attribute(kind, &values)),
        between.prop_map(|values| attribute(Between, &values)),
    ]
}

fn set(values: impl Strategy<Value = String>) -> impl Strategy<Value = SetDimension> {
    let kind = option::of(select(DimensionType::ALL));
    (kind, vec(values, 1..3)).prop_map(|(dimension_type, values)| SetDimension { dimension_type, values })
}

fn dimensions() -> impl Strategy<Value = Dimensions> {
    let one = prop_oneof![
        3 => (name(), wanted()).prop_map(|(name, wanted)| Dimensions {
            attributes: BTreeMap::from([(name, wanted)]), ..Dimensions::default()
        }),
        3 => (name(), wanted()).prop_map(|(name, wanted)| Dimensions {
            user_attributes: BTreeMap::from([(name, wanted)]), ..Dimensions::default()
        }),
        1 => (name(), select(Comparison::ALL), select(&[-1.0, 0.5, 1.5][..])).prop_map(|(name, how, value)| Dimensions {
            metrics: BTreeMap::from([(name, MetricDimension { comparison_operator: how, value })]),
            ..Dimensions::default()
        }),
        1 => (select(Duration::ALL), select(RecencyType::ALL)).prop_map(|(duration, recency_type)| Dimensions {
            behavior: Some(Behavior { recency: Some(Recency { duration, recency_type }) }),
            ..Dimensions::default()
        }),
        1 => (select(&["AppVersion", "DeviceType", "Make", "Model", "Platform"][..]), set(text())).prop_map(
            |(name, set)| {
                let mut demographic = DemographicDimensions::default();
                *demographic.named_mut(name).unwrap() = Some(set);
                Dimensions { demographic: Some(demographic), ..Dimensions::default() }
            }
        ),
        1 => set(select(&["SMS", "email", "Push"][..]).prop_map(str::to_owned)).prop_map(|channel| Dimensions {
            demographic: Some(DemographicDimensions { channel: Some(channel), ..Default::default() }),
            ..Dimensions::default()
        }),
        1 => set(text()).prop_map(|country| Dimensions {
            location: Some(LocationDimensions { country: Some(country), gps_point: None }),
            ..Dimensions::default()
        }),
        1 => (select(&PLACES[..]), select(&PLACES[..]), option::of(select(&[60.0, 6000.0][..]))).prop_map(
            |(latitude, longitude, range_in_kilometers)| {
                let coordinates = Coordinates { latitude, longitude };
                let gps_point = Some(GpsPoint { coordinates, range_in_kilometers });
                let location = Some(LocationDimensions { country: None, gps_point });
                Dimensions { location, ..Dimensions::default() }
            }
        ),
    ];
    vec(one, 0..3).prop_map(|all| {
        all.into_iter().fold(Dimensions::default(), |mut merged, one| {
            merged.attributes.extend(one.attributes);
            merged.user_attributes.extend(one.user_attributes);
            merged.metrics.extend(one.metrics);
            merged.behavior = one.behavior.or(merged.behavior);
            merged.demographic = one.demographic.or(merged.demographic);
            merged.location = one.location.or(merged.location);
            merged
        })
    })
}

/// Groups whose source segments are numbers of earlier segments.
type Numbered =
    (Option<Dimensions>, Option<Combine>, Vec<(Vec<Dimensions>, Vec<u8>, Option<Combine>, Option<Combine>)>);

fn criteria() -> impl Strategy<Value = Numbered> {
    let combine = || option::of(select(Combine::ALL));
    let group = (vec(dimensions(), 0..3), vec(any::<u8>(), 0..3), combine(), combine());
    prop_oneof![
        1 => dimensions().prop_map(|dimensions| (Some(dimensions), None, Vec::new())),
        3 => (combine(), vec(group, 0..3)).prop_map(|(include, groups)| (None, include, groups)),
    ]
}

fn numbered((dimensions, include, groups): &Numbered, known: &[SegmentId]) -> Criteria {
    let groups = groups.iter().map(|(dimensions, sources, source_type, combine)| Group {
        dimensions: dimensions.clone(),
        source_segments: sources
            .iter()
            .map(|number| SegmentReference { id: known[usize::from(*number) % known.len()], version: None })
            .collect(),
        source_type: *source_type,
        combine: *combine,
    });
    let groups: Vec<_> = groups.collect();
    let segment_groups = dimensions.is_none().then_some(Groups { groups, include: *include });
    Criteria { dimensions: dimensions.clone(), segment_groups }
}

/// What each segment's members are, in words.
fn play(
    bench: &Bench,
    endpoints: &[Made],
    imports: &[(bool, Vec<String>)],
    criteria: &[Numbered],
) -> Vec<String> {
    let application = bench.application("a");
    endpoints.iter().for_each(|made| made.put(bench, application));
    let mut known = Vec::new();
    for (copies, ids) in imports {
        let job = if *copies { copies_job(application) } else { segment_job(application) };
        let records: Vec<_> = ids.iter().map(|id| new(id, "1").attribute("p", "ab")).collect();
        bench.import(&job, &records);
        known.push(bench.segment(&job).id);
    }
    let mut seen = Vec::new();
    for one in criteria {
        let segment = bench.made(application, numbered(one, &known));
        known.push(segment.id);
        let version = segment.current().unwrap();
        let members = bench.store().members(&segment, version, None, 99).unwrap();
        bench.check_read_out(Scope::Version(&segment, version), application, &members);
        // The ids of applications, and the times of endpoints, differ.
        seen.push(members.iter().map(|member| format!("{} {:?};", member.id, member.attributes)).collect());
    }
    seen
}

proptest! {
    #[test]
    fn engines_find_the_same_members(
        endpoints in vec(endpoint(), 0..9),
        imports in vec((any::<bool>(), vec("[a-h]", 0..5)), 1..4),
        criteria in vec(criteria(), 1..6),
    ) {
        let expected = play(&Bench::memory(), &endpoints, &imports, &criteria);
        let found = play(&Bench::embedded(), &endpoints, &imports, &criteria);
        prop_assert_eq!(expected, found);
    }
}
