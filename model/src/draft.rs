//! A draft: what one record says of an endpoint, borrowed from the bytes it was read from.
//!
//! Parsers fill one `Draft` again and again ([`Draft::recycle`]), so that a record costs no allocation;
//! the store encodes it at once. An absent member is `None` or empty and leaves the endpoint's value as it is.

use crate::endpoint::{Channel, EndpointStatus, OptOut};

/// The members that are plain text and have no rule of their own, in the order records are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub enum TextMember {
    Address,
    RequestId,
    EffectiveDate,
    CreationDate,
    CohortId,
    AppVersion,
    Locale,
    Make,
    Model,
    ModelVersion,
    Platform,
    PlatformVersion,
    Timezone,
    City,
    Country,
    PostalCode,
    Region,
    UserId,
}

impl TextMember {
    /// Every member; `ALL[member as usize] == member`.
    pub const ALL: [Self; 18] = [
        Self::Address,
        Self::RequestId,
        Self::EffectiveDate,
        Self::CreationDate,
        Self::CohortId,
        Self::AppVersion,
        Self::Locale,
        Self::Make,
        Self::Model,
        Self::ModelVersion,
        Self::Platform,
        Self::PlatformVersion,
        Self::Timezone,
        Self::City,
        Self::Country,
        Self::PostalCode,
        Self::Region,
        Self::UserId,
    ];

    /// The members of `Demographic`, by name.
    pub const DEMOGRAPHIC: [Self; 8] = [
        Self::AppVersion,
        Self::Locale,
        Self::Make,
        Self::Model,
        Self::ModelVersion,
        Self::Platform,
        Self::PlatformVersion,
        Self::Timezone,
    ];

    /// The members of `Location` that are text, by name.
    pub const LOCATION: [Self; 4] = [Self::City, Self::Country, Self::PostalCode, Self::Region];

    /// The name within its object: what comes after the dot of [`TextMember::name`].
    pub const fn leaf(self) -> &'static str {
        let name = self.name();
        let mut start = name.len();
        while start > 0 && name.as_bytes()[start - 1] != b'.' {
            start -= 1;
        }
        name.split_at(start).1
    }

    /// The dotted name that CSV headers and failures use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "Address",
            Self::RequestId => "RequestId",
            Self::EffectiveDate => "EffectiveDate",
            Self::CreationDate => "CreationDate",
            Self::CohortId => "CohortId",
            Self::AppVersion => "Demographic.AppVersion",
            Self::Locale => "Demographic.Locale",
            Self::Make => "Demographic.Make",
            Self::Model => "Demographic.Model",
            Self::ModelVersion => "Demographic.ModelVersion",
            Self::Platform => "Demographic.Platform",
            Self::PlatformVersion => "Demographic.PlatformVersion",
            Self::Timezone => "Demographic.Timezone",
            Self::City => "Location.City",
            Self::Country => "Location.Country",
            Self::PostalCode => "Location.PostalCode",
            Self::Region => "Location.Region",
            Self::UserId => "User.UserId",
        }
    }
}

/// One value of an attribute. JSON scalars other than strings are kept as they were read and written as
/// text when the draft is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// Text.
    Text(&'a str),
    /// An integer that fits 64 signed bits.
    Int(i64),
    /// An integer that needs 64 unsigned bits.
    Uint(u64),
    /// Any other finite number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// A named attribute; its values are a range of [`Draft::values`]. No values: the attribute is removed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'a> {
    /// The name, without the `Attributes.` or `User.UserAttributes.` before it.
    pub name: &'a str,
    /// Index of the first value in [`Draft::values`].
    pub start: u32,
    /// Index after the last value.
    pub end: u32,
}

/// What one record says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft<'a> {
    /// The endpoint's id.
    pub id: Option<&'a str>,
    /// The channel.
    pub channel: Option<Channel>,
    /// Whether the user has opted out.
    pub opt_out: Option<OptOut>,
    /// Whether the endpoint is active.
    pub status: Option<EndpointStatus>,
    /// `Location.Latitude`, finite.
    pub latitude: Option<f64>,
    /// `Location.Longitude`, finite.
    pub longitude: Option<f64>,
    /// The text members, by [`TextMember`].
    text: [Option<&'a str>; TextMember::ALL.len()],
    /// Attributes in source order; of a repeated name the last counts.
    pub attributes: Vec<Attribute<'a>>,
    /// User attributes in source order; of a repeated name the last counts.
    pub user_attributes: Vec<Attribute<'a>>,
    /// Metrics in source order, finite; of a repeated name the last counts.
    pub metrics: Vec<(&'a str, f64)>,
    /// The values that `attributes` and `user_attributes` refer to.
    pub values: Vec<Scalar<'a>>,
}

impl<'a> Draft<'a> {
    /// The value of a text member.
    pub fn text(&self, member: TextMember) -> Option<&'a str> {
        self.text[member as usize]
    }

    /// Sets or (with `None`) unsets a text member.
    pub fn set_text(&mut self, member: TextMember, value: Option<&'a str>) {
        self.text[member as usize] = value;
    }

    /// The values of one of this draft's attributes.
    pub fn values_of(&self, attribute: &Attribute<'a>) -> &[Scalar<'a>] {
        &self.values[attribute.start as usize..attribute.end as usize]
    }

    /// Whether the record names a user and nothing else but that user's attributes.
    pub fn is_user_only(&self) -> bool {
        // Nearly every draft names more.
        if self.id.is_some() || self.channel.is_some() {
            return false;
        }
        let mut text = self.text;
        text[TextMember::UserId as usize].take().is_some()
            && text.iter().all(Option::is_none)
            && self.opt_out.is_none()
            && self.status.is_none()
            && self.latitude.is_none()
            && self.longitude.is_none()
            && self.attributes.is_empty()
            && self.metrics.is_empty()
    }

    /// Whether the record has a mark of an export: only what was an endpoint already has these members.
    pub fn is_exported(&self) -> bool {
        self.status.is_some()
            || self.text(TextMember::CreationDate).is_some()
            || self.text(TextMember::CohortId).is_some()
    }

    /// Forgets everything, for the next record of the same buffer.
    pub fn clear(&mut self) {
        self.id = None;
        self.channel = None;
        self.opt_out = None;
        self.status = None;
        self.latitude = None;
        self.longitude = None;
        self.text = [None; TextMember::ALL.len()];
        self.attributes.clear();
        self.user_attributes.clear();
        self.metrics.clear();
        self.values.clear();
    }

    /// An empty draft with the allocations of this one, for a record of another buffer. [`Draft::take_back`]
    /// returns them. (Cheaper than [`Draft::recycle`], which moves the whole draft.)
    #[inline]
    pub fn lend<'b>(&mut self) -> Draft<'b> {
        Draft {
            attributes: recycled(std::mem::take(&mut self.attributes)),
            user_attributes: recycled(std::mem::take(&mut self.user_attributes)),
            metrics: recycled(std::mem::take(&mut self.metrics)),
            values: recycled(std::mem::take(&mut self.values)),
            ..Draft::default()
        }
    }

    /// Takes the allocations of a draft that was lent.
    #[inline]
    pub fn take_back(&mut self, lent: Draft<'_>) {
        self.attributes = recycled(lent.attributes);
        self.user_attributes = recycled(lent.user_attributes);
        self.metrics = recycled(lent.metrics);
        self.values = recycled(lent.values);
    }

    /// An empty draft that keeps the allocations of this one, for records of another buffer.
    #[inline]
    pub fn recycle<'b>(self) -> Draft<'b> {
        Draft {
            attributes: recycled(self.attributes),
            user_attributes: recycled(self.user_attributes),
            metrics: recycled(self.metrics),
            values: recycled(self.values),
            ..Draft::default()
        }
    }
}

/// The allocation of `list`, empty, for elements of the same layout with another lifetime. (The standard
/// library collects in place; if it ever stopped doing so this would merely allocate again.)
fn recycled<T, U>(mut list: Vec<T>) -> Vec<U> {
    list.clear();
    list.into_iter().map(|_| unreachable!("the list is empty")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_members_have_the_names_of_the_service_model() {
        let names: std::collections::BTreeSet<_> = TextMember::ALL.map(TextMember::name).into();
        assert_eq!(names.len(), TextMember::ALL.len());
        assert!(
            names.iter().all(|name| name.starts_with(|first: char| first.is_ascii_uppercase())),
            "{names:?}"
        );
        assert_eq!(TextMember::PostalCode.name(), "Location.PostalCode");
    }

    #[test]
    fn members_stand_at_their_own_index() {
        for (index, member) in TextMember::ALL.into_iter().enumerate() {
            assert_eq!(member as usize, index);
        }
    }

    #[test]
    fn a_user_and_its_attributes_are_user_only() {
        let mut draft = Draft::default();
        assert!(!draft.is_user_only());
        draft.set_text(TextMember::UserId, Some("u1"));
        draft.user_attributes.push(Attribute { name: "plan", start: 1, end: 2 });
        draft.values.extend([Scalar::Int(0), Scalar::Int(1), Scalar::Int(2)]);
        assert!(draft.is_user_only());
        assert_eq!(draft.text(TextMember::UserId), Some("u1"));
        assert_eq!(draft.values_of(&draft.user_attributes[0]), [Scalar::Int(1)]);
        let more: [fn(&mut Draft<'_>); 9] = [
            |draft| draft.id = Some("e1"),
            |draft| draft.channel = Some(Channel::Email),
            |draft| draft.opt_out = Some(OptOut::None),
            |draft| draft.status = Some(EndpointStatus::Active),
            |draft| draft.latitude = Some(0.0),
            |draft| draft.longitude = Some(0.0),
            |draft| draft.set_text(TextMember::City, Some("")),
            |draft| draft.attributes.push(Attribute { name: "plan", start: 0, end: 0 }),
            |draft| draft.metrics.push(("visits", 1.0)),
        ];
        for (index, name_more) in more.into_iter().enumerate() {
            let mut draft = draft.clone();
            name_more(&mut draft);
            assert!(!draft.is_user_only(), "{index}");
        }
        draft.clear();
        assert_eq!(draft, Draft::default());
    }

    #[test]
    fn recycling_keeps_the_allocations() {
        let capacities = |draft: &Draft<'_>| {
            let Draft { attributes, user_attributes, metrics, values, .. } = draft;
            [attributes.capacity(), user_attributes.capacity(), metrics.capacity(), values.capacity()]
        };
        let text = String::from("a");
        let mut draft = Draft::default();
        draft.attributes.reserve(100);
        draft.user_attributes.reserve(200);
        draft.metrics.reserve(300);
        draft.values.reserve(400);
        draft.values.push(Scalar::Text(&text));
        let before = capacities(&draft);
        let mut draft: Draft<'static> = draft.recycle();
        assert_eq!(draft, Draft::default());
        assert_eq!(capacities(&draft), before);
        let mut lent: Draft<'_> = draft.lend();
        assert_eq!(capacities(&draft), [0; 4]);
        lent.values.push(Scalar::Text(&text));
        assert_eq!(capacities(&lent), before);
        draft.take_back(lent);
        assert_eq!(draft, Draft::default());
        assert_eq!(capacities(&draft), before);
    }
}
