//! Judges the records of a piece whose outcome depends on what is there: in the store, as committed so far,
//! or in earlier records of the same piece.
//!
//! Most records of such a piece depend on nothing, and are written before its turn; the others are [`Deferred`]. At its
//! turn everything it may ask about is read in sorted batches ([`Lookup`]); then the records are walked in source
//! order ([`judge()`]) without touching the store again. The rows of deferred records become runs of their own, which are
//! newer than the first ones.
//!
//! What an engine holds is asked through [`Facts`].

mod deferred;
mod judge;
mod lookup;
mod room;
mod walk;

use std::collections::{BTreeSet, HashMap};

pub(crate) use self::{deferred::Deferred, judge::judge, lookup::Lookup};
use crate::{Result, piece_rows::Target, record::bounds::Bounds};

/// Takes what was found for each of some ids, in their order: the id's place among them, and its record.
pub(crate) type Found<'a> = dyn FnMut(usize, Option<&[u8]>) -> Result<()> + 'a;
/// Endpoints that users may have, in order, by user.
pub(crate) type Linked = HashMap<Vec<u8>, BTreeSet<Vec<u8>>>;

/// What an engine holds by now, for those who judge a piece.
pub(crate) trait Facts {
    /// The folded records of registered endpoints. The ids ascend.
    fn endpoints(&self, target: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()>;
    /// The folded copies in the target's layer. The ids ascend.
    fn copies(&self, target: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()>;
    /// Adds the endpoints that each of the users has, or had, registered or as a copy in the target's layer.
    fn linked(&self, target: &Target, users: &mut Linked) -> Result<()>;
    /// The folded record of one registered endpoint, or of one user.
    fn record(&self, target: &Target, owner: Owner<'_>) -> Result<Vec<u8>>;
    /// Says which records will be asked for one by one, so that they can be read at once.
    fn expect(&self, _target: &Target, _owners: &mut dyn Iterator<Item = Owner<'_>>) -> Result<()> {
        Ok(())
    }
    /// What endpoints and users may have.
    fn bounds(&self) -> &Bounds;
}

/// Whose record is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Owner<'a> {
    Endpoint(&'a [u8]),
    User(&'a [u8]),
}
