//! Accepts connections and ends them. The caller binds the sockets and decides when to stop.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::Handle,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    Memory, connection,
    places::Places,
    shared::{Running, Server},
};
use crate::{Limits, limits::ACCEPT_BACKOFF, tls::Tls};

/// A bound socket, with TLS or without.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Wraps a socket that the caller has bound.
    pub fn new(tcp: TcpListener, tls: Option<Arc<Tls>>) -> Self {
        Self { tcp, tls }
    }
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections and requests that were cut off because the time for shutting down was over.
    pub cut_off: usize,
}

/// How long cut-off tasks may take to notice.
const CUT_OFF: Duration = Duration::from_secs(1);

/// Serves until `shutdown` is cancelled; then resting connections are closed, requests under way are answered for
/// [`Limits::shutdown`] at most, and what is left is cut off.
pub async fn serve(
    listeners: impl IntoIterator<Item = Listener>,
    server: Arc<Server>,
    shutdown: CancellationToken,
) -> Drained {
    let limits = Arc::new(server.limits.clone());
    let running = Arc::new(Running {
        places: Places::new(&limits),
        memory: Memory::new(limits.memory, limits.memory_wait),
        spare_limits: Arc::new(Limits {
            head: limits.spare_wait,
            idle: limits.spare_wait,
            ..(*limits).clone()
        }),
        limits,
        server,
        shutdown: CancellationToken::new(),
        kill: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let mut loops = JoinSet::new();
    let workers = Handle::current();
    for listener in listeners {
        let (running, workers, shutdown) = (Arc::clone(&running), workers.clone(), shutdown.clone());
        // On a thread of its own. Busy workers would let the system's queue fill up, and from a full queue it drops
        // connections of any client, and probes.
        loops.spawn_blocking(move || workers.block_on(accept(running, listener, shutdown)));
    }
    shutdown.cancelled().await;
    // The sockets are closed when their loops have ended: nothing new comes while what is there ends.
    while loops.join_next().await.is_some() {}
    running.shutdown.cancel();
    running.tasks.close();
    if timeout(running.limits.shutdown, running.tasks.wait()).await.is_ok() {
        return Drained { cut_off: 0 };
    }
    let cut_off = running.tasks.len();
    warn!(cut_off, "the time for shutting down is over");
    running.kill.cancel();
    let _ = timeout(CUT_OFF, running.tasks.wait()).await;
    Drained { cut_off }
}

async fn accept(running: Arc<Running>, listener: Listener, shutdown: CancellationToken) {
    let mut failing = false;
    loop {
        let Some(accepted) = until(&shutdown, listener.tcp.accept()).await else { return };
        match accepted {
            Ok((socket, address)) => {
                if std::mem::take(&mut failing) {
                    info!("connections are accepted again");
                }
                let place = running.places.enter(address.ip());
                let spare = place.spare().cloned();
                let work = connection::run(
                    Arc::clone(&running),
                    socket,
                    address,
                    listener.tls.clone(),
                    spare.is_some(),
                );
                running.tasks.spawn(async move {
                    match spare {
                        None => work.await,
                        // Newer ones have its place already.
                        Some(end) if end.is_cancelled() => {}
                        Some(end) => _ = end.run_until_cancelled(work).await,
                    }
                    drop(place);
                });
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                // Once, not ten times a second for as long as it lasts.
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "connections cannot be accepted; trying on");
                }
                running.server.metrics.accept_error();
                if until(&shutdown, sleep(ACCEPT_BACKOFF)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// The outcome of a future that is safe to drop; nothing if the shutdown came first.
async fn until<F: Future>(shutdown: &CancellationToken, future: F) -> Option<F::Output> {
    shutdown.run_until_cancelled(future).await
}

/// Errors of one connection that went away before it was accepted; the others are the machine's.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
