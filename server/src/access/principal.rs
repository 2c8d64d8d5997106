//! What a caller may see and change. Operations ask before they look anything up, and answer the same for
//! an application that is another's and for one that does not exist.

use std::{collections::BTreeSet, sync::Arc};

use pinport_model::ApplicationId;
use tokio_util::sync::CancellationToken;

use crate::ApiError;

/// The applications of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applications {
    /// Every one, and those to come.
    All,
    /// These.
    Only(Arc<BTreeSet<ApplicationId>>),
}

/// A caller.
#[derive(Debug, Clone)]
pub struct Principal {
    key_id: Option<Arc<str>>,
    applications: Applications,
    read_only: bool,
    revoked: CancellationToken,
}

impl Principal {
    /// A caller with this key.
    pub fn new(key_id: &str, applications: Applications, read_only: bool) -> Self {
        Self { key_id: Some(key_id.into()), applications, read_only, revoked: CancellationToken::new() }
    }

    /// Anybody, when no keys are configured: everything is allowed.
    pub fn anybody() -> Self {
        let revoked = CancellationToken::new();
        Self { key_id: None, applications: Applications::All, read_only: false, revoked }
    }

    /// The same, until this is cancelled.
    #[must_use]
    pub(super) fn until(self, revoked: CancellationToken) -> Self {
        Self { revoked, ..self }
    }

    /// Cancelled when the key is removed or may do less than before: what is still sent to it, or read from it, ends.
    pub fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    /// Whether it may do all that another may.
    pub(super) fn may_all(&self, other: &Self) -> bool {
        let sees = match (&self.applications, &other.applications) {
            (Applications::All, _) => true,
            (Applications::Only(_), Applications::All) => false,
            (Applications::Only(mine), Applications::Only(theirs)) => mine.is_superset(theirs),
        };
        sees && (!self.read_only || other.read_only)
    }

    /// The id of its key; none when no keys are configured.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Its applications: lists over all of them show these only.
    pub fn applications(&self) -> &Applications {
        &self.applications
    }

    /// Whether it may only read.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether it may see this application.
    pub fn may_read(&self, application: &ApplicationId) -> bool {
        match &self.applications {
            Applications::All => true,
            Applications::Only(only) => only.contains(application),
        }
    }

    /// Whether it may learn that a key with this id exists: its own, or any if it sees every application.
    pub fn may_know(&self, key_id: &str) -> bool {
        self.sees_all() || self.key_id() == Some(key_id)
    }

    /// Whether it sees every application, and with them what is the server's own.
    pub fn sees_all(&self) -> bool {
        self.applications == Applications::All
    }

    /// Whether it may change this application.
    pub fn may_write(&self, application: &ApplicationId) -> bool {
        !self.read_only && self.may_read(application)
    }

    /// Whether it may make new applications: it would not see them with a list of its own.
    pub fn may_create(&self) -> bool {
        !self.read_only && self.applications == Applications::All
    }

    /// The id in a path, if the caller may see the application; else the error for one that is not there.
    pub fn readable(&self, application: &str) -> Result<ApplicationId, ApiError> {
        let id = application.parse().ok().filter(|id| self.may_read(id));
        id.ok_or_else(|| no_such_application(application))
    }

    /// The id in a path, if the caller may change the application. 403 only for one that it may see.
    pub fn writable(&self, application: &str) -> Result<ApplicationId, ApiError> {
        let id = self.readable(application)?;
        if self.read_only { Err(read_only()) } else { Ok(id) }
    }

    /// An error unless the caller sees every application: for what counts them together.
    pub fn check_all(&self, what: &str) -> Result<(), ApiError> {
        match &self.applications {
            Applications::All => Ok(()),
            Applications::Only(_) => Err(ApiError::forbidden(format!(
                "{what} of all applications, and this key has a fixed list of them. A key with `read_only` and no \
                 `applications` may read them."
            ))),
        }
    }

    /// An error unless the caller may make new applications.
    pub fn check_create(&self) -> Result<(), ApiError> {
        match (self.read_only, self.may_create()) {
            (true, _) => Err(read_only()),
            (false, false) => Err(ApiError::forbidden(
                "This key has a fixed list of applications and may not make new ones.",
            )),
            (false, true) => Ok(()),
        }
    }
}

fn read_only() -> ApiError {
    ApiError::forbidden("This key may only read.")
}

/// The error for an application that does not exist, and for one that the caller may not see: use no other,
/// or the two can be told apart.
pub fn no_such_application(application: &str) -> ApiError {
    let shown: String = application.chars().take(64).collect();
    ApiError::not_found(format!("There is no application \"{}\".", pinport_model::escape_controls(&shown)))
}
