//! Archives as people send them: the members of a tar or a zip, one after the other, as one stream of records.
//!
//! A member is judged as an object of a folder is: by name, else by content. CSV members must have the same header;
//! that of the first goes out, those of the others are left out. A member without a line break at its end gets one
//! if another follows. Nothing is extracted: memory is that of the decoders and of one header.

mod tar;
#[cfg(test)]
pub(super) mod tests;
mod zip;

use pinport_model::{Encoding, Format, escape_controls};

use super::{
    content::Foreign,
    decode::{Caps, Compression, Fault, Input},
    layers::{Layer, Layers, Within},
    matching::{Verdict, Way, judge, judge_content},
};
use crate::limits::{ARCHIVE_HEADER, ARCHIVE_NAME_SHOWN, ARCHIVE_NAMED_SKIPS, HEAD_BYTES};
use tar::Tar;
use zip::Zip;

/// A byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    name: String,
    /// Its bytes, if that is known before it is read.
    size: Option<u64>,
    /// Why it cannot be read, if so.
    unreadable: Option<String>,
    /// Whether it is no file.
    other: bool,
}

/// What lies in an archive.
trait Members: Send {
    /// Goes to the next member; what is left of the one before is skipped. `None`: all of the archive was read.
    fn next(&mut self, input: &mut dyn Input) -> Result<Option<Member>, Fault>;

    /// Bytes of the member; 0 at its verified end.
    fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault>;
}

/// Which kind of archive begins with these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tar.
    Tar,
    /// A zip.
    Zip,
}

/// The bytes of a member, for what decodes it.
struct MemberInput<'a> {
    members: &'a mut dyn Members,
    input: &'a mut dyn Input,
}

impl Input for MemberInput<'_> {
    /// Only a layer without compression lies on this, and that reads.
    fn fill(&mut self) -> Result<&[u8], Fault> {
        corrupt("a member is read without a buffer")
    }

    fn consume(&mut self, _: usize) {}

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        self.members.read(self.input, buf)
    }
}

/// A member that is being read.
struct Open {
    name: String,
    /// Its own bytes, the first of which were looked at.
    plain: Layer,
    layers: Layers,
    ended: bool,
}

/// The records of an archive's members.
pub(super) struct Archive {
    members: Box<dyn Members>,
    format: Format,
    /// The encoding of the members, if the user said it.
    encoding: Option<Encoding>,
    caps: Caps,
    open: Option<Open>,
    /// Bytes of the open member that are handed out before others.
    pending: Vec<u8>,
    taken: usize,
    /// The header that all members have, and the name of the member that brought it.
    header: Option<(Vec<u8>, String)>,
    /// Members that were read.
    read: u64,
    skipped: u64,
    first_skipped: Option<String>,
    notes: Vec<String>,
    /// Members that were skipped beyond those.
    unnamed: u64,
    /// The last byte that was handed out.
    last: u8,
    ended: bool,
}

impl Archive {
    pub(super) fn new(kind: Kind, format: Format, encoding: Option<Encoding>, caps: Caps) -> Self {
        let members: Box<dyn Members> = match kind {
            Kind::Tar => Box::new(Tar::default()),
            Kind::Zip => Box::new(Zip::new(caps)),
        };
        Self {
            members,
            format,
            encoding,
            caps,
            open: None,
            pending: Vec::new(),
            taken: 0,
            header: None,
            read: 0,
            skipped: 0,
            first_skipped: None,
            notes: Vec::new(),
            unnamed: 0,
            last: b'\n',
            ended: false,
        }
    }

    /// The members that were skipped since this was asked last, each with the reason.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        if self.unnamed > 0 {
            notes.push(format!("and {} others", std::mem::take(&mut self.unnamed)));
        }
        notes
    }

    /// The next bytes. 0 only at the verified end of the archive, or if `buf` is empty.
    pub(super) fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.ended {
                return Ok(0);
            }
            if self.taken < self.pending.len() {
                let bytes = buf.len().min(self.pending.len() - self.taken);
                buf[..bytes].copy_from_slice(&self.pending[self.taken..][..bytes]);
                self.taken += bytes;
                self.last = buf[bytes - 1];
                return Ok(bytes);
            }
            if let Some(open) = &mut self.open
                && !open.ended
            {
                let bytes = open.read(&mut *self.members, input, buf)?;
                if bytes > 0 {
                    self.last = buf[bytes - 1];
                    return Ok(bytes);
                }
            }
            self.open = None;
            self.ended = !self.next_member(input)?;
        }
    }

    /// Goes to the next member that is read; false at the end.
    fn next_member(&mut self, input: &mut dyn Input) -> Result<bool, Fault> {
        while let Some(member) = self.members.next(input)? {
            let name = escape_controls(&member.name).into_owned();
            if member.other {
                self.skip(&name, "it is no file");
                continue;
            }
            let verdict = judge(&member.name, member.size.unwrap_or(1), self.format, Way::Below(0));
            if let Verdict::Skip(reason) = verdict {
                self.skip(&name, &reason);
                continue;
            }
            if let Some(reason) = member.unreadable {
                return Err(Fault::Member(format!("its member {name} {reason}")));
            }
            self.begin(name, verdict == Verdict::Look, input)?;
            if self.open.is_some() {
                return Ok(true);
            }
        }
        if self.read == 0 {
            let skipped = self.first_skipped.as_ref();
            let skipped = skipped.map(|first| format!(" ({} skipped; the first: {first})", self.skipped));
            let reason = format!("none of its members is {}", self.format);
            return Err(Fault::NoMember(reason + &skipped.unwrap_or_default()));
        }
        Ok(false)
    }

    fn skip(&mut self, name: &str, reason: &str) {
        // Folders are no loss.
        if name.is_empty() || name.ends_with('/') {
            return;
        }
        self.skipped += 1;
        // The end of a long name says most, and the reason must not be cut off with it.
        let characters = name.chars().count();
        let shown = match characters > ARCHIVE_NAME_SHOWN {
            true => format!("…{}", name.chars().skip(characters - ARCHIVE_NAME_SHOWN).collect::<String>()),
            false => name.to_owned(),
        };
        let note = format!("{shown}: {reason}");
        match self.notes.len() < ARCHIVE_NAMED_SKIPS {
            true => self.notes.push(note.clone()),
            false => self.unnamed += 1,
        }
        self.first_skipped.get_or_insert(note);
    }

    /// Opens a member, unless what it holds is to be skipped. `doubtful`: its name does not say that it is data.
    fn begin(&mut self, name: String, doubtful: bool, input: &mut dyn Input) -> Result<(), Fault> {
        let mut plain = Layer::new(Compression::None, Caps::NONE);
        let mut raw = MemberInput { members: &mut *self.members, input };
        let mut within = Within::new(&mut plain, &mut raw);
        let lead = within.look().to_vec();
        let (layers, foreign) = match Layers::begin(&lead, &mut within, self.caps, self.encoding) {
            Err(Fault::Foreign(kind)) => (None, Some(kind)),
            begun => begun.map(|(layers, foreign)| (Some(layers), foreign))?,
        };
        let layers = match (layers, foreign) {
            (Some(layers), None) => layers,
            (_, kind) => {
                let what = kind.map_or("nothing that is known", Foreign::name);
                if doubtful {
                    self.skip(&name, &format!("it is {what}"));
                    return Ok(());
                }
                return Err(Fault::Member(format!("its member {name} is {what}")));
            }
        };
        let mut open = Open { name, plain, layers, ended: false };
        self.pending.clear();
        self.taken = 0;
        self.gather(&mut open, HEAD_BYTES, input)?;
        if self.pending.is_empty() {
            self.skip(&open.name, "it is empty");
            return Ok(());
        }
        if doubtful && let Some(reason) = judge_content(&self.pending, self.format) {
            self.skip(&open.name, &reason);
            self.pending.clear();
            return Ok(());
        }
        if self.format == Format::Csv {
            self.match_header(&mut open, input)?;
        } else if self.read > 0 {
            if is_wide(&self.pending) {
                let reason = format!("its member {} is UTF-16 text, and not the first", open.name);
                return Err(Fault::Member(reason));
            }
            if self.pending.starts_with(MARK) {
                self.pending.drain(..MARK.len());
            }
        }
        let more = !self.pending.is_empty() || !open.ended;
        if more && !matches!(self.last, b'\n' | b'\r') {
            self.pending.insert(0, b'\n');
        }
        self.read += 1;
        self.open = Some(open);
        Ok(())
    }

    /// Reads on until `most` bytes are pending, or the member ends.
    fn gather(&mut self, open: &mut Open, most: usize, input: &mut dyn Input) -> Result<(), Fault> {
        let mut part = [0; 8 << 10];
        while self.pending.len() < most && !open.ended {
            let wanted = part.len().min(most - self.pending.len());
            let bytes = open.read(&mut *self.members, input, &mut part[..wanted])?;
            self.pending.extend_from_slice(&part[..bytes]);
        }
        Ok(())
    }

    /// Keeps the header of the first member, and leaves out that of another one if it is the same.
    fn match_header(&mut self, open: &mut Open, input: &mut dyn Input) -> Result<(), Fault> {
        let (header, end) = loop {
            match header_of(&self.pending, open.ended) {
                Some((header, end)) => break (header.to_vec(), end),
                None if self.pending.len() >= ARCHIVE_HEADER => break (Vec::new(), 0),
                None => self.gather(open, (self.pending.len() * 2).min(ARCHIVE_HEADER), input)?,
            }
        };
        let Some((first, brought)) = &self.header else {
            self.header = Some((header, open.name.clone()));
            return Ok(());
        };
        let name = &open.name;
        if is_wide(&header) {
            return Err(Fault::Member(format!("its member {name} is UTF-16 text, and not the first")));
        }
        if header.is_empty() || header != *first {
            return Err(Fault::Member(format!("its member {name} has another header line than {brought}")));
        }
        self.pending.drain(..end);
        Ok(())
    }
}

impl Open {
    fn read(
        &mut self,
        members: &mut dyn Members,
        input: &mut dyn Input,
        buf: &mut [u8],
    ) -> Result<usize, Fault> {
        let mut raw = MemberInput { members, input };
        let bytes = self.layers.read(&mut Within::new(&mut self.plain, &mut raw), buf)?;
        self.ended = bytes == 0;
        Ok(bytes)
    }
}

/// Whether bytes are UTF-16 or UTF-32 text.
fn is_wide(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff")
        || bytes.iter().take(HEAD_BYTES).any(|b| *b == 0)
}

/// The header line of a CSV member, without byte order mark, blank lines before it and its line end; and where the
/// next line begins. With an Excel `sep=` line if there is one. `None`: more bytes are needed to decide.
fn header_of(bytes: &[u8], ended: bool) -> Option<(&[u8], usize)> {
    let mut start = 0;
    while bytes[start..].starts_with(MARK) {
        start += MARK.len();
    }
    start += bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut at = start;
    loop {
        let (line, next) = line_of(bytes, at, ended)?;
        let excel = at == start && bytes[at..line].get(..4).is_some_and(|b| b.eq_ignore_ascii_case(b"sep="));
        if !excel || next == bytes.len() {
            return Some((&bytes[start..line], next));
        }
        at = next;
    }
}

/// Where the line at `at` ends, and where the next begins. Line ends within quotes do not count.
fn line_of(bytes: &[u8], at: usize, ended: bool) -> Option<(usize, usize)> {
    let mut inside = false;
    for (index, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'"' => inside = !inside,
            b'\n' if !inside => return Some((index, index + 1)),
            b'\r' if !inside => {
                return match bytes.get(index + 1) {
                    Some(b'\n') => Some((index, index + 2)),
                    Some(_) => Some((index, index + 1)),
                    None => ended.then_some((index, index + 1)),
                };
            }
            _ => {}
        }
    }
    ended.then_some((bytes.len(), bytes.len()))
}

/// Fills `buf`. False if there are no bytes at all.
fn take(input: &mut dyn Input, buf: &mut [u8], what: &str) -> Result<bool, Fault> {
    let mut filled = 0;
    while filled < buf.len() {
        match input.read(&mut buf[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(cut_off(what)),
            bytes => filled += bytes,
        }
    }
    Ok(true)
}

/// The same, of bytes that must be there.
fn need(input: &mut dyn Input, buf: &mut [u8], what: &str) -> Result<(), Fault> {
    if buf.is_empty() || take(input, buf, what)? { Ok(()) } else { Err(cut_off(what)) }
}

/// Goes over bytes that must be there.
fn pass(input: &mut dyn Input, mut bytes: u64, what: &str) -> Result<(), Fault> {
    while bytes > 0 {
        let there = input.fill()?.len();
        if there == 0 {
            return Err(cut_off(what));
        }
        let step = there.min(usize::try_from(bytes).unwrap_or(usize::MAX));
        input.consume(step);
        bytes -= step as u64;
    }
    Ok(())
}

fn cut_off(what: &str) -> Fault {
    Fault::Truncated(format!("the {what} ends too early"))
}

fn corrupt<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Corrupt(reason.into()))
}
