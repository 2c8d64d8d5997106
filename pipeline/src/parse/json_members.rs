//! The members of a record that [`super::json_fast`] knows, in a form that is found quickly.

use pinport_model::TextMember::{self, *};

/// A member's name and the quote after it, and the colon too if there is room: to be compared with 16 bytes at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    bytes: u128,
    mask: u128,
    len: usize,
    colon: bool,
}

impl Name {
    pub(super) const fn new(name: &str) -> Self {
        let name = name.as_bytes();
        assert!(name.len() < 16, "with its quote the name takes at most 16 bytes");
        let mut bytes = (b'"' as u128) << (8 * name.len());
        let mut index = 0;
        while index < name.len() {
            assert!(name[index].is_ascii_alphanumeric());
            bytes |= (name[index] as u128) << (8 * index);
            index += 1;
        }
        let colon = name.len() < 15;
        let len = name.len() + 1 + colon as usize;
        if colon {
            bytes |= (b':' as u128) << (8 * name.len() + 8);
        }
        Self { bytes, mask: u128::MAX >> (8 * (16 - len)), len, colon }
    }

    /// That of a text member.
    const fn of(member: TextMember) -> Self {
        Self::new(member.leaf())
    }

    /// Bytes, with the quote and the colon.
    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether the colon belongs to it.
    #[inline(always)]
    pub(super) const fn has_colon(&self) -> bool {
        self.colon
    }

    /// Whether `word` begins with it.
    #[inline(always)]
    pub(super) const fn begins(&self, word: u128) -> bool {
        word & self.mask == self.bytes
    }

    /// The same without the colon.
    pub(super) const fn quoted(self) -> Self {
        let len = self.len - self.colon as usize;
        let mask = u128::MAX >> (8 * (16 - len));
        Self { bytes: self.bytes & mask, mask, len, colon: false }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Root {
    Id,
    Text(TextMember),
    Date(TextMember),
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
    (Name::of(Address), Root::Text(Address)),
    (Name::of(EffectiveDate), Root::Date(EffectiveDate)),
    (Name::new("OptOut"), Root::OptOut),
    (Name::new("EndpointStatus"), Root::Status),
    (Name::new("Attributes"), Root::Attributes),
    (Name::new("Demographic"), Root::Demographic),
    (Name::new("Location"), Root::Location),
    (Name::new("Metrics"), Root::Metrics),
    (Name::new("User"), Root::User),
    (Name::of(RequestId), Root::Text(RequestId)),
    (Name::of(CreationDate), Root::Date(CreationDate)),
    (Name::new("ApplicationId"), Root::Ignored),
    (Name::of(CohortId), Root::Text(CohortId)),
];

pub(super) const LOCATION: &[(Name, Place)] = &[
    (Name::of(City), Place::Text(City)),
    (Name::of(Country), Place::Text(Country)),
    (Name::of(PostalCode), Place::Text(PostalCode)),
    (Name::of(Region), Place::Text(Region)),
    (Name::new("Latitude"), Place::Latitude),
    (Name::new("Longitude"), Place::Longitude),
];

pub(super) const DEMOGRAPHIC: &[(Name, TextMember)] = &{
    let mut members = [(Name::of(AppVersion), AppVersion); TextMember::DEMOGRAPHIC.len()];
    let mut index = 0;
    while index < members.len() {
        let member = TextMember::DEMOGRAPHIC[index];
        members[index] = (Name::of(member), member);
        index += 1;
    }
    members
};

pub(super) const USER: &[(Name, UserMember)] =
    &[(Name::of(UserId), UserMember::Id), (Name::new("UserAttributes"), UserMember::Attributes)];

/// Which member came after which last time: most objects have all their records in the same order, and where an
/// optional member is missing, those after it still follow each other.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) root: Order,
    pub(super) location: Order,
    pub(super) demographic: Order,
    pub(super) user: Order,
}

/// By a member's place in its table, the place of the one that followed; the first one is said to follow [`START`].
pub(super) type Order = [u8; 16];

/// No table is so long. All bits of it are set, so that it is a mask of places too.
pub(super) const START: usize = 15;

/// The members of one object: which come, in which order, and none twice.
pub(super) struct Members<'o, T: 'static> {
    pub(super) table: &'static [(Name, T)],
    pub(super) order: &'o mut Order,
    /// The last one's place in the table.
    pub(super) last: usize,
    pub(super) seen: u32,
}

impl<'o, T> Members<'o, T> {
    #[inline(always)]
    pub(super) fn new(table: &'static [(Name, T)], order: &'o mut Order) -> Self {
        debug_assert!(table.len() <= START);
        Self { table, order, last: START, seen: 0 }
    }
}
