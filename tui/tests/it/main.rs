//! Tests the dashboard through its interface: messages in, effects and frames out.

mod fixtures;
mod hostile;
mod keys;
mod panes;
mod plain;
mod screens;
mod sweep;
mod trouble;
mod updates;
