//! From the raw bytes of an object to those of its records: one compression, perhaps in another, and an archive.
//!
//! What the bytes are is looked at where they pass for the first time, so it costs no request. An object that holds
//! something else than CSV or JSON is refused before its first byte is handed out.

use pinport_model::{Encoding, Format, NoticeKind};

use super::{
    archive::{Archive, Kind},
    content::{Foreign, HEAD, foreign},
    decode::{Caps, Compression, Decoder, Fault, Input},
    text::Text,
};

/// Bytes decoded at a time for the next layer.
const BUFFER: usize = 64 << 10;

/// Undoes one layer after the other.
pub(super) struct Layers {
    outer: Layer,
    /// The compression within the first.
    inner: Option<Layer>,
    archive: Option<Box<Archive>>,
    text: Option<Box<Text>>,
    /// The encoding that was seen and not said yet.
    seen: Option<&'static str>,
    caps: Caps,
    decoded: u64,
}

/// How objects are read, apart from what they say themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// What is read of archives, if they are read.
    pub(super) format: Option<Format>,
    /// The encoding of the text, if the user said it.
    pub(super) encoding: Option<Encoding>,
}

impl Layers {
    /// Begins an object whose first bytes are `lead`, at least [`HEAD`] of them if it has so many. They are still to
    /// come from `input`.
    pub(super) fn begin(
        lead: &[u8],
        input: &mut dyn Input,
        caps: Caps,
        reading: Reading,
    ) -> Result<Self, Fault> {
        let outer = Layer::new(Compression::of(lead), caps);
        let mut layers = Self { outer, inner: None, archive: None, text: None, seen: None, caps, decoded: 0 };
        if layers.compression() == Compression::None {
            layers.begin_content(lead, reading)?;
            return Ok(layers);
        }
        let mut within = Within { layer: &mut layers.outer, input };
        let head = within.look();
        let compression = Compression::of(head);
        if compression == Compression::None {
            let head = head.to_vec();
            layers.begin_content(&head, reading)?;
            return Ok(layers);
        }
        let mut inner = Layer::new(compression, Caps::NONE);
        let mut innermost = Within { layer: &mut inner, input: &mut within };
        let head = innermost.look();
        if Compression::of(head) != Compression::None {
            return Err(Fault::Foreign(Foreign::CompressedAgain));
        }
        let head = head.to_vec();
        layers.begin_content(&head, reading)?;
        layers.inner = Some(inner);
        Ok(layers)
    }

    /// Begins what is within the compressions.
    fn begin_content(&mut self, head: &[u8], reading: Reading) -> Result<(), Fault> {
        self.archive = archive(head, self.caps, reading)?;
        let said = reading.encoding.map(Encoding::get);
        // The members of an archive are decoded one by one.
        if self.archive.is_none() {
            self.text = Text::of(head, said).map(Box::new);
        }
        self.seen = self.text.as_ref().filter(|_| said.is_none()).map(|text| text.name());
        Ok(())
    }

    /// Whether it is an archive.
    pub(super) fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// What is to be said of the object since this was asked last: members of an archive that were skipped, each with the
    /// reason, and an encoding that was seen.
    pub(super) fn take_notes(&mut self) -> Vec<(NoticeKind, String)> {
        let skipped = self.archive.as_mut().map(|archive| archive.take_notes()).unwrap_or_default();
        let seen = self.seen.take().map(|name| (NoticeKind::EncodingDetected, name.to_owned()));
        skipped.into_iter().map(|member| (NoticeKind::MemberSkipped, member)).chain(seen).collect()
    }

    /// Whether its bytes are those of the object, so that reading may begin anywhere.
    pub(super) fn is_plain(&self) -> bool {
        self.compression() == Compression::None && self.archive.is_none() && self.text.is_none()
    }

    /// The outer compression.
    pub(super) fn compression(&self) -> Compression {
        self.outer.decoder.compression()
    }

    /// Bytes of the object that were used.
    pub(super) fn source_bytes(&self) -> u64 {
        self.outer.decoder.source_bytes()
    }

    /// Bytes that were handed out.
    pub(super) fn decoded_bytes(&self) -> u64 {
        self.decoded
    }

    /// Counts from `start` instead of 0: the input was moved there.
    pub(super) fn start_at(&mut self, start: u64) {
        self.outer.decoder.start_at(start);
        self.decoded = start;
    }

    /// Whether an object that begins so must be read from its start to go on in its middle.
    pub(super) fn needs_start(lead: &[u8], reading: Reading) -> bool {
        let said = reading.encoding.map(Encoding::get);
        Compression::of(lead) != Compression::None
            || matches!(foreign(lead), Some(Foreign::Tar | Foreign::Zip))
            || Text::of(lead, said).is_some()
    }

    /// Decodes into `buf`. 0 only at the verified end, or if `buf` is empty.
    pub(super) fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let bytes = match self.text.take() {
            None => self.content(input, buf)?,
            Some(mut text) => {
                let read = text.read(&mut Content { layers: self, input }, buf);
                self.text = Some(text);
                read?
            }
        };
        if self.inner.is_some() || self.archive.is_some() {
            self.caps.check(self.decoded + bytes as u64, self.outer.decoder.source_bytes())?;
        }
        self.decoded += bytes as u64;
        Ok(bytes)
    }

    /// The next bytes within the compressions.
    fn content(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let mut within = Within { layer: &mut self.outer, input };
        match (&mut self.inner, &mut self.archive) {
            (None, None) => within.read(buf),
            (Some(inner), None) => Within { layer: inner, input: &mut within }.read(buf),
            (None, Some(archive)) => archive.read(&mut within, buf),
            (Some(inner), Some(archive)) => {
                archive.read(&mut Within { layer: inner, input: &mut within }, buf)
            }
        }
    }
}

/// What is within the compressions, for the text layer. It only reads.
struct Content<'a> {
    layers: &'a mut Layers,
    input: &'a mut dyn Input,
}

impl Input for Content<'_> {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        Ok(&[])
    }

    fn consume(&mut self, _: usize) {}

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        self.layers.content(self.input, buf)
    }
}

/// The archive that begins so, if it is one; an error if it is something else that is not read.
fn archive(head: &[u8], caps: Caps, reading: Reading) -> Result<Option<Box<Archive>>, Fault> {
    let kind = match (foreign(head), reading.format) {
        (None, _) => return Ok(None),
        (Some(Foreign::Tar), Some(format)) => (Kind::Tar, format),
        (Some(Foreign::Zip), Some(format)) => (Kind::Zip, format),
        (Some(kind), _) => return Err(Fault::Foreign(kind)),
    };
    Ok(Some(Box::new(Archive::new(kind.0, kind.1, reading.encoding, caps))))
}

/// A decoder, and what it made and nobody took yet.
pub(super) struct Layer {
    decoder: Decoder,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    /// What is wrong behind the bytes in the buffer.
    then: Option<Fault>,
}

impl Layer {
    pub(super) fn new(compression: Compression, caps: Caps) -> Self {
        Self { decoder: Decoder::new(compression, caps), buffer: Vec::new(), filled: 0..0, then: None }
    }
}

/// The decoded bytes of a layer, for the one within it.
pub(super) struct Within<'a> {
    layer: &'a mut Layer,
    input: &'a mut dyn Input,
}

impl<'a> Within<'a> {
    pub(super) fn new(layer: &'a mut Layer, input: &'a mut dyn Input) -> Self {
        Self { layer, input }
    }

    /// The first bytes, [`HEAD`] of them if there are so many. They stay to be read.
    pub(super) fn look(&mut self) -> &[u8] {
        let layer = &mut *self.layer;
        layer.buffer.resize(BUFFER, 0);
        let mut length = 0;
        while length < HEAD {
            match layer.decoder.read(self.input, &mut layer.buffer[length..]) {
                Ok(0) => break,
                Ok(bytes) => length += bytes,
                Err(fault) => {
                    layer.then = Some(fault);
                    break;
                }
            }
        }
        layer.filled = 0..length;
        &layer.buffer[..length]
    }
}

impl Input for Within<'_> {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        let layer = &mut *self.layer;
        if layer.filled.is_empty() {
            if let Some(fault) = layer.then.take() {
                return Err(fault);
            }
            layer.buffer.resize(BUFFER, 0);
            layer.filled = 0..layer.decoder.read(self.input, &mut layer.buffer)?;
        }
        Ok(&layer.buffer[layer.filled.clone()])
    }

    fn consume(&mut self, bytes: usize) {
        self.layer.filled.start += bytes;
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        let layer = &mut *self.layer;
        if layer.filled.is_empty() {
            return match layer.then.take() {
                Some(fault) => Err(fault),
                None => layer.decoder.read(self.input, buf),
            };
        }
        let bytes = buf.len().min(layer.filled.len());
        buf[..bytes].copy_from_slice(&layer.buffer[layer.filled.start..][..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}
