//! An endpoint as it is read back: every member resolved, defaults applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the service model.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value with this name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                // Most files write the words as the service model does.
                match name {
                    $($word => return Some(Self::$variant),)+
                    _ => {}
                }
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(name))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// The channel that messages to an endpoint take.
    Channel {
        /// Any push service.
        Push = "PUSH",
        /// Firebase (formerly Google) Cloud Messaging.
        Gcm = "GCM",
        /// Apple Push Notification service.
        Apns = "APNS",
        /// Apple's sandbox.
        ApnsSandbox = "APNS_SANDBOX",
        /// Apple's VoIP push.
        ApnsVoip = "APNS_VOIP",
        /// Apple's VoIP push, sandbox.
        ApnsVoipSandbox = "APNS_VOIP_SANDBOX",
        /// Amazon Device Messaging.
        Adm = "ADM",
        /// Text messages.
        Sms = "SMS",
        /// Voice calls.
        Voice = "VOICE",
        /// Electronic mail.
        Email = "EMAIL",
        /// Baidu Cloud Push.
        Baidu = "BAIDU",
        /// The application's own channel.
        Custom = "CUSTOM",
        /// In-app messages.
        InApp = "IN_APP",
    }
}

words! {
    /// Whether the user has opted out of messages.
    OptOut {
        /// Out of all messages.
        All = "ALL",
        /// Of none (the default).
        None = "NONE",
    }
}

words! {
    /// Whether messages are sent to the endpoint.
    EndpointStatus {
        /// Messages are sent (the default).
        Active = "ACTIVE",
        /// They are not.
        Inactive = "INACTIVE",
    }
}

/// An endpoint with its user's attributes, in the members and order of the service model's
/// `EndpointResponse`; members without a value are omitted, but maps are there when they are empty, because programs index
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub application_id: String,
    #[serde(default)]
    pub attributes: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_type: Option<Channel>,
    pub cohort_id: String,
    pub creation_date: String,
    #[serde(default, skip_serializing_if = "Demographic::is_empty")]
    pub demographic: Demographic,
    pub effective_date: String,
    pub endpoint_status: EndpointStatus,
    pub id: String,
    #[serde(default, skip_serializing_if = "Location::is_empty")]
    pub location: Location,
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    pub opt_out: OptOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "User::is_empty")]
    pub user: User,
}

macro_rules! optional_members {
    ($(#[$doc:meta])* $name:ident { $($member:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        #[allow(missing_docs, reason = "the members are the service model's")]
        pub struct $name {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] pub $member: Option<$type>,)+
        }

        impl $name {
            /// Whether no member has a value.
            pub fn is_empty(&self) -> bool {
                $(self.$member.is_none())&&+
            }
        }
    };
}

optional_members! {
    /// The device of an endpoint.
    Demographic {
        app_version: String,
        locale: String,
        make: String,
        model: String,
        model_version: String,
        platform: String,
        platform_version: String,
        timezone: String,
    }
}

optional_members! {
    /// Where an endpoint is. Latitude and longitude are kept exactly.
    Location {
        city: String,
        country: String,
        latitude: f64,
        longitude: f64,
        postal_code: String,
        region: String,
    }
}

/// The user an endpoint belongs to, with the attributes that all endpoints of the user share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct User {
    #[serde(default)]
    pub user_attributes: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

impl User {
    /// Whether the endpoint belongs to no user.
    pub fn is_empty(&self) -> bool {
        self.user_id.is_none() && self.user_attributes.is_empty()
    }
}

/// The cohort of an endpoint: "0" to "99", the same for the same id on every machine (FNV-1a of the id).
pub fn cohort(endpoint: &str) -> String {
    cohort_of(endpoint.as_bytes()).to_string()
}

/// The same, as a number.
pub fn cohort_of(endpoint: &[u8]) -> u64 {
    let hash = endpoint.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_found_in_any_case() {
        assert_eq!(Channel::from_name("apns_sandbox"), Some(Channel::ApnsSandbox));
        assert_eq!(Channel::from_name("PIGEON"), None);
        assert_eq!(Channel::ALL.len(), 13);
    }

    #[test]
    fn a_user_is_there_with_an_id_or_with_attributes() {
        assert!(User::default().is_empty());
        assert!(!User { user_id: Some("1".into()), ..User::default() }.is_empty());
        let user_attributes = BTreeMap::from([("plan".to_owned(), vec!["free".to_owned()])]);
        assert!(!User { user_attributes, ..User::default() }.is_empty());
    }

    #[test]
    fn a_cohort_is_stable() {
        assert_eq!(cohort(""), "37");
        // FNV-1a of these is 0xaf63dc4c8601ec8c and 0x85944171f73967e8, by its authors' own tables.
        assert_eq!([cohort("a"), cohort("foobar")], ["96", "68"]);
    }
}
