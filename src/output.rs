//! What commands write to standard output for programs.

use std::io;

use serde::Serialize;

/// Writes `value` as one line of JSON.
pub(crate) fn write_line(out: &mut impl io::Write, value: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
