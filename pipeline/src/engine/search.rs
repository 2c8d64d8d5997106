//! Looks for failures of a job in its failures file, a bounded part of it at a time.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use pinport_model::{Failure, FailureFilter};

use super::files::{FileError, failures_path, on};

/// How much one search may do.
#[derive(Debug, Clone, Copy)]
pub struct SearchBounds {
    /// Failures that are found.
    pub failures: usize,
    /// Bytes of failures that are found.
    pub found_bytes: usize,
    /// Bytes of the file that are read.
    pub read_bytes: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundFailures {
    /// The failures as the file has them, one a line.
    pub lines: Vec<u8>,
    /// The byte of the file at which to go on, unless all was read.
    pub next: Option<u64>,
}

/// Looks for failures from the byte `from` of the first `len` bytes of a job's failures file: what lies after them is not
/// committed. Nothing if no line begins at `from`.
pub fn search_failures(
    folder: &Path,
    (from, len): (u64, u64),
    filter: &FailureFilter,
    bounds: SearchBounds,
) -> Result<Option<FoundFailures>, FileError> {
    let path = failures_path(folder);
    if from >= len {
        return Ok((from == 0 || from == len).then(FoundFailures::default));
    }
    let mut file = File::open(&path).map_err(on("open", &path))?;
    search(&mut file, (from, len), filter, bounds).map_err(on("read", &path))
}

fn search(
    file: &mut File,
    (from, len): (u64, u64),
    filter: &FailureFilter,
    bounds: SearchBounds,
) -> io::Result<Option<FoundFailures>> {
    let mut before = [b'\n'];
    if from > 0 {
        file.seek(SeekFrom::Start(from - 1))?;
        file.read_exact(&mut before)?;
    }
    if before != *b"\n" {
        return Ok(None);
    }
    let mut reader = BufReader::with_capacity(256 << 10, file.take(len - from));
    let (mut found, mut at, mut count, mut line) = (FoundFailures::default(), from, 0, Vec::new());
    while count < bounds.failures && found.lines.len() < bounds.found_bytes && at - from < bounds.read_bytes {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(Some(found));
        }
        at += read as u64;
        let failure: Failure = serde_json::from_slice(&line)?;
        if filter.matches(&failure) {
            found.lines.extend_from_slice(&line);
            count += 1;
        }
    }
    found.next = (at < len).then_some(at);
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pinport_model::{
        FailureCode,
        failure::{FailureReason, Origin},
    };

    use super::*;

    const ALL: SearchBounds = SearchBounds { failures: 1000, found_bytes: 1 << 20, read_bytes: 1 << 20 };

    /// Pages until there is no more; gives the lines that were found and how many pages there were.
    fn pages(folder: &Path, len: u64, search: &str, bounds: SearchBounds) -> (Vec<u64>, usize) {
        let filter = FailureFilter::new(None, None, search);
        let (mut lines, mut from, mut pages) = (Vec::new(), 0, 0);
        loop {
            let found = search_failures(folder, (from, len), &filter, bounds).unwrap().unwrap();
            pages += 1;
            for line in found.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                lines.push(serde_json::from_slice::<Failure>(line).unwrap().line);
            }
            match found.next {
                Some(next) => from = next,
                None => return (lines, pages),
            }
        }
    }

    #[test]
    fn all_is_found_whatever_the_bounds_of_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = Vec::new();
        for line in 1..=100 {
            let word = if line % 10 == 0 { "a needle" } else { "hay" };
            let failure = FailureReason::new(FailureCode::WrongType, word)
                .locate("o", Origin { object: 0, byte: 0, line });
            serde_json::to_writer(&mut text, &failure).unwrap();
            text.push(b'\n');
        }
        let len = text.len() as u64;
        text.extend_from_slice(b"{\"not committed");
        fs::write(failures_path(folder.path()), &text).unwrap();
        let expected: Vec<u64> = (1..=10).map(|number| number * 10).collect();
        let few = |bounds| pages(folder.path(), len, "NEEDLE", bounds);
        assert_eq!(few(ALL), (expected.clone(), 1));
        for bounds in [
            SearchBounds { failures: 3, ..ALL },
            SearchBounds { found_bytes: 1, ..ALL },
            SearchBounds { read_bytes: 200, ..ALL },
        ] {
            let (lines, pages) = few(bounds);
            assert_eq!(lines, expected);
            assert!(pages > 3, "{bounds:?}");
        }
        let filter = FailureFilter::default();
        let at = |from| search_failures(folder.path(), (from, len), &filter, ALL).unwrap();
        assert_eq!(at(1), None, "inside a line");
        assert_eq!(at(len), Some(FoundFailures::default()));
        assert_eq!(at(len + 1), None);
        assert_eq!(
            search_failures(folder.path(), (0, 0), &filter, ALL).unwrap(),
            Some(FoundFailures::default())
        );
    }
}
