//! The HTTP front: from accepted sockets to calls of operations, and back.
//!
//! ```text
//! serve       accepts, counts and ends connections
//! places      who may have a connection
//! memory      what bodies and answers may hold
//! guard       one connection's bytes: heads whole, well formed and in time   (framing: where they end)
//! connection  hyper on top of it
//! funnel      one request: route, access, body, call, answer, log line
//! router      which operation a path and method name
//! request, response, body, query   what operations see
//! ```
//!
//! It knows no operation: those are added to a [`Router`] by their owner. Nothing here interprets a body.

mod body;
mod connection;
mod framing;
mod funnel;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guard;
mod memory;
mod places;
mod query;
mod request;
mod response;
mod router;
mod serve;
mod shared;
#[cfg(test)]
mod tests;

pub use crate::request_id::RequestId;
pub use body::{BodyError, BodyStream};
pub use memory::{Budget, Holder, Memory, Permits, Purse, Share};
pub use query::Query;
pub use request::Request;
pub use response::{BoxError, Response};
pub use router::{BodyMode, Gate, Route, Router};
pub use serve::{Drained, Listener, serve};
pub use shared::Server;
