//! The walk over the tape of one JSON record, which takes what it knows. Of a repeated member the last counts, but a
//! wrong type fails wherever it is.

use bumpalo::Bump;
use pinport_model::{
    Attribute, Draft, FailureCode, NoticeKind, Notices, ReadRules, RecordLimits, Scalar, TextMember,
    failure::FailureReason,
};
use simd_json::{Node, StaticNode};

use super::{Judged, Unknown, dates, names, validate};

pub(super) const USER_ATTRIBUTES: &str = "User.UserAttributes";

/// Reads the tape of one object into a draft.
pub(super) fn record<'a>(
    nodes: &[Node<'a>],
    limits: &RecordLimits,
    unknown: &mut Unknown,
    draft: &mut Draft<'a>,
) -> Judged {
    Walk { nodes, limits, unknown, file: None }.record(draft)
}

/// A walk over the tape of one line.
pub(super) struct Walk<'w, 'a> {
    pub(super) nodes: &'w [Node<'a>],
    pub(super) limits: &'w RecordLimits,
    pub(super) unknown: &'w mut Unknown,
    /// For records of files.
    pub(super) file: Option<File<'w, 'a>>,
}

/// What holds for records of files, which are as people have them, and not for what the service is given.
pub(super) struct File<'w, 'a> {
    pub(super) rules: &'w ReadRules,
    pub(super) line: &'a [u8],
    pub(super) scratch: &'a Bump,
    pub(super) notices: &'w mut Notices,
    pub(super) near: Vec<Near<'a>>,
    /// The numbers of the line by their places on the tape, once one is asked for.
    pub(super) numbers: Option<Vec<(usize, &'a str)>>,
}

/// A member whose name is nearly a known one.
pub(super) struct Near<'a> {
    pub(super) known: String,
    /// As it is written.
    pub(super) name: &'a str,
    /// Where its value is.
    pub(super) value: usize,
}

impl<'a> Walk<'_, 'a> {
    pub(super) fn record(&mut self, draft: &mut Draft<'a>) -> Judged {
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
                other => self.other("", other, value)?,
            }
            at = self.after(value);
        }
        self.take_near(draft)
    }

    /// A member that are unknown, unless it is nearly one that is known.
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

    pub(super) fn user(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
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
            at = self.after(value);
        }
        Ok(())
    }

    pub(super) fn demographic(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
        for member in TextMember::DEMOGRAPHIC {
            draft.set_text(member, None);
        }
        let (mut at, len) = self.object("Demographic", at)?;
        for _ in 0..len {
            let value = at + 1;
            let key = self.key(at);
            match TextMember::DEMOGRAPHIC.into_iter().find(|member| member.leaf() == key) {
                Some(member) => self.set(draft, member, value)?,
                None => self.other("Demographic", key, value)?,
            }
            at = self.after(value);
        }
        Ok(())
    }

    pub(super) fn location(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
        for member in TextMember::LOCATION {
            draft.set_text(member, None);
        }
        (draft.latitude, draft.longitude) = (None, None);
        let (mut at, len) = self.object("Location", at)?;
        for _ in 0..len {
            let value = at + 1;
            match self.key(at) {
                "Latitude" => draft.latitude = self.number("Location", "Latitude", value)?,
                "Longitude" => draft.longitude = self.number("Location", "Longitude", value)?,
                other => match TextMember::LOCATION.into_iter().find(|member| member.leaf() == other) {
                    Some(member) => self.set(draft, member, value)?,
                    None => self.other("Location", other, value)?,
                },
            }
            at = self.after(value);
        }
        Ok(())
    }

    pub(super) fn metrics(&mut self, draft: &mut Draft<'a>, at: usize) -> Judged {
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
    pub(super) fn attributes(
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

    pub(super) fn scalar(&mut self, prefix: &str, name: &str, at: usize) -> Judged<Option<Scalar<'a>>> {
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
    pub(super) fn key(&self, at: usize) -> &'a str {
        match self.nodes.get(at) {
            Some(Node::String(key)) => key,
            _ => unreachable!("on a tape, keys are strings"),
        }
    }

    /// The place after the value at `at`.
    pub(super) fn after(&self, at: usize) -> usize {
        match self.nodes[at] {
            Node::Object { count, .. } | Node::Array { count, .. } => at + 1 + count,
            _ => at + 1,
        }
    }

    /// The first key and the size of the object at `at`; null is an empty one.
    pub(super) fn object(&self, member: &str, at: usize) -> Judged<(usize, usize)> {
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

    pub(super) fn text(&mut self, member: &str, at: usize) -> Judged<Option<&'a str>> {
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

    pub(super) fn set(&mut self, draft: &mut Draft<'a>, member: TextMember, at: usize) -> Judged {
        let mut text = self.text(member.name(), at)?;
        if let (Some(date), Some(file)) = (text, &mut self.file)
            && matches!(member, TextMember::EffectiveDate | TextMember::CreationDate)
        {
            text = Some(dates::normalised(member, date, file.scratch, file.notices)?);
        }
        draft.set_text(member, text);
        Ok(())
    }

    pub(super) fn word<T>(
        &mut self,
        member: &str,
        at: usize,
        read: fn(&str) -> Judged<T>,
    ) -> Judged<Option<T>> {
        self.text(member, at)?.map(read).transpose()
    }

    pub(super) fn number(&self, prefix: &str, name: &str, at: usize) -> Judged<Option<f64>> {
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
pub(super) fn keep_last<T>(list: &mut Vec<T>, name: impl Fn(&T) -> &str) {
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
