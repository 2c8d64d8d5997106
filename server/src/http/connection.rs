//! One connection, from the accepted socket to its end.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pinport_model::with_causes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tracing::debug;

use super::{
    funnel::{Peer, handle},
    guard::{Exchange, Guard},
    shared::Running,
};
use crate::{limits::ANSWER_BUFFER, tls::Tls};

/// Serves a socket until it ends, or the server does.
pub(super) async fn run(
    running: Arc<Running>,
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    spare: bool,
) {
    let _open = running.server.metrics.connection();
    // Without it, small answers wait for acknowledgements.
    let _ = socket.set_nodelay(true);
    let Ok(local) = socket.local_addr() else { return };
    match tls {
        None => drive(running, socket, Ends { address, local }, false, spare).await,
        Some(tls) => match timeout(running.limits.handshake, tls.acceptor().accept(socket)).await {
            Ok(Ok(socket)) => drive(running, socket, Ends { address, local }, true, spare).await,
            Ok(Err(error)) => debug!(peer = %address, %error, "TLS handshake failed"),
            Err(_) => debug!(peer = %address, "TLS handshake timed out"),
        },
    }
}

/// The addresses of a connection.
struct Ends {
    address: SocketAddr,
    local: SocketAddr,
}

async fn drive<S>(running: Arc<Running>, socket: S, ends: Ends, tls: bool, spare: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchange = Arc::new(Exchange::default());
    let Ends { address, local } = ends;
    let limits = if spare { &running.spare_limits } else { &running.limits };
    let guard = Guard::new(socket, Arc::clone(&exchange), Arc::clone(limits));
    let peer = Arc::new(Peer {
        server: Arc::clone(&running.server),
        exchange: Arc::clone(&exchange),
        address,
        local,
        tls,
        spare,
        memory: running.memory.clone(),
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
        // What a reader that does not read can make hyper hold. A head is whole before hyper sees it.
        .max_buf_size(ANSWER_BUFFER.max(running.limits.head_bytes + (8 << 10)))
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
        debug!(peer = %address, error = with_causes(&error), "connection broke");
    }
}

/// The server was asked to stop at once.
#[derive(Debug, thiserror::Error)]
#[error("the server is stopping")]
struct Cut;
