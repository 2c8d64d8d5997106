//! Finds where in the bytes of a failed record its fault is, by the rules that records are read by. It judges nothing.

use std::{borrow::Cow, fmt, sync::Arc};

use pinport_model::{Failure, Format, ReadOptions, ReadRules, RecordLimits, Timestamp};
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    limits::SNIFF_BYTES,
    parse::{Map, ParseContext, names, structure},
    split::{SplitOptions, dialect_of},
    text::{Dialect, is_escaped, opens},
};

/// Objects inside of objects that are looked into; members lie in the first three.
const MAX_DEPTH: usize = 16;

/// The byte of a record that its failure is about: its column, or else where the value of its member begins. Of a member
/// that a mapping makes, the value in the file that it is made of. `header`: that of the record's CSV object.
pub fn place_of(
    failure: &Failure,
    format: Format,
    read: &ReadOptions,
    header: Option<&[u8]>,
    record: &[u8],
) -> Option<usize> {
    if let Some(column) = failure.column {
        let at = usize::try_from(column).ok()?.checked_sub(1)?;
        return (at <= record.len()).then_some(at);
    }
    let context = ParseContext::new(read, RecordLimits::default(), Timestamp::from_millis(0)).ok()?;
    let sought =
        Sought { member: failure.member.as_deref()?, map: context.map.as_ref(), rules: &context.rules };
    match format {
        Format::Json => sought.in_object(record),
        Format::Csv => sought.in_row(header?, record, &SplitOptions::of(&context, SNIFF_BYTES)),
    }
}

/// The member that is sought.
struct Sought<'a> {
    member: &'a str,
    map: Option<&'a Arc<Map>>,
    rules: &'a ReadRules,
}

impl Sought<'_> {
    /// How well a name of the file fits: 0 if it makes the member, by a mapping; 1 if it is the member's own name.
    fn fit(&self, name: &str, known: impl Fn(&str) -> Option<String>) -> Option<u8> {
        if self.map.is_some_and(|map| map.makes(self.member, name, self.rules.strict_names)) {
            return Some(0);
        }
        let is_own = name == self.member || known(name).is_some_and(|known| known == self.member);
        is_own.then_some(1)
    }

    /// Where the member's cell begins.
    fn in_row(&self, header: &[u8], record: &[u8], options: &SplitOptions) -> Option<usize> {
        let head = [header, b"\n", record].concat();
        let (dialect, skip, _) = dialect_of(&head, true, options);
        let header = str::from_utf8(header.get(skip..)?).ok()?;
        let names = structure::rows_of(header, dialect).into_iter().next()?;
        let fits =
            (0..).zip(&names).filter_map(|(at, name)| Some((self.fit(name.trim(), names::known)?, at)));
        let (_, column) = fits.min()?;
        starts(record, dialect).nth(column)
    }

    /// Where the member's value begins, or the object that lacks it.
    fn in_object(&self, record: &[u8]) -> Option<usize> {
        let mut found = Found { sought: self, record, exact: None, holder: None };
        found.look_into(record, "", MAX_DEPTH);
        found.exact.map(|(_, at)| at).or(found.holder.map(|(_, at)| at))
    }
}

/// What was found in a record, how well it fits, and at which byte.
struct Found<'a> {
    sought: &'a Sought<'a>,
    record: &'a [u8],
    exact: Option<(u8, usize)>,
    /// The innermost object that should have the member, by the length of its name.
    holder: Option<(usize, usize)>,
}

impl Found<'_> {
    /// Looks through the members of an object whose own name is `path`.
    fn look_into(&mut self, object: &[u8], path: &str, depth: usize) {
        if depth == 0 {
            return;
        }
        let mut reader = serde_json::Deserializer::from_slice(object);
        // Of JSON that breaks off, what comes before.
        let _ = reader.deserialize_map(Members(|name: &str, value: &RawValue| {
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let at = value.get().as_ptr().addr() - self.record.as_ptr().addr();
            if let Some(fit) = self.sought.fit(&path, names::known_member)
                && self.exact.is_none_or(|(best, _)| fit < best)
            {
                self.exact = Some((fit, at));
            }
            if value.get().starts_with('{') {
                let holder = names::known_member(&path).unwrap_or_else(|| path.clone());
                let rest = self.sought.member.strip_prefix(&holder);
                if rest.is_some_and(|rest| rest.starts_with('.'))
                    && self.holder.is_none_or(|(best, _)| holder.len() > best)
                {
                    self.holder = Some((holder.len(), at));
                }
                self.look_into(value.get().as_bytes(), &path, depth - 1);
            }
        }));
    }
}

/// Calls for each member of an object.
struct Members<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, value)) = members.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            (self.0)(&name, value);
        }
        Ok(())
    }
}

/// Where the cells of a record begin.
fn starts(record: &[u8], dialect: Dialect) -> impl Iterator<Item = usize> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let mut at = start;
        next = loop {
            let Some(found) = memchr::memchr2(b'"', dialect.delimiter, record.get(at..)?) else { break None };
            at += found + 1;
            match record[at - 1] {
                b'"' if opens(record, at - 1, dialect.delimiter) => at = closed(record, at, dialect),
                b'"' => {}
                _ => break Some(at),
            }
        };
        Some(start)
    })
}

/// The byte after the quote that closes a cell whose text begins at `at`.
fn closed(record: &[u8], mut at: usize, dialect: Dialect) -> usize {
    let text = at;
    while let Some(quote) = memchr::memchr(b'"', &record[at..]).map(|found| at + found) {
        at = quote + 1;
        if dialect.backslash && is_escaped(&record[text..], quote - text) {
            continue;
        }
        if record.get(at) != Some(&b'"') {
            return at;
        }
        at += 1;
    }
    record.len()
}

#[cfg(test)]
mod tests {
    use pinport_model::{
        FailureCode, Mapping,
        failure::{FailureReason, Origin},
    };
    use proptest::prelude::*;

    use super::*;

    fn failure(member: &str) -> Failure {
        FailureReason::of(member, FailureCode::WrongType, "is wrong")
            .locate("o", Origin { object: 0, byte: 0, line: 1 })
    }

    fn mapping(toml: Mapping) -> ReadOptions {
        ReadOptions { map: Some(Box::new(toml)), ..ReadOptions::default() }
    }

    fn names<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, String> {
        pairs.into_iter().map(|(name, member)| (name.to_owned(), member.to_owned())).collect()
    }

    fn rest<'a>(read: &ReadOptions, header: &str, record: &'a str, member: &str) -> Option<&'a str> {
        let (format, header) = match header {
            "" => (Format::Json, None),
            header => (Format::Csv, Some(header.as_bytes())),
        };
        place_of(&failure(member), format, read, header, record.as_bytes()).map(|at| &record[at..])
    }

    #[test]
    fn a_member_of_an_object_is_found() {
        let json = r#"{"x":{"ChannelType":"no"},"t":"\"ChannelType\":", "channel_type" : "PIGEON","Attributes":{"a.b":[1],"c":2},"User":{"UserId":7}}"#;
        let starts = |member, text| {
            let found = rest(&ReadOptions::default(), "", json, member).unwrap();
            assert!(found.starts_with(text), "{member}: {found}");
        };
        starts("ChannelType", "\"PIGEON\"");
        starts("Attributes.a.b", "[1]");
        starts("Attributes.c", "2}");
        starts("Attributes", "{\"a.b\"");
        starts("User.UserId", "7}");
        starts("User.missing", "{\"UserId\"");
        assert_eq!(rest(&ReadOptions::default(), "", json, "Id"), None);
        // What comes before JSON that breaks off is there.
        assert_eq!(rest(&ReadOptions::default(), "", "{\"Id\":1,\"OptOut\":x", "Id"), Some("1,\"OptOut\":x"));
    }

    #[test]
    fn a_cell_of_a_column_is_found() {
        let found = |header, record, member| rest(&ReadOptions::default(), header, record, member);
        assert_eq!(found("Id,Address,ChannelType", "1,\"a,\nb\",PIGEON", "ChannelType"), Some("PIGEON"));
        assert_eq!(found("Id,channel type", "1,PIGEON", "ChannelType"), Some("PIGEON"));
        assert_eq!(found("\u{feff}Id;\"Address\"", "1;x", "Address"), Some("x"));
        assert_eq!(found("\u{feff}Id;\"Address\"", "1;x", "Id"), Some("1;x"));
        assert_eq!(found("Id,Address", "1", "Address"), None);
        assert_eq!(found("Id,Attributes.plan,Address", "1,,x", "Attributes.plan"), Some(",x"));
    }

    #[test]
    fn a_member_that_a_mapping_makes_is_found_in_what_it_is_made_of() {
        let csv = mapping(Mapping {
            rename: names([("Kind", "ChannelType"), ("Mail", "Address")]),
            join: names([("Attributes.name", "{First} {Last}")]),
            ..Mapping::default()
        });
        let header = "Nr,First,Last,mail,Kind,Address";
        let found = |member| rest(&csv, header, "1,Ann,Lee,a@b,PIGEON,old", member);
        assert_eq!(found("ChannelType"), Some("PIGEON,old"));
        assert_eq!(found("Address"), Some("a@b,PIGEON,old"), "not the column that is called so");
        assert_eq!(found("Attributes.name"), Some("Ann,Lee,a@b,PIGEON,old"));
        let json =
            mapping(Mapping { rename: names([("contact.kind", "ChannelType")]), ..Mapping::default() });
        let record = r#"{"contact":{"mail":"x","kind":"PIGEON"},"Id":"1"}"#;
        assert_eq!(rest(&json, "", record, "ChannelType"), Some("\"PIGEON\"},\"Id\":\"1\"}"));
        assert_eq!(rest(&json, "", record, "Id"), Some("\"1\"}"));
    }

    #[test]
    fn a_column_is_a_byte() {
        let mut failure = failure("Id");
        let found =
            |failure: &Failure| place_of(failure, Format::Json, &ReadOptions::default(), None, b"abc");
        failure.column = Some(3);
        assert_eq!(found(&failure), Some(2));
        failure.column = Some(5);
        assert_eq!(found(&failure), None);
    }

    proptest! {
        #[test]
        fn cells_begin_where_the_reader_finds_them(record in "[a,\" \\\\]{0,60}", backslash: bool) {
            let dialect = Dialect { backslash, ..Dialect::default() };
            let starts: Vec<_> = starts(record.as_bytes(), dialect).collect();
            // Where text follows a quote, there is no row.
            if let [cells] = &structure::rows_of(&record, dialect)[..] {
                prop_assert_eq!(starts.len(), cells.len(), "{:?}", cells);
            }
            for start in starts {
                prop_assert!(start == 0 || record.as_bytes()[start - 1] == b',');
            }
        }

        #[test]
        fn no_bytes_are_too_strange(record in proptest::collection::vec(any::<u8>(), 0..200), member: String) {
            for format in [Format::Csv, Format::Json] {
                let found = place_of(&failure(&member), format, &ReadOptions::default(), Some(&record), &record);
                prop_assert!(found.is_none_or(|at| at <= record.len()));
            }
        }
    }
}
