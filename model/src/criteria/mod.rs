//! What the members of a segment are found by: `Dimensions` and `SegmentGroups`, in the shapes of the service model.
//!
//! These are values that say what is wanted. [`check`] says what is wrong with them; `where_text` makes them of a line
//! of text. Nothing here looks at endpoints: the store does.

mod check;
pub mod object;
mod where_text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{SegmentId, Timestamp, endpoint::words};

pub use check::{MAX_CRITERIA_DEPTH, MAX_CRITERIA_SEGMENTS, MAX_DIMENSIONS, MAX_GROUPS, MAX_VALUES};
pub use where_text::{WhereError, parse};

words! {
    /// How several parts are taken together.
    Combine {
        /// All of them must hold.
        All = "ALL",
        /// One of them must.
        Any = "ANY",
        /// None of them may.
        None = "NONE",
    }
}

words! {
    /// How an attribute is compared.
    AttributeType {
        /// It has one of the values (the default).
        Inclusive = "INCLUSIVE",
        /// It has none of them; so does an endpoint without the attribute.
        Exclusive = "EXCLUSIVE",
        /// One of the values is a part of it.
        Contains = "CONTAINS",
        /// It is a time before the value.
        Before = "BEFORE",
        /// It is a time after the value.
        After = "AFTER",
        /// It is on the day of the value.
        On = "ON",
        /// It is between the two values, or one of them.
        Between = "BETWEEN",
    }
}

words! {
    /// How a member with one value is compared.
    DimensionType {
        /// It has one of the values (the default).
        Inclusive = "INCLUSIVE",
        /// It has none of them; so does an endpoint without the member.
        Exclusive = "EXCLUSIVE",
    }
}

words! {
    /// Whether an endpoint was active.
    RecencyType {
        /// Within the duration.
        Active = "ACTIVE",
        /// Not within the duration.
        Inactive = "INACTIVE",
    }
}

words! {
    /// How far back recency looks.
    Duration {
        /// A day.
        Hours24 = "HR_24",
        /// A week.
        Days7 = "DAY_7",
        /// Two weeks.
        Days14 = "DAY_14",
        /// Thirty days.
        Days30 = "DAY_30",
    }
}

impl Duration {
    /// Its milliseconds.
    pub const fn millis(self) -> i64 {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        match self {
            Self::Hours24 => DAY,
            Self::Days7 => 7 * DAY,
            Self::Days14 => 14 * DAY,
            Self::Days30 => 30 * DAY,
        }
    }
}

words! {
    /// How a metric is compared.
    Comparison {
        /// Equal to the value.
        Equal = "EQUAL",
        /// Greater.
        GreaterThan = "GREATER_THAN",
        /// Less.
        LessThan = "LESS_THAN",
        /// Greater or equal.
        GreaterThanOrEqual = "GREATER_THAN_OR_EQUAL",
        /// Less or equal.
        LessThanOrEqual = "LESS_THAN_OR_EQUAL",
    }
}

impl Comparison {
    /// Whether `found` compares so to `value`.
    pub fn holds(self, found: f64, value: f64) -> bool {
        match self {
            Self::Equal => found == value,
            Self::GreaterThan => found > value,
            Self::LessThan => found < value,
            Self::GreaterThanOrEqual => found >= value,
            Self::LessThanOrEqual => found <= value,
        }
    }
}

/// What the members of a segment are found by. With neither part it is every endpoint of the application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Criteria {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub dimensions: Option<Dimensions>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub segment_groups: Option<Groups>,
}

/// `SegmentGroupList`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Groups {
    #[serde(deserialize_with = "object::list")]
    pub groups: Vec<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Combine>,
}

/// `SegmentGroup`: endpoints of some segments (of the application, without any) that some dimensions hold for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Group {
    #[serde(deserialize_with = "object::list")]
    pub dimensions: Vec<Dimensions>,
    #[serde(deserialize_with = "object::list")]
    pub source_segments: Vec<SegmentReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_type: Option<Combine>,
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    pub combine: Option<Combine>,
}

/// `SegmentReference`. Without a version it is the one that is current when the segment is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct SegmentReference {
    pub id: SegmentId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// `SegmentDimensions`: all of them must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Dimensions {
    #[serde(deserialize_with = "object::map")]
    pub attributes: BTreeMap<String, AttributeDimension>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub behavior: Option<Behavior>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub demographic: Option<DemographicDimensions>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub location: Option<LocationDimensions>,
    #[serde(deserialize_with = "object::map")]
    pub metrics: BTreeMap<String, MetricDimension>,
    #[serde(deserialize_with = "object::map")]
    pub user_attributes: BTreeMap<String, AttributeDimension>,
}

/// `AttributeDimension`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct AttributeDimension {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute_type: Option<AttributeType>,
    pub values: Vec<String>,
}

impl AttributeDimension {
    /// How the attribute is compared.
    pub fn kind(&self) -> AttributeType {
        self.attribute_type.unwrap_or(AttributeType::Inclusive)
    }
}

/// `SegmentBehaviors`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Behavior {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub recency: Option<Recency>,
}

/// `RecencyDimension`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Recency {
    pub duration: Duration,
    pub recency_type: RecencyType,
}

/// `SegmentDemographics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct DemographicDimensions {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub app_version: Option<SetDimension>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub channel: Option<SetDimension>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub device_type: Option<SetDimension>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub make: Option<SetDimension>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub model: Option<SetDimension>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub platform: Option<SetDimension>,
}

impl DemographicDimensions {
    /// Those that are there, with their names.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &SetDimension)> {
        let all = [
            ("AppVersion", &self.app_version),
            ("Channel", &self.channel),
            ("DeviceType", &self.device_type),
            ("Make", &self.make),
            ("Model", &self.model),
            ("Platform", &self.platform),
        ];
        all.into_iter().filter_map(|(name, set)| Some((name, set.as_ref()?)))
    }

    /// The place of the one with this name.
    pub fn named_mut(&mut self, name: &str) -> Option<&mut Option<SetDimension>> {
        Some(match name {
            "AppVersion" => &mut self.app_version,
            "Channel" => &mut self.channel,
            "DeviceType" => &mut self.device_type,
            "Make" => &mut self.make,
            "Model" => &mut self.model,
            "Platform" => &mut self.platform,
            _ => return None,
        })
    }
}

/// `SetDimension`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct SetDimension {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension_type: Option<DimensionType>,
    pub values: Vec<String>,
}

impl SetDimension {
    /// How the member is compared.
    pub fn kind(&self) -> DimensionType {
        self.dimension_type.unwrap_or(DimensionType::Inclusive)
    }
}

/// `SegmentLocation`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct LocationDimensions {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub country: Option<SetDimension>,
    #[serde(
        rename = "GPSPoint",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::optional"
    )]
    pub gps_point: Option<GpsPoint>,
}

/// `GPSPointDimension`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct GpsPoint {
    #[serde(deserialize_with = "object::required")]
    pub coordinates: Coordinates,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_in_kilometers: Option<f64>,
}

/// `GPSCoordinates`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Coordinates {
    pub latitude: f64,
    pub longitude: f64,
}

/// The mean radius of the earth in kilometres.
const EARTH: f64 = 6371.0088;

impl Coordinates {
    /// Kilometres to another point, along a great circle.
    pub fn kilometers_to(self, other: Self) -> f64 {
        let [from, to] = [self.latitude.to_radians(), other.latitude.to_radians()];
        let turn = (other.longitude - self.longitude).to_radians();
        let half = ((to - from) / 2.0).sin().powi(2) + from.cos() * to.cos() * (turn / 2.0).sin().powi(2);
        2.0 * EARTH * half.sqrt().min(1.0).asin()
    }
}

/// `MetricDimension`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct MetricDimension {
    pub comparison_operator: Comparison,
    pub value: f64,
}

/// The time that a value of an attribute says, as ISO 8601; a day alone is its midnight in UTC.
pub fn time_of(text: &str) -> Option<Timestamp> {
    // Most values of an attribute are no times: parsing them would cost more than the rest.
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) {
        return None;
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let day: jiff::civil::Date = text.parse().ok()?;
    // jiff would take the day of what has a time without a zone too.
    if text.contains([':', 'T', 't', ' ', '[']) {
        return None;
    }
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_millis(midnight.timestamp().as_millisecond()))
}

/// The number of the day, in UTC, that a time is on.
pub fn day_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(24 * 60 * 60 * 1000)
}

impl Criteria {
    /// The segments that are referred to.
    pub fn references(&self) -> impl Iterator<Item = &SegmentReference> {
        self.groups().iter().flat_map(|group| &group.source_segments)
    }

    /// The groups.
    pub fn groups(&self) -> &[Group] {
        self.segment_groups.as_ref().map_or(&[], |groups| &groups.groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_earth() {
        let at = |latitude, longitude| Coordinates { latitude, longitude };
        let found = at(52.52, 13.405).kilometers_to(at(48.137, 11.575));
        assert!((found - 504.0).abs() < 1.0, "{found}");
        assert_eq!(at(1.0, 2.0).kilometers_to(at(1.0, 2.0)), 0.0);
        // Over the date line, and to the other side.
        assert!((at(0.0, 179.5).kilometers_to(at(0.0, -179.5)) - 111.2).abs() < 0.1);
        assert!((at(0.0, 0.0).kilometers_to(at(0.0, 180.0)) - 20_015.1).abs() < 0.1);
    }

    #[test]
    fn times_are_iso_8601() {
        let millis = |text| time_of(text).map(Timestamp::as_millis);
        assert_eq!(millis("1970-01-02T00:00:00Z"), Some(86_400_000));
        assert_eq!(millis("1970-01-02T01:00:00.5+01:00"), Some(86_400_500));
        assert_eq!(millis("1970-01-02"), Some(86_400_000));
        for text in ["", "gold", "1970", "17", "1970-01-02T00:00:00", "1970-13-02", "1970-01-02 00:00"] {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(day_of(Timestamp::from_millis(-1)), -1);
    }
}
