//! Segments of criteria, found in the simplest way: every endpoint is decoded and asked each thing by its name.
//!
//! It is what the other engine's [matcher](crate::record::matcher) is held against, so it shares nothing with that.

use std::collections::BTreeMap;

use pinport_model::{
    ApplicationId, Channel, Criteria, Endpoint, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::{
        AttributeDimension, AttributeType, Combine, Coordinates, DimensionType, Dimensions,
        MAX_CRITERIA_DEPTH, RecencyType, SegmentReference, SetDimension, day_of, time_of,
    },
};

use super::{MemberMap, State};
use crate::{
    Result,
    lifecycle::{self, no_source, too_deep, unreadable},
    record::read::decode,
};

/// An endpoint: its record and its user's.
pub(super) type Whole = [MemberMap; 2];

impl State {
    /// The members of a version that is made of criteria.
    pub(super) fn found_by(
        &self,
        segment: &Segment,
        criteria: &Criteria,
    ) -> Result<BTreeMap<Vec<u8>, Whole>> {
        let application = segment.application;
        let mut all = BTreeMap::new();
        for (_, id) in self.endpoints.keys().filter(|(of, _)| *of == application) {
            if let Some(record) = self.registered(application, id) {
                all.insert(id.clone(), [record.clone(), self.user_record(application, record)]);
            }
        }
        self.add_copies(segment, criteria, &mut all, 0)?;
        let belongs = self.belonging(segment, criteria, &all, 0)?;
        all.retain(|id, _| belongs.contains(id));
        Ok(all)
    }

    /// Id, record and user's record of the next endpoints that criteria find after an id: of at least one, until they have so
    /// many bytes.
    pub(super) fn found_after(
        &self,
        segment: &Segment,
        criteria: &Criteria,
        after: Option<&[u8]>,
        bytes: usize,
    ) -> Result<Vec<[Vec<u8>; 3]>> {
        let mut size = 0;
        let found = self.found_by(segment, criteria)?.into_iter();
        let behind = found.filter(|(id, _)| after.is_none_or(|after| id.as_slice() > after));
        let rows = behind.map(|(id, [record, user])| [id, record.bytes(), user.bytes()]);
        let until_full = rows.take_while(|row| {
            let had_room = size < bytes || size == 0;
            size += row.iter().map(Vec::len).sum::<usize>();
            had_room
        });
        Ok(until_full.collect())
    }

    pub(super) fn check_references(
        &self,
        application: ApplicationId,
        own: Option<SegmentId>,
        criteria: Option<&Criteria>,
    ) -> Result<()> {
        let Some(criteria) = criteria else { return Ok(()) };
        let find = |reference: &SegmentReference| {
            let found = self.segments.get(&(application, reference.id));
            Ok(found.and_then(|found| match reference.version {
                None => found.segment.current.clone(),
                Some(number) => self.versions.get(&(reference.id, number)).cloned(),
            }))
        };
        lifecycle::check_references(own, criteria, &find)
    }

    fn find(&self, top: &Segment, reference: &SegmentReference) -> Result<(Segment, SegmentVersion)> {
        let state = self.segments.get(&(top.application, reference.id));
        let version = match reference.version {
            Some(number) => self.versions.get(&(reference.id, number)).cloned(),
            None => state.and_then(|state| state.segment.current.clone()),
        };
        let segment = state.map(|state| state.segment.clone());
        segment.zip(version).ok_or_else(|| unreadable(top.id, &no_source(reference)))
    }

    /// Adds what source segments hold of endpoints that are not registered.
    fn add_copies(
        &self,
        top: &Segment,
        criteria: &Criteria,
        all: &mut BTreeMap<Vec<u8>, Whole>,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_CRITERIA_DEPTH {
            return Err(unreadable(top.id, &too_deep()));
        }
        for reference in criteria.references() {
            let (segment, version) = self.find(top, reference)?;
            match &version.criteria {
                Some(criteria) => self.add_copies(top, criteria, all, depth + 1)?,
                None => {
                    for (id, copy) in self.members_of(&segment, &version)? {
                        if let Some(copy) = copy.filter(|copy| copy.is_endpoint()) {
                            all.entry(id.clone()).or_insert_with(|| [copy.clone(), MemberMap::default()]);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The ids among `all` that criteria hold for.
    fn belonging(
        &self,
        top: &Segment,
        criteria: &Criteria,
        all: &BTreeMap<Vec<u8>, Whole>,
        depth: usize,
    ) -> Result<Vec<Vec<u8>>> {
        if depth > MAX_CRITERIA_DEPTH {
            return Err(unreadable(top.id, &too_deep()));
        }
        let mut sources = Vec::new();
        for group in criteria.groups() {
            let mut of_group = Vec::new();
            for reference in &group.source_segments {
                let (segment, version) = self.find(top, reference)?;
                let ids = match &version.criteria {
                    Some(criteria) => self.belonging(top, criteria, all, depth + 1)?,
                    None => self.members_of(&segment, &version)?.into_keys().cloned().collect(),
                };
                of_group.push(ids);
            }
            sources.push(of_group);
        }
        let mut found = Vec::new();
        for (id, [record, user]) in all {
            let endpoint = endpoint(top.application, id, record, user)?;
            let now = Timestamp::now();
            let by_dimensions = criteria.dimensions.as_ref().is_none_or(|one| holds(one, &endpoint, now));
            let groups: Vec<bool> = criteria
                .groups()
                .iter()
                .zip(&sources)
                .map(|(group, sources)| {
                    let sources: Vec<_> = sources.iter().map(|ids| ids.contains(id)).collect();
                    let dimensions: Vec<_> =
                        group.dimensions.iter().map(|one| holds(one, &endpoint, now)).collect();
                    together(group.source_type, &sources) && together(group.combine, &dimensions)
                })
                .collect();
            let include = criteria.segment_groups.as_ref().and_then(|groups| groups.include);
            if by_dimensions && together(include, &groups) {
                found.push(id.clone());
            }
        }
        Ok(found)
    }
}

fn endpoint(application: ApplicationId, id: &[u8], record: &MemberMap, user: &MemberMap) -> Result<Endpoint> {
    let found = decode(application, id, &record.bytes(), &user.bytes())?;
    found.ok_or_else(|| crate::StoreError::Corrupt("an endpoint is none".into()))
}

fn together(how: Option<Combine>, parts: &[bool]) -> bool {
    if parts.is_empty() {
        return true;
    }
    match how {
        None | Some(Combine::All) => !parts.contains(&false),
        Some(Combine::Any) => parts.contains(&true),
        Some(Combine::None) => !parts.contains(&true),
    }
}

/// Whether all of some dimensions hold for an endpoint.
fn holds(dimensions: &Dimensions, endpoint: &Endpoint, now: Timestamp) -> bool {
    let attributes = dimensions
        .attributes
        .iter()
        .all(|(name, wanted)| attribute(wanted, endpoint.attributes.get(name).map_or(&[], Vec::as_slice)));
    let user_attributes = dimensions.user_attributes.iter().all(|(name, wanted)| {
        attribute(wanted, endpoint.user.user_attributes.get(name).map_or(&[], Vec::as_slice))
    });
    let metrics = dimensions.metrics.iter().all(|(name, wanted)| {
        let found = endpoint.metrics.get(name);
        found.is_some_and(|found| wanted.comparison_operator.holds(*found, wanted.value))
    });
    let demographic = dimensions.demographic.iter().all(|wanted| {
        let has = &endpoint.demographic;
        let channel = endpoint.channel_type.map(Channel::as_str);
        set(&wanted.app_version, has.app_version.as_deref())
            && set(&wanted.make, has.make.as_deref())
            && set(&wanted.model, has.model.as_deref())
            && set(&wanted.platform, has.platform.as_deref())
            && set(&wanted.device_type, None)
            && set(&wanted.channel.clone().map(upper_case), channel)
    });
    let location = dimensions.location.iter().all(|wanted| {
        let has = &endpoint.location;
        let near = wanted.gps_point.as_ref().is_none_or(|point| match (has.latitude, has.longitude) {
            (Some(latitude), Some(longitude)) => {
                let kilometers = Coordinates { latitude, longitude }.kilometers_to(point.coordinates);
                kilometers <= point.range_in_kilometers.unwrap_or(0.0)
            }
            _ => false,
        });
        near && set(&wanted.country, has.country.as_deref())
    });
    let recency = dimensions.behavior.iter().filter_map(|behavior| behavior.recency.as_ref()).all(|wanted| {
        let since = now.as_millis() - wanted.duration.millis();
        let active = time_of(&endpoint.effective_date).is_some_and(|time| time.as_millis() >= since);
        active == (wanted.recency_type == RecencyType::Active)
    });
    attributes && user_attributes && metrics && demographic && location && recency
}

fn upper_case(mut wanted: SetDimension) -> SetDimension {
    wanted.values.iter_mut().for_each(|value| value.make_ascii_uppercase());
    wanted
}

fn set(wanted: &Option<SetDimension>, has: Option<&str>) -> bool {
    wanted.as_ref().is_none_or(|wanted| {
        let is_one = has.is_some_and(|has| wanted.values.iter().any(|value| value == has));
        is_one != (wanted.dimension_type == Some(DimensionType::Exclusive))
    })
}

fn attribute(wanted: &AttributeDimension, has: &[String]) -> bool {
    let values = &wanted.values;
    let times = || has.iter().filter_map(|has| time_of(has));
    let with = || values.iter().filter_map(|value| time_of(value));
    match wanted.attribute_type {
        None | Some(AttributeType::Inclusive) => has.iter().any(|has| values.contains(has)),
        Some(AttributeType::Exclusive) => !has.iter().any(|has| values.contains(has)),
        Some(AttributeType::Contains) => has.iter().any(|has| values.iter().any(|part| has.contains(part))),
        Some(AttributeType::Before) => times().any(|time| with().any(|with| time < with)),
        Some(AttributeType::After) => times().any(|time| with().any(|with| time > with)),
        Some(AttributeType::On) => times().any(|time| with().any(|with| day_of(time) == day_of(with))),
        Some(AttributeType::Between) => {
            let (from, to) = (with().next(), with().nth(1));
            from.zip(to).is_some_and(|(from, to)| times().any(|time| from <= time && time <= to))
        }
    }
}
