//! The links from users to endpoints that a piece brings.

use std::ops::Range;

use super::groups::hash;
use crate::{order::warm, piece_rows::Row};

/// The links of a piece, gathered in order of endpoint.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Endpoints, each once, ascending.
    pub(super) ids: Texts,
    /// Of users by their hashes.
    links: Vec<Link>,
}

/// A link of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    /// The user's hash.
    pub(super) hash: u64,
    /// The endpoint's place among [`Links::ids`].
    id: u32,
    /// The row that names the user.
    row: u32,
}

impl Links {
    /// Of these rows, which are added one by one.
    pub(super) fn new(rows: &[Row<'_>]) -> Self {
        let named = rows.iter().filter(|row| !row.user.is_empty()).count();
        Self { ids: Texts::with_room_for(rows.iter().map(|row| row.id)), links: Vec::with_capacity(named) }
    }

    /// Takes the link of a row; rows come in order of endpoint.
    pub(super) fn push(&mut self, rows: &[Row<'_>], index: u32) {
        let row = &rows[index as usize];
        let count = self.ids.ends.len();
        if count == 0 || self.ids.get(count - 1) != row.id {
            self.ids.push(row.id);
        }
        if !row.user.is_empty() {
            let id = self.ids.ends.len() as u32 - 1;
            self.links.push(Link { hash: hash(row.user), id, row: index });
        }
    }

    /// Puts them in order of hash, then of endpoint. `rows`: those that they are of.
    pub(super) fn sort(&mut self, rows: &[Row<'_>]) {
        self.links.sort_unstable();
        // Rows of one endpoint may name the same user again.
        self.links.dedup_by(|next, kept| {
            (next.hash, next.id) == (kept.hash, kept.id) && next.user(rows) == kept.user(rows)
        });
    }

    /// Those of each hash of users. They are sorted.
    pub(super) fn by_user(&self) -> impl Iterator<Item = &[Link]> {
        self.links.chunk_by(|one, other| one.hash == other.hash)
    }

    /// Begins to fetch the endpoints of some links, which lie all over the piece.
    pub(super) fn warm(&self, links: Range<usize>) {
        let some = links.start.min(self.links.len())..links.end.min(self.links.len());
        warm(self.links[some].iter().map(|link| self.id(link)));
    }

    /// The endpoint of a link.
    pub(super) fn id(&self, link: &Link) -> &[u8] {
        self.ids.get(link.id as usize)
    }

    /// The endpoints of a user, and of any with the same hash. The links are sorted.
    pub(super) fn of(&self, user: &[u8]) -> impl Iterator<Item = &[u8]> {
        let hash = hash(user);
        let start = self.links.partition_point(|link| link.hash < hash);
        self.links[start..].iter().take_while(move |link| link.hash == hash).map(|link| self.id(link))
    }
}

impl Link {
    /// The user. `rows`: those that the link is of.
    pub(super) fn user<'a>(&self, rows: &[Row<'a>]) -> &'a [u8] {
        rows[self.row as usize].user
    }
}

/// Keys order users by this.
pub(super) fn by_length(user: &[u8]) -> (usize, &[u8]) {
    (user.len(), user)
}

/// Texts in one buffer, one after the other.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    fn with_room_for<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let (count, bytes) = texts.fold((0, 0), |(count, bytes), text| (count + 1, bytes + text.len()));
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(u32::try_from(self.bytes.len()).expect("the ids of a piece take less than 4 GiB"));
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[index] as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| self.get(index))
    }
}

/// The links of a piece with these users and endpoints, which ascend.
#[cfg(test)]
pub(super) fn piece(links: &[(&'static str, &'static str)]) -> Links {
    let row = |(user, id): &(&'static str, &'static str)| Row {
        id: id.as_bytes(),
        record: &[],
        user: user.as_bytes(),
    };
    let rows: Vec<_> = links.iter().map(row).collect();
    let mut links = Links::new(&rows);
    (0..rows.len() as u32).for_each(|index| links.push(&rows, index));
    links.sort(&rows);
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_piece_are_found_by_user() {
        let links = piece(&[("ub", "1"), ("ua", "2"), ("ub", "3"), ("ub", "3"), ("u", "4"), ("", "5")]);
        let of = |user: &str| links.of(user.as_bytes()).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(of("ub"), [b"1", b"3"]);
        assert_eq!(of("ua"), [b"2"]);
        assert_eq!(of("u"), [b"4"]);
        assert_eq!(links.by_user().map(<[Link]>::len).sum::<usize>(), 4);
        for user in ["", "a", "uaa", "uc", "zz"] {
            assert!(of(user).is_empty(), "{user}");
        }
        assert!(piece(&[]).of(b"u").next().is_none());
    }
}
