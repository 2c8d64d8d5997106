//! What all connections of a server share.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Memory, Router, places::Places};
use crate::{Limits, access::Access, metrics::Metrics};

/// What all connections share.
#[derive(Debug)]
pub struct Server {
    /// The operations.
    pub router: Router,
    /// Who may call them.
    pub access: Arc<Access>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// The bounds.
    pub limits: Limits,
}

/// What a running server's tasks share.
pub(super) struct Running {
    pub(super) server: Arc<Server>,
    pub(super) limits: Arc<Limits>,
    /// The bounds of spare connections.
    pub(super) spare_limits: Arc<Limits>,
    /// No new requests.
    pub(super) shutdown: CancellationToken,
    /// No more of anything.
    pub(super) kill: CancellationToken,
    /// Connections and requests.
    pub(super) tasks: TaskTracker,
    /// The budget of bodies and answers.
    pub(super) memory: Memory,
    pub(super) places: Arc<Places>,
}
