//! JSON that is not one object a line: objects one after the other, arrays of objects, objects over many lines, and
//! the answers of an SDK as people save them (`{"Item":[…]}`, `{"EndpointResponse":{…}}`).
//!
//! A record is an object outside all others. What stands between records (commas, brackets, the names of such answers)
//! says nothing and is passed over. Only what it takes to find a record's end is looked at here: braces, brackets and
//! strings, and a grammar that is just good enough to see early that an object is broken, so that one broken object
//! does not take those after it along.

mod masks;
mod scan;

use std::ops::Range;

use self::scan::{Scan, Scanned};
use crate::limits::HOLDER_NAME_BYTES;

/// Names whose value holds records, in an answer of the service as an SDK or a person saves it.
const HOLDERS: [&str; 5] =
    ["Item", "EndpointResponse", "EndpointsResponse", "EndpointRequest", "EndpointBatchRequest"];

/// Other names by which such an answer is known. Their values are of no use.
const BESIDE: [&str; 2] = ["ResponseMetadata", "$metadata"];

/// What a JSON object is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonForm {
    /// One JSON object a line.
    Lines,
    /// Objects that end where their braces do.
    Objects {
        /// Whether they stand in an array or an answer, which must be closed in the end.
        enclosed: bool,
    },
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed to decide.
    NeedInput,
    /// So many bytes are no part of a record.
    Between(usize),
    /// A record of so many bytes, with so many newlines in it.
    Record(usize, u64),
    /// An object that breaks after so many bytes, at this depth.
    Broken { at: usize, depth: u32, why: &'static str },
    /// Nothing follows.
    End,
}

/// Finds records. The bytes it is given begin where the last step ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Finder {
    /// Records stand in arrays or answers.
    pub(crate) enclosed: bool,
    /// A bracket or brace was closed after the last record.
    pub(crate) closed: bool,
    scan: Scan,
    /// The object at hand is passed over.
    skips: bool,
}

/// The first byte that is not white space, and where it is.
fn first(bytes: &[u8], from: usize) -> Option<(usize, u8)> {
    let at = bytes.get(from..)?.iter().position(|byte| !byte.is_ascii_whitespace())? + from;
    Some((at, bytes[at]))
}

/// How many bytes of white space come first.
fn white(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len())
}

/// Whether the name that begins here may be one of [`HOLDERS`] or [`BESIDE`]. Few members of records are spelt so.
fn may_be_known(name: &[u8]) -> bool {
    matches!(name, [] | [_] | [b'I', b't', ..] | [b'E', b'n', ..] | [b'R', b'e', ..] | [b'$', b'm', ..])
}

/// A name in quotes at `at`, a colon after it, and where its value begins. `Err`: the bytes end before.
fn name(bytes: &[u8], at: usize) -> Result<Option<(&str, usize)>, ()> {
    let Some(end) = memchr::memchr(b'"', &bytes[at + 1..]).map(|end| at + 1 + end) else { return Err(()) };
    let Ok(name) = str::from_utf8(&bytes[at + 1..end]) else { return Ok(None) };
    match first(bytes, end + 1) {
        None => Err(()),
        Some((colon, b':')) => first(bytes, colon + 1).map(|(value, _)| Some((name, value))).ok_or(()),
        Some(_) => Ok(None),
    }
}

/// Whether a value after one of [`HOLDERS`] may hold records.
fn holds(name: &str, value: u8) -> bool {
    // An `Item` that is an object is not the service's.
    HOLDERS.contains(&name) && (value == b'[' || value == b'{' && name != "Item")
}

impl Finder {
    /// At the start of an object. `enclosed`: its records stand in arrays or answers.
    pub(crate) fn new(enclosed: bool) -> Self {
        Self { enclosed, ..Self::default() }
    }

    /// Forgets the object at hand: it is broken, and the next one begins elsewhere.
    pub(crate) fn give_up(&mut self) {
        (self.scan, self.skips) = (Scan::default(), false);
    }

    /// What comes next. `finished`: nothing comes after `bytes`.
    pub(crate) fn step(&mut self, bytes: &[u8], finished: bool) -> Step {
        if self.scan.at > 0 {
            return self.object(bytes, finished);
        }
        let Some(&byte) = bytes.first() else {
            return if finished { Step::End } else { Step::NeedInput };
        };
        match byte {
            b'{' => match self.answer(bytes, finished) {
                Some(step) => step,
                None => self.object(bytes, finished),
            },
            b']' | b'}' if self.enclosed || byte == b']' => {
                self.closed = true;
                Step::Between(1)
            }
            b'[' => Step::Between(1),
            b',' => Step::Between(1 + white(&bytes[1..])),
            b'"' if self.enclosed => self.member(bytes, finished),
            _ if byte.is_ascii_whitespace() => Step::Between(white(bytes)),
            _ if bytes.starts_with(super::MARK) => Step::Between(super::MARK.len()),
            0xef if bytes.len() < super::MARK.len() && !finished => Step::NeedInput,
            _ => Step::Broken { at: 0, depth: 0, why: "text stands where an object should begin" },
        }
    }

    /// Whether the brace at the start opens an answer that holds records.
    fn answer(&self, bytes: &[u8], finished: bool) -> Option<Step> {
        if !self.enclosed {
            return None;
        }
        let head = &bytes[..bytes.len().min(HOLDER_NAME_BYTES)];
        let more = || (!finished && bytes.len() < HOLDER_NAME_BYTES).then_some(Step::NeedInput);
        let Some((at, byte)) = first(head, 1) else { return more() };
        if byte != b'"' || !may_be_known(&head[at + 1..]) {
            return None;
        }
        match name(head, at) {
            Err(()) => more(),
            Ok(Some((name, value))) if holds(name, head[value]) || BESIDE.contains(&name) => {
                Some(Step::Between(at))
            }
            Ok(_) => None,
        }
    }

    /// A member of an answer.
    fn member(&mut self, bytes: &[u8], finished: bool) -> Step {
        let broken = Step::Broken { at: 1, depth: 0, why: "text stands where an object should begin" };
        let head = &bytes[..bytes.len().min(HOLDER_NAME_BYTES)];
        match name(head, 0) {
            Err(()) if !finished && bytes.len() < HOLDER_NAME_BYTES => Step::NeedInput,
            Ok(Some((name, value))) if holds(name, head[value]) => Step::Between(value),
            Ok(Some((_, value))) if matches!(head[value], b'{' | b'[') => {
                self.skips = true;
                let step = self.object(&bytes[value..], finished);
                match step {
                    // Nothing is kept of it, so its name may go.
                    Step::NeedInput => {
                        self.scan = Scan::default();
                        self.skips = false;
                        if finished { broken } else { Step::NeedInput }
                    }
                    Step::Between(len) => Step::Between(value + len),
                    Step::Broken { at, depth, why } => Step::Broken { at: value + at, depth, why },
                    other => other,
                }
            }
            Ok(Some((_, value))) => {
                let rest = &bytes[value..];
                let is_text = rest[0] == b'"';
                let end = if is_text {
                    memchr::memchr(b'"', &rest[1..]).map(|end| end + 2)
                } else {
                    rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b'\n'))
                };
                match end {
                    Some(end) => Step::Between(value + end),
                    None if finished => broken,
                    None => Step::NeedInput,
                }
            }
            _ => broken,
        }
    }

    /// Goes on with the object at the start.
    fn object(&mut self, bytes: &[u8], finished: bool) -> Step {
        let scanned = self.scan.go_on(bytes);
        if finished && scanned == Scanned::NeedInput {
            let at_end =
                Step::Broken { at: bytes.len(), depth: self.scan.depth, why: "the object does not end" };
            self.give_up();
            return breaks(bytes).unwrap_or(at_end);
        }
        let step = match scanned {
            Scanned::NeedInput => return Step::NeedInput,
            Scanned::Ends(end) if self.skips => Step::Between(end),
            Scanned::Ends(end) => {
                self.closed = false;
                Step::Record(end, self.scan.newlines)
            }
            Scanned::Broken(at, why) => Step::Broken { at, depth: self.scan.depth, why },
        };
        self.give_up();
        step
    }
}

/// Where the object that begins here breaks, if these bytes show it. [`Finder::step`] may pass over it.
pub(crate) fn breaks(bytes: &[u8]) -> Option<Step> {
    if !matches!(bytes.first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut scan = Scan::closely();
    match scan.go_on(bytes) {
        Scanned::Broken(at, why) => Some(Step::Broken { at, depth: scan.depth, why }),
        _ => None,
    }
}

/// Bytes before a brace that say whether an object may begin with it.
pub(crate) const LOOK_BACK: usize = 64;

/// Where the next object may begin, at or after `from`: after a closed one, on a line of its own, or where it
/// `begins` for another reason. `Err`: it is not known before more bytes come; nothing begins before there.
pub(crate) fn next_start(
    bytes: &[u8],
    from: usize,
    begins: impl Fn(usize) -> bool,
    finished: bool,
) -> Result<Option<usize>, usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'{', &bytes[at..]) {
        let brace = at + found;
        at = brace + 1;
        let behind = first(bytes, at);
        if behind.is_none() && !finished {
            return Err(brace);
        }
        let before = &bytes[brace.saturating_sub(LOOK_BACK)..brace];
        if (begins(brace) || may_begin(before)) && matches!(behind, Some((_, b'"' | b'}'))) {
            return Ok(Some(brace));
        }
    }
    if finished { Ok(None) } else { Err(bytes.len()) }
}

/// Whether an object may begin after these bytes.
fn may_begin(before: &[u8]) -> bool {
    let Some(at) = before.iter().rposition(|byte| !byte.is_ascii_whitespace()) else { return true };
    let own_line = before[at..].contains(&b'\n');
    match before[at] {
        b':' => false,
        b'}' | b']' => true,
        b',' => own_line || before[..at].iter().rfind(|byte| !byte.is_ascii_whitespace()) == Some(&b'}'),
        _ => own_line,
    }
}

/// The form of a JSON object that begins with `head`; `whole`: it ends with it.
pub(crate) fn form_of(head: &[u8], whole: bool) -> JsonForm {
    // An answer is looked for in any case.
    let mut finder = Finder { enclosed: true, ..Finder::default() };
    let (mut at, mut enclosed) = (0, false);
    loop {
        let rest = &head[at..];
        match finder.step(rest, whole) {
            Step::Between(len) => {
                // An empty array is an object without records; other arrays hold something else.
                if rest[0] == b'[' && !matches!(first(rest, 1), Some((_, b'{' | b'[' | b']'))) {
                    return JsonForm::Lines;
                }
                if matches!(rest[0], b',' | b'}') && !enclosed {
                    return JsonForm::Lines;
                }
                enclosed |= matches!(rest[0], b'[' | b'{');
                at += len;
            }
            // Brackets alone are an array without records.
            Step::End if enclosed => return JsonForm::Objects { enclosed },
            Step::End | Step::Broken { .. } => return JsonForm::Lines,
            Step::NeedInput => {
                // An object that is longer than what is looked at and has lines is not one a line.
                let spans = enclosed || finder.scan.at > 0 && memchr::memchr(b'\n', rest).is_some();
                return if spans { JsonForm::Objects { enclosed } } else { JsonForm::Lines };
            }
            Step::Record(len, _) => {
                // On a line of its own, or before what is no JSON either way.
                let alone =
                    |from: usize| first(rest, from).is_none_or(|(next, _)| rest[from..next].contains(&b'\n'));
                let alone = match first(rest, len) {
                    Some((_, b'{' | b'[')) => alone(len),
                    Some((comma, b',')) => {
                        let next = first(rest, comma + 1);
                        !alone(comma + 1) && !matches!(next, Some((_, b'{' | b'[')))
                    }
                    _ => true,
                };
                let spans = enclosed || !alone || memchr::memchr(b'\n', &rest[..len]).is_some();
                return if spans { JsonForm::Objects { enclosed } } else { JsonForm::Lines };
            }
        }
    }
}

/// The records of a line that is more than one object, such as several objects or one with a comma after it. Nothing,
/// if anything on it is broken.
pub(crate) fn objects_of(line: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut finder = Finder::default();
    let (mut at, mut found) = (0, Vec::new());
    loop {
        match finder.step(&line[at..], true) {
            Step::Between(len) => at += len,
            Step::Record(len, _) => {
                found.push(at..at + len);
                at += len;
            }
            Step::End => return Some(found).filter(|found| !found.is_empty()),
            Step::NeedInput | Step::Broken { .. } => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_may_be_known() {
        for name in HOLDERS.iter().chain(&BESIDE) {
            for end in 0..name.len() {
                assert!(may_be_known(&name.as_bytes()[..end]), "{name} {end}");
            }
        }
    }
}
