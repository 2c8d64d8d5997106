//! Which of the objects found are read: the rules of skipping, and the format by name or content.

use pinport_model::Format;

/// Suffixes of compressed objects.
const COMPRESSED: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

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

/// Judges an object by its key and size. `named`: the source is exactly this key, so what it holds is up to the user.
pub(super) fn judge(key: &str, size: u64, format: Format, named: bool) -> Verdict {
    let skip = |reason: &str| Verdict::Skip(reason.into());
    if key.ends_with('/') {
        return skip("it is a directory marker");
    }
    // A compressed object is never empty: one of no bytes was cut off, and reading it says so.
    if size == 0 && !is_compressed_name(key) {
        return skip("it is empty");
    }
    if named {
        return Verdict::Read;
    }
    if key.rsplit('/').next() == Some("_SUCCESS") {
        return skip("it is a job's success marker");
    }
    if key.ends_with(".metadata") || key.ends_with(".manifest") {
        return skip("it is a manifest or metadata");
    }
    match format_of_name(key) {
        Some(found) if found == format => Verdict::Read,
        Some(found) => Verdict::Skip(format!("its name says {found}")),
        None => Verdict::Look,
    }
}

/// Why an object whose decoded bytes begin so is not read, if it is not.
pub(super) fn judge_content(head: &[u8], format: Format) -> Option<String> {
    let found = format_of_content(head)?;
    (found != format).then(|| format!("its content looks like {found}"))
}

/// Whether the name has the suffix of a compression.
pub(crate) fn is_compressed_name(key: &str) -> bool {
    COMPRESSED.iter().any(|suffix| ends_with(key, suffix))
}

fn ends_with(key: &str, suffix: &str) -> bool {
    let (key, suffix) = (key.as_bytes(), suffix.as_bytes());
    key.len() >= suffix.len() && key[key.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

fn format_of_name(key: &str) -> Option<Format> {
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
        let skip = |key: &str, size| matches!(judge(key, size, Format::Json, false), Verdict::Skip(_));
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
            assert_eq!(judge(key, 9, Format::Json, false), Verdict::Read, "{key}");
        }
        for key in ["x", "x.gz", "x.txt", "json", "a_SUCCESS", "ü.gz"] {
            assert_eq!(judge(key, 9, Format::Json, false), Verdict::Look, "{key}");
        }
        assert!(skip("x.json", 0));
        assert_eq!(judge("x.json.gz", 0, Format::Json, false), Verdict::Read);
        assert_eq!(judge("x.csv", 9, Format::Json, true), Verdict::Read);
        assert_eq!(judge("_SUCCESS", 0, Format::Json, true), Verdict::Skip("it is empty".into()));
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
        ] {
            assert_eq!(judge_content(head, Format::Csv).is_none(), csv, "{head:?}");
            assert_eq!(judge_content(head, Format::Json).is_none(), json, "{head:?}");
        }
    }
}
