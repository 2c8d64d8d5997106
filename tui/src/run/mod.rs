//! Runs a dashboard on a terminal: reads keys and messages, draws after changes at most ten times a second, and
//! always restores the terminal.
//!
//! It never waits for the sender of messages. The sender must not wait either: it should send samples with `try_send`
//! into a bounded channel and drop what does not fit, because a stopped terminal stops the dashboard's writes.

mod guard;
mod keyboard;

use std::{
    io::{self, BufWriter, Write as _},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use pinport_model::Timestamp;
use ratatui::{
    Terminal,
    backend::{Backend, CrosstermBackend},
    crossterm::event::{Event, MouseEventKind},
};

pub use self::guard::Output;
use self::{
    guard::{Guard, stop_group},
    keyboard::Keyboard,
};
use crate::{
    message::{Effect, Message},
    state::{Dashboard, Options},
    text::base64,
};

/// The least time between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// The most messages and keys handled between two frames; the rest wait.
const MAX_AT_ONCE: usize = 4096;
/// Terminals refuse longer clipboard texts.
const MAX_COPY: usize = 64 << 10;

/// Runs a dashboard until the operator quits. Returns the summary to print afterwards.
///
/// `effects` is called for everything but copying and quitting. It must not block: it should pass the effect on. The
/// exception is [`Effect::Edit`]: the terminal is the editor's until `effects` returns.
pub fn run(
    options: Options,
    output: Output,
    messages: &Receiver<Message>,
    mut effects: impl FnMut(Effect),
) -> io::Result<String> {
    let mut keyboard = Keyboard::new()?;
    let mouse = options.mouse;
    let guard = Guard::enter(output, mouse)?;
    let mut terminal =
        Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(64 << 10, output.writer())))?;
    // Not `clear()`: that asks the terminal where its cursor is, and fails where nothing answers. The alternate
    // screen is empty anyway.
    let mut dashboard = Dashboard::new(options);
    let size = terminal.size()?;
    dashboard
        .update(Message::Resize { width: size.width, height: size.height })
        .into_iter()
        .for_each(&mut effects);
    let left =
        drive(&mut terminal, &mut dashboard, &mut keyboard, messages, |backend, effect| match effect {
            Effect::Copy(text) => {
                let end = text
                    .char_indices()
                    .map(|(at, _)| at)
                    .take_while(|at| *at <= MAX_COPY)
                    .last()
                    .unwrap_or(0);
                let text = if text.len() <= MAX_COPY { &text } else { &text[..end] };
                write!(backend, "\x1b]52;c;{}\x07", base64(text))?;
                io::Write::flush(backend)
            }
            Effect::Suspend => guard.lend(output, mouse, stop_group),
            Effect::Edit(_) => guard.lend(output, mouse, || {
                effects(effect);
                Ok(())
            }),
            effect => {
                effects(effect);
                Ok(())
            }
        });
    drop(terminal);
    drop(guard);
    left?;
    Ok(dashboard.summary())
}

/// Where keys come from.
pub(crate) trait Input {
    /// The next event, if one comes within `wait`.
    fn next(&mut self, wait: Duration) -> io::Result<Option<Event>>;
}

/// The loop, on any terminal.
fn drive<B: Backend>(
    terminal: &mut Terminal<B>,
    dashboard: &mut Dashboard,
    input: &mut impl Input,
    messages: &Receiver<Message>,
    mut effects: impl FnMut(&mut B, Effect) -> io::Result<()>,
) -> io::Result<()>
where
    B::Error: Send + Sync + 'static,
{
    let mut drawn: Option<(u64, Instant)> = None;
    loop {
        let mut wanted = dashboard.update(Message::Tick(Timestamp::now()));
        for _ in 0..MAX_AT_ONCE {
            // The sender is gone. Keep showing its last data.
            let Ok(message) = messages.try_recv() else { break };
            wanted.extend(dashboard.update(message));
        }
        let mut wait = FRAME;
        if drawn.is_none_or(|(revision, _)| revision != dashboard.revision()) {
            let since = drawn.map_or(FRAME, |(_, time)| time.elapsed());
            if since >= FRAME {
                terminal.draw(|frame| dashboard.draw(frame)).map_err(io::Error::other)?;
                drawn = Some((dashboard.revision(), Instant::now()));
            } else {
                wait = FRAME - since;
            }
        }
        let mut event = if wanted.is_empty() { input.next(wait)? } else { input.next(Duration::ZERO)? };
        for _ in 0..MAX_AT_ONCE {
            let Some(taken) = event else { break };
            if let Some(message) = translate(taken, dashboard) {
                wanted.extend(dashboard.update(message));
            }
            event = input.next(Duration::ZERO)?;
        }
        for effect in wanted {
            if effect == Effect::Quit {
                return Ok(());
            }
            let draws_anew = matches!(effect, Effect::Suspend | Effect::Edit(_));
            effects(terminal.backend_mut(), effect)?;
            if draws_anew {
                // The screen is empty now, and so is the buffer that the next frame is compared with.
                terminal.swap_buffers();
                drawn = None;
            }
        }
    }
}

fn translate(event: Event, dashboard: &Dashboard) -> Option<Message> {
    match event {
        Event::Key(key) => Some(Message::Key(key)),
        Event::Paste(text) => Some(Message::Paste(text)),
        Event::Resize(width, height) => Some(Message::Resize { width, height }),
        Event::Mouse(event) => {
            let is_click = matches!(event.kind, MouseEventKind::Down(_));
            let hit = if is_click { dashboard.hit(event.column, event.row) } else { None };
            Some(Message::Mouse { event, hit })
        }
        Event::FocusGained | Event::FocusLost => None,
    }
}

#[cfg(test)]
mod tests;
