//! Phone numbers in E.164 and countries in ISO 3166, whatever form people wrote them in.

use std::{collections::HashMap, sync::LazyLock};

use phonenumber::{Mode, country, metadata::DATABASE};
use rust_iso3166::CountryCode;

/// Names that people use and the standard does not.
const EVERYDAY: [(&str, &str); 22] = [
    ("america", "US"),
    ("bolivia", "BO"),
    ("britain", "GB"),
    ("brunei", "BN"),
    ("czech republic", "CZ"),
    ("england", "GB"),
    ("great britain", "GB"),
    ("holland", "NL"),
    ("ivory coast", "CI"),
    ("laos", "LA"),
    ("macedonia", "MK"),
    ("north korea", "KP"),
    ("russia", "RU"),
    ("scotland", "GB"),
    ("south korea", "KR"),
    ("syria", "SY"),
    ("turkey", "TR"),
    ("uk", "GB"),
    ("united kingdom", "GB"),
    ("united states", "US"),
    ("vietnam", "VN"),
    ("wales", "GB"),
];

/// Countries by their names in lower case, with and without what stands in brackets.
static NAMES: LazyLock<HashMap<String, CountryCode>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for country in rust_iso3166::ALL {
        let name = country.name.to_lowercase();
        if let Some((short, _)) = name.split_once(" (") {
            // Two Koreas: what is not one country is none.
            let is_one =
                rust_iso3166::ALL.iter().filter(|other| other.name.to_lowercase().starts_with(short));
            if is_one.count() == 1 {
                names.insert(short.to_owned(), *country);
            }
        }
        names.insert(name, *country);
    }
    for (name, alpha2) in EVERYDAY {
        names.extend(rust_iso3166::from_alpha2(alpha2).map(|country| (name.to_owned(), country)));
    }
    names
});

/// The country of a code or an English name.
fn find(text: &str) -> Option<CountryCode> {
    let upper = text.to_ascii_uppercase();
    match text.len() {
        2 => rust_iso3166::from_alpha2(&upper).or_else(|| NAMES.get(&text.to_lowercase()).copied()),
        3 if text.bytes().all(|byte| byte.is_ascii_digit()) => rust_iso3166::from_numeric_str(text),
        3 => rust_iso3166::from_alpha3(&upper),
        _ => NAMES.get(&text.to_lowercase()).copied(),
    }
}

/// The ISO 3166 alpha-3 code of a country.
pub(super) fn alpha3(text: &str) -> Option<&'static str> {
    find(text).map(|country| country.alpha3)
}

/// The ISO 3166 alpha-2 code of a country.
pub(super) fn alpha2(text: &str) -> Option<&'static str> {
    find(text).map(|country| country.alpha2)
}

/// Whether a number is in E.164 form as it stands: nearly all are that were exported.
pub(super) fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (8..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Why a phone number was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPhone {
    /// It has no country code, and no country is known for it.
    NoCountry,
    /// It is no number, or has a length that numbers of its country do not have.
    NoNumber,
}

/// A phone number in E.164 form. `country`: where it is dialled from, in two letters.
pub(super) fn e164(text: &str, country: Option<&str>) -> Result<String, NoPhone> {
    let id: Option<country::Id> = country.and_then(|country| country.parse().ok());
    let number = phonenumber::parse(id, text).map_err(|_| match id {
        None if !text.trim_start().starts_with('+') && text.bytes().any(|byte| byte.is_ascii_digit()) => {
            NoPhone::NoCountry
        }
        _ => NoPhone::NoNumber,
    })?;
    // Ranges that are not given out yet, and those of films and examples, are numbers too.
    let national = number.national().to_string().len() as u16;
    let countries = DATABASE.by_code(&number.country().code()).unwrap_or_default();
    let kinds = countries.iter().flat_map(|country| {
        [country.descriptors().mobile(), country.descriptors().fixed_line()].into_iter().flatten()
    });
    let is_possible = kinds.into_iter().any(|kind| kind.possible_length().contains(&national));
    if !is_possible && !number.is_valid() {
        return Err(NoPhone::NoNumber);
    }
    Ok(number.format().mode(Mode::E164).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_become_e164() {
        for (text, country, is) in [
            ("020 7946 0018", Some("GB"), Ok("+442079460018")),
            ("07700 900123", Some("GB"), Ok("+447700900123")),
            ("(202) 555-0143", Some("US"), Ok("+12025550143")),
            ("+33 6 12 34 56 78", None, Ok("+33612345678")),
            ("0044 7700 900123", Some("GB"), Ok("+447700900123")),
            ("tel:+447700900123", Some("DE"), Ok("+447700900123")),
            ("07700 900123", None, Err(NoPhone::NoCountry)),
            ("12345", Some("GB"), Err(NoPhone::NoNumber)),
            ("call me", Some("GB"), Err(NoPhone::NoNumber)),
            ("call me", None, Err(NoPhone::NoNumber)),
            ("+0", None, Err(NoPhone::NoNumber)),
            ("", Some("GB"), Err(NoPhone::NoNumber)),
        ] {
            assert_eq!(e164(text, country).as_deref().map_err(|error| *error), is, "{text} {country:?}");
        }
        assert!(is_e164("+447700900123") && !is_e164("+44 7700 900123") && !is_e164("07700900123"));
    }

    #[test]
    fn countries_are_known_by_codes_and_names() {
        for (text, is) in [
            ("GB", Some("GBR")),
            ("gb", Some("GBR")),
            ("GBR", Some("GBR")),
            ("gbr", Some("GBR")),
            ("826", Some("GBR")),
            ("UK", Some("GBR")),
            ("United Kingdom", Some("GBR")),
            ("germany", Some("DEU")),
            ("Venezuela", Some("VEN")),
            ("South Korea", Some("KOR")),
            ("Korea", None),
            ("Niger", Some("NER")),
            ("Narnia", None),
            ("XX", None),
            ("", None),
        ] {
            assert_eq!(alpha3(text), is, "{text}");
        }
    }

    /// A name in the list that the standard has, or a code that it has not, would be a mistake.
    #[test]
    fn everyday_names_are_countries() {
        for (name, alpha2) in EVERYDAY {
            assert!(rust_iso3166::from_alpha2(alpha2).is_some(), "{name}");
            assert_eq!(
                alpha3(name),
                rust_iso3166::from_alpha2(alpha2).map(|country| country.alpha3),
                "{name}"
            );
        }
    }
}
