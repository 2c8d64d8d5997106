//! Which of the objects found are read: the rules of skipping, and the format by name or content.

use pinport_model::Format;

/// Suffixes of compressed objects.
const COMPRESSED: [&str; 6] = [".gz", ".zst", ".bz2", ".xz", ".zip", ".tgz"];

/// What the name and size of an object say about reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is read.
    Read,
    /// It is not, for this reason.
    Skip(String),
    /// Its content has to be looked at.
    Look,
}

/// Whether an object was asked for by its own name, or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The source is exactly this key, so what it holds is up to the user.
    Named,
    /// It was found below a prefix of so many bytes. The names in the prefix were asked for.
    Below(usize),
}

/// Judges an object by its key and size.
pub(super) fn judge(key: &str, size: u64, format: Format, way: Way) -> Verdict {
    let skip = |reason: &str| Verdict::Skip(reason.into());
    if key.ends_with('/') {
        return skip("it is a directory marker");
    }
    // A compressed object is never empty: one of no bytes was cut off, and reading it says so.
    if size == 0 && !is_compressed_name(key) {
        return skip("it is empty");
    }
    let Way::Below(prefix) = way else {
        return Verdict::Read;
    };
    if let Some(reason) = no_data(key, prefix) {
        return skip(reason);
    }
    match format_of_name(key) {
        Some(found) if found == format => Verdict::Read,
        Some(found) => Verdict::Skip(format!("its name says {found}")),
        None => Verdict::Look,
    }
}

/// Suffixes of what stands beside data and is none, with the reason.
const BESIDE: &[(&str, &str)] = &[
    (".metadata", "it is a manifest or metadata"),
    (".manifest", "it is a manifest or metadata"),
    (".crc", "it is a checksum"),
    (".md5", "it is a checksum"),
    (".sha1", "it is a checksum"),
    (".sha256", "it is a checksum"),
    ("~", "it is an editor's backup copy"),
    (".bak", "it is a backup copy"),
    (".parquet", "its name says Parquet"),
    (".avro", "its name says Avro"),
    (".orc", "its name says ORC"),
    (".xlsx", "its name says Excel"),
    (".xls", "its name says Excel"),
    (".pdf", "its name says PDF"),
    (".html", "its name says HTML"),
    (".xml", "its name says XML"),
    (".md", "its name says Markdown"),
    (".png", "its name says picture"),
    (".jpg", "its name says picture"),
    (".jpeg", "its name says picture"),
    (".gif", "its name says picture"),
    (".docx", "its name says Word"),
    (".sql", "its name says SQL"),
];

/// Why the name of an object below a prefix of so many bytes says that it is no data, if it does.
fn no_data(key: &str, prefix: usize) -> Option<&'static str> {
    let name = key.rsplit('/').next().unwrap_or(key);
    if name == "_SUCCESS" {
        return Some("it is a job's success marker");
    }
    // Of names that begin within the prefix, the prefix holds the first byte: they were asked for.
    let below = key.get(prefix..).unwrap_or_default();
    let asked_for = prefix > 0 && !key[..prefix.min(key.len())].ends_with('/');
    let mut parts = below.split('/').skip(usize::from(asked_for)).peekable();
    while let Some(part) = parts.next() {
        let folder = parts.peek().is_some();
        match part.as_bytes().first() {
            // No name at all: a key may hold it.
            _ if matches!(part, "." | "..") => {}
            Some(b'.') if folder => return Some("it lies in a hidden folder"),
            Some(b'_') if folder => return Some("it lies in a folder whose name begins with _"),
            Some(b'.') => return Some("it is a hidden file"),
            Some(b'_') => return Some("its name begins with _"),
            _ => {}
        }
    }
    if name.starts_with("~$") {
        return Some("it is the lock of an open document");
    }
    if ["Thumbs.db", "desktop.ini"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Some("it belongs to the desktop");
    }
    let stem = name.split('.').next().unwrap_or(name);
    if stem.eq_ignore_ascii_case("readme") {
        return Some("it is a README");
    }
    let reason = BESIDE.iter().find(|(suffix, _)| ends_with(key, suffix));
    reason.map(|(_, reason)| *reason)
}

/// Why an object whose decoded bytes begin so is not read, if it is not.
pub(super) fn judge_content(head: &[u8], format: Format) -> Option<String> {
    if is_binary(head) {
        return Some("its content is binary".into());
    }
    let found = format_of_content(head)?;
    (found != format).then(|| format!("its content looks like {found}"))
}

/// Whether bytes are no text. Text of two bytes a character is nearly half zeroes.
fn is_binary(head: &[u8]) -> bool {
    let zeroes = head.iter().filter(|byte| **byte == 0).count();
    let control = head.iter().any(|byte| matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f));
    // A character at the end may be cut off.
    let utf8 = std::str::from_utf8(head).err().is_none_or(|error| error.error_len().is_none());
    zeroes * 4 < head.len() && (zeroes > 0 || control && !utf8)
}

/// Whether the name has the suffix of a compression.
pub(crate) fn is_compressed_name(key: &str) -> bool {
    COMPRESSED.iter().any(|suffix| ends_with(key, suffix))
}

fn ends_with(key: &str, suffix: &str) -> bool {
    let (key, suffix) = (key.as_bytes(), suffix.as_bytes());
    key.len() >= suffix.len() && key[key.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

/// The format that a name says, whatever compression it has.
pub fn format_of_name(key: &str) -> Option<Format> {
    let compressed = COMPRESSED.iter().find(|suffix| ends_with(key, suffix));
    let key = compressed.map_or(key, |suffix| &key[..key.len() - suffix.len()]);
    if ends_with(key, ".csv") {
        Some(Format::Csv)
    } else if [".json", ".jsonl", ".ndjson"].iter().any(|suffix| ends_with(key, suffix)) {
        Some(Format::Json)
    } else {
        None
    }
}

/// `None` for white space alone and for UTF-16, which the splitter refuses with a sentence of its own.
fn format_of_content(head: &[u8]) -> Option<Format> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return None;
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace())?;
    Some(if *first == b'{' { Format::Json } else { Format::Csv })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_decide_what_is_read() {
        let found = Way::Below(0);
        let skip = |key: &str, size| matches!(judge(key, size, Format::Json, found), Verdict::Skip(_));
        for key in [
            "a/",
            "a/_SUCCESS",
            "_SUCCESS",
            "x.metadata",
            "a/x.csv.metadata",
            "x.manifest",
            "x.csv",
            "x.CSV.gz",
        ] {
            assert!(skip(key, 9), "{key}");
        }
        for key in ["a/x.json", "x.jsonl.bz2", "x.ndjson.zst", "x.JSON.xz", "x.json.gz"] {
            assert_eq!(judge(key, 9, Format::Json, found), Verdict::Read, "{key}");
        }
        for key in ["x", "x.gz", "x.txt", "json", "a_SUCCESS", "ü.gz"] {
            assert_eq!(judge(key, 9, Format::Json, found), Verdict::Look, "{key}");
        }
        assert!(skip("x.json", 0));
        assert_eq!(judge("x.json.gz", 0, Format::Json, found), Verdict::Read);
        assert_eq!(judge("x.csv", 9, Format::Json, Way::Named), Verdict::Read);
        assert_eq!(judge("_SUCCESS", 0, Format::Json, Way::Named), Verdict::Skip("it is empty".into()));
    }

    #[test]
    fn what_stands_beside_data_is_skipped_below_a_prefix() {
        let reason = |key: &str, prefix: &str| no_data(key, prefix.len());
        for key in [
            ".DS_Store",
            "a/._SUCCESS.crc",
            "a/.part-0.csv.crc",
            "_delta_log/0.json",
            "a/_temporary/0/part-0.csv",
            "__MACOSX/._a.csv",
            ".git/x.csv",
            "a/.a.csv.swp",
            "_metadata",
            "~$contacts.csv",
            "thumbs.DB",
            "a/Desktop.ini",
            "README",
            "readme.txt",
            "a/README.md",
            "a/part-0.csv.crc",
            "contacts.csv~",
            "contacts.csv.bak",
            "contacts.XLSX",
            "part-0.snappy.parquet",
        ] {
            assert!(reason(key, "").is_some(), "{key}");
            let Verdict::Skip(_) = judge(key, 9, Format::Csv, Way::Below(0)) else { panic!("{key}") };
            assert_eq!(judge(key, 9, Format::Csv, Way::Named), Verdict::Read, "{key}");
        }
        for key in ["a.csv", "x/../y.csv", "a/b_c/d.csv", "year=_x/a.csv", "readme2026.csv", "a~b.csv"] {
            assert_eq!(reason(key, ""), None, "{key}");
        }
    }

    #[test]
    fn names_in_the_prefix_were_asked_for() {
        let reason = |key: &str, prefix: &str| no_data(key, prefix.len());
        assert_eq!(reason("_staging/a.csv", "_staging/"), None);
        assert_eq!(reason("_staging/a.csv", "_sta"), None);
        assert_eq!(reason("data/part_1.csv", "data/part"), None);
        assert!(reason("_staging/_x/a.csv", "_staging/").is_some());
        assert!(reason("_staging/_x/a.csv", "_sta").is_some());
        assert!(reason("data/_x.csv", "data/").is_some());
    }

    #[test]
    fn the_first_byte_of_content_decides() {
        for (head, csv, json) in [
            (&b" \r\n{\"Id\""[..], false, true),
            (b"\xef\xbb\xbf{", false, true),
            (b"Id,Address", true, false),
            (b"[1]", true, false),
            (b"", true, true),
            (b" \n ", true, true),
            (b"\xff\xfeI\0", true, true),
            (b"I\0d\0,\0A\0", true, false),
            (b"\x89PNG\x0d\x0a\x1a\x0a", false, false),
            (b"\x01\x02 and \xff text", false, false),
            (b"a\x01b\n", true, false),
        ] {
            assert_eq!(judge_content(head, Format::Csv).is_none(), csv, "{head:?}");
            assert_eq!(judge_content(head, Format::Json).is_none(), json, "{head:?}");
        }
    }
}
