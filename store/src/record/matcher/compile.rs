//! Makes a matcher of criteria.

use pinport_model::{
    Channel, Timestamp,
    criteria::{
        AttributeDimension, AttributeType, Combine, Criteria, DimensionType, Dimensions, Group, RecencyType,
        SetDimension, time_of,
    },
};

use super::{GroupRule, Is, Matcher, Rule, Slot, Test};
use crate::record::Tag;

/// Makes the rules of a segment, those of its source segments first.
#[derive(Debug)]
pub(crate) struct Compiler {
    /// When recency is asked for.
    now: Timestamp,
    slots: Vec<Slot>,
    rules: Vec<Rule>,
    /// Whether a rule holds for members of import segments alone.
    needs_import: Vec<bool>,
    imports: u32,
}

impl Compiler {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { now, slots: Vec::new(), rules: Vec::new(), needs_import: Vec::new(), imports: 0 }
    }

    /// Adds the rule of the next import segment.
    pub(crate) fn import(&mut self) -> usize {
        self.imports += 1;
        self.add(Rule::Import(self.imports - 1), true)
    }

    /// Adds the rule of a segment that is made of criteria. `sources`: the rules of the segments it refers to, in order.
    pub(crate) fn made(&mut self, criteria: &Criteria, sources: &[usize]) -> usize {
        let mut sources = sources.iter().copied();
        let mut groups = Vec::new();
        if let Some(dimensions) = &criteria.dimensions {
            let alone = Group { dimensions: vec![dimensions.clone()], ..Group::default() };
            groups.push(self.group(&alone, Vec::new()));
        }
        for group in criteria.groups() {
            let own = sources.by_ref().take(group.source_segments.len()).collect();
            groups.push(self.group(group, own));
        }
        let include = criteria.segment_groups.as_ref().and_then(|groups| groups.include);
        let include = include.unwrap_or(Combine::All);
        let needs = |group: &GroupRule| {
            let mut sources = group.sources.iter().map(|rule| self.needs_import[*rule]);
            match group.source_type {
                Combine::All => sources.any(|needs| needs),
                Combine::Any => !group.sources.is_empty() && sources.all(|needs| needs),
                Combine::None => false,
            }
        };
        let needs_import = match include {
            Combine::All => groups.iter().any(needs),
            Combine::Any => !groups.is_empty() && groups.iter().all(needs),
            Combine::None => false,
        };
        self.add(Rule::Made { include, groups }, needs_import)
    }

    fn add(&mut self, rule: Rule, needs_import: bool) -> usize {
        self.rules.push(rule);
        self.needs_import.push(needs_import);
        self.rules.len() - 1
    }

    /// What looks for endpoints that the last rule holds for.
    pub(crate) fn matcher(mut self) -> Matcher {
        // Slots are numbered as they were met, and filled in the order of a record.
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        order.sort_by(|one, other| self.slots[*one].cmp(&self.slots[*other]));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, old)| place[*old] = new);
        for rule in &mut self.rules {
            let Rule::Made { groups, .. } = rule else { continue };
            for test in groups.iter_mut().flat_map(|group| group.dimensions.iter_mut().flatten()) {
                test.slot = place[test.slot];
                if let Is::Near { longitude, .. } = &mut test.is {
                    *longitude = place[*longitude];
                }
            }
        }
        self.slots.sort();
        let has_user_tests = self.slots.iter().any(|slot| slot.tag == Tag::UserAttribute as u8);
        let needs_import = self.needs_import.last().copied().unwrap_or_default();
        Matcher { slots: self.slots, rules: self.rules, needs_import, has_user_tests }
    }

    fn group(&mut self, group: &Group, sources: Vec<usize>) -> GroupRule {
        GroupRule {
            sources,
            source_type: group.source_type.unwrap_or(Combine::All),
            dimensions: group.dimensions.iter().map(|dimensions| self.tests(dimensions)).collect(),
            combine: group.combine.unwrap_or(Combine::All),
        }
    }

    /// The tests of dimensions; cheap ones first.
    fn tests(&mut self, dimensions: &Dimensions) -> Vec<Test> {
        let mut tests = Vec::new();
        let demographic = dimensions.demographic.as_ref();
        let sets = demographic.into_iter().flat_map(|demographic| demographic.named());
        let country = dimensions.location.as_ref().and_then(|location| location.country.as_ref());
        for (name, set) in sets.chain(country.map(|set| ("Country", set))) {
            let is = set_is(set, name == "Channel");
            tests.push(Test { slot: self.slot(tag_of(name), ""), is });
        }
        if let Some(recency) = dimensions.behavior.as_ref().and_then(|behavior| behavior.recency.as_ref()) {
            let since = Timestamp::from_millis(self.now.as_millis() - recency.duration.millis());
            let is = match recency.recency_type {
                RecencyType::Active => Is::Since(since),
                RecencyType::Inactive => Is::NotSince(since),
            };
            tests.push(Test { slot: self.slot(Tag::EffectiveDate as u8, ""), is });
        }
        if let Some(point) = dimensions.location.as_ref().and_then(|location| location.gps_point.as_ref()) {
            let longitude = self.slot(Tag::Longitude as u8, "");
            let kilometers = point.range_in_kilometers.unwrap_or_default();
            let is = Is::Near { longitude, point: point.coordinates, kilometers };
            tests.push(Test { slot: self.slot(Tag::Latitude as u8, ""), is });
        }
        for (name, metric) in &dimensions.metrics {
            let is = Is::Number(metric.comparison_operator, metric.value);
            tests.push(Test { slot: self.slot(Tag::Metric as u8, name), is });
        }
        let kinds =
            [(Tag::Attribute, &dimensions.attributes), (Tag::UserAttribute, &dimensions.user_attributes)];
        for (tag, attributes) in kinds {
            for (name, attribute) in attributes {
                tests.push(Test { slot: self.slot(tag as u8, name), is: attribute_is(attribute) });
            }
        }
        tests
    }

    fn slot(&mut self, tag: u8, name: &str) -> usize {
        let slot = Slot { tag, name: name.as_bytes().into() };
        self.slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        })
    }
}

/// The tag of a member by its name. No endpoint has a `DeviceType`: no record has the tag.
fn tag_of(name: &str) -> u8 {
    match name {
        "AppVersion" => Tag::AppVersion as u8,
        "Channel" => Tag::Channel as u8,
        "Make" => Tag::Make as u8,
        "Model" => Tag::Model as u8,
        "Platform" => Tag::Platform as u8,
        "Country" => Tag::Country as u8,
        _ => 0,
    }
}

fn texts<T: AsRef<[u8]>>(values: impl Iterator<Item = T>) -> Vec<Box<[u8]>> {
    let mut texts: Vec<Box<[u8]>> = values.map(|value| value.as_ref().into()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn set_is(set: &SetDimension, is_channel: bool) -> Is {
    let values = match is_channel {
        true => texts(set.values.iter().filter_map(|name| Some([Channel::from_name(name)? as u8]))),
        false => texts(set.values.iter()),
    };
    match set.kind() {
        DimensionType::Inclusive => Is::OneOf(values),
        DimensionType::Exclusive => Is::NoneOf(values),
    }
}

fn attribute_is(attribute: &AttributeDimension) -> Is {
    let values = &attribute.values;
    match attribute.kind() {
        AttributeType::Inclusive => Is::HasOneOf(texts(values.iter())),
        AttributeType::Exclusive => Is::HasNoneOf(texts(values.iter())),
        AttributeType::Contains => Is::Contains(values.iter().map(|value| value.as_str().into()).collect()),
        kind => Is::Time(kind, values.iter().filter_map(|value| time_of(value)).collect()),
    }
}
