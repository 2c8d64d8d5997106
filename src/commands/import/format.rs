//! What a source holds, where no one says it: by its name, else by what lies there.

use std::{fs::File, io::Read as _};

use anyhow::Context as _;
use pinport_model::{Format, ReadOptions, SourceLocation};
use pinport_pipeline::{
    engine::first_data,
    source::{Source, SourceError, format_of_name},
};

use crate::exit::Usage;

/// Bytes that are looked at of an object whose name says nothing.
const HEAD: usize = 4 << 10;
/// The same of standard input.
const INPUT_HEAD: usize = 16;

/// What the source holds. `open` opens it.
///
/// # Errors
/// It does not tell, or cannot be read.
pub(in crate::commands) fn of_source(
    text: &str,
    open: impl Fn() -> anyhow::Result<Source>,
) -> anyhow::Result<Format> {
    if let Some(format) = format_of_name(text) {
        return Ok(format);
    }
    let mut first = [None, None];
    for (first, format) in first.iter_mut().zip([Format::Csv, Format::Json]) {
        let listed = open()?.list(format, &mut |object| match object.skipped {
            None => {
                *first = Some(object.key);
                Err(SourceError::Cancelled)
            }
            Some(_) => Ok(()),
        });
        match listed {
            Ok(()) | Err(SourceError::NoMatch { .. }) => {}
            Err(SourceError::Cancelled) if first.is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    match first {
        [None, None] => Err(undetermined("no object's name says what it holds")),
        [Some(_), None] => Ok(Format::Csv),
        [None, Some(_)] => Ok(Format::Json),
        // An object that is named exactly may be both.
        [Some(one), Some(other)] if one == other => {
            let source = open()?.reading(Format::Json, &ReadOptions::default());
            let (_, head) = first_data(&source, Format::Json, HEAD)?;
            Ok(of_content(&head))
        }
        _ => Err(undetermined("CSV and JSON lie there side by side")),
    }
}

/// Looks at the beginning of standard input, which stays in it: what it holds if no one says it.
///
/// # Errors
/// It is empty, or cannot be read.
pub(super) fn of_input(source: Source, format: Option<Format>) -> anyhow::Result<(Source, Format)> {
    let source = source.reading(format.unwrap_or(Format::Json), &ReadOptions::default());
    // Whoever writes it may be slow: no more is waited for than tells.
    let (_, head) = first_data(&source, Format::Json, if format.is_some() { 1 } else { INPUT_HEAD })?;
    if head.is_empty() {
        let first_skipped = Some("-: it is empty".into());
        return Err(SourceError::NoMatch { url: "standard input".into(), skipped: 1, first_skipped }.into());
    }
    Ok((source, format.unwrap_or_else(|| of_content(&head))))
}

/// What a file holds that is sent to a server, or objects that a server reads.
///
/// # Errors
/// It does not tell, or cannot be read.
pub(super) fn of_upload(text: &str, location: &SourceLocation) -> anyhow::Result<Format> {
    match (format_of_name(text), location) {
        (Some(format), _) => Ok(format),
        (None, SourceLocation::Path(file)) if !file.is_dir() => {
            let mut head = Vec::new();
            let file = File::open(file).with_context(|| format!("failed to open {}", file.display()))?;
            file.take(HEAD as u64).read_to_end(&mut head)?;
            Ok(of_content(&head))
        }
        _ => Err(undetermined("the name does not say what lies there")),
    }
}

fn undetermined(why: &str) -> anyhow::Error {
    Usage(format!("{why}: add --format csv or --format json")).into()
}

/// JSON begins with a brace or a bracket, and no header does.
fn of_content(head: &[u8]) -> Format {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => Format::Json,
        _ => Format::Csv,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells_the_format() {
        for (head, format) in [
            ("{\"Id\":1}", Format::Json),
            ("\u{feff}\n [{", Format::Json),
            ("Id,Address\n", Format::Csv),
            ("\"Id\",\"Address\"", Format::Csv),
            ("", Format::Csv),
        ] {
            assert_eq!(of_content(head.as_bytes()), format, "{head}");
        }
    }
}
