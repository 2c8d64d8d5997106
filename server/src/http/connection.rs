//! One connection, from the accepted socket to its end.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tracing::debug;

use super::{
    funnel::{Peer, handle},
    guard::{Exchange, Guard},
    serve::Running,
};
use crate::tls::Tls;

/// Serves a socket until it ends, or the server does.
pub(super) async fn run(
    running: Arc<Running>,
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
) {
    let _open = running.server.metrics.connection();
    // Without it, small answers wait for acknowledgements.
    let _ = socket.set_nodelay(true);
    let Ok(local) = socket.local_addr() else { return };
    match tls {
        None => drive(running, socket, address, local, false).await,
        Some(tls) => match timeout(running.limits.handshake, tls.acceptor().accept(socket)).await {
            Ok(Ok(socket)) => drive(running, socket, address, local, true).await,
            Ok(Err(error)) => debug!(peer = %address, %error, "TLS handshake failed"),
            Err(_) => debug!(peer = %address, "TLS handshake timed out"),
        },
    }
}

async fn drive<S>(running: Arc<Running>, socket: S, address: SocketAddr, local: SocketAddr, tls: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchange = Arc::new(Exchange::default());
    let guard = Guard::new(socket, Arc::clone(&exchange), Arc::clone(&running.limits));
    let peer = Arc::new(Peer {
        server: Arc::clone(&running.server),
        exchange: Arc::clone(&exchange),
        address,
        local,
        tls,
        shutdown: running.shutdown.clone(),
    });
    let service = service_fn(|request| {
        let work = handle(Arc::clone(&peer), exchange.next(), request);
        let kill = running.kill.clone();
        let task = running.tasks.spawn(async move { kill.run_until_cancelled_owned(work).await });
        // Nothing comes back only when the server is being killed: the connection is cut then.
        async move { task.await.ok().flatten().ok_or(Cut) }
    });
    let connection = http1::Builder::new()
        // The guard keeps the times and counts, before hyper sees a byte.
        .header_read_timeout(None)
        // A client that ends its side after its request still gets the answer.
        .half_close(true)
        .max_headers(running.limits.headers)
        .serve_connection(TokioIo::new(guard), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = running.shutdown.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => Some(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            running.kill.run_until_cancelled(connection).await
        }
    };
    if let Some(Err(error)) = ended {
        debug!(peer = %address, error = %ErrorChain(&error), "connection broke");
    }
}

/// The server was told to stop at once.
#[derive(Debug, thiserror::Error)]
#[error("the server is stopping")]
struct Cut;

struct ErrorChain<'e>(&'e (dyn std::error::Error + 'e));

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.source().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}
