//! Server-sent events taken apart: bytes as they arrive in, the data of each event out.

use std::collections::VecDeque;

use super::ClientError;

/// An event may have this size.
const MAX_EVENT: usize = 64 << 20;

/// The reader of one stream.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// A line that has no end yet.
    line: Vec<u8>,
    /// The data of an event that has no end yet.
    data: Option<String>,
    ready: VecDeque<String>,
}

impl Events {
    /// Takes bytes in.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_line()?;
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > MAX_EVENT {
                return Err(ClientError::Strange { what: "an event is too long".into() });
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), ClientError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line)
            .map_err(|_| ClientError::Strange { what: "an event is not UTF-8".into() })?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            self.ready.extend(self.data.take());
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(())
    }

    /// The data of the next whole event.
    pub(super) fn next(&mut self) -> Option<String> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let stream =
            "id: 1\nevent: sample\ndata: {\"ü\":1}\n\n:\n\ndata:a\r\ndata: b\r\n\r\ndata: lost".as_bytes();
        for size in 1..=stream.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for part in stream.chunks(size) {
                events.push(part).unwrap();
                found.extend(std::iter::from_fn(|| events.next()));
            }
            assert_eq!(found, ["{\"ü\":1}", "a\nb"], "in parts of {size}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(Events::default().push(b"data: \xff\n").is_err());
    }
}
