//! What is wrong with criteria, in a sentence that names the member.

use super::{AttributeDimension, AttributeType, Criteria, Dimensions, Group, SetDimension, time_of};
use crate::{Channel, failure::quoted};

/// Dimensions of a segment, all its groups together (the service's bound).
pub const MAX_DIMENSIONS: usize = 100;
/// Groups of a segment. They are looked at for each endpoint.
pub const MAX_GROUPS: usize = 20;
/// Values of a dimension.
pub const MAX_VALUES: usize = 200;
/// Segments that a segment is made of, those of its source segments included. Each import among them has scans of its own.
pub const MAX_CRITERIA_SEGMENTS: usize = 100;
/// Segments that lie one within the other.
pub const MAX_CRITERIA_DEPTH: usize = 10;
/// Characters of a value, and of a name. More than any attribute has, whatever its limits.
const MAX_TEXT: usize = 1024;

impl Criteria {
    /// What is wrong with them, as a fragment that begins with the member.
    ///
    /// # Errors
    /// The fragment.
    pub fn check(&self) -> Result<(), String> {
        if self.dimensions.is_some() && self.segment_groups.is_some() {
            return Err("Dimensions and SegmentGroups are both given: a segment has one of them".into());
        }
        let mut count = 0;
        if let Some(dimensions) = &self.dimensions {
            dimensions.check("Dimensions", &mut count)?;
        }
        let groups = self.groups();
        if groups.len() > MAX_GROUPS {
            return Err(too_many("SegmentGroups.Groups", groups.len(), MAX_GROUPS, "groups"));
        }
        for (index, group) in groups.iter().enumerate() {
            group.check(&format!("SegmentGroups.Groups[{index}]"), &mut count)?;
        }
        if count > MAX_DIMENSIONS {
            let at = if self.dimensions.is_some() { "Dimensions" } else { "SegmentGroups" };
            return Err(too_many(at, count, MAX_DIMENSIONS, "dimensions"));
        }
        let references = self.references().count();
        if references > MAX_CRITERIA_SEGMENTS {
            let what = "source segments";
            return Err(too_many("SegmentGroups", references, MAX_CRITERIA_SEGMENTS, what));
        }
        Ok(())
    }
}

fn too_many(at: &str, found: usize, most: usize, what: &str) -> String {
    format!("{at} has {found} {what}, the limit is {most}")
}

impl Group {
    fn check(&self, at: &str, count: &mut usize) -> Result<(), String> {
        for (index, dimensions) in self.dimensions.iter().enumerate() {
            // An empty one holds for every endpoint, but is looked at all the same.
            *count += usize::from(dimensions.count() == 0);
            dimensions.check(&format!("{at}.Dimensions[{index}]"), count)?;
        }
        for (index, reference) in self.source_segments.iter().enumerate() {
            if reference.version == Some(0) {
                return Err(format!("{at}.SourceSegments[{index}].Version is 0: versions begin with 1"));
            }
        }
        Ok(())
    }
}

impl Dimensions {
    /// How many there are.
    fn count(&self) -> usize {
        let location = self.location.as_ref();
        self.attributes.len()
            + self.metrics.len()
            + self.user_attributes.len()
            + usize::from(self.behavior.as_ref().is_some_and(|behavior| behavior.recency.is_some()))
            + self.demographic.as_ref().map_or(0, |demographic| demographic.named().count())
            + usize::from(location.is_some_and(|location| location.country.is_some()))
            + usize::from(location.is_some_and(|location| location.gps_point.is_some()))
    }

    fn check(&self, at: &str, count: &mut usize) -> Result<(), String> {
        *count += self.count();
        for (kind, attributes) in
            [("Attributes", &self.attributes), ("UserAttributes", &self.user_attributes)]
        {
            for (name, attribute) in attributes {
                check_name(name, &format!("{at}.{kind}"))?;
                attribute.check(&format!("{at}.{kind}.{}", shown(name)))?;
            }
        }
        for (name, set) in self.demographic.iter().flat_map(|demographic| demographic.named()) {
            let at = format!("{at}.Demographic.{name}");
            set.check(&at)?;
            if name == "Channel" {
                set.check_channels(&at)?;
            }
        }
        if let Some(location) = &self.location {
            if let Some(country) = &location.country {
                country.check(&format!("{at}.Location.Country"))?;
            }
            if let Some(point) = &location.gps_point {
                let at = format!("{at}.Location.GPSPoint");
                let within = |name, value: f64, most: f64| match value.is_finite() && value.abs() <= most {
                    true => Ok(()),
                    false => {
                        Err(format!("{at}.Coordinates.{name} is {value}: -{most} to {most} is expected"))
                    }
                };
                within("Latitude", point.coordinates.latitude, 90.0)?;
                within("Longitude", point.coordinates.longitude, 180.0)?;
                let range = point.range_in_kilometers.unwrap_or_default();
                if !range.is_finite() || range < 0.0 {
                    return Err(format!("{at}.RangeInKilometers is {range}: a number from 0 on is expected"));
                }
            }
        }
        for (name, metric) in &self.metrics {
            check_name(name, &format!("{at}.Metrics"))?;
            if !metric.value.is_finite() {
                let name = shown(name);
                return Err(format!("{at}.Metrics.{name}.Value is {}: it is no number", metric.value));
            }
        }
        Ok(())
    }
}

impl AttributeDimension {
    fn check(&self, at: &str) -> Result<(), String> {
        check_values(&self.values, at)?;
        let kind = self.kind();
        if !matches!(
            kind,
            AttributeType::Before | AttributeType::After | AttributeType::On | AttributeType::Between
        ) {
            return Ok(());
        }
        for (index, value) in self.values.iter().enumerate() {
            if time_of(value).is_none() {
                return Err(format!(
                    "{at}.Values[{index}]: {} is no time as {kind} needs it, such as 2026-03-01T12:00:00Z or 2026-03-01",
                    quoted(value)
                ));
            }
        }
        if kind == AttributeType::Between && self.values.len() != 2 {
            let found = self.values.len();
            return Err(format!("{at}.Values has {found} values: BETWEEN needs two, from and to"));
        }
        Ok(())
    }
}

impl SetDimension {
    fn check(&self, at: &str) -> Result<(), String> {
        check_values(&self.values, at)
    }

    fn check_channels(&self, at: &str) -> Result<(), String> {
        for (index, value) in self.values.iter().enumerate() {
            if Channel::from_name(value).is_none() {
                let known: Vec<_> = Channel::ALL.iter().map(|channel| channel.as_str()).collect();
                let known = known.join(", ");
                return Err(format!("{at}.Values[{index}]: {} is not one of {known}", quoted(value)));
            }
        }
        Ok(())
    }
}

fn check_values(values: &[String], at: &str) -> Result<(), String> {
    if values.is_empty() {
        return Err(format!("{at}.Values is empty: give one value at least"));
    }
    if values.len() > MAX_VALUES {
        return Err(too_many(&format!("{at}.Values"), values.len(), MAX_VALUES, "values"));
    }
    for (index, value) in values.iter().enumerate() {
        let found = value.chars().count();
        if found > MAX_TEXT {
            return Err(too_many(&format!("{at}.Values[{index}]"), found, MAX_TEXT, "characters"));
        }
    }
    Ok(())
}

fn check_name(name: &str, at: &str) -> Result<(), String> {
    match name.chars().count() {
        0 => Err(format!("{at} has a name that is empty")),
        found if found > MAX_TEXT => Err(too_many(&format!("{at}: a name"), found, MAX_TEXT, "characters")),
        _ => Ok(()),
    }
}

/// A name from a request, fit to be shown.
fn shown(name: &str) -> String {
    let cut: String = name.chars().take(64).collect();
    crate::escape_controls(&cut).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{Coordinates, DemographicDimensions, GpsPoint, Groups, LocationDimensions},
        *,
    };

    fn set(values: &[&str]) -> SetDimension {
        SetDimension { dimension_type: None, values: values.iter().map(|value| (*value).into()).collect() }
    }

    fn attribute(kind: AttributeType, values: &[&str]) -> Dimensions {
        let dimension = AttributeDimension { attribute_type: Some(kind), values: set(values).values };
        Dimensions { attributes: BTreeMap::from([("plan".into(), dimension)]), ..Dimensions::default() }
    }

    fn wrong(dimensions: Dimensions) -> String {
        let criteria = Criteria { dimensions: Some(dimensions), segment_groups: None };
        criteria.check().unwrap_err()
    }

    #[test]
    fn what_is_wrong_names_its_member() {
        let of = |kind, values: &[&str]| wrong(attribute(kind, values));
        assert!(of(AttributeType::Contains, &[]).starts_with("Dimensions.Attributes.plan.Values is empty"));
        assert!(
            of(AttributeType::On, &["soon"]).starts_with("Dimensions.Attributes.plan.Values[0]: \"soon\"")
        );
        assert!(of(AttributeType::Between, &["2026-01-01"]).contains("needs two"));
        let demographic =
            Some(DemographicDimensions { channel: Some(set(&["PIGEON"])), ..Default::default() });
        let found = wrong(Dimensions { demographic, ..Dimensions::default() });
        assert!(
            found.starts_with("Dimensions.Demographic.Channel.Values[0]: \"PIGEON\" is not one of"),
            "{found}"
        );
        let coordinates = Coordinates { latitude: 91.0, longitude: 0.0 };
        let gps_point = Some(GpsPoint { coordinates, range_in_kilometers: None });
        let location = Some(LocationDimensions { country: None, gps_point });
        let found = wrong(Dimensions { location, ..Dimensions::default() });
        assert!(found.starts_with("Dimensions.Location.GPSPoint.Coordinates.Latitude is 91"), "{found}");
    }

    #[test]
    fn all_groups_together_have_a_bound() {
        let one = attribute(AttributeType::Inclusive, &["gold"]);
        let groups = |groups: usize, each: usize| {
            let group = Group { dimensions: vec![one.clone(); each], ..Group::default() };
            let groups = Groups { groups: vec![group; groups], include: None };
            Criteria { dimensions: None, segment_groups: Some(groups) }.check()
        };
        assert_eq!(groups(10, 10), Ok(()));
        assert_eq!(groups(3, 34), Err("SegmentGroups has 102 dimensions, the limit is 100".into()));
        assert!(groups(21, 1).is_err_and(|text| text.contains("21 groups")));
    }
}
