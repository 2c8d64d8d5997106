//! The place of a draft in the arena of its batch.

use pinport_model::Channel;

/// What a record needs from the store before it can become part of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftKind {
    /// Nothing: it has Address and ChannelType, so it creates or updates its endpoint.
    Blind,
    /// An endpoint with its id must exist: it lacks Address or ChannelType.
    Update,
    /// It updates the endpoint with its id, or makes one that lacks Address or ChannelType.
    Upsert,
    /// Its user must have an endpoint: it names nothing but a user.
    UserOnly,
}

/// A range of the arena.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One encoded draft.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The endpoint's id; empty for [`DraftKind::UserOnly`].
    pub(crate) id: Span,
    /// The endpoint's members (see [`crate::record`]), without user attributes.
    pub(crate) record: Span,
    /// The user attributes, in the same layout; they follow `record` without a gap, so that both
    /// together are one record too.
    pub(crate) user_record: Span,
    /// The user's id; empty if the record names none.
    pub(crate) user: Span,
    /// The original bytes, if they are kept.
    pub(crate) raw: Span,
    pub(crate) kind: DraftKind,
    /// Whether it takes so much of the room its endpoint or its user has that it is judged by what they have
    /// ([`crate::record::bounds::is_wide`]).
    pub(crate) is_wide: bool,
    pub(crate) channel: Option<Channel>,
    /// Bytes and lines from the batch's origin.
    pub(crate) byte: u32,
    pub(crate) line: u32,
}
