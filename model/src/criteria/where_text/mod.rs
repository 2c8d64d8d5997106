//! Criteria from a line of text, as in `Location.Country = 'CAN' and Attributes.plan in ('gold')`.
//!
//! ```text
//! tokens.rs   text -> words, texts, numbers and signs, with their places
//! mod.rs      -> tests joined by and, or, not
//! groups.rs   -> Dimensions, or SegmentGroups where one Dimensions does not do
//! ```
//!
//! What the groups of the service cannot say is an error with its place, and never something near it.

mod groups;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::BTreeMap;

use self::tokens::{Kind, Token, tokens};
use super::{
    AttributeDimension, AttributeType, Behavior, Comparison, Coordinates, Criteria, DemographicDimensions,
    DimensionType, Dimensions, Duration, GpsPoint, LocationDimensions, MetricDimension, Recency, RecencyType,
    SegmentReference, SetDimension,
};

/// Brackets that lie one within the other.
const MAX_DEPTH: usize = 50;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WhereError {
    /// The byte of the text that it is about.
    pub at: usize,
    /// What is wrong, as a fragment.
    pub message: String,
}

impl WhereError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    /// The text with a caret below the place, and what is wrong with it.
    pub fn pointed(&self, text: &str) -> String {
        let before: String =
            text[..self.at].chars().map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
        format!("{}\n  {}\n  {before}^", self.message, text.replace(['\r', '\n'], " "))
    }
}

/// The criteria that a text says.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Criteria, WhereError> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0 };
    let expression = parser.any()?;
    match parser.peek() {
        Token { kind: Kind::End, .. } => {}
        token => return Err(WhereError::new(token.at, "and, or, or the end of the text is expected here")),
    }
    let criteria = groups::criteria(&expression)?;
    criteria.check().map_err(|reason| WhereError::new(0, reason))?;
    Ok(criteria)
}

/// A test of endpoints.
#[derive(Debug, Clone, PartialEq)]
enum Leaf {
    /// One dimension.
    Dimension(Box<Dimensions>),
    /// The members of one of these segments.
    Segments(Vec<SegmentReference>),
}

/// Tests, joined; each with its place.
#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Leaf(usize, Leaf),
    Not(usize, Box<Expression>),
    All(usize, Vec<Expression>),
    Any(usize, Vec<Expression>),
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

/// What a member is compared by.
enum Member {
    Attribute(String),
    UserAttribute(String),
    Metric(String),
    Demographic(&'static str),
    Country,
    Point,
    Recency,
    Segment,
}

const DEMOGRAPHICS: [&str; 6] = ["AppVersion", "Channel", "DeviceType", "Make", "Model", "Platform"];
const KNOWN: &str = "Attributes.…, UserAttributes.…, Metrics.…, Demographic.AppVersion, .Channel, .DeviceType, .Make, \
                     .Model and .Platform, Location.Country, Location.GPSPoint, Behavior.Recency and Segment are known";

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        if is {
            self.take();
        }
        is
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek().kind, Kind::Sign(found) if found == sign);
        if is {
            self.take();
        }
        is
    }

    fn needs_sign(&mut self, sign: &str) -> Result<(), WhereError> {
        match self.takes_sign(sign) {
            true => Ok(()),
            false => Err(self.expected(sign)),
        }
    }

    fn needs_word(&mut self, word: &str) -> Result<(), WhereError> {
        match self.takes_word(word) {
            true => Ok(()),
            false => Err(self.expected(word)),
        }
    }

    fn expected(&self, what: &str) -> WhereError {
        WhereError::new(self.peek().at, format!("{what} is expected here"))
    }

    fn any(&mut self) -> Result<Expression, WhereError> {
        let at = self.peek().at;
        let mut parts = vec![self.all()?];
        while self.takes_word("or") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, |parts| Expression::Any(at, parts)))
    }

    fn all(&mut self) -> Result<Expression, WhereError> {
        let at = self.peek().at;
        let mut parts = vec![self.one()?];
        while self.takes_word("and") {
            parts.push(self.one()?);
        }
        Ok(joined(parts, |parts| Expression::All(at, parts)))
    }

    fn one(&mut self) -> Result<Expression, WhereError> {
        let at = self.peek().at;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(WhereError::new(
                at,
                format!("more than {MAX_DEPTH} brackets lie one within the other"),
            ));
        }
        let found = if self.takes_word("not") {
            Expression::Not(at, Box::new(self.one()?))
        } else if self.takes_sign("(") {
            let inner = self.any()?;
            self.needs_sign(")")?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(found)
    }

    fn test(&mut self) -> Result<Expression, WhereError> {
        let at = self.peek().at;
        let member = self.member()?;
        match member {
            Member::Metric(name) => self.metric(at, name),
            Member::Point => self.point(at),
            Member::Recency => self.recency(at),
            Member::Segment => self.segments(at),
            Member::Attribute(_) | Member::UserAttribute(_) | Member::Demographic(_) | Member::Country => {
                self.values_of(at, member)
            }
        }
    }

    fn member(&mut self) -> Result<Member, WhereError> {
        let Token { kind, at } = self.take();
        let Kind::Word(first) = kind else {
            return Err(WhereError::new(at, format!("the name of a member is expected here: {KNOWN}")));
        };
        let unknown = |name: String| WhereError::new(at, format!("{name} is not known: {KNOWN}"));
        if first == "Segment" {
            return Ok(Member::Segment);
        }
        if !self.takes_sign(".") {
            return Err(unknown(first));
        }
        let mut first = first;
        if first == "User" {
            self.needs_word("UserAttributes")?;
            self.needs_sign(".")?;
            first = "UserAttributes".into();
        }
        let place = self.peek().at;
        let second = match self.take().kind {
            Kind::Word(name) | Kind::Name(name) => name,
            _ => {
                let message = "a name is expected here; one with spaces or that begins with a digit stands in \"double quotes\"";
                return Err(WhereError::new(place, message));
            }
        };
        match first.as_str() {
            "Attributes" => return Ok(Member::Attribute(second)),
            "UserAttributes" => return Ok(Member::UserAttribute(second)),
            "Metrics" => return Ok(Member::Metric(second)),
            "Demographic" => {
                if let Some(known) = DEMOGRAPHICS.into_iter().find(|known| *known == second) {
                    return Ok(Member::Demographic(known));
                }
            }
            "Location" if second == "Country" => return Ok(Member::Country),
            "Location" if second == "GPSPoint" => return Ok(Member::Point),
            "Behavior" if second == "Recency" => return Ok(Member::Recency),
            _ => {}
        }
        Err(unknown(format!("{first}.{second}")))
    }

    /// `= 'a'`, `in ('a', 'b')` and their opposites.
    fn set(&mut self) -> Result<Option<(DimensionType, Vec<String>)>, WhereError> {
        let kind = if self.takes_sign("=") {
            return Ok(Some((DimensionType::Inclusive, vec![self.value()?])));
        } else if self.takes_sign("!=") || self.takes_sign("<>") {
            return Ok(Some((DimensionType::Exclusive, vec![self.value()?])));
        } else if self.takes_word("not") {
            self.needs_word("in")?;
            DimensionType::Exclusive
        } else if self.takes_word("in") {
            DimensionType::Inclusive
        } else {
            return Ok(None);
        };
        Ok(Some((kind, self.list()?)))
    }

    /// Values in brackets, or one without.
    fn list(&mut self) -> Result<Vec<String>, WhereError> {
        if !self.takes_sign("(") {
            return Ok(vec![self.value()?]);
        }
        let mut values = vec![self.value()?];
        while self.takes_sign(",") {
            values.push(self.value()?);
        }
        self.needs_sign(")")?;
        Ok(values)
    }

    fn value(&mut self) -> Result<String, WhereError> {
        let Token { kind, at } = self.take();
        match kind {
            Kind::Text(text) | Kind::Number(text) => Ok(text),
            Kind::Word(word) | Kind::Name(word) => {
                Err(WhereError::new(at, format!("a value stands in single quotes: '{word}'")))
            }
            _ => Err(WhereError::new(at, "a value is expected here, such as 'gold'")),
        }
    }

    fn number(&mut self) -> Result<f64, WhereError> {
        let Token { kind, at } = self.take();
        match kind {
            Kind::Number(text) => text.parse().map_err(|_| WhereError::new(at, "a number is expected here")),
            _ => Err(WhereError::new(at, "a number is expected here")),
        }
    }

    fn values_of(&mut self, at: usize, member: Member) -> Result<Expression, WhereError> {
        if let Some((kind, values)) = self.set()? {
            let mut dimensions = Dimensions::default();
            let set = SetDimension { dimension_type: Some(kind), values };
            let of_attribute = |set: SetDimension| AttributeDimension {
                attribute_type: Some(match kind {
                    DimensionType::Inclusive => AttributeType::Inclusive,
                    DimensionType::Exclusive => AttributeType::Exclusive,
                }),
                values: set.values,
            };
            match member {
                Member::Attribute(name) => {
                    dimensions.attributes.insert(name, of_attribute(set));
                }
                Member::UserAttribute(name) => {
                    dimensions.user_attributes.insert(name, of_attribute(set));
                }
                Member::Demographic(name) => {
                    let mut demographic = DemographicDimensions::default();
                    if let Some(place) = demographic.named_mut(name) {
                        *place = Some(set);
                    }
                    dimensions.demographic = Some(demographic);
                }
                _ => dimensions.location = Some(LocationDimensions { country: Some(set), gps_point: None }),
            }
            return Ok(leaf(at, dimensions));
        }
        let (name, is_user) = match member {
            Member::Attribute(name) => (name, false),
            Member::UserAttribute(name) => (name, true),
            _ => return Err(self.expected("=, !=, in or not in")),
        };
        let (attribute_type, values) = if self.takes_word("contains") {
            (AttributeType::Contains, self.list()?)
        } else if self.takes_word("before") {
            (AttributeType::Before, self.list()?)
        } else if self.takes_word("after") {
            (AttributeType::After, self.list()?)
        } else if self.takes_word("on") {
            (AttributeType::On, self.list()?)
        } else if self.takes_word("between") {
            let from = self.value()?;
            self.needs_word("and")?;
            (AttributeType::Between, vec![from, self.value()?])
        } else {
            return Err(self.expected("=, !=, in, not in, contains, before, after, on or between"));
        };
        let attribute = AttributeDimension { attribute_type: Some(attribute_type), values };
        let attributes = BTreeMap::from([(name, attribute)]);
        Ok(leaf(
            at,
            match is_user {
                true => Dimensions { user_attributes: attributes, ..Dimensions::default() },
                false => Dimensions { attributes, ..Dimensions::default() },
            },
        ))
    }

    fn metric(&mut self, at: usize, name: String) -> Result<Expression, WhereError> {
        let Token { kind, at: place } = self.take();
        let (comparison_operator, is_not) = match kind {
            Kind::Sign("=") => (Comparison::Equal, false),
            Kind::Sign("!=" | "<>") => (Comparison::Equal, true),
            Kind::Sign("<") => (Comparison::LessThan, false),
            Kind::Sign("<=") => (Comparison::LessThanOrEqual, false),
            Kind::Sign(">") => (Comparison::GreaterThan, false),
            Kind::Sign(">=") => (Comparison::GreaterThanOrEqual, false),
            _ => return Err(WhereError::new(place, "=, !=, <, <=, > or >= is expected here")),
        };
        let metric = MetricDimension { comparison_operator, value: self.number()? };
        let metrics = BTreeMap::from([(name, metric)]);
        let found = leaf(at, Dimensions { metrics, ..Dimensions::default() });
        Ok(if is_not { Expression::Not(at, Box::new(found)) } else { found })
    }

    /// `within 10 km of (43.7, -79.4)`.
    fn point(&mut self, at: usize) -> Result<Expression, WhereError> {
        self.needs_word("within")?;
        let range_in_kilometers = Some(self.number()?);
        self.needs_word("km")?;
        self.needs_word("of")?;
        self.needs_sign("(")?;
        let latitude = self.number()?;
        self.needs_sign(",")?;
        let longitude = self.number()?;
        self.needs_sign(")")?;
        let coordinates = Coordinates { latitude, longitude };
        let gps_point = Some(GpsPoint { coordinates, range_in_kilometers });
        let location = Some(LocationDimensions { country: None, gps_point });
        Ok(leaf(at, Dimensions { location, ..Dimensions::default() }))
    }

    /// `active within DAY_30`.
    fn recency(&mut self, at: usize) -> Result<Expression, WhereError> {
        let recency_type = if self.takes_word("active") {
            RecencyType::Active
        } else {
            self.needs_word("inactive")
                .map_err(|error| WhereError::new(error.at, "active or inactive is expected here"))?;
            RecencyType::Inactive
        };
        self.needs_word("within")?;
        let Token { kind, at: place } = self.take();
        let duration = match kind {
            Kind::Word(word) => Duration::from_name(&word),
            _ => None,
        };
        let expected = "HR_24, DAY_7, DAY_14 or DAY_30 is expected here";
        let duration = duration.ok_or_else(|| WhereError::new(place, expected))?;
        let behavior = Some(Behavior { recency: Some(Recency { duration, recency_type }) });
        Ok(leaf(at, Dimensions { behavior, ..Dimensions::default() }))
    }

    fn segments(&mut self, at: usize) -> Result<Expression, WhereError> {
        let place = self.peek().at;
        let Some((kind, values)) = self.set()? else { return Err(self.expected("=, !=, in or not in")) };
        let mut references = Vec::new();
        for value in values {
            let (id, version) = match value.split_once('@') {
                Some((id, version)) => (id, Some(version)),
                None => (value.as_str(), None),
            };
            let wrong = || {
                let message = "a segment is given by its id, or id@version; `pinport segment ls` shows ids";
                WhereError::new(place, message)
            };
            let id = id.parse().map_err(|_| wrong())?;
            let version = version.map(str::parse).transpose().map_err(|_| wrong())?;
            references.push(SegmentReference { id, version });
        }
        let found = Expression::Leaf(at, Leaf::Segments(references));
        Ok(match kind {
            DimensionType::Inclusive => found,
            DimensionType::Exclusive => Expression::Not(at, Box::new(found)),
        })
    }
}

fn leaf(at: usize, dimensions: Dimensions) -> Expression {
    Expression::Leaf(at, Leaf::Dimension(Box::new(dimensions)))
}

fn joined(mut parts: Vec<Expression>, join: impl FnOnce(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}
