//! Pinpoint's import jobs as clients know them, over REST.
//!
//! [`http`] turns sockets into calls of operations and back, [`access`] says who may call them, [`wire`] has the
//! shapes of the service model. Operations are added to a [`http::Router`]; this is the whole of what they see:
//!
//! ```no_run
//! use std::sync::Arc;
//! use pinport_server::{ApiError, Limits, access::Access, http::{Listener, Request, Response, Route, Router, Server, serve}, metrics::Metrics};
//!
//! async fn get_app(request: Request) -> Result<Response, ApiError> {
//!     // 404 for an application that is another key's, as for one that is not there.
//!     let app = request.principal().readable(request.param("application-id"))?;
//!     Response::ok(&app)
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let mut router = Router::new("pinport answers to Pinpoint's import jobs.");
//! router.add(Route::new("GET", "/v1/apps/{application-id}", "GetApp"), get_app);
//! let server = Server {
//!     router,
//!     access: Arc::new(Access::open()),
//!     metrics: Arc::new(Metrics::new("0.1.0")),
//!     limits: Limits::default(),
//! };
//! let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! serve([Listener::new(socket, None)], Arc::new(server), Default::default()).await;
//! # Ok(())
//! # }
//! ```

pub mod access;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod operations;
mod percent;
mod request_id;
pub mod tls;
pub mod wire;

pub use error::{ApiError, ErrorStatus};
pub use limits::Limits;
