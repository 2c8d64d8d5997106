//! What each key of a server may read: which roles, what of the default source, and which local files.
//!
//! A grant is looked up whenever the source of a job is opened, also after a restart: a key that was narrowed or
//! removed since it made the job reads no more than it may now.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use pinport_model::ApplicationId;

/// Why a source is not read: a sentence for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAllowed(pub String);

/// Some names, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every name, and those to come.
    All,
    /// These names.
    Only(Vec<String>),
}

impl Reach {
    /// The names of a list; `*` among them means all.
    pub fn of(names: Vec<String>) -> Self {
        if names.iter().any(|name| name == "*") { Self::All } else { Self::Only(names) }
    }

    /// No name.
    pub const fn nothing() -> Self {
        Self::Only(Vec::new())
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|known| known == name),
        }
    }
}

/// What a key may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The applications that it may change; all of them if absent.
    pub applications: Option<BTreeSet<ApplicationId>>,
    /// Whether it may only read, and so make no job.
    pub read_only: bool,
    /// The configured roles that it may name as `RoleArn`.
    pub roles: Reach,
    /// The buckets, or buckets with a prefix of keys, that it may read with the default source's credentials.
    pub sources: Reach,
    /// The folder below the local root that it may read; empty for all of it.
    pub local_root: Option<PathBuf>,
    /// How many of its jobs may run at a time; as many as of all if absent.
    pub max_running: Option<usize>,
    /// Bytes of uploads that its jobs may hold; what the server gives each key if absent.
    pub uploads: Option<u64>,
}

impl Grant {
    /// What a key has whose configuration does not say: everything, or nothing if it has a list of applications.
    pub fn of(applications: Option<BTreeSet<ApplicationId>>, read_only: bool) -> Self {
        let reach = || if applications.is_some() { Reach::nothing() } else { Reach::All };
        let (roles, sources) = (reach(), reach());
        let local_root = applications.is_none().then(PathBuf::new);
        Self { applications, read_only, roles, sources, local_root, max_running: None, uploads: None }
    }

    /// Everything: for a server without keys.
    pub fn everything() -> Self {
        Self::of(None, false)
    }

    /// Whether it may name this role.
    pub(super) fn has_role(&self, arn: &str) -> bool {
        self.roles.has(arn)
    }

    /// Whether it may name every role, and so may learn which ones there are.
    pub(super) fn has_every_role(&self) -> bool {
        self.roles == Reach::All
    }

    /// Whether it may read this with the default source's credentials.
    pub(super) fn has_source(&self, scheme: &str, bucket: &str, key: &str) -> bool {
        match &self.sources {
            Reach::All => true,
            Reach::Only(entries) => entries.iter().any(|entry| is_allowed(entry, scheme, bucket, key)),
        }
    }

    fn may_change(&self, application: &ApplicationId) -> bool {
        !self.read_only && self.applications.as_ref().is_none_or(|only| only.contains(application))
    }
}

/// The grants of a server's keys, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<String, Grant>);

impl Grants {
    /// The grant of a key.
    pub(super) fn of_key(&self, key: &str) -> Option<&Grant> {
        self.0.get(key)
    }

    /// What a key may read for the imports that it makes.
    pub(super) fn for_key(&self, principal: Option<&str>) -> Result<Grant, NotAllowed> {
        match principal {
            Some(id) if !self.0.is_empty() => {
                let grant = self.0.get(id).filter(|grant| !grant.read_only);
                grant.cloned().ok_or_else(|| NotAllowed("this key makes no imports".into()))
            }
            _ => Ok(Grant::everything()),
        }
    }

    /// What a job's maker may read for this application. Jobs without a maker were made while no one needed a key.
    pub(super) fn for_job(
        &self,
        principal: Option<&str>,
        application: &ApplicationId,
    ) -> Result<Grant, NotAllowed> {
        let Some(id) = principal.filter(|_| !self.0.is_empty()) else { return Ok(Grant::everything()) };
        let grant = self.0.get(id).ok_or_else(|| {
            NotAllowed(
                "the key that made this job is not configured any more: make the job again with one that is"
                    .into(),
            )
        })?;
        if grant.may_change(application) {
            Ok(grant.clone())
        } else {
            Err(NotAllowed(
                "the key that made this job may not change its application any more: make the job again with one that may"
                    .into(),
            ))
        }
    }
}

impl FromIterator<(String, Grant)> for Grants {
    fn from_iter<I: IntoIterator<Item = (String, Grant)>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

/// Whether an entry of an allow-list covers a key: `bucket`, `bucket/prefix`, with or without a scheme.
pub(super) fn is_allowed(entry: &str, scheme: &str, bucket: &str, key: &str) -> bool {
    let entry = match entry.split_once("://") {
        Some((found, _)) if found != scheme => return false,
        Some((_, rest)) => rest,
        None => entry,
    };
    let (allowed, prefix) = entry.split_once('/').unwrap_or((entry, ""));
    // What a key's wildcards reach begins with what stands before them, and so must the prefix that is allowed.
    let plain = key.find(['*', '?']).map_or(key, |first| &key[..first]);
    allowed == bucket && plain.starts_with(prefix)
}
