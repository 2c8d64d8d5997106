//! The signals that end a command.

use std::{future::Future, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, which are this command's own from now on.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// Must be called within a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Waits for the next one.
    pub(crate) fn next(&mut self) -> impl Future<Output = ()> {
        let next = self.next_kind();
        async {
            next.await;
        }
    }

    /// Waits for the next one; says which it is.
    pub(crate) fn next_kind(&mut self) -> impl Future<Output = SignalKind> {
        let [interrupt, terminate, hangup] = &mut self.0;
        async {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hangup.recv() => SignalKind::hangup(),
            }
        }
    }
}
