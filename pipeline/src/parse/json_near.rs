//! What holds for JSON records of files alone, which are as people have them: names that are nearly known, and numbers as
//! they are written.

use pinport_model::{Attribute, Draft, FailureCode, NoticeKind, Scalar, TextMember, failure::quoted};
use simd_json::{Node, StaticNode};

use super::{
    Judged,
    json_walk::{File, Near, USER_ATTRIBUTES, Walk, keep_last},
    names, validate,
};

impl<'a> File<'_, 'a> {
    /// The number at this place of the tape, as it is written.
    #[cold]
    pub(super) fn digits(&mut self, nodes: &[Node<'a>], at: usize) -> &'a str {
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
    /// Takes the members whose names are nearly known ones. They come last, so that none is lost to what resets it.
    pub(super) fn take_near(&mut self, draft: &mut Draft<'a>) -> Judged {
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
            _ => match TextMember::ALL.into_iter().find(|member| member.name() == known) {
                Some(member) => {
                    twice(draft.text(member).is_some())?;
                    self.set(draft, member, value)?;
                }
                None => self.near_entry(draft, known, name, value)?,
            },
        }
        Ok(())
    }

    /// The same of an attribute or a metric that stands by itself, such as `attributes.colour`.
    fn near_entry(&mut self, draft: &mut Draft<'a>, known: &str, name: &'a str, value: usize) -> Judged {
        let of = |prefix: &str| {
            let rest = known.strip_prefix(prefix)?.len();
            let name = names::trimmed(name);
            name.get(name.len() - rest..)
        };
        if let Some(name) = of("Attributes.") {
            let Draft { attributes, values, .. } = draft;
            return self.one_attribute("Attributes", name, value, attributes, values);
        }
        if let Some(name) = of("User.UserAttributes.") {
            let Draft { user_attributes, values, .. } = draft;
            return self.one_attribute(USER_ATTRIBUTES, name, value, user_attributes, values);
        }
        if let Some(name) = of("Metrics.") {
            validate::name(self.limits, "Metrics", name)?;
            if let Some(number) = self.number("Metrics", name, value)? {
                draft.metrics.push((name, number));
                keep_last(&mut draft.metrics, |metric| metric.0);
            }
            return validate::count(self.limits, "Metrics", draft.metrics.len());
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
}
