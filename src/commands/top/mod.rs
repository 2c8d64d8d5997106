//! `pinport top`: watches the jobs of a server, on a terminal as the dashboard, else as lines.
//!
//! Here the network meets the dashboard: samples go in as they come, what it asks for is carried out by tasks,
//! and neither ever waits for the other.

mod creating;
mod editing;
mod effects;
pub(super) mod live;
mod saving;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use pinport_model::{escape_controls, view::Sample};
use pinport_tui::{
    Connection, Look, Message, Options, Output, Palette, ProgressLines, Symbols, crossterm::terminal,
    snapshot,
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::SignalKind,
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

pub(super) use self::creating::create;
use self::{editing::Editor, effects::EffectQueue};
use super::write_line;
use crate::{
    cli::{LookArgs, TopArgs},
    client::Client,
    signals::Signals,
};

/// Messages that wait for the dashboard.
const WAITING: usize = 32;
/// How often lines are printed where there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(5);
/// How long a lost connection rests before it is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How long tasks may clear up.
const CLEAR_UP: Duration = Duration::from_millis(500);

pub(super) fn run(args: &TopArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if args.once {
        runtime.block_on(once(&client, args.json))
    } else if args.json || !(io::stdout().is_terminal() && can_draw()) {
        let show = if args.json { Lines::Json } else { Lines::Progress(ProgressLines::default(), None) };
        runtime.block_on(follow(&client, show))
    } else {
        let options = Options {
            server: client.server().to_owned(),
            look: look(&args.look),
            mouse: args.look.mouse,
            read_only: args.read_only,
            ..Options::default()
        };
        let signals = runtime.block_on(async { Signals::new() })?;
        let summary = dashboard(client, options, Outbox::open(), (runtime, signals), || {})?;
        let mut out = io::stdout().lock();
        write!(out, "{summary}")?;
        Ok(out.flush()?)
    }
}

/// Whether there is a keyboard, and a terminal that can move its cursor.
pub(super) fn can_draw() -> bool {
    io::stdin().is_terminal() && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Colours and symbols for this terminal.
pub(super) fn look(args: &LookArgs) -> Look {
    let variable = |name: &str| env::var(name).ok();
    let symbols = if args.ascii { Symbols::Ascii } else { Symbols::from_environment(variable) };
    Look { palette: Palette::from_environment(variable), symbols, theme: args.theme }
}

async fn once(client: &Client, json: bool) -> anyhow::Result<()> {
    let sample = client.samples().await?.next().await?;
    let mut out = io::stdout().lock();
    if json {
        write_line(&mut out, &sample)?
    } else {
        write!(out, "{}", snapshot(&sample))?
    }
    Ok(out.flush()?)
}

/// What is printed where there is no terminal.
#[expect(clippy::large_enum_variant, reason = "one a process")]
enum Lines {
    Json,
    /// With the time when lines were printed last.
    Progress(ProgressLines, Option<Instant>),
}

impl Lines {
    fn print(&mut self, sample: &Sample) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Json => write_line(&mut out, sample)?,
            Self::Progress(lines, last) => {
                lines.record(sample);
                if last.is_none_or(|last| last.elapsed() >= LINES_EVERY) {
                    *last = Some(Instant::now());
                    for line in lines.lines(sample) {
                        writeln!(out, "{line}")?;
                    }
                }
            }
        }
        Ok(out.flush()?)
    }
}

/// Prints until a signal comes.
async fn follow(client: &Client, mut show: Lines) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let never = Notify::new();
    let feed = feed(client, &never, async |news| {
        match news {
            News::Sample(sample) => show.print(&sample)?,
            News::Connected => {}
            News::Lost(reason, retry_in) => {
                let reason = escape_controls(&reason).into_owned();
                // No one may be listening there.
                let _ = writeln!(io::stderr(), "{reason}; next try in {:.1} s", retry_in.as_secs_f64());
            }
        }
        Ok(())
    });
    tokio::select! {
        ended = feed => ended,
        () = signals.next() => Ok(()),
    }
}

/// Shows a server's jobs until the dashboard is left; gives the summary. It has this thread; everything that
/// waits for the network has another. `last` is called when a second signal ends the process at once.
pub(super) fn dashboard(
    client: Client,
    options: Options,
    (outbox, messages): (Outbox, Receiver<Message>),
    (runtime, signals): (Runtime, Signals),
    last: impl FnOnce() + Send + 'static,
) -> anyhow::Result<String> {
    let now = Arc::<Notify>::default();
    let (queue, worker) = EffectQueue::open(outbox.clone(), Arc::clone(&now));
    let editor = queue.editor();
    let left = CancellationToken::new();
    let network = {
        let left = left.clone();
        thread::Builder::new().name("network".into()).spawn(move || {
            let work = async {
                tokio::join!(
                    show(&client, &outbox, &now),
                    worker.run(&client, &outbox),
                    quit(signals, &outbox, &editor, last)
                )
            };
            runtime.block_on(left.run_until_cancelled(work));
            runtime.shutdown_timeout(CLEAR_UP);
        })?
    };
    let summary = pinport_tui::run(options, Output::Stdout, &messages, |effect| queue.put(effect));
    left.cancel();
    // If it panicked there is nothing to clear up.
    let _ = network.join();
    let mut summary = summary?;
    summary.extend(queue.unsent().map(|text| format!("{text}\n")));
    Ok(summary)
}

/// Shows what comes from the server.
async fn show(client: &Client, outbox: &Outbox, now: &Notify) -> anyhow::Result<()> {
    feed(client, now, async |news| {
        match news {
            News::Sample(sample) => outbox.offer(Message::Sample(sample)),
            News::Connected => outbox.deliver(Message::Connection(Connection::Connected)).await,
            News::Lost(reason, retry_in) => {
                outbox.deliver(Message::Connection(Connection::Disconnected { reason, retry_in })).await;
            }
        }
        Ok(())
    })
    .await
}

/// Lets the dashboard leave when a signal comes.
async fn quit(mut signals: Signals, outbox: &Outbox, editor: &Editor, last: impl FnOnce()) {
    while signals.next_kind().await == SignalKind::interrupt() && editor.takes_interrupts() {}
    tokio::join!(outbox.deliver(Message::Quit), async {
        signals.next().await;
        // A terminal that takes nothing holds the dashboard; a second signal does not wait for it.
        let _ = terminal::disable_raw_mode();
        last();
        std::process::abort();
    });
}

/// What comes from the server.
pub(super) enum News {
    Connected,
    Sample(Box<Sample>),
    Lost(String, Duration),
}

/// Follows the event stream and connects again when it breaks, at once when `now` says so; ends when `tell` fails.
pub(super) async fn feed(
    client: &Client,
    now: &Notify,
    mut tell: impl AsyncFnMut(News) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rest = RETRY.0;
    loop {
        let error = match client.samples().await {
            Err(error) => error,
            Ok(mut samples) => {
                tell(News::Connected).await?;
                loop {
                    match samples.next().await {
                        Ok(sample) => {
                            rest = RETRY.0;
                            tell(News::Sample(sample)).await?;
                        }
                        Err(error) => break error,
                    }
                }
            }
        };
        tell(News::Lost(error.to_string(), rest)).await?;
        rest = tokio::select! {
            () = tokio::time::sleep(rest) => (rest * 2).min(RETRY.1),
            () = now.notified() => RETRY.0,
        };
    }
}

/// The way to the dashboard. It is never blocked on: a dashboard that is stopped takes nothing.
#[derive(Debug, Clone)]
pub(super) struct Outbox(SyncSender<Message>);

impl Outbox {
    /// A way, and its end.
    pub(super) fn open() -> (Self, Receiver<Message>) {
        let (send, messages) = sync_channel(WAITING);
        (Self(send), messages)
    }

    /// Sends the message if there is room; the next one says the same and more.
    pub(super) fn offer(&self, message: Message) {
        let _ = self.0.try_send(message);
    }

    /// Sends the message as soon as there is room.
    async fn deliver(&self, mut message: Message) {
        while let Err(TrySendError::Full(back)) = self.0.try_send(message) {
            message = back;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
