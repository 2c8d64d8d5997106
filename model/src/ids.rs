//! Identifiers: 128 bits, written as 32 lower-case hexadecimal digits (the form Pinpoint's clients expect).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an id: 32 lower-case hexadecimal digits are expected")]
pub struct ParseIdError(pub String);

#[cfg(not(feature = "failpoints"))]
fn new_id() -> [u8; 16] {
    uuid::Uuid::now_v7().into_bytes()
}

/// By the clock that a test has set.
#[cfg(feature = "failpoints")]
fn new_id() -> [u8; 16] {
    let ms = crate::Timestamp::now().as_millis().cast_unsigned();
    let time = uuid::Timestamp::from_unix(uuid::NoContext, ms / 1000, (ms % 1000 * 1_000_000) as u32);
    uuid::Uuid::new_v7(time).into_bytes()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new id. Ids made later compare greater (to the millisecond), so a store that keeps them
            /// in key order also keeps them in order of creation.
            pub fn generate() -> Self {
                Self(new_id())
            }

            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id, as keys hold them.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self).ok_or_else(|| ParseIdError(text.into()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// Whether a text has the form of an id, in letters of either case. What has is no name: two things could answer to it.
pub fn looks_like_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

id! {
    /// Names an application: the tenant that endpoints and segments belong to.
    ApplicationId
}
id! {
    /// Names an import job.
    JobId
}
id! {
    /// Names a segment. A segment that an import creates has the id of its job.
    SegmentId
}

impl JobId {
    /// The least id of those that are made at this time, in milliseconds since 1970, or later.
    pub fn first_at(millis: i64) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.max(0).to_be_bytes()[2..]);
        Self(bytes)
    }

    /// Which of these jobs `text` names: any part of an id that no other has.
    ///
    /// # Errors
    /// How many it may name, if they are several.
    pub fn find(ids: impl IntoIterator<Item = Self>, text: &str) -> Result<Option<Self>, usize> {
        let text = text.to_ascii_lowercase();
        let has_part = |id: &Self| !text.is_empty() && id.to_string().contains(&text);
        let found: Vec<_> = ids.into_iter().filter(has_part).collect();
        // Lists show the ends of ids: such a part is first of all an end.
        let mut ends = found.iter().filter(|id| id.to_string().ends_with(&text));
        match (&found[..], ends.next(), ends.next()) {
            ([], ..) => Ok(None),
            ([id], ..) | (_, Some(id), None) => Ok(Some(*id)),
            _ => Err(found.len()),
        }
    }
}

impl From<JobId> for SegmentId {
    fn from(job: JobId) -> Self {
        Self(job.0)
    }
}

/// Bytes as lower-case hexadecimal digits, as hashes are written.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_writes() {
        let id = JobId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 32);
    }

    #[test]
    fn any_part_that_no_other_job_has_names_a_job() {
        let id = |first: u8, last: u8| {
            let mut bytes = [7; 16];
            (bytes[0], bytes[15]) = (first, last);
            JobId::from_bytes(bytes)
        };
        let ids = [id(1, 2), id(1, 3), id(4, 1)];
        for (text, found) in [
            ("0702", Ok(Some(ids[0]))),
            ("0703", Ok(Some(ids[1]))),
            ("04", Ok(Some(ids[2]))),
            // The end of one and the beginning of two.
            ("01", Ok(Some(ids[2]))),
            ("0107", Err(2)),
            ("07", Err(3)),
            ("", Ok(None)),
            ("ff", Ok(None)),
        ] {
            assert_eq!(JobId::find(ids, text), found, "{text}");
        }
        let letters = JobId::from_bytes([0xab; 16]);
        assert_eq!(JobId::find([letters], "BABA"), Ok(Some(letters)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "abc", "0123456789ABCDEF0123456789ABCDEF", "g123456789abcdef0123456789abcdef"] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn later_ids_are_greater() {
        let millis = |time: std::time::SystemTime| {
            time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
        };
        let now = millis(std::time::SystemTime::now());
        let id = JobId::generate();
        assert!(JobId::first_at(now) <= id && id < JobId::first_at(now + 60_000));
        // Within a millisecond too: the counter of version 7 sees to it.
        let ids: Vec<JobId> = (0..1000).map(|_| JobId::generate()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later));
    }
}
