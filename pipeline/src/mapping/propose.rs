//! Guesses a mapping from names and first values. It is a proposal: its notes say what a person must decide.

use std::collections::{BTreeMap, BTreeSet};

use pinport_model::{Channel, Mapping};

use super::Sample;
use crate::parse::names;

/// A mapping that may suit a file, and what to think of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The mapping.
    pub mapping: Mapping,
    /// Sentences for the reader.
    pub notes: Vec<String>,
}

/// Names by the member they mean, in the form in which names are compared.
const MEANINGS: [(&str, &[&str]); 22] = [
    ("Id", &["contactid", "endpointid", "recordid", "guid", "uuid"]),
    (
        "User.UserId",
        &[
            "accountid",
            "clientid",
            "crmid",
            "customerid",
            "customernumber",
            "externalid",
            "memberid",
            "personid",
            "subscriberid",
            "uid",
            "userid",
            "username",
        ],
    ),
    ("User.UserAttributes.FirstName", &["firstname", "fname", "givenname", "vorname", "prenom"]),
    ("User.UserAttributes.LastName", &["lastname", "lname", "surname", "familyname", "nachname"]),
    ("User.UserAttributes.Name", &["name", "fullname", "displayname"]),
    ("Location.City", &["city", "town", "ort", "stadt", "ville"]),
    ("Location.Country", &["country", "countrycode", "countryname", "land", "pays"]),
    ("Location.PostalCode", &["zip", "zipcode", "postcode", "postalcode", "plz"]),
    ("Location.Region", &["region", "state", "stateprovince", "province", "county"]),
    ("Location.Latitude", &["lat", "latitude"]),
    ("Location.Longitude", &["lon", "lng", "long", "longitude"]),
    ("Demographic.Timezone", &["timezone", "tz"]),
    ("Demographic.Locale", &["locale", "language", "lang", "preferredlanguage"]),
    ("Demographic.Platform", &["platform", "os", "deviceos"]),
    ("Demographic.PlatformVersion", &["platformversion", "osversion"]),
    ("Demographic.Make", &["make", "manufacturer", "devicemake", "brand"]),
    ("Demographic.Model", &["model", "devicemodel"]),
    ("Demographic.AppVersion", &["appversion"]),
    (
        "CreationDate",
        &["created", "createdat", "createddate", "datecreated", "signupdate", "joined", "joinedat"],
    ),
    ("EffectiveDate", &["updated", "updatedat", "lastupdated", "modified", "modifiedat", "lastmodified"]),
    ("EndpointStatus", &["endpointstatus"]),
    ("ChannelType", &["channel"]),
];

const MAILS: &[&str] =
    &["email", "emailaddress", "mail", "mailaddress", "primaryemail", "workemail", "courriel", "correo"];
const PHONES: &[&str] = &[
    "phone",
    "phonenumber",
    "mobile",
    "mobilephone",
    "mobilenumber",
    "msisdn",
    "cell",
    "cellphone",
    "cellnumber",
    "telephone",
    "tel",
    "telefon",
    "handy",
    "sms",
    "smsnumber",
];
const TOKENS: &[(&str, Channel)] = &[
    ("fcmtoken", Channel::Gcm),
    ("gcmtoken", Channel::Gcm),
    ("registrationid", Channel::Gcm),
    ("apnstoken", Channel::Apns),
    ("apnstokens", Channel::Apns),
];
/// Names whose yes means that a person is not to be written to.
const OUT: &[&str] = &[
    "optedout",
    "unsubscribed",
    "donotcontact",
    "dnc",
    "blocked",
    "suppressed",
    "unsubscribe",
    "donotemail",
];
/// Names whose yes means that a person agreed.
const IN: &[&str] = &[
    "optin",
    "optedin",
    "subscribed",
    "consent",
    "newsletter",
    "marketing",
    "marketingconsent",
    "marketingoptin",
    "emailconsent",
    "smsconsent",
    "emailoptin",
    "smsoptin",
    "allowmarketing",
    "gdprconsent",
    "acceptsmarketing",
];
const YES: &[&str] = &["yes", "y", "true", "t", "1", "x", "on", "ja", "oui", "si"];
const NO: &[&str] = &["no", "n", "false", "f", "0", "off", "nein", "non"];
/// Words of channels that are not their names.
const CHANNELS: &[(&str, Channel)] = &[
    ("e-mail", Channel::Email),
    ("mail", Channel::Email),
    ("text", Channel::Sms),
    ("mobile", Channel::Sms),
    ("phone", Channel::Voice),
    ("call", Channel::Voice),
    ("fcm", Channel::Gcm),
    ("android", Channel::Gcm),
    ("ios", Channel::Apns),
];

/// Characters of an attribute's name.
const MAX_NAME: usize = 50;

/// Proposes a mapping for a file.
pub fn propose(sample: &Sample) -> Proposal {
    let mut guess = Guess { sample, proposal: Proposal::default(), taken: BTreeSet::new() };
    for name in &sample.names {
        if let Some(known) = names::known(name) {
            guess.taken.insert(known);
        }
    }
    let unknown: Vec<_> = sample.names.iter().filter(|name| names::known(name).is_none()).collect();
    // What makes an endpoint comes first, so that nothing else takes its place.
    guess.address(&unknown);
    for name in unknown {
        guess.name(name);
    }
    guess.end()
}

struct Guess<'s> {
    sample: &'s Sample,
    proposal: Proposal,
    /// The members that something makes.
    taken: BTreeSet<String>,
}

impl Guess<'_> {
    /// Finds the column of the addresses, and their channel.
    fn address(&mut self, unknown: &[&String]) {
        if self.taken.contains("Address") {
            return;
        }
        let named = |list: &[&str]| unknown.iter().find(|name| list.contains(&key(name).as_str())).copied();
        let like = |test: fn(&str) -> bool| {
            let all = |name: &&&String| {
                let mut values = self.sample.values(name).peekable();
                values.peek().is_some() && values.all(test)
            };
            unknown.iter().find(all).copied()
        };
        let mail = named(MAILS).or_else(|| like(is_mail));
        let phone = named(PHONES).or_else(|| like(is_phone));
        let token = unknown.iter().find_map(|name| {
            TOKENS.iter().find(|(token, _)| *token == key(name)).map(|(_, channel)| (*name, *channel))
        });
        let found = mail
            .map(|name| (name, Channel::Email))
            .or_else(|| phone.map(|name| (name, Channel::Sms)))
            .or(token);
        let Some((name, channel)) = found else { return };
        self.rename(name, "Address");
        let has_channel =
            self.taken.contains("ChannelType") || unknown.iter().any(|name| key(name) == "channel");
        if !has_channel {
            self.proposal.mapping.constants.insert("ChannelType".into(), channel.as_str().into());
            self.taken.insert("ChannelType".into());
        }
        if channel == Channel::Email
            && let Some(phone) = phone
        {
            self.note(format!(
                "An endpoint has one address. For SMS, import the file once more with a mapping that renames {phone:?} \
                 to Address, sets ChannelType to SMS, and makes other ids."
            ));
        }
    }

    /// Finds what a name means.
    fn name(&mut self, name: &str) {
        let key = key(name);
        if self.proposal.mapping.rename.contains_key(name) || self.opt_out(name, &key) {
            return;
        }
        if key == "channel" && self.channel(name) {
            return;
        }
        let meaning =
            MEANINGS.iter().find(|(_, list)| list.contains(&key.as_str())).map(|(member, _)| *member);
        match meaning {
            Some("ChannelType") | None => self.attribute(name),
            Some(member) if self.taken.contains(member) => self.attribute(name),
            Some("CreationDate" | "EffectiveDate") if !self.all(name, is_date) => self.attribute(name),
            Some("Location.Latitude" | "Location.Longitude") if !self.all(name, is_number) => {
                self.attribute(name)
            }
            Some(member) => self.rename(name, member),
        }
    }

    /// Whether every value passes a test, and there is one.
    fn all(&self, name: &str, test: fn(&str) -> bool) -> bool {
        let mut values = self.sample.values(name).peekable();
        values.peek().is_some() && values.all(test)
    }

    /// A column of consent.
    fn opt_out(&mut self, name: &str, key: &str) -> bool {
        let (yes, no) = match (OUT.contains(&key), IN.contains(&key)) {
            (true, _) => ("ALL", "NONE"),
            (_, true) => ("NONE", "ALL"),
            _ => return false,
        };
        let is_word = |value: &str| {
            let lower = value.to_lowercase();
            YES.contains(&lower.as_str()) || NO.contains(&lower.as_str())
        };
        if self.taken.contains("OptOut") || !self.all(name, is_word) {
            self.attribute(name);
            self.note(format!(
                "{name:?} seems to say who may be written to, in words that are not understood: give each its meaning \
                 under [values.OptOut], and rename the column to OptOut."
            ));
            return true;
        }
        let mut words = BTreeMap::new();
        for value in self.sample.values(name) {
            let lower = value.to_lowercase();
            if let Some(at) = YES.iter().position(|word| *word == lower) {
                words.insert(YES[at].to_owned(), yes.to_owned());
                words.insert(NO.get(at).unwrap_or(&NO[0]).to_string(), no.to_owned());
            } else if let Some(at) = NO.iter().position(|word| *word == lower) {
                words.insert(NO[at].to_owned(), no.to_owned());
                words.insert(YES[at].to_owned(), yes.to_owned());
            }
        }
        self.proposal.mapping.values.insert("OptOut".into(), words);
        self.rename(name, "OptOut");
        if yes == "NONE" {
            self.note(format!(
                "Who has no value in {name:?} counts as opted in. If an empty cell means no, add OptOut = \"ALL\" under \
                 [defaults]."
            ));
        }
        true
    }

    /// A column of channels, if all its words are known.
    fn channel(&mut self, name: &str) -> bool {
        let mut words = BTreeMap::new();
        for value in self.sample.values(name) {
            if Channel::from_name(value).is_some() {
                continue;
            }
            let lower = value.to_lowercase();
            let Some((_, channel)) = CHANNELS.iter().find(|(word, _)| *word == lower) else { return false };
            words.insert(lower, channel.as_str().to_owned());
        }
        if self.taken.contains("ChannelType") {
            return false;
        }
        if !words.is_empty() {
            self.proposal.mapping.values.insert("ChannelType".into(), words);
        }
        self.rename(name, "ChannelType");
        true
    }

    fn rename(&mut self, name: &str, member: &str) {
        self.taken.insert(member.to_owned());
        self.proposal.mapping.rename.insert(name.to_owned(), member.to_owned());
    }

    /// What is nothing else is an attribute.
    fn attribute(&mut self, name: &str) {
        let short: String = name.chars().take(MAX_NAME).collect();
        self.rename(name, &format!("Attributes.{short}"));
    }

    fn note(&mut self, note: String) {
        self.proposal.notes.push(note);
    }

    fn end(mut self) -> Proposal {
        let values_of = |guess: &Self, member: &str| -> Vec<String> {
            let renamed = guess.proposal.mapping.rename.iter().filter(|(_, to)| *to == member);
            let own = guess.sample.names.iter().filter(|name| names::known(name).as_deref() == Some(member));
            let names: Vec<_> = renamed.map(|(name, _)| name).chain(own).collect();
            names.iter().flat_map(|name| guess.sample.values(name)).map(str::to_owned).collect()
        };
        let channel = self.proposal.mapping.constants.get("ChannelType").cloned();
        let addresses = values_of(&self, "Address");
        if channel.as_deref() == Some("EMAIL")
            && addresses.iter().any(|text| text.chars().any(char::is_uppercase))
        {
            self.proposal.mapping.normalise.email = true;
        }
        if channel.as_deref() == Some("SMS") {
            self.proposal.mapping.normalise.phone = true;
            let has_country = self.taken.contains("Location.Country");
            if !has_country && addresses.iter().any(|number| !number.starts_with('+')) {
                self.note(
                    "Some phone numbers have no country code: add default_country = \"GB\", or whichever it is, under \
                     [normalise]."
                        .into(),
                );
            }
        }
        let is_alpha3 = |text: &String| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let countries = values_of(&self, "Location.Country");
        if !countries.iter().all(is_alpha3) {
            self.proposal.mapping.normalise.country = true;
        }
        let is_loose = |record: &super::Record| record.iter().any(|(_, value)| value.trim() != value);
        if self.sample.records.iter().any(is_loose) {
            self.proposal.mapping.normalise.trim = true;
        }
        // Attributes of a user need one.
        if !self.taken.contains("User.UserId") {
            for member in self.proposal.mapping.rename.values_mut() {
                if let Some(name) = member.strip_prefix("User.UserAttributes.") {
                    *member = format!("Attributes.{name}");
                }
            }
        }
        let has = |member: &str| self.taken.contains(member);
        if !has("Id") && !has("Address") && !has("User.UserId") {
            self.note(
                "No column looks like an id, an address or a user's id. Rename the one that is: \
                 \"column\" = \"Address\", for example."
                    .into(),
            );
        } else if has("Address") && !has("ChannelType") {
            self.note("Say which channel the addresses are of: ChannelType = \"EMAIL\", for example, under [constants].".into());
        } else if !has("Id") && has("Address") {
            self.note("No column is the endpoint's id: it is made of the address, as Pinpoint does.".into());
        }
        self.proposal
    }
}

/// A name, or the last part of a path, without case and signs.
fn key(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_mail(value: &str) -> bool {
    value.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !value.contains(char::is_whitespace)
    })
}

/// Whether a value is surely a phone number: it has a country code.
fn is_phone(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    value.starts_with('+')
        && (8..=15).contains(&digits)
        && value.chars().skip(1).all(|character| character.is_ascii_digit() || " -().".contains(character))
}

fn is_number(value: &str) -> bool {
    value.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Whether a value may be a date that an import reads.
fn is_date(value: &str) -> bool {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    digits == value.len() && (10..=13).contains(&digits)
        || value.len() >= 10 && value.as_bytes()[4] == b'-' && value.as_bytes()[7] == b'-' && digits == 4
}
