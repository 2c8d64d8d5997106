//! What a phone number says by itself, by libphonenumber's rules: its country, its forms and what kind of line it may be.
//! No carrier is asked.

use phonenumber::{Mode, Type, country, metadata::DATABASE};

/// What is known of a phone number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// `+12065550142`
    pub e164: String,
    /// `2065550142`
    pub national: String,
    /// The country calling code.
    pub calling_code: u16,
    /// The country, in two letters of ISO 3166, if it is one.
    pub country: Option<&'static str>,
    /// The country's English name.
    pub country_name: Option<String>,
    /// What kind of line it may be.
    pub line: Line,
}

/// Kinds of lines, as Pinpoint tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A mobile line, or one that may be: many countries give both kinds the same numbers.
    Mobile,
    /// A line that is fixed.
    Landline,
    /// A line over the internet.
    Voip,
    /// Any other: toll-free, premium, pagers.
    Other,
}

/// Looks at a phone number. `country`: where it is dialled from, in two letters; without it the number begins with
/// its country calling code. None, if it is no number that could be dialled.
pub fn look(text: &str, country: Option<&str>) -> Option<Phone> {
    let id: Option<country::Id> = country.and_then(|country| country.to_ascii_uppercase().parse().ok());
    let text = text.trim();
    let number = match id {
        Some(id) => phonenumber::parse(Some(id), text),
        None if text.starts_with('+') => phonenumber::parse(None, text),
        None => phonenumber::parse(None, format!("+{text}")),
    };
    let number = number.ok().filter(phonenumber::is_valid)?;
    let e164 = number.format().mode(Mode::E164).to_string();
    let calling_code = number.country().code();
    let national = e164.strip_prefix(&format!("+{calling_code}")).unwrap_or(&e164).to_owned();
    let found = number.country().id().and_then(|id| rust_iso3166::from_alpha2(id.as_ref()));
    let line = match number.number_type(&DATABASE) {
        Type::Mobile | Type::FixedLineOrMobile => Line::Mobile,
        Type::FixedLine => Line::Landline,
        Type::Voip => Line::Voip,
        _ => Line::Other,
    };
    Some(Phone {
        e164,
        national,
        calling_code,
        country: found.map(|found| found.alpha2),
        country_name: found.map(|found| found.name.split(" (").next().unwrap_or(found.name).to_owned()),
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_where_they_are_and_what_they_may_be() {
        let found = look("2065550142", Some("us")).unwrap();
        assert_eq!((&*found.e164, &*found.national, found.calling_code), ("+12065550142", "2065550142", 1));
        assert_eq!((found.country, found.line), (Some("US"), Line::Mobile));
        assert_eq!(look("12065550142", None).unwrap(), found);
        assert_eq!(look(" +1 (206) 555-0142 ", None).unwrap(), found);
        let germany = look("030 901820", Some("DE")).unwrap();
        assert_eq!((&*germany.e164, germany.line), ("+4930901820", Line::Landline));
        assert_eq!(germany.country_name.as_deref(), Some("Germany"));
        assert_eq!(look("+4915112345678", None).unwrap().line, Line::Mobile);
        assert_eq!(look("+18005550123", Some("DE")).unwrap().line, Line::Other);
        for text in ["", "17", "hello", "+", "99999999999999999999", "2065550142"] {
            assert_eq!(look(text, None), None, "{text}");
        }
    }
}
