//! What signals do to a running server: stop it, or let it read its configuration again.

use std::{io, path::PathBuf, sync::Arc};

use pinport_pipeline::jobs::Jobs;
use pinport_server::{access::Access, log::LogHandle, tls::Tls};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::checked::{jobs_options, key_ring, resolver};
use crate::{cli::ServeArgs, config::Config, notify::Notify, webhooks::Webhooks};

/// What is told by signal.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// The first SIGTERM or SIGINT stops in good order, a second at once. SIGHUP reads configuration and certificate again.
pub(super) async fn follow(mut heard: Signals, args: ServeArgs, mut live: Live, shutdown: CancellationToken) {
    loop {
        let stop = tokio::select! {
            _ = heard.interrupt.recv() => true,
            _ = heard.terminate.recv() => true,
            _ = heard.hangup.recv() => false,
        };
        if !stop {
            live.notify.send("RELOADING=1");
            live.reload(&args);
            live.notify.send("READY=1");
        } else if shutdown.is_cancelled() {
            // No one waits for a second one: what is committed is safe.
            std::process::abort();
        } else {
            tracing::info!("stopping");
            live.notify.send("STOPPING=1\nSTATUS=stopping");
            shutdown.cancel();
        }
    }
}

/// What of a running server a signal changes.
pub(super) struct Live {
    /// As it was read last.
    pub(super) config: Config,
    pub(super) log: LogHandle,
    pub(super) notify: Arc<Notify>,
    pub(super) access: Arc<Access>,
    /// Of the listener of probes and metrics.
    pub(super) scrape_access: Option<Arc<Access>>,
    pub(super) jobs: Jobs,
    pub(super) webhooks: Webhooks,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Live {
    /// Reads configuration and certificate again, applies what can be applied, and says what cannot.
    fn reload(&mut self, args: &ServeArgs) {
        match self.apply(args) {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the keys stay as they were, and all else")
            }
        }
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(error) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
    }

    fn apply(&mut self, args: &ServeArgs) -> anyhow::Result<()> {
        let config = Config::load(args)?;
        // All of it is judged before any of it is applied.
        let ring = key_ring(&config)?;
        let resolver = resolver(&config)?;
        if !ring.is_empty() || !self.access.is_open() {
            self.access.reload(ring)?;
        }
        self.log.set_filter(&config.log_filter)?;
        self.webhooks.reload(config.webhooks.clone())?;
        for access in self.scrape_access.iter().chain([&self.access]) {
            access.set_scrape_token(config.metrics_token.clone());
        }
        self.access.set_cors(config.cors.clone());
        // A key that is new may be asked for sources a moment too early, which it hears; none reads too much.
        self.jobs.reload(resolver, jobs_options(&config, PathBuf::new()));
        tracing::info!(keys = config.keys.len(), "the keys were read again");
        let changes = self.config.changes(&config);
        if !changes.applied.is_empty() {
            tracing::info!(options = changes.applied.join(", "), "changed options are in force");
        }
        if !changes.waiting.is_empty() {
            tracing::warn!(options = changes.waiting.join(", "), "these changed options wait for a restart");
        }
        self.config.take_live(config);
        Ok(())
    }
}
