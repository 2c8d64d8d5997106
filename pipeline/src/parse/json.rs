//! Fills drafts from JSON lines. Plain records are read in one pass ([`super::json_fast`]). The others are
//! judged here, and only here can a line fail: simd-json writes its tape into buffers that are kept, and a walk
//! over the tape takes what it knows. Of a repeated member the last counts, but a wrong type fails wherever it is.

use std::{fmt, mem, ops::Range};

use bumpalo::Bump;
use pinport_model::{
    Attribute, Draft, FailureCode, NoticeKind, Notices, Origin, ReadRules, RecordLimits, Scalar, TextMember,
    failure::{FailureReason, quoted},
};
use simd_json::{Buffers, Node, StaticNode, Tape};

use super::{
    Judged, Sink, Unknown,
    cursor::Lines,
    dates,
    json_fast::{self, Fast, Strangers},
    json_fault,
    json_members::Orders,
    names, validate,
};
use crate::{
    block::{Block, Fault},
    split::{content_len, is_blank, objects_of},
};

/// Lines longer than this leave big buffers behind, which are not kept.
const KEEP: usize = 64 << 10;

const USER_ATTRIBUTES: &str = "User.UserAttributes";

/// Reads JSON lines into drafts.
#[derive(Default)]
pub(super) struct JsonReader {
    /// A copy of the line, which simd-json may change, and its padding.
    line: Vec<u8>,
    kept: Option<(Buffers, Tape<'static>, usize)>,
    draft: Draft<'static>,
    orders: Orders,
    /// What strings with escapes say, of one block at most.
    scratch: Bump,
    pub(super) hope: Hope,
    /// Lines that were read in one pass.
    #[cfg(test)]
    pub(super) plain: usize,
}

/// Whether the fast way is worth a try: less and less often while records are of another kind.
#[derive(Debug, Default)]
pub(super) struct Hope {
    misses: u32,
    pauses: u32,
}

impl Hope {
    /// No try in the first four billion lines.
    pub(super) const NONE: Self = Self { misses: 6, pauses: u32::MAX };

    fn tries(&mut self) -> bool {
        let now = self.pauses == 0;
        self.pauses = self.pauses.saturating_sub(1);
        now
    }

    fn hit(&mut self) {
        self.misses = 0;
    }

    fn miss(&mut self) {
        // One alone costs nothing more; in a row they double, up to 63 lines between two tries.
        self.pauses = (1 << self.misses) - 1;
        self.misses = (self.misses + 1).min(6);
    }
}

impl fmt::Debug for JsonReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonReader").finish_non_exhaustive()
    }
}

impl JsonReader {
    /// Reads every line of `bytes`, which begin at `first`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        first: Origin,
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
    ) {
        let mut scratch = mem::take(&mut self.scratch);
        let mut plain = self.draft.lend();
        // Unless all is UTF-8, each line is looked at alone.
        let whole = simdutf8::basic::from_utf8(bytes).ok().map(Lines::of);
        let suits = json_fast::suits(&sink.context.limits);
        let mut strangers = Strangers::default();
        let mut origin = first;
        let mut rest = bytes;
        while !rest.is_empty() {
            if suits && self.hope.tries() {
                let begin = bytes.len() - rest.len();
                match self.read_plain(whole, begin, rest, sink, &mut plain, &scratch, &mut strangers, origin)
                {
                    Some(len) => {
                        self.hope.hit();
                        strangers.report(unknown);
                        origin.byte += len as u64;
                        origin.line += 1;
                        rest = &rest[len..];
                        continue;
                    }
                    None => self.hope.miss(),
                }
            }
            let end = line_len(rest);
            let (line, next) = rest.split_at(end);
            let content = &line[..content_len(line)];
            if content.len() > sink.context.limits.max_line {
                sink.fail_too_long(origin);
            } else if !is_blank(content)
                && let Err(reason) = self.read_one(content, sink, slot, unknown, &scratch, origin)
                && !(is_no_object(&reason)
                    && self.read_several(content, sink, slot, unknown, &scratch, origin))
            {
                sink.fail(*reason, content, origin);
            }
            origin.byte += end as u64;
            origin.line += 1;
            rest = next;
        }
        self.draft.take_back(plain);
        scratch.reset();
        self.scratch = scratch;
    }

    /// Reads the records of a block that are not lines.
    pub(super) fn read_objects(
        &mut self,
        block: &Block,
        records: &[Range<usize>],
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
    ) {
        let mut scratch = mem::take(&mut self.scratch);
        let mut plain = self.draft.lend();
        let bytes = block.bytes_and_line_feed();
        let whole = simdutf8::basic::from_utf8(bytes).ok().map(Lines::of);
        let whole = whole.filter(|_| json_fast::suits(&sink.context.limits));
        let mut strangers = Strangers::default();
        let (mut origin, mut at) = (block.first, 0);
        let mut faults = block.faults.iter().peekable();
        let mut move_to = |to: usize| {
            origin.line += memchr::memchr_iter(b'\n', &bytes[at..to]).count() as u64;
            origin.byte += (to - at) as u64;
            at = to;
            origin
        };
        for record in records {
            while let Some(fault) = faults.next_if(|fault| fault.range.start < record.start) {
                fail_fault(sink, bytes, fault, move_to(fault.range.start));
            }
            let origin = move_to(record.start);
            if let Some(lines) = whole
                && self.hope.tries()
            {
                match self.read_plain_object(
                    lines,
                    record,
                    bytes,
                    sink,
                    &mut plain,
                    &scratch,
                    &mut strangers,
                    origin,
                ) {
                    Some(()) => {
                        self.hope.hit();
                        strangers.report(unknown);
                        continue;
                    }
                    None => self.hope.miss(),
                }
            }
            let content = &bytes[record.clone()];
            if let Err(reason) = self.read_one(content, sink, slot, unknown, &scratch, origin) {
                sink.fail(*reason, content, origin);
            }
        }
        for fault in faults {
            fail_fault(sink, bytes, fault, move_to(fault.range.start));
        }
        self.draft.take_back(plain);
        scratch.reset();
        self.scratch = scratch;
    }

    /// Reads the record at `record` in one pass. `None`: it is still to be judged.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "they are the loop's state")]
    fn read_plain_object<'a>(
        &mut self,
        lines: Lines<'a>,
        record: &Range<usize>,
        bytes: &'a [u8],
        sink: &mut Sink<'_>,
        draft: &mut Draft<'a>,
        scratch: &'a Bump,
        strangers: &mut Strangers<'a>,
        origin: Origin,
    ) -> Option<()> {
        draft.clear();
        let fast = Fast::new(lines, record.start, &sink.context.limits, scratch, strangers)?;
        if fast.read_object(draft, &mut self.orders)? != record.end {
            return None;
        }
        sink.add(draft, &bytes[record.clone()], origin).ok()
    }

    /// Reads the objects on a line that is no object, such as several or one with a comma behind it. False: it is to
    /// fail as it is.
    #[cold]
    fn read_several(
        &mut self,
        content: &[u8],
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
        scratch: &Bump,
        origin: Origin,
    ) -> bool {
        let Some(objects) = objects_of(content) else { return false };
        if objects == [0..content.len()] {
            return false;
        }
        sink.notices.add(NoticeKind::JsonForm, "", 1);
        for object in objects {
            let origin = Origin { byte: origin.byte + object.start as u64, ..origin };
            let content = &content[object];
            if let Err(reason) = self.read_one(content, sink, slot, unknown, scratch, origin) {
                sink.fail(*reason, content, origin);
            }
        }
        true
    }

    /// Reads the line at the start of `rest` in one pass and returns its length. `None`: it is still to be judged.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "they are the loop's state")]
    fn read_plain<'a>(
        &mut self,
        whole: Option<Lines<'a>>,
        begin: usize,
        rest: &'a [u8],
        sink: &mut Sink<'_>,
        draft: &mut Draft<'a>,
        scratch: &'a Bump,
        strangers: &mut Strangers<'a>,
        origin: Origin,
    ) -> Option<usize> {
        let (lines, begin) = match whole {
            Some(lines) => (lines, begin),
            None => (Lines::of(simdutf8::basic::from_utf8(&rest[..line_len(rest)]).ok()?), 0),
        };
        draft.clear();
        let fast = Fast::new(lines, begin, &sink.context.limits, scratch, strangers)?;
        let end = fast.read(draft, &mut self.orders)?;
        sink.add(draft, &rest[..end.content - begin], origin).ok()?;
        #[cfg(test)]
        {
            self.plain += 1;
        }
        Some(end.line - begin)
    }

    fn read_one(
        &mut self,
        content: &[u8],
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
        scratch: &Bump,
        origin: Origin,
    ) -> Judged {
        let limits = sink.context.limits;
        let needed = content.len() + simd_json::INPUT_PADDING;
        if self.line.len() < needed {
            self.line.resize(needed.max(4096), 0);
        }
        self.line[..content.len()].copy_from_slice(content);
        let (mut buffers, tape, depth) = match self.kept.take() {
            Some(kept) if kept.2 == limits.max_depth => kept,
            _ => (Buffers::with_max_depth(4096, limits.max_depth), Tape(Vec::new()), limits.max_depth),
        };
        let mut tape = tape.reset();
        let mut draft = slot.lend();
        let read = simd_json::fill_tape_padded(&mut self.line, content.len(), &mut buffers, &mut tape);
        let judged = match read {
            Ok(()) => {
                let file = File {
                    rules: &sink.context.rules,
                    line: content,
                    scratch,
                    notices: &mut sink.notices,
                    near: Vec::new(),
                    numbers: None,
                };
                Walk { nodes: &tape.0, limits: &limits, unknown, file: Some(file) }
                    .record(&mut draft)
                    .and_then(|()| sink.add(&mut draft, content, origin))
            }
            Err(_) => Err(Box::new(json_fault::explain(content, limits.max_depth))),
        };
        slot.take_back(draft);
        let tape = tape.reset();
        if content.len() <= KEEP {
            self.kept = Some((buffers, tape, depth));
        } else {
            self.line = Vec::new();
        }
        judged
    }
}

/// Whether a line failed because it is not one JSON object.
fn is_no_object(reason: &FailureReason) -> bool {
    matches!(reason.code, FailureCode::InvalidJson | FailureCode::NotAnObject)
}

/// Reports a record that the splitter gave up, without what stands between it and the next.
#[cold]
fn fail_fault(sink: &mut Sink<'_>, bytes: &[u8], fault: &Fault, origin: Origin) {
    let raw = bytes[fault.range.clone()].trim_ascii_end();
    sink.fail(fault.reason.clone(), raw.strip_suffix(b",").unwrap_or(raw), origin);
}

/// Reads the tape of one object into a draft.
pub(super) fn record<'a>(
    nodes: &[Node<'a>],
    limits: &RecordLimits,
    unknown: &mut Unknown,
    draft: &mut Draft<'a>,
) -> Judged {
    Walk { nodes, limits, unknown, file: None }.record(draft)
}

/// Length of the first line, terminator included.
fn line_len(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1)
}

/// A walk over the tape of one line.
struct Walk<'w, 'a> {
    nodes: &'w [Node<'a>],
    limits: &'w RecordLimits,
    unknown: &'w mut Unknown,
    /// For records of files.
    file: Option<File<'w, 'a>>,
}

/// What holds for records of files, which are as people have them, and not for what the service is given.
struct File<'w, 'a> {
    rules: &'w ReadRules,
    line: &'a [u8],
    scratch: &'a Bump,
    notices: &'w mut Notices,
    near: Vec<Near<'a>>,
    /// The numbers of the line by their places on the tape, once one is asked for.
    numbers: Option<Vec<(usize, &'a str)>>,
}

/// A member whose name is nearly a known one.
struct Near<'a> {
    known: String,
    /// As it is written.
    name: &'a str,
    /// Where its value is.
    value: usize,
}

impl<'a> File<'_, 'a> {
    /// The number at this place of the tape, as it is written.
    #[cold]
    fn digits(&mut self, nodes: &[Node<'a>], at: usize) -> &'a str {
        let numbers = self.numbers.get_or_insert_with(|| {
            let is_number = |node: &Node<'_>| {
                matches!(node, Node::Static(StaticNode::I64(_) | StaticNode::U64(_) | StaticNode::F64(_)))
            };
            let places = nodes.iter().enumerate().filter(|(_, node)| is_number(node)).map(|(at, _)| at);
            places.zip(numbers(self.line)).collect()
        });
        let found = numbers.binary_search_by_key(&at, |number| number.0);
        debug_assert!(found.is_ok(), "every number of the tape is on the line");
        found.map_or("", |index| numbers[index].1)
    }
}

/// The numbers of a line of JSON.
fn numbers(line: &[u8]) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(&byte) = line.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    while let Some(found) = memchr::memchr2(b'"', b'\\', &line[at..]) {
                        at += found + 1;
                        if line[at - 1] == b'"' {
                            break;
                        }
                        at += 1;
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let start = at - 1;
                    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    at += line[at..].iter().take_while(|byte| is_part(byte)).count();
                    return str::from_utf8(&line[start..at]).ok();
                }
                _ => {}
            }
        }
        None
    })
}

impl<'a> Walk<'_, 'a> {
    fn record(&mut self, draft: &mut Draft<'a>) -> Judged {
        let Some(Node::Object { len, .. }) = self.nodes.first() else {
            let found = self.nodes.first().map_or("nothing", describe);
            let message = format!("the line is {found}, one JSON object a line is expected");
            return Err(Box::new(FailureReason::new(FailureCode::NotAnObject, message)));
        };
        let mut at = 1;
        for _ in 0..*len {
            let value = at + 1;
            match self.key(at) {
                "Id" => draft.id = self.text("Id", value)?,
                "Address" => self.set(draft, TextMember::Address, value)?,
                "ChannelType" => draft.channel = self.word("ChannelType", value, validate::channel)?,
                "Attributes" => {
                    draft.attributes.clear();
                    self.attributes("Attributes", value, &mut draft.attributes, &mut draft.values)?;
                }
                "User" => self.user(draft, value)?,
                "Demographic" => self.demographic(draft, value)?,
                "Location" => self.location(draft, value)?,
                "Metrics" => self.metrics(draft, value)?,
                "OptOut" => draft.opt_out = self.word("OptOut", value, validate::opt_out)?,
                "EndpointStatus" => draft.status = self.word("EndpointStatus", value, validate::status)?,
                "EffectiveDate" => self.set(draft, TextMember::EffectiveDate, value)?,
                "CreationDate" => self.set(draft, TextMember::CreationDate, value)?,
                "RequestId" => self.set(draft, TextMember::RequestId, value)?,
                // Members of Pinpoint's own exports that an import has no use for.
                "ApplicationId" | "CohortId" => {}
                other => self.other("", other, value)?,
            }
            at = self.behind(value);
        }
        self.take_near(draft)
    }

    /// A member that nobody knows, unless it is nearly one that is known.
    #[cold]
    fn other(&mut self, prefix: &'static str, name: &'a str, value: usize) -> Judged {
        if let Some(file) = &mut self.file
            && !self.unknown.has(prefix, name)
        {
            let dot = if prefix.is_empty() { "" } else { "." };
            let written = format!("{prefix}{dot}{name}");
            if let Some(known) = names::known_member(&written) {
                if file.rules.strict_names {
                    let message = format!("is no known name; write {known}, or leave out --strict-names");
                    return validate::failed(written, FailureCode::InvalidName, message);
                }
                file.near.push(Near { known, name, value });
                return Ok(());
            }
        }
        self.unknown.add(prefix, name);
        Ok(())
    }

    /// Takes the members whose names are nearly known ones. They come last, so that none is lost to what resets it.
    fn take_near(&mut self, draft: &mut Draft<'a>) -> Judged {
        while let Some(Near { known, name, value }) = self.file.as_mut().and_then(|file| file.near.pop()) {
            self.near(draft, &known, name, value)?;
            if let Some(file) = &mut self.file {
                let subject = match known.split_once('.') {
                    Some((holder, member)) if known == name => {
                        format!("{} is read as {member} in {holder}", quoted(name))
                    }
                    _ => format!("{} is read as {known}", quoted(name)),
                };
                file.notices.add(NoticeKind::NameTaken, &subject, 1);
            }
        }
        Ok(())
    }

    fn near(&mut self, draft: &mut Draft<'a>, known: &str, name: &'a str, value: usize) -> Judged {
        let twice = |is_set: bool| match is_set {
            true => {
                let message = format!("{} means {known} too, which has one value", quoted(name));
                validate::failed(known, FailureCode::InvalidName, message)
            }
            false => Ok(()),
        };
        let holds = |prefix: &str| {
            let rest = known.strip_prefix(prefix)?.len();
            let name = names::trimmed(name);
            name.get(name.len() - rest..)
        };
        match known {
            "Id" => {
                twice(draft.id.is_some())?;
                draft.id = self.text("Id", value)?;
            }
            "ChannelType" => {
                twice(draft.channel.is_some())?;
                draft.channel = self.word("ChannelType", value, validate::channel)?;
            }
            "OptOut" => {
                twice(draft.opt_out.is_some())?;
                draft.opt_out = self.word("OptOut", value, validate::opt_out)?;
            }
            "EndpointStatus" => {
                twice(draft.status.is_some())?;
                draft.status = self.word("EndpointStatus", value, validate::status)?;
            }
            "Location.Latitude" => {
                twice(draft.latitude.is_some())?;
                draft.latitude = self.number("Location", "Latitude", value)?;
            }
            "Location.Longitude" => {
                twice(draft.longitude.is_some())?;
                draft.longitude = self.number("Location", "Longitude", value)?;
            }
            "Attributes" => {
                twice(!draft.attributes.is_empty())?;
                self.attributes("Attributes", value, &mut draft.attributes, &mut draft.values)?;
            }
            "User.UserAttributes" => {
                twice(!draft.user_attributes.is_empty())?;
                self.attributes(USER_ATTRIBUTES, value, &mut draft.user_attributes, &mut draft.values)?;
            }
            "Metrics" => {
                twice(!draft.metrics.is_empty())?;
                self.metrics(draft, value)?;
            }
            "User" => {
                twice(draft.text(TextMember::UserId).is_some() || !draft.user_attributes.is_empty())?;
                self.user(draft, value)?;
            }
            "Demographic" | "Location" => {
                let is_set = |member: &TextMember| {
                    let is_in = member.name().split_once('.').is_some_and(|(holder, _)| holder == known);
                    is_in && draft.text(*member).is_some()
                };
                let has_place = draft.latitude.is_some() || draft.longitude.is_some();
                twice(TextMember::ALL.iter().any(is_set) || known == "Location" && has_place)?;
                if known == "Location" {
                    self.location(draft, value)?;
                } else {
                    self.demographic(draft, value)?;
                }
            }
            _ => {
                if let Some(name) = holds("Attributes.") {
                    let Draft { attributes, values, .. } = draft;
                    return self.one_attribute("Attributes", name, value, attributes, values);
                }
                if let Some(name) = holds("User.UserAttributes.") {
                    let Draft { user_attributes, values, .. } = draft;
                    return self.one_attribute(USER_ATTRIBUTES, name, value, user_attributes, values);
                }
                if let Some(name) = holds("Metrics.") {
                    validate::name(self.limits, "Metrics", name)?;
                    if let Some(number) = self.number("Metrics", name, value)? {
                        draft.metrics.push((name, number));
                        keep_last(&mut draft.metrics, |metric| metric.0);
                    }
                    return validate::count(self.limits, "Metrics", draft.metrics.len());
                }
                if let Some(member) = TextMember::ALL.into_iter().find(|member| member.name() == known) {
                    twice(draft.text(member).is_some())?;
                    self.set(draft, member, value)?;
                }
            }
        }
        Ok(())
    }

    /// An attribute that stands by itself, with its full name.
    fn one_attribute(
        &mut self,
        prefix: &'static str,
        name: &'a str,
        at: usize,
        attributes: &mut Vec<Attribute<'a>>,
        values: &mut Vec<Scalar<'a>>,
    ) -> Judged {
        validate::name(self.limits, prefix, name)?;
        let (mut at, scalars) = match self.nodes[at] {
            Node::Array { len, .. } => (at + 1, len),
            Node::Static(StaticNode::Null) => return Ok(()),
            _ => (at, 1),
        };
        validate::value_count(self.limits, prefix, name, scalars)?;
        let start = values.len() as u32;
        for _ in 0..scalars {
            values.extend(self.scalar(prefix, name, at)?);
            at += 1;
        }
        attributes.push(Attribute { name, start, end: values.len() as u32 });
        keep_last(attributes, |attribute| attribute.name);
        validate::count(self.limits, prefix, attributes.len())
    }

    fn user(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
        draft.set_text(TextMember::UserId, None);
        draft.user_attributes.clear();
        let (mut at, len) = self.object("User", at)?;
        for _ in 0..len {
            let value = at + 1;
            match self.key(at) {
                "UserId" => self.set(draft, TextMember::UserId, value)?,
                "UserAttributes" => {
                    draft.user_attributes.clear();
                    self.attributes(USER_ATTRIBUTES, value, &mut draft.user_attributes, &mut draft.values)?;
                }
                other => self.other("User", other, value)?,
            }
            at = self.behind(value);
        }
        Ok(())
    }

    fn demographic(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
        use TextMember::{
            AppVersion, Locale, Make, Model, ModelVersion, Platform, PlatformVersion, Timezone,
        };
        for member in [AppVersion, Locale, Make, Model, ModelVersion, Platform, PlatformVersion, Timezone] {
            draft.set_text(member, None);
        }
        let (mut at, len) = self.object("Demographic", at)?;
        for _ in 0..len {
            let member = match self.key(at) {
                "AppVersion" => AppVersion,
                "Locale" => Locale,
                "Make" => Make,
                "Model" => Model,
                "ModelVersion" => ModelVersion,
                "Platform" => Platform,
                "PlatformVersion" => PlatformVersion,
                "Timezone" => Timezone,
                other => {
                    self.other("Demographic", other, at + 1)?;
                    at = self.behind(at + 1);
                    continue;
                }
            };
            self.set(draft, member, at + 1)?;
            at += 2;
        }
        Ok(())
    }

    fn location(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
        use TextMember::{City, Country, PostalCode, Region};
        for member in [City, Country, PostalCode, Region] {
            draft.set_text(member, None);
        }
        (draft.latitude, draft.longitude) = (None, None);
        let (mut at, len) = self.object("Location", at)?;
        for _ in 0..len {
            let value = at + 1;
            match self.key(at) {
                "City" => self.set(draft, City, value)?,
                "Country" => self.set(draft, Country, value)?,
                "PostalCode" => self.set(draft, PostalCode, value)?,
                "Region" => self.set(draft, Region, value)?,
                "Latitude" => draft.latitude = self.number("Location", "Latitude", value)?,
                "Longitude" => draft.longitude = self.number("Location", "Longitude", value)?,
                other => self.other("Location", other, value)?,
            }
            at = self.behind(value);
        }
        Ok(())
    }

    fn metrics(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
        let metrics = &mut draft.metrics;
        metrics.clear();
        let (mut at, len) = self.object("Metrics", at)?;
        let mut nulls = false;
        for _ in 0..len {
            let name = self.key(at);
            validate::name(self.limits, "Metrics", name)?;
            let value = self.number("Metrics", name, at + 1)?;
            nulls |= value.is_none();
            // NaN stands for null until the object ends.
            metrics.push((name, value.unwrap_or(f64::NAN)));
            at += 2;
        }
        if nulls || metrics.len() > self.limits.max_attributes {
            keep_last(metrics, |metric| metric.0);
            metrics.retain(|metric| !metric.1.is_nan());
        }
        validate::count(self.limits, "Metrics", metrics.len())
    }

    /// Reads the members of an object of lists.
    fn attributes(
        &mut self,
        prefix: &'static str,
        at: usize,
        attributes: &mut Vec<Attribute<'a>>,
        values: &mut Vec<Scalar<'a>>,
    ) -> Judged {
        /// Stands for null until the object ends.
        const NULL: u32 = u32::MAX;
        let (mut at, len) = self.object(prefix, at)?;
        let mut nulls = false;
        for _ in 0..len {
            let name = self.key(at);
            validate::name(self.limits, prefix, name)?;
            let start = values.len();
            at += 1;
            let scalars = match self.nodes[at] {
                Node::Array { len, .. } => {
                    at += 1;
                    validate::value_count(self.limits, prefix, name, len)?;
                    len
                }
                Node::Static(StaticNode::Null) => {
                    nulls = true;
                    attributes.push(Attribute { name, start: NULL, end: NULL });
                    at += 1;
                    continue;
                }
                _ => 1,
            };
            for _ in 0..scalars {
                if let Some(value) = self.scalar(prefix, name, at)? {
                    values.push(value);
                }
                at += 1;
            }
            attributes.push(Attribute { name, start: start as u32, end: values.len() as u32 });
        }
        if nulls || attributes.len() > self.limits.max_attributes {
            keep_last(attributes, |attribute| attribute.name);
            attributes.retain(|attribute| attribute.start != NULL);
        }
        validate::count(self.limits, prefix, attributes.len())
    }

    fn scalar(&mut self, prefix: &str, name: &str, at: usize) -> Judged<Option<Scalar<'a>>> {
        if let Some(digits) = self.digits(at) {
            validate::value(self.limits, prefix, name, digits)?;
            return Ok(Some(Scalar::Text(digits)));
        }
        Ok(Some(match self.nodes[at] {
            Node::String(text) => {
                validate::value(self.limits, prefix, name, text)?;
                Scalar::Text(text)
            }
            Node::Static(StaticNode::I64(number)) => Scalar::Int(number),
            Node::Static(StaticNode::U64(number)) => match i64::try_from(number) {
                Ok(number) => Scalar::Int(number),
                Err(_) => Scalar::Uint(number),
            },
            Node::Static(StaticNode::F64(number)) if number.is_finite() => Scalar::Float(number),
            Node::Static(StaticNode::F64(_)) => return not_finite(format!("{prefix}.{name}")),
            Node::Static(StaticNode::Bool(truth)) => Scalar::Bool(truth),
            Node::Static(StaticNode::Null) => return Ok(None),
            ref node => {
                let member = format!("{prefix}.{name}");
                return wrong_type(member, node, "a string, a number, true, false or a list of these");
            }
        }))
    }

    /// The key at `at`.
    fn key(&self, at: usize) -> &'a str {
        match self.nodes.get(at) {
            Some(Node::String(key)) => key,
            _ => unreachable!("on a tape, keys are strings"),
        }
    }

    /// The place behind the value at `at`.
    fn behind(&self, at: usize) -> usize {
        match self.nodes[at] {
            Node::Object { count, .. } | Node::Array { count, .. } => at + 1 + count,
            _ => at + 1,
        }
    }

    /// The first key and the size of the object at `at`; null is an empty one.
    fn object(&self, member: &str, at: usize) -> Judged<(usize, usize)> {
        match &self.nodes[at] {
            Node::Object { len, .. } => Ok((at + 1, *len)),
            Node::Static(StaticNode::Null) => Ok((at + 1, 0)),
            node => wrong_type(member, node, "an object"),
        }
    }

    /// The number at `at` as it is written, in a record of a file.
    fn digits(&mut self, at: usize) -> Option<&'a str> {
        let Node::Static(StaticNode::I64(_) | StaticNode::U64(_) | StaticNode::F64(_)) = self.nodes[at]
        else {
            return None;
        };
        let nodes = self.nodes;
        self.file.as_mut().map(|file| file.digits(nodes, at))
    }

    fn text(&mut self, member: &str, at: usize) -> Judged<Option<&'a str>> {
        if let Some(digits) = self.digits(at) {
            if let Some(file) = &mut self.file {
                file.notices.add(NoticeKind::NumberAsText, member, 1);
            }
            return Ok(Some(digits));
        }
        match &self.nodes[at] {
            Node::String(text) => Ok(Some(text)),
            Node::Static(StaticNode::Null) => Ok(None),
            node => wrong_type(member, node, "a string"),
        }
    }

    fn set(&mut self, draft: &mut Draft<'a>, member: TextMember, at: usize) -> Judged {
        let mut text = self.text(member.name(), at)?;
        if let (Some(date), Some(file)) = (text, &mut self.file)
            && matches!(member, TextMember::EffectiveDate | TextMember::CreationDate)
        {
            text = Some(dates::normalised(member, date, file.scratch, file.notices)?);
        }
        draft.set_text(member, text);
        Ok(())
    }

    fn word<T>(&mut self, member: &str, at: usize, read: fn(&str) -> Judged<T>) -> Judged<Option<T>> {
        self.text(member, at)?.map(read).transpose()
    }

    fn number(&self, prefix: &str, name: &str, at: usize) -> Judged<Option<f64>> {
        let number = match &self.nodes[at] {
            Node::Static(StaticNode::I64(number)) => *number as f64,
            Node::Static(StaticNode::U64(number)) => *number as f64,
            Node::Static(StaticNode::F64(number)) => *number,
            Node::Static(StaticNode::Null) => return Ok(None),
            node => return wrong_type(format!("{prefix}.{name}"), node, "a number"),
        };
        if number.is_finite() { Ok(Some(number)) } else { not_finite(format!("{prefix}.{name}")) }
    }
}

/// Of entries with the same name, leaves only the last.
fn keep_last<T>(list: &mut Vec<T>, name: impl Fn(&T) -> &str) {
    list.reverse();
    list.sort_by(|a, b| name(a).cmp(name(b)));
    list.dedup_by(|later, first| name(later) == name(first));
}

#[cold]
fn wrong_type<T>(member: impl Into<String>, found: &Node<'_>, expected: &str) -> Judged<T> {
    let message = format!("is {}, {expected} is expected", describe(found));
    validate::failed(member, FailureCode::WrongType, message)
}

#[cold]
fn not_finite<T>(member: String) -> Judged<T> {
    validate::failed(member, FailureCode::InvalidNumber, "is too large for a number")
}

fn describe(node: &Node<'_>) -> &'static str {
    match node {
        Node::String(_) => "a string",
        Node::Object { .. } => "an object",
        Node::Array { .. } => "an array",
        Node::Static(StaticNode::Null) => "null",
        Node::Static(StaticNode::Bool(_)) => "true or false",
        Node::Static(_) => "a number",
    }
}
