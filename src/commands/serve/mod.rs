//! `pinport serve`: the import-job server, from configuration to the last answer.

mod checked;
mod signals;

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use pinport_model::Timestamp;
use pinport_pipeline::{
    engine::{Engine, EngineOptions},
    jobs::{self, Jobs, JobsOptions, Occasion, Resolver},
};
use pinport_server::{
    Limits,
    access::{Access, SystemClock},
    http::{Listener, Server, serve},
    limits::BACKLOG,
    log::{BadFilter, LogFormat, LogHandle, subscriber},
    metrics::Metrics,
    operations::{ApiOptions, probes_router, router},
    tls::Tls,
};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

pub(super) use checked::{check, doctor};

use self::{
    checked::{Checked, jobs_options},
    signals::{Live, Signals},
};
use crate::{
    cli::{LogFormatArg, ServeArgs},
    config::{Config, SegmentUpdate},
    data::{Address, Data},
    exit::{Logged, Usage},
    explain,
    notify::Notify,
    otlp::{Otlp, Traces},
    webhooks::Webhooks,
};

/// Connections of the listener of probes and metrics, and bytes of its answers: a few scrapers, and no more.
const SCRAPE_CONNECTIONS: usize = 64;
const SCRAPE_MEMORY: usize = 16 << 20;

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let by_flag = matches!(args.log_format, Some(LogFormatArg::Json));
    // Before the configuration is read, only a flag or a variable can say how errors are logged.
    let json = if by_flag { Some(log_json("info")?) } else { None };
    match run_logged(args, json) {
        Ok(()) => Ok(()),
        Err((error, true)) => {
            explain::log(error.as_ref());
            Err(Logged(explain::exit_code(&error)).into())
        }
        Err((error, false)) => Err(error),
    }
}

/// Serves; an error with whether it is for the log.
fn run_logged(args: &ServeArgs, json: Option<LogHandle>) -> Result<(), (anyhow::Error, bool)> {
    let early = json.is_some();
    let config = Config::load(args).map_err(|error| (error, early))?;
    let is_json = early || config.log_format == LogFormat::Json;
    let served = || -> anyhow::Result<()> {
        let bad_filter = |error: BadFilter| Usage(format!("log.filter: {error}"));
        let log = match json {
            Some(handle) => {
                handle.set_filter(&config.log_filter).map_err(bad_filter)?;
                handle
            }
            None if is_json => {
                log_json(&config.log_filter).map_err(|_| bad_filter(BadFilter(config.log_filter.clone())))?
            }
            None => {
                let (log, handle) =
                    subscriber(LogFormat::Text, &config.log_filter, io::stderr).map_err(bad_filter)?;
                // Fails when one is there already, which then logs.
                let _ = tracing::subscriber::set_global_default(log);
                handle
            }
        };
        let checked = Checked::new(&config)?;
        let io = tokio::runtime::Builder::new_multi_thread().thread_name("io").enable_all().build()?;
        io.block_on(work(args, config, checked, log))?;
        // Threads that still look at a source must not hold the process.
        io.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    };
    served().map_err(|error| (error, is_json))
}

/// Logs JSON alone to standard error from here on, what a panic says too.
fn log_json(filter: &str) -> Result<LogHandle, BadFilter> {
    let (log, handle) = subscriber(LogFormat::Json, filter, io::stderr)?;
    let _ = tracing::subscriber::set_global_default(log);
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(
            place = panic.location().map(tracing::field::display),
            "panicked: {}",
            panic.payload_as_str().unwrap_or("no message")
        );
    }));
    Ok(handle)
}

async fn work(args: &ServeArgs, config: Config, checked: Checked, log: LogHandle) -> anyhow::Result<()> {
    let serving = Serving::open(&config, checked).await?;
    // Before anybody can know that there is a server to signal.
    let heard = Signals::new()?;
    announce(&serving, &config)?;
    let notify = Arc::new(Notify::from_environment());
    notify.send(&format!("READY=1\nSTATUS=listens on {}", serving.url));
    let pulse =
        notify.pulse().map(|every| tokio::spawn(pulse(every, Arc::clone(&notify), serving.jobs.clone())));
    let exit_when_stopped = config.exit_when_stopped;
    let live = Live {
        config,
        log,
        notify: Arc::clone(&notify),
        access: Arc::clone(&serving.access),
        scrape_access: serving.scraping.as_ref().map(|scraping| Arc::clone(&scraping.server.access)),
        jobs: serving.jobs.clone(),
        webhooks: serving.webhooks.clone(),
        tls: serving.tls.clone(),
    };
    let signals = tokio::spawn(signals::follow(heard, args.clone(), live, serving.shutdown.clone()));
    let stopped = serving.jobs.store_stopped();
    let exit = exit_when_stopped.then(|| {
        let (stopped, shutdown) = (stopped.clone(), serving.shutdown.clone());
        tokio::spawn(async move {
            stopped.cancelled().await;
            shutdown.cancel();
        })
    });
    let jobs = serving.jobs.clone();
    serving.run().await;
    signals.abort();
    if let Some(pulse) = pulse {
        pulse.abort();
    }
    match exit {
        Some(_) if stopped.is_cancelled() => {
            let reason = jobs.health().err().unwrap_or_default();
            Err(anyhow::anyhow!("the store has stopped: {reason}"))
        }
        _ => Ok(()),
    }
}

/// The listener of probes and metrics.
struct Scraping {
    url: String,
    listener: Listener,
    server: Arc<Server>,
}

impl Scraping {
    fn open(
        address: SocketAddr,
        config: &Config,
        jobs: &Jobs,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let socket = bind(address, "--metrics-listen")?;
        let url = format!("http://{}", socket.local_addr()?);
        let server = Server {
            router: probes_router(jobs.clone(), Arc::clone(metrics)),
            access: Arc::new(Access::for_scrapers(config.metrics_token.clone())),
            metrics: Arc::clone(metrics),
            limits: Limits {
                connections: SCRAPE_CONNECTIONS,
                connections_per_peer: SCRAPE_CONNECTIONS,
                memory: SCRAPE_MEMORY,
                ..config.http.clone()
            },
        };
        Ok(Self { url, listener: Listener::new(socket, None), server: Arc::new(server) })
    }
}

/// A server that is ready to answer.
struct Serving {
    url: String,
    scraping: Option<Scraping>,
    access: Arc<Access>,
    tls: Option<Arc<Tls>>,
    listener: Listener,
    server: Arc<Server>,
    jobs: Jobs,
    webhooks: Webhooks,
    otlp: Option<Otlp>,
    drain: Duration,
    /// Ends it.
    shutdown: CancellationToken,
    /// For commands that meet the lock of the data folder.
    told: Address,
}

impl Serving {
    async fn open(config: &Config, checked: Checked) -> anyhow::Result<Self> {
        let Checked { ring, tls, resolver } = checked;
        // The port first: a second server says so before it waits for the store.
        let socket = bind(config.listen, "--listen")?;
        let address = socket.local_addr()?;
        let webhooks =
            Webhooks::start(&config.data, config.webhooks.clone(), tokio::runtime::Handle::current())?;
        let traces = Traces::new(&config.otlp);
        let jobs = start_jobs(config, address.port(), resolver, &webhooks, &traces)?;
        let access = Arc::new(
            Access::with_keys(&config.region, ring, Arc::new(SystemClock)).with_cors(config.cors.clone()),
        );
        access.set_scrape_token(config.metrics_token.clone());
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let options = ApiOptions {
            region: config.region.clone(),
            account: config.account.clone(),
            auto_create_apps: config.auto_create_apps,
            limits: config.limits,
        };
        let server = Arc::new(Server {
            router: router(jobs.clone(), options, Arc::clone(&metrics)),
            access: Arc::clone(&access),
            metrics: Arc::clone(&metrics),
            limits: config.http.clone().within(crate::descriptors::raise()),
        });
        let otlp = Otlp::start(&config.otlp, &traces, Arc::clone(&metrics))?;
        let scraping = match config.metrics_listen {
            Some(address) => Some(Scraping::open(address, config, &jobs, &metrics)?),
            None => None,
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", reachable(address));
        Ok(Self {
            told: Address::tell(&config.data, &url),
            url: format!("{scheme}://{address}"),
            scraping,
            access,
            listener: Listener::new(socket, tls.clone()),
            tls,
            server,
            jobs,
            webhooks,
            otlp,
            drain: config.drain,
            shutdown: CancellationToken::new(),
        })
    }

    /// Answers until it is shut down.
    async fn run(self) {
        let Self { listener, server, jobs, drain, shutdown, scraping, otlp, told: _told, .. } = self;
        // Probes are answered until everything has come to rest.
        let rested = CancellationToken::new();
        let probes = scraping
            .map(|scraping| tokio::spawn(serve([scraping.listener], scraping.server, rested.clone())));
        let resting = {
            // Jobs rest while the last requests are answered.
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                shutdown.cancelled().await;
                tokio::task::spawn_blocking(move || jobs.stop(drain)).await
            })
        };
        let drained = serve([listener], server, shutdown).await;
        let left = resting.await.ok().and_then(Result::ok).unwrap_or(0);
        rested.cancel();
        if let Some(probes) = probes {
            let _ = probes.await;
        }
        if let Some(otlp) = otlp {
            otlp.stop().await;
        }
        tracing::info!(requests_cut_off = drained.cut_off, jobs_still_running = left, "stopped");
    }
}

/// A server in this process, for a command that looks at it.
pub(super) struct Beside {
    /// Where it listens.
    pub(super) url: String,
    io: tokio::runtime::Runtime,
    running: tokio::task::JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Beside {
    /// Starts it with these arguments alone: no file and no variable has a say.
    pub(super) fn start(args: &ServeArgs) -> anyhow::Result<Self> {
        let config = Config::of(args)?;
        let checked = Checked::new(&config)?;
        let io = tokio::runtime::Builder::new_multi_thread().thread_name("io").enable_all().build()?;
        let serving = io.block_on(Serving::open(&config, checked))?;
        let (url, shutdown) = (serving.url.clone(), serving.shutdown.clone());
        let running = io.spawn(serving.run());
        Ok(Self { url, io, running, shutdown })
    }

    /// Stops it in good order.
    pub(super) fn stop(self) {
        self.shutdown.cancel();
        // It has said what went wrong; here it only has to be over.
        let _ = self.io.block_on(self.running);
        self.io.shutdown_timeout(Duration::from_secs(1));
    }
}

/// An address at which this machine reaches a server that listens there.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let socket = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // As std does: a server that is started again need not wait for connections of the last one.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    socket().map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Usage(format!(
            "{address} is in use by another program: stop it, or choose another address with {flag}"
        ))
        .into(),
        io::ErrorKind::PermissionDenied if address.port() < 1024 => Usage(format!(
            "{address}: ports below 1024 are root's: choose another with {flag}, or let the service manager hand out \
             CAP_NET_BIND_SERVICE"
        ))
        .into(),
        _ => anyhow::Error::from(error).context(format!("failed to listen on {address}")),
    })
}

fn start_jobs(
    config: &Config,
    port: u16,
    resolver: Resolver,
    webhooks: &Webhooks,
    traces: &Traces,
) -> anyhow::Result<Jobs> {
    let data = Data::open_to_serve(config.place(), config.limits, port)?;
    // Whoever made them is gone with the server before this one.
    pinport_pipeline::backup::sweep(&config.data, true);
    let defaults = EngineOptions::default();
    let engine = Engine::start(EngineOptions {
        threads: config.threads.unwrap_or(defaults.threads),
        bytes_in_flight: config.memory,
        replace_segments: config.segment_update == SegmentUpdate::Replace,
        part_bytes: config.part_bytes,
        ..defaults
    });
    let engine = engine.context("failed to start the threads")?;
    let (webhooks, traces) = (webhooks.clone(), traces.clone());
    let listener = jobs::Listener::new(move |notice| {
        if notice.occasion == Occasion::Ended && !notice.alone {
            traces.ended(&notice.job);
        }
        webhooks.deliver(notice);
    });
    let options = JobsOptions { listener: Some(listener), ..jobs_options(config, data.jobs_folder()?) };
    let io = tokio::runtime::Handle::current();
    Ok(Jobs::start(Arc::clone(&data.store), Arc::new(engine), resolver, options, io)?)
}

/// The first lines that a user reads. In JSON they are one event, which no filter leaves out: it says where the server is.
fn announce(serving: &Serving, config: &Config) -> io::Result<()> {
    let (url, open) = (&serving.url, serving.access.is_open());
    let (data, version) = (config.data.display(), env!("CARGO_PKG_VERSION"));
    let store = config.store_url.as_ref().and_then(|_| config.place().shown().ok());
    let metrics = serving.scraping.as_ref().map(|scraping| format!("{}/metrics", scraping.url));
    let mut err = io::stderr().lock();
    if config.log_format == LogFormat::Json {
        let line = serde_json::json!({
            "timestamp": Timestamp::now(), "level": "INFO", "message": "listening", "url": url, "open": open,
            "data": data.to_string(), "store": store, "metrics": metrics, "version": version, "target": "pinport",
        });
        return writeln!(err, "{line}");
    }
    writeln!(err, "pinport {version} listens on {url}, data in {data}")?;
    if let Some(store) = &store {
        writeln!(err, "the store is in {store}")?;
    }
    if open {
        writeln!(err, "access is open: no keys are configured, whoever reaches {url} may do everything")?;
    }
    if let Some(metrics) = &metrics {
        writeln!(err, "probes and metrics: {metrics}")?;
    }
    writeln!(err, "for SDKs: export AWS_ENDPOINT_URL_PINPOINT={url}")?;
    drop(err);
    tracing::info!(url, open, "listening");
    Ok(())
}

/// Tells systemd every now and then that the server lives: that its queue can be looked at. A server that hangs is not
/// heard of, and is started again.
async fn pulse(every: Duration, notify: Arc<Notify>, jobs: Jobs) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let jobs = jobs.clone();
        // Whether the store works is for the probes to say.
        if tokio::task::spawn_blocking(move || jobs.health().is_ok()).await.is_ok() {
            notify.send("WATCHDOG=1");
        }
    }
}
