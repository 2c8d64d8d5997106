//! The members of a record that [`super::json_fast`] knows, in a form that is found quickly.

use pinport_model::TextMember::{self, *};

/// A member's name and the quote behind it, to be compared with 16 bytes at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) bytes: u128,
    pub(super) mask: u128,
    pub(super) len: usize,
}

impl Name {
    const fn new(name: &str) -> Self {
        let name = name.as_bytes();
        assert!(name.len() < 16, "with its quote the name takes at most 16 bytes");
        let mut bytes = (b'"' as u128) << (8 * name.len());
        let mut index = 0;
        while index < name.len() {
            bytes |= (name[index] as u128) << (8 * index);
            index += 1;
        }
        Self { bytes, mask: u128::MAX >> (8 * (15 - name.len())), len: name.len() + 1 }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Root {
    Id,
    Text(TextMember),
    Channel,
    OptOut,
    Status,
    Attributes,
    Metrics,
    Location,
    Demographic,
    User,
    Ignored,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Text(TextMember),
    Latitude,
    Longitude,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum UserMember {
    Id,
    Attributes,
}

pub(super) const ROOT: &[(Name, Root)] = &[
    (Name::new("Id"), Root::Id),
    (Name::new("ChannelType"), Root::Channel),
    (Name::new("Address"), Root::Text(Address)),
    (Name::new("EffectiveDate"), Root::Text(EffectiveDate)),
    (Name::new("OptOut"), Root::OptOut),
    (Name::new("EndpointStatus"), Root::Status),
    (Name::new("Attributes"), Root::Attributes),
    (Name::new("Demographic"), Root::Demographic),
    (Name::new("Location"), Root::Location),
    (Name::new("Metrics"), Root::Metrics),
    (Name::new("User"), Root::User),
    (Name::new("RequestId"), Root::Text(RequestId)),
    (Name::new("CreationDate"), Root::Text(CreationDate)),
    (Name::new("ApplicationId"), Root::Ignored),
    (Name::new("CohortId"), Root::Ignored),
];

pub(super) const LOCATION: &[(Name, Place)] = &[
    (Name::new("City"), Place::Text(City)),
    (Name::new("Country"), Place::Text(Country)),
    (Name::new("PostalCode"), Place::Text(PostalCode)),
    (Name::new("Region"), Place::Text(Region)),
    (Name::new("Latitude"), Place::Latitude),
    (Name::new("Longitude"), Place::Longitude),
];

pub(super) const DEMOGRAPHIC: &[(Name, TextMember)] = &[
    (Name::new("AppVersion"), AppVersion),
    (Name::new("Locale"), Locale),
    (Name::new("Make"), Make),
    (Name::new("Model"), Model),
    (Name::new("ModelVersion"), ModelVersion),
    (Name::new("Platform"), Platform),
    (Name::new("PlatformVersion"), PlatformVersion),
    (Name::new("Timezone"), Timezone),
];

pub(super) const USER: &[(Name, UserMember)] =
    &[(Name::new("UserId"), UserMember::Id), (Name::new("UserAttributes"), UserMember::Attributes)];

/// Which member came at which place last time: most objects have all their records in the same order.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) root: [u8; 16],
    pub(super) location: [u8; 16],
    pub(super) demographic: [u8; 16],
    pub(super) user: [u8; 16],
}

/// The members of one object: which come, in which order, and none twice.
pub(super) struct Members<'o, T: 'static> {
    pub(super) table: &'static [(Name, T)],
    pub(super) order: &'o mut [u8; 16],
    pub(super) nth: usize,
    pub(super) seen: u32,
}

impl<'o, T> Members<'o, T> {
    pub(super) fn new(table: &'static [(Name, T)], order: &'o mut [u8; 16]) -> Self {
        Self { table, order, nth: 0, seen: 0 }
    }
}
