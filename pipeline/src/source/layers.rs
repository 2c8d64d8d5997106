//! Undoes the compression of an object, one, perhaps in another, and makes UTF-8 of its text.

use pinport_model::Encoding;

use super::{
    content::{Foreign, foreign},
    decode::{Caps, Compression, Decoder, Fault, Input},
    text::Text,
};
use crate::{
    buffers::Chunk,
    limits::{HEAD_BYTES, LAYER_BUFFER},
};

/// Undoes one compression after the other.
pub(super) struct Layers {
    outer: Layer,
    /// The compression within the first.
    inner: Option<Layer>,
    text: Option<Box<Text>>,
    /// The encoding that was seen and not said yet.
    seen: Option<&'static str>,
    caps: Caps,
}

impl Layers {
    /// Begins what has these first bytes, at least [`HEAD_BYTES`] of them if there are so many. They are still to come from
    /// `input`. With what the decoded bytes are, if they are neither CSV nor JSON. `said`: the encoding of the text, if the
    /// user said it.
    pub(super) fn begin(
        lead: &[u8],
        input: &mut dyn Input,
        caps: Caps,
        said: Option<Encoding>,
    ) -> Result<(Self, Option<Foreign>), Fault> {
        let outer = Layer::new(Compression::of(lead), caps);
        let mut layers = Self { outer, inner: None, text: None, seen: None, caps };
        if layers.compression() == Compression::None {
            let kind = layers.begin_text(lead, said);
            return Ok((layers, kind));
        }
        let mut within = Within { layer: &mut layers.outer, input };
        let head = within.look();
        let compression = Compression::of(head);
        if compression == Compression::None {
            let head = head.to_vec();
            let kind = layers.begin_text(&head, said);
            return Ok((layers, kind));
        }
        let mut inner = Layer::new(compression, Caps::NONE);
        let mut innermost = Within { layer: &mut inner, input: &mut within };
        let head = innermost.look();
        if Compression::of(head) != Compression::None {
            return Err(Fault::Foreign(Foreign::CompressedAgain));
        }
        let head = head.to_vec();
        let kind = layers.begin_text(&head, said);
        layers.inner = Some(inner);
        Ok((layers, kind))
    }

    /// What decoded bytes that begin so are, if they are neither CSV nor JSON. Else they are text, which may be decoded.
    fn begin_text(&mut self, head: &[u8], said: Option<Encoding>) -> Option<Foreign> {
        let kind = foreign(head);
        if kind.is_none() {
            self.text = Text::of(head, said.map(Encoding::get)).map(Box::new);
            self.seen = self.text.as_ref().filter(|_| said.is_none()).map(|text| text.name());
        }
        kind
    }

    /// Whether an object that begins so must be read from its start to go on in its middle.
    pub(super) fn needs_start(lead: &[u8], said: Option<Encoding>) -> bool {
        Compression::of(lead) != Compression::None
            || matches!(foreign(lead), Some(Foreign::Tar | Foreign::Zip))
            || Text::of(lead, said.map(Encoding::get)).is_some()
    }

    /// Whether text is decoded.
    pub(super) fn decodes_text(&self) -> bool {
        self.text.is_some()
    }

    /// The encoding that was seen, once.
    pub(super) fn take_seen(&mut self) -> Option<&'static str> {
        self.seen.take()
    }

    /// The outer compression.
    pub(super) fn compression(&self) -> Compression {
        self.outer.decoder.compression()
    }

    /// Bytes of the input that were used.
    pub(super) fn source_bytes(&self) -> u64 {
        self.outer.decoder.source_bytes()
    }

    /// Counts from `start` instead of 0: the input was moved there.
    pub(super) fn start_at(&mut self, start: u64) {
        self.outer.decoder.start_at(start);
    }

    /// Decodes into `buf`. 0 only at the verified end, or if `buf` is empty.
    pub(super) fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let Some(mut text) = self.text.take() else { return self.decompressed(input, buf) };
        let read = text.read(&mut Content { layers: self, input }, buf);
        self.text = Some(text);
        read
    }

    /// As [`Input::take_chunk`], if the input's bytes are those that are read.
    pub(super) fn take_chunk(&mut self, input: &mut dyn Input, room: usize) -> Result<Option<Chunk>, Fault> {
        match self.text {
            None if self.compression() == Compression::None => self.outer.decoder.take_chunk(input, room),
            _ => Ok(None),
        }
    }

    fn decompressed(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let mut within = Within { layer: &mut self.outer, input };
        let Some(inner) = &mut self.inner else { return within.read(buf) };
        let bytes = Within { layer: inner, input: &mut within }.read(buf)?;
        self.check()?;
        Ok(bytes)
    }

    /// Two compressions together may grow no more than one.
    fn check(&self) -> Result<(), Fault> {
        let made = self.inner.as_ref().map_or(0, |inner| inner.decoder.decoded_bytes());
        self.caps.check(made, self.outer.decoder.source_bytes())
    }
}

/// What is decompressed, for the decoder of text. It only reads.
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
        self.layers.decompressed(self.input, buf)
    }
}

/// The decoded bytes of all layers, for what lies in them.
pub(super) struct Through<'a> {
    pub(super) layers: &'a mut Layers,
    pub(super) input: &'a mut dyn Input,
}

impl Input for Through<'_> {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        self.layers.check()?;
        let Layers { outer, inner, .. } = &mut *self.layers;
        match inner {
            None => outer.fill(self.input),
            Some(inner) => inner.fill(&mut Within { layer: outer, input: self.input }),
        }
    }

    fn consume(&mut self, bytes: usize) {
        let Layers { outer, inner, .. } = &mut *self.layers;
        inner.as_mut().unwrap_or(outer).filled.start += bytes;
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        self.layers.read(self.input, buf)
    }
}

/// A decoder, and what it made and no one took yet.
pub(super) struct Layer {
    decoder: Decoder,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    /// What is wrong after the bytes in the buffer.
    then: Option<Fault>,
}

impl Layer {
    pub(super) fn new(compression: Compression, caps: Caps) -> Self {
        Self { decoder: Decoder::new(compression, caps), buffer: Vec::new(), filled: 0..0, then: None }
    }
}

impl Layer {
    /// The next bytes; none at the end.
    fn fill(&mut self, input: &mut dyn Input) -> Result<&[u8], Fault> {
        if self.filled.is_empty() {
            if let Some(fault) = self.then.take() {
                return Err(fault);
            }
            self.buffer.resize(LAYER_BUFFER, 0);
            self.filled = 0..self.decoder.read(input, &mut self.buffer)?;
        }
        Ok(&self.buffer[self.filled.clone()])
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

    /// The first bytes, [`HEAD_BYTES`] of them if there are so many. They stay to be read.
    pub(super) fn look(&mut self) -> &[u8] {
        let layer = &mut *self.layer;
        layer.buffer.resize(LAYER_BUFFER, 0);
        let mut length = 0;
        while length < HEAD_BYTES {
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
        self.layer.fill(self.input)
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
