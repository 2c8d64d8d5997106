//! What a mapping does to the values of members, whatever file they came from.

use std::borrow::Cow;

use pinport_model::{Channel, FailureCode, failure::quoted};

use super::{
    Map,
    normal::{self, NoPhone},
};
use crate::parse::validate::{Judged, failed};

impl Map {
    /// Whether the values of a member have meanings.
    pub(super) fn has_words(&self, member: &str) -> bool {
        self.words.contains_key(member)
    }

    /// What a value of a member means, if the mapping says so.
    pub(super) fn meaning(&self, member: &str, value: &str) -> Option<&str> {
        self.words.get(member)?.get(&value.to_lowercase()).map(String::as_str)
    }

    /// The code of a country, if it is to be one.
    pub(super) fn country(&self, value: &str) -> Judged<Option<&'static str>> {
        if !self.country || value.is_empty() {
            return Ok(None);
        }
        match normal::alpha3(value) {
            Some(code) => Ok(Some(code)),
            None => {
                let message =
                    format!("{} is no country of ISO 3166; write its code, such as GBR", quoted(value));
                failed("Location.Country", FailureCode::UnknownValue, message)
            }
        }
    }

    /// Whether the addresses of a channel are normalised.
    pub(super) fn changes_addresses(&self, channel: Option<Channel>) -> bool {
        match channel {
            Some(Channel::Email) => self.email,
            Some(Channel::Sms | Channel::Voice) => self.phone,
            _ => false,
        }
    }

    /// An address in the form of its channel. `country`: that of the record.
    pub(super) fn address<'a>(
        &self,
        channel: Option<Channel>,
        country: &str,
        address: &'a str,
    ) -> Judged<Cow<'a, str>> {
        if address.is_empty() || !self.changes_addresses(channel) {
            return Ok(Cow::Borrowed(address));
        }
        if channel == Some(Channel::Email) {
            return Ok(match address.chars().any(char::is_uppercase) {
                true => Cow::Owned(address.to_lowercase()),
                false => Cow::Borrowed(address),
            });
        }
        if normal::is_e164(address) {
            return Ok(Cow::Borrowed(address));
        }
        let dialled = normal::alpha2(country).or(self.default_country);
        normal::e164(address, dialled).map(Cow::Owned).or_else(|reason| {
            let number = quoted(address);
            let message = match (reason, dialled) {
                (NoPhone::NoCountry, _) => format!(
                    "{number} has no country code, and the record no Location.Country; write it as +44…, or set \
                     default_country in the mapping"
                ),
                (NoPhone::NoNumber, Some(country)) => format!(
                    "{number} is no phone number of {country}; write it with its country code, such as +447700900123"
                ),
                (NoPhone::NoNumber, None) => {
                    format!("{number} is no phone number; write it with its country code, such as +447700900123")
                }
            };
            failed("Address", FailureCode::InvalidAddress, message)
        })
    }
}
