//! From the raw bytes of an object to those of its records: compression, and archives in it.
//!
//! What the bytes are is looked at where they pass for the first time, so it costs no request. An object that holds
//! something else than CSV or JSON is refused before its first byte is handed out.

use pinport_model::{Encoding, Format, NoticeKind};

use super::{
    archive::{Archive, Kind},
    content::Foreign,
    decode::{Caps, Compression, Fault, Input},
    layers::{Layers, Through},
};
use crate::buffers::Chunk;

/// How objects are read, apart from what they say themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// What is read of archives, if they are read.
    pub(super) format: Option<Format>,
    /// The encoding of the text, if the user said it.
    pub(super) encoding: Option<Encoding>,
}

/// The records' bytes of one object.
pub(super) struct Decoded {
    layers: Layers,
    archive: Option<Box<Archive>>,
    caps: Caps,
    decoded: u64,
}

impl Decoded {
    /// Begins an object whose first bytes are `lead`, at least [`HEAD_BYTES`](crate::limits::HEAD_BYTES) of them if it has so
    /// many. They are still to come from `input`.
    pub(super) fn begin(
        lead: &[u8],
        input: &mut dyn Input,
        caps: Caps,
        reading: Reading,
    ) -> Result<Self, Fault> {
        let (layers, found) = Layers::begin(lead, input, caps, reading.encoding)?;
        let kind = match (found, reading.format) {
            (None, _) => None,
            (Some(Foreign::Tar), Some(format)) => Some((Kind::Tar, format)),
            (Some(Foreign::Zip), Some(format)) => Some((Kind::Zip, format)),
            (Some(kind), _) => return Err(Fault::Foreign(kind)),
        };
        let archive = kind.map(|(kind, format)| Box::new(Archive::new(kind, format, reading.encoding, caps)));
        Ok(Self { layers, archive, caps, decoded: 0 })
    }

    /// Whether it is an archive.
    pub(super) fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// What is to be said of the object since this was asked last: members of an archive that were skipped, each with the
    /// reason, and an encoding that was seen.
    pub(super) fn take_notes(&mut self) -> Vec<(NoticeKind, String)> {
        let skipped = self.archive.as_mut().map(|archive| archive.take_notes()).unwrap_or_default();
        let seen = self.layers.take_seen().map(|name| (NoticeKind::EncodingDetected, name.to_owned()));
        skipped.into_iter().map(|member| (NoticeKind::MemberSkipped, member)).chain(seen).collect()
    }

    /// Whether its bytes are those of the object, so that reading may begin anywhere.
    pub(super) fn is_plain(&self) -> bool {
        self.compression() == Compression::None && self.archive.is_none() && !self.layers.decodes_text()
    }

    /// The outer compression.
    pub(super) fn compression(&self) -> Compression {
        self.layers.compression()
    }

    /// Bytes of the object that were used.
    pub(super) fn source_bytes(&self) -> u64 {
        self.layers.source_bytes()
    }

    /// Bytes that were handed out.
    pub(super) fn decoded_bytes(&self) -> u64 {
        self.decoded
    }

    /// Counts from `start` instead of 0: the input was moved there.
    pub(super) fn start_at(&mut self, start: u64) {
        self.layers.start_at(start);
        self.decoded = start;
    }

    /// As [`Input::take_chunk`], if the input's bytes are the records'.
    pub(super) fn take_chunk(&mut self, input: &mut dyn Input, room: usize) -> Result<Option<Chunk>, Fault> {
        let None = self.archive else { return Ok(None) };
        let chunk = self.layers.take_chunk(input, room)?;
        self.decoded += chunk.as_ref().map_or(0, |chunk| chunk.bytes().len() as u64);
        Ok(chunk)
    }

    /// Decodes into `buf`. 0 only at the verified end, or if `buf` is empty.
    pub(super) fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let bytes = match &mut self.archive {
            None => self.layers.read(input, buf)?,
            Some(archive) => {
                let bytes = archive.read(&mut Through { layers: &mut self.layers, input }, buf)?;
                self.caps.check(self.decoded + bytes as u64, self.layers.source_bytes())?;
                bytes
            }
        };
        self.decoded += bytes as u64;
        Ok(bytes)
    }
}
