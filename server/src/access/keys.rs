//! The configured keys.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::ApplicationId;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    principal::{Applications, Principal},
    rate::{Bucket, Rate},
};

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for computing with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A key as it is configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The applications it may use; all of them, and making new ones, if absent.
    #[serde(default)]
    pub applications: Option<BTreeSet<ApplicationId>>,
    /// Whether it may only read.
    #[serde(default)]
    pub read_only: bool,
    /// How many requests it may send; any number if absent.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// Why a list of keys cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An id that a signature cannot name.
    #[error("\"{0}\" is not an access key id: 3 to 128 letters, digits, \"-\", \"_\" and \".\" are expected")]
    Id(String),
    /// A guessable secret.
    #[error("the secret of key \"{0}\" is too short: at least 16 characters are expected")]
    ShortSecret(String),
    /// The same id twice.
    #[error("the access key id \"{0}\" is configured twice")]
    Twice(String),
    /// A rate that lets nothing through.
    #[error("the rate of key \"{0}\" lets no request through: per_second and burst must be above 0")]
    Rate(String),
}

impl KeyError {
    /// The id of the key that is wrong.
    pub fn id(&self) -> &str {
        let (Self::Id(id) | Self::ShortSecret(id) | Self::Twice(id) | Self::Rate(id)) = self;
        id
    }
}

/// A key in use.
#[derive(Debug)]
pub(super) struct Key {
    secret: Secret,
    principal: Principal,
    bucket: Option<Mutex<Bucket>>,
}

impl Key {
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn principal(&self) -> Principal {
        self.principal.clone()
    }

    /// A key that no one has the secret of: what is signed by a key that is not known is held against it, so that the two
    /// cannot be told apart.
    fn nobody() -> Self {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let principal = Principal::new("", Applications::Only(Arc::default()), true);
        Self { secret: Secret::new(random() + &random()), principal, bucket: None }
    }

    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        self.bucket.as_ref().map_or(Ok(()), |bucket| bucket.lock().take(now))
    }
}

/// All keys, by id.
#[derive(Debug)]
pub struct KeyRing {
    keys: HashMap<String, Arc<Key>>,
    nobody: Arc<Key>,
}

impl Default for KeyRing {
    fn default() -> Self {
        Self { keys: HashMap::new(), nobody: Arc::new(Key::nobody()) }
    }
}

impl KeyRing {
    /// Checks and collects keys.
    pub fn new(keys: impl IntoIterator<Item = KeyConfig>) -> Result<Self, KeyError> {
        let mut ring = HashMap::new();
        for config in keys {
            let id = config.id;
            let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if !(3..=128).contains(&id.len()) || !id.bytes().all(sound) {
                return Err(KeyError::Id(id));
            }
            if config.secret.expose().len() < 16 {
                return Err(KeyError::ShortSecret(id));
            }
            if config.rate.is_some_and(|rate| !rate.lets_through()) {
                return Err(KeyError::Rate(id));
            }
            let applications =
                config.applications.map_or(Applications::All, |only| Applications::Only(Arc::new(only)));
            let key = Key {
                secret: config.secret,
                principal: Principal::new(&id, applications, config.read_only),
                bucket: config.rate.map(|rate| Mutex::new(Bucket::full(rate, Instant::now()))),
            };
            if ring.insert(id.clone(), Arc::new(key)).is_some() {
                return Err(KeyError::Twice(id));
            }
        }
        Ok(Self { keys: ring, ..Self::default() })
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key with this id, or else one that no one has; and whether it is known.
    pub(super) fn find(&self, id: &str) -> (Arc<Key>, bool) {
        let found = self.keys.get(id);
        (Arc::clone(found.unwrap_or(&self.nobody)), found.is_some())
    }

    /// Takes the place of another ring: streams of keys that may still do all that they might go on. Returns what ends
    /// those of the others.
    pub(super) fn succeed(&mut self, old: &Self) -> Vec<CancellationToken> {
        let mut ended = Vec::new();
        for (id, old) in &old.keys {
            let new = self.keys.get_mut(id).and_then(Arc::get_mut);
            match new.filter(|new| new.secret.0 == old.secret.0 && new.principal.may_all(&old.principal)) {
                Some(new) => {
                    let principal = new.principal.clone();
                    new.principal = principal.until(old.principal.revoked().clone());
                }
                None => ended.push(old.principal.revoked().clone()),
            }
        }
        ended
    }
}
