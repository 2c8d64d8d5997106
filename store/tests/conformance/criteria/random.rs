//! Random criteria over random endpoints find the same members on every engine.

use std::collections::BTreeMap;

use pinport_model::{
    ApplicationId, Attribute, Channel, Criteria, Draft, Scalar, SegmentId, TextMember, Timestamp,
    criteria::{
        AttributeDimension, AttributeType, Behavior, Combine, Comparison, Coordinates, DemographicDimensions,
        DimensionType, Dimensions, Duration, GpsPoint, Group, Groups, LocationDimensions, MetricDimension,
        Recency, RecencyType, SegmentReference, SetDimension,
    },
};
use pinport_store::Scope;
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::support::{Bench, copies_job, new, segment_job};

use super::{DAY, attribute};

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
