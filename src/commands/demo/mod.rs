//! `pinport demo`: everything at once for a newcomer. Makes sample endpoints, serves on loopback from a temporary
//! folder, creates import jobs through the API as any client would, and shows them on the dashboard (as lines
//! where there is no terminal).
//!
//! It touches nothing outside its folder, reads no configuration, and clears up however it ends.

mod parts;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use pinport_tui::{Message, Options, ProgressLines};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use self::parts::{PARTS, make};
use super::{
    serve::Beside,
    top::{self, News, Outbox},
};
use crate::{
    cli::{DemoArgs, ServeArgs, ServeEngineArgs, ServerArgs},
    client::Client,
    sample::Share,
    signals::Signals,
};

/// Small pieces: the map of them shows something even of a few rows.
const PIECE_KIB: u64 = 2048;
/// Seconds that running jobs get to rest when the demo is left.
const DRAIN: u64 = 2;
/// How often lines are printed where there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(1);

const NEXT: &str = "next: check a file of your own with `pinport import FILE --format csv --check`, \
                    or start a server with `pinport serve` and watch it with `pinport top`";

pub(super) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // From here on a signal ends the demo in good order.
    let signals = runtime.block_on(async { Signals::new() })?;
    let folder = tempfile::Builder::new()
        .prefix("pinport-demo-")
        .tempdir()
        .context("failed to make a temporary folder")?;
    let shown = show(args, folder.path(), runtime, signals);
    clear_away(folder.path());
    let summary = shown?;
    let mut out = io::stdout().lock();
    writeln!(out, "{summary}{NEXT}")?;
    Ok(out.flush()?)
}

fn show(args: &DemoArgs, folder: &Path, runtime: Runtime, signals: Signals) -> anyhow::Result<String> {
    let objects = folder.join("objects");
    std::fs::create_dir(&objects).with_context(|| format!("failed to make {}", objects.display()))?;
    let server = Beside::start(&ServeArgs {
        listen: Some(([127, 0, 0, 1], 0).into()),
        data: Some(folder.join("data")),
        local_root: Some(objects.clone()),
        drain_seconds: Some(DRAIN),
        engine: ServeEngineArgs { piece: Some(PIECE_KIB), ..ServeEngineArgs::default() },
        ..ServeArgs::default()
    })?;
    let client = Client::new(&ServerArgs { server: server.url.clone(), ca: None })?;
    let maker = Maker {
        client: client.clone(),
        objects,
        rows: args.rows,
        bad: args.bad,
        stop: CancellationToken::new(),
    };
    let shown = if io::stdout().is_terminal() && top::can_draw() {
        on_terminal(args, &maker, runtime, signals, folder.to_owned())
    } else {
        in_lines(&maker, runtime, signals)
    };
    server.stop();
    shown
}

/// Removes the folder; the store's last thread may be writing into it still.
fn clear_away(folder: &Path) {
    for _ in 0..3 {
        if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
    }
    let _ = writeln!(io::stderr(), "{} could not be removed", folder.display());
}

fn on_terminal(
    args: &DemoArgs,
    maker: &Maker,
    runtime: Runtime,
    signals: Signals,
    folder: PathBuf,
) -> anyhow::Result<String> {
    let options = Options {
        server: maker.client.server().to_owned(),
        look: top::look(&args.look),
        mouse: args.look.mouse,
        ..Options::default()
    };
    let (outbox, messages) = Outbox::open();
    let said = outbox.clone();
    thread::scope(|scope| {
        let making = thread::Builder::new().name("demo".into()).spawn_scoped(scope, || {
            let tell = |text: String, worked| said.offer(Message::EffectDone { text, worked });
            if let Err(error) = maker.run(|text| tell(text, true)) {
                tell(error.to_string(), false);
            }
        })?;
        let last = move || clear_away(&folder);
        let shown =
            top::dashboard(maker.client.clone(), options, (outbox, messages), (runtime, signals), last);
        maker.stop.cancel();
        // If it panicked there is nothing to wait for.
        let _ = making.join();
        shown
    })
}

fn in_lines(maker: &Maker, runtime: Runtime, mut signals: Signals) -> anyhow::Result<String> {
    let over = CancellationToken::new();
    let mut lines = ProgressLines::default();
    let mut printed: Option<Instant> = None;
    thread::scope(|scope| {
        let making = thread::Builder::new().name("demo".into()).spawn_scoped(scope, || {
            let made = maker.run(|text| {
                // A closed standard error is no reason to stop.
                let _ = writeln!(io::stderr(), "{text}");
            });
            if made.is_err() {
                over.cancel();
            }
            made
        })?;
        let never = tokio::sync::Notify::new();
        let follow = top::feed(&maker.client, &never, async |news| {
            let News::Sample(sample) = news else { return Ok(()) };
            lines.record(&sample);
            let ended = sample.jobs.iter().filter(|job| job.progress.status.is_terminal()).count();
            if ended == PARTS.len() || printed.is_none_or(|last| last.elapsed() >= LINES_EVERY) {
                printed = Some(Instant::now());
                let mut out = io::stdout().lock();
                for line in lines.lines(&sample) {
                    writeln!(out, "{line}")?;
                }
                out.flush()?;
            }
            if ended == PARTS.len() {
                over.cancel();
            }
            Ok(())
        });
        let followed = runtime.block_on(async {
            tokio::select! {
                followed = follow => followed,
                () = over.cancelled() => Ok(()),
                () = signals.next() => Ok(()),
            }
        });
        maker.stop.cancel();
        let stopped_early = !over.is_cancelled();
        match making.join() {
            // Whoever stops it does not want to hear that it was stopped.
            Ok(Err(error)) if !stopped_early => return Err(error),
            Ok(_) => {}
            Err(panic) => std::panic::resume_unwind(panic),
        }
        followed.map(|()| String::new())
    })
}

/// Makes the parts of the demo, one after the other, and a job of each.
struct Maker {
    client: Client,
    objects: PathBuf,
    rows: u64,
    bad: Share,
    /// No one looks any more.
    stop: CancellationToken,
}

impl Maker {
    fn run(&self, tell: impl Fn(String)) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        for part in &PARTS {
            let import = make(part, &self.objects, self.rows, self.bad, &self.stop)
                .with_context(|| format!("failed to make {}", part.name))?;
            let created = runtime.block_on(top::create(&self.client, import));
            let (_, text) = created.map_err(anyhow::Error::msg)?;
            tell(text);
        }
        Ok(())
    }
}
