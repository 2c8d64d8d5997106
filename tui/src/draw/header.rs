//! The first row (connection, age of the data, how the server is) and the last row (keys).

use ratatui::layout::Rect;

use super::brush::{Brush, after, below, row};
use crate::{
    keys::{self, Action},
    look::Role,
    message::Connection,
    state::{Dashboard, STALE_MS, Screen},
    text::{bytes, count, harmless, span, width, wrap},
    words::short_id,
};

/// What the footer says of the key for the help.
const MORE: &str = " more";

/// Connection and age of the sample come first: they fit everywhere.
pub(super) fn draw(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect) {
    let area = row(area, 0);
    let symbols = brush.look.symbols;
    let separator = symbols.separator();
    let mut parts: Vec<(String, Role)> = Vec::new();
    let age = dashboard.sample_age_ms();
    let stale = dashboard.server.is_some() && age >= STALE_MS;
    match &dashboard.connection {
        Connection::Connecting => {
            parts.push((format!("{} connecting", symbols.choose("◌", ".")), Role::Active))
        }
        Connection::Connected | Connection::InProcess if stale => {
            parts.push((format!("{} stale {}", symbols.choose("◌", "!"), span(age)), Role::Warn));
        }
        Connection::Connected => {
            parts.push((format!("{} connected", symbols.choose("●", "*")), Role::Good));
            let text = if dashboard.server.is_some() {
                format!("{} old", span(age))
            } else {
                "no sample yet".into()
            };
            parts.push((format!("{separator}{text}"), Role::Dim));
        }
        Connection::InProcess => {
            parts.push((format!("{} this process", symbols.choose("●", "*")), Role::Good))
        }
        Connection::Disconnected { reason, .. } => {
            let wait = dashboard.retry_at.as_millis().saturating_sub(dashboard.now.as_millis()).max(0);
            parts.push((format!("{} disconnected", symbols.choose("✗", "x")), Role::Bad));
            if dashboard.server.is_some() {
                parts.push((format!("{separator}sample {} old", span(age)), Role::Warn));
            }
            let again = if wait == 0 { "retrying".into() } else { format!("retry in {}", span(wait + 999)) };
            parts.push((format!("{separator}{again}"), Role::Plain));
            parts.push((format!("{separator}{reason}"), Role::Dim));
        }
    }
    if dashboard.frozen {
        parts.insert(0, (format!("{} frozen{separator}", symbols.choose("‖", "=")), Role::Warn));
    }
    if dashboard.lost > 0 {
        parts.push((format!("{separator}{} samples lost", count(dashboard.lost)), Role::Warn));
    }
    if dashboard.options.read_only {
        parts.push((format!("{separator}read-only"), Role::Dim));
    }
    let used: usize = parts.iter().map(|(text, _)| width(text)).sum();
    let title = title(dashboard, symbols.choose(" › ", " > "));
    let room = usize::from(area.width);
    let mut start = 0;
    if used + width(&title) + 2 <= room {
        start = brush.text(area, &title, Role::Title) + 2;
    }
    let parts: Vec<(&str, Role)> = parts.iter().map(|(text, role)| (text.as_str(), *role)).collect();
    let used = start + brush.parts(after(area, start), &parts);
    let server = &dashboard.options.server;
    let mut left = room.saturating_sub(used + 2);
    if !server.is_empty() && width(server) <= left {
        brush.right(after(area, used + 2), server, Role::Dim);
        left = left.saturating_sub(width(server) + 2);
    }
    let mut at = used + 2;
    for (index, (text, role)) in health(dashboard).into_iter().enumerate() {
        let between = if index == 0 { "" } else { separator };
        let cells = width(between) + width(&text);
        if cells > left {
            break;
        }
        at += brush.parts(after(area, at), &[(between, Role::Dim), (&text, role)]);
        left -= cells;
    }
}

/// How the server is, the most important first.
fn health(dashboard: &Dashboard) -> Vec<(String, Role)> {
    let Some(machine) = dashboard.server.as_ref().and_then(|server| server.machine) else {
        return Vec::new();
    };
    let reserve = machine.disk_reserve.unwrap_or(0);
    let is_short = machine.disk_free.is_some_and(|free| free < reserve);
    let store = match dashboard.trouble {
        Some(_) if is_short => ("no room", Role::Bad),
        Some(_) => ("store stopped", Role::Bad),
        None if machine.settling => ("settling", Role::Active),
        None => ("store ok", Role::Good),
    };
    let mut parts = vec![(store.0.to_owned(), store.1)];
    if let Some(free) = machine.disk_free {
        let role = match free {
            _ if is_short => Role::Bad,
            free if free / 2 < reserve => Role::Warn,
            _ => Role::Dim,
        };
        parts.push((format!("disk {} free", bytes(free)), role));
    }
    parts.push((format!("cpu {:.1}/{}", machine.cpu.max(0.0), machine.cpus), Role::Dim));
    parts.extend(machine.memory.map(|memory| (format!("mem {}", bytes(memory)), Role::Dim)));
    parts
}

/// Why no job runs, above everything else; gives what is left below.
pub(super) fn banner(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect) -> Rect {
    let Some(trouble) = &dashboard.trouble else { return area };
    let symbols = brush.look.symbols;
    let text = format!("{} NO JOB RUNS: {}", symbols.choose("✗", "x"), harmless(trouble, symbols));
    // Half of a small screen still shows the jobs.
    let lines = wrap(&text, area.width.into(), usize::from(area.height / 2).min(3));
    for (line, text) in lines.iter().enumerate() {
        brush.text(row(area, line), text, Role::Bad);
    }
    below(area, lines.len())
}

/// The name of the current screen.
fn title(dashboard: &Dashboard, arrow: &str) -> String {
    let mut title = String::from("pinport");
    for screen in &dashboard.screens {
        let name = match screen {
            Screen::Overview => continue,
            Screen::Job(id) => short_id(*id),
            Screen::Classes(_) => "failures".into(),
            Screen::Entries(_) => "records".into(),
            Screen::Events => "events".into(),
        };
        title.push_str(arrow);
        title.push_str(&name);
    }
    title
}

/// The notice if there is one, else the keys of the current screen.
pub(super) fn footer(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect) {
    let area = row(area, 0);
    if let Some((text, worked, _)) = &dashboard.notice
        && dashboard.overlay.is_none()
    {
        let symbols = brush.look.symbols;
        let (mark, role) = if *worked {
            (symbols.choose("✓", "+"), Role::Good)
        } else {
            (symbols.choose("✗", "x"), Role::Bad)
        };
        let used = brush.text(area, mark, role);
        brush.text(after(area, used + 1), text, Role::Plain);
        return;
    }
    // Not all keys are in the footer; where there is a help, it says that there are more.
    let help = keys::footer(dashboard.context(), dashboard.reach()).find(|line| line.action == Action::Help);
    let more = help.map(|line| (line.first(brush.look.symbols), brush.look.symbols.choose("… ", ".. ")));
    let kept = more.as_ref().map_or(0, |(key, dots)| width(dots) + width(key) + MORE.len());
    let mut used = 0;
    for binding in keys::footer(dashboard.context(), dashboard.reach()) {
        if binding.action == Action::Help {
            continue;
        }
        let key = binding.first(brush.look.symbols);
        let cells = width(&key) + 1 + width(binding.label);
        if used + cells + kept + 2 * usize::from(kept > 0) > usize::from(area.width) {
            break;
        }
        let wrote = brush
            .parts(after(area, used), &[(&key, Role::Key), (" ", Role::Plain), (binding.label, Role::Plain)]);
        used += wrote + 2;
    }
    if let Some((key, dots)) = more {
        brush.parts(after(area, used), &[(dots, Role::Dim), (&key, Role::Key), (MORE, Role::Plain)]);
    }
}
