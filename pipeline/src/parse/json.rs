//! Fills drafts from JSON lines. Plain records are read in one pass ([`super::json_fast`]). The others are
//! judged here, and only here can a line fail: simd-json writes its tape into buffers that are kept, and a walk
//! over the tape takes what it knows. Of a repeated member the last counts, but a wrong type fails wherever it is.

use std::{fmt, mem};

use bumpalo::Bump;
use pinport_model::{
    Attribute, Draft, FailureCode, Origin, RecordLimits, Scalar, TextMember, failure::FailureReason,
};
use simd_json::{Buffers, Node, StaticNode, Tape};

use super::{
    Judged, Sink, Unknown,
    cursor::Lines,
    json_fast::{self, Fast, Strangers},
    json_fault,
    json_members::Orders,
    validate,
};
use crate::split::{content_len, is_blank};

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
                && let Err(reason) = self.read_one(content, sink, slot, unknown, origin)
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
            Ok(()) => Walk { nodes: &tape.0, limits: &limits, unknown }
                .record(&mut draft)
                .and_then(|()| sink.add(&mut draft, content, origin)),
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

/// Reads the tape of one object into a draft.
pub(super) fn record<'a>(
    nodes: &[Node<'a>],
    limits: &RecordLimits,
    unknown: &mut Unknown,
    draft: &mut Draft<'a>,
) -> Judged {
    Walk { nodes, limits, unknown }.record(draft)
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
                "CohortId" => self.set(draft, TextMember::CohortId, value)?,
                "ApplicationId" => {}
                other => self.unknown.add("", other),
            }
            at = self.behind(value);
        }
        Ok(())
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
                other => self.unknown.add("User", other),
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
                    self.unknown.add("Demographic", other);
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
                other => self.unknown.add("Location", other),
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

    fn scalar(&self, prefix: &str, name: &str, at: usize) -> Judged<Option<Scalar<'a>>> {
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

    fn text(&self, member: &str, at: usize) -> Judged<Option<&'a str>> {
        match &self.nodes[at] {
            Node::String(text) => Ok(Some(text)),
            Node::Static(StaticNode::Null) => Ok(None),
            node => wrong_type(member, node, "a string"),
        }
    }

    fn set(&self, draft: &mut Draft<'a>, member: TextMember, at: usize) -> Judged {
        draft.set_text(member, self.text(member.name(), at)?);
        Ok(())
    }

    fn word<T>(&self, member: &str, at: usize, read: fn(&str) -> Judged<T>) -> Judged<Option<T>> {
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
