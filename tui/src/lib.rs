//! The terminal dashboard: messages about import jobs in, frames and effects out.
//!
//! It knows only pinport-model: no server, no store, no network. Whoever feeds it ([`Message`]) decides where
//! samples come from, and carries out what it asks for ([`Effect`]). Start reading at [`Dashboard::update`], the
//! only writer, and [`Dashboard::draw`], which only reads; [`run()`] puts both on a terminal.

mod draw;
mod hit;
mod keys;
mod layout;
mod look;
mod message;
mod plain;
mod record;
mod run;
mod state;
mod text;
mod theme;
mod words;

pub use hit::Hit;
pub use look::{Look, Palette, Symbols};
pub use message::{
    Connection, Effect, FailuresPage, FailuresQuery, ImportRequest, Message, Rate, RecordBytes, RecordQuery,
    RejectsQuery,
};
pub use plain::{ProgressLines, progress_line, snapshot, snapshot_of_job};
pub use ratatui::crossterm;
pub use run::{Output, run};
pub use state::{Dashboard, Options};
pub use theme::Theme;
