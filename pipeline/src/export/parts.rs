//! From rows as text to parts: cut, compressed, hashed, written, and listed in a manifest.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::mpsc::Receiver,
    time::Instant,
};

use flate2::write::GzEncoder;
use pinport_model::{Compression, WrittenPart};
use pinport_store::ranges::Spare;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Export, ExportError, Form, Handed, ParquetFile, Text,
    target::{Part, Target},
};
use crate::limits::EXPORT_HANDED;

/// One below zlib's own default, which makes 1% less of endpoints for a fifth more time.
pub(super) const GZIP_LEVEL: u32 = 5;
/// The name of the manifest. Importers skip it.
const MANIFEST: &str = "_SUCCESS";

/// The name of a part.
pub fn part_name(number: u64, form: Form, compression: Compression) -> String {
    format!("part-{number:05}.{}{}", form.suffix(), form.around(compression).suffix())
}

/// What an export came to: the last file that is written, so that the others are complete where it is.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    /// The application's id.
    pub application: String,
    /// The segment's id, if it was a segment's members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The segment's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The form of the records.
    pub format: Form,
    /// Endpoints in all parts.
    pub records: u64,
    /// The parts, in order.
    pub parts: &'a [WrittenPart],
}

impl Manifest<'_> {
    /// Writes it.
    pub fn write(&self, target: &Target) -> Result<(), ExportError> {
        let mut json = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        json.push(b'\n');
        target.put(MANIFEST, &json)
    }
}

/// Writes parts.
pub(super) struct Parts<'a> {
    export: &'a Export<'a>,
    target: &'a Target,
    header: Vec<u8>,
    number: u64,
    current: Option<PartWriter<'a>>,
    /// What makes the current part of columns.
    file: Option<ParquetFile>,
}

/// A part while it is written. Dropped before its end, nothing of it stays.
pub struct PartWriter<'a> {
    name: String,
    part: Part<'a>,
    packer: Packer,
    hash: Sha256,
    records: u64,
    bytes: u64,
    text_bytes: u64,
    begun: Instant,
}

impl<'a> Parts<'a> {
    pub(super) fn new(export: &'a Export<'a>, target: &'a Target, header: Vec<u8>) -> Self {
        Self { export, target, header, number: export.before.parts, current: None, file: None }
    }

    /// Writes what arrives until the sender is gone. A part that has no end by then is none.
    pub(super) fn run(
        mut self,
        handed: Receiver<Handed>,
        spare: &Spare<Text>,
        written: &mut dyn FnMut(WrittenPart) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        for handed in handed {
            match handed {
                Handed::Rows(text) => {
                    let mut current = self.current()?;
                    current.records += text.rows() as u64;
                    current.write(text.as_bytes())?;
                    self.current = Some(current);
                    spare.give(text);
                }
                Handed::Columns(columns) => {
                    let mut current = self.current()?;
                    let mut file = match self.file.take() {
                        Some(file) => file,
                        None => ParquetFile::new(self.export.compression)?,
                    };
                    current.records += columns.rows() as u64;
                    current.text_bytes += columns.bytes() as u64;
                    current.pack(&file.group(*columns)?)?;
                    (self.current, self.file) = (Some(current), Some(file));
                }
                Handed::End { last } => {
                    if let Some(mut current) = self.current.take() {
                        if let Some(file) = self.file.take() {
                            current.pack(&file.end()?)?;
                        }
                        written(current.end(last)?)?;
                        self.number += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// The part that is written, or the next.
    fn current(&mut self) -> Result<PartWriter<'a>, ExportError> {
        match self.current.take() {
            Some(current) => Ok(current),
            None => self.begin(),
        }
    }

    fn begin(&self) -> Result<PartWriter<'a>, ExportError> {
        let Export { form, compression, note, name, .. } = self.export;
        let name = name.clone().unwrap_or_else(|| part_name(self.number, *form, *compression));
        let around = form.around(*compression);
        let mut part = PartWriter::begin(self.target, name, around, note.as_deref())?;
        part.write(&self.header)?;
        Ok(part)
    }
}

impl<'a> PartWriter<'a> {
    /// Begins a part. `note`: where the id of its upload is noted while it is one.
    pub fn begin(
        target: &'a Target,
        name: String,
        compression: Compression,
        note: Option<&Path>,
    ) -> Result<Self, ExportError> {
        Ok(Self {
            part: target.begin(&name, note)?,
            name,
            packer: Packer::new(compression)?,
            hash: Sha256::new(),
            records: 0,
            bytes: 0,
            text_bytes: 0,
            begun: Instant::now(),
        })
    }

    /// Adds text.
    pub fn write(&mut self, text: &[u8]) -> Result<(), ExportError> {
        self.text_bytes += text.len() as u64;
        self.pack(text)
    }

    /// The same for bytes that were counted as what they are made of.
    fn pack(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        let packed = self.packer.pack(bytes)?;
        self.hash.update(packed);
        self.bytes += packed.len() as u64;
        self.part.write(packed)
    }

    /// Makes it whole: it is there when this returns. `last` is the id of its last endpoint.
    pub fn end(mut self, last: String) -> Result<WrittenPart, ExportError> {
        let packed = self.packer.end()?;
        self.hash.update(&packed);
        self.bytes += packed.len() as u64;
        self.part.write(&packed)?;
        self.part.finish()?;
        tracing::debug!(name = self.name, records = self.records, took = ?self.begun.elapsed(), "a part is written");
        Ok(WrittenPart {
            name: self.name,
            records: self.records,
            bytes: self.bytes,
            text_bytes: self.text_bytes,
            sha256: pinport_model::hex(self.hash.finalize()),
            last,
        })
    }
}

/// Compresses what it is given, and hands on what can be written by now.
struct Packer {
    /// None: as it is.
    encoder: Option<Encoder>,
    /// Text that was not compressed yet. Always so much of it is at a time: what a compressor makes of a text depends on where
    /// it is interrupted, and the same endpoints are to give the same files.
    text: Vec<u8>,
}

enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(text),
            Self::Zstd(encoder) => encoder.write_all(text),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Packer {
    fn new(compression: Compression) -> io::Result<Self> {
        let encoder = match compression {
            Compression::None => None,
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Some(Encoder::Gzip(Box::new(GzEncoder::new(Vec::new(), level))))
            }
            Compression::Zstd => {
                Some(Encoder::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 0)?)))
            }
        };
        Ok(Self { encoder, text: Vec::new() })
    }

    /// What can be written now that this is added.
    fn pack<'a>(&'a mut self, mut text: &'a [u8]) -> io::Result<&'a [u8]> {
        let Some(encoder) = &mut self.encoder else { return Ok(text) };
        encoder.output().clear();
        while self.text.len() + text.len() >= EXPORT_HANDED {
            let (now, later) = text.split_at(EXPORT_HANDED - self.text.len());
            match self.text.is_empty() {
                true => encoder.write_all(now)?,
                false => {
                    self.text.extend_from_slice(now);
                    encoder.write_all(&self.text)?;
                    self.text.clear();
                }
            }
            text = later;
        }
        self.text.extend_from_slice(text);
        Ok(encoder.output())
    }

    /// What comes last.
    fn end(&mut self) -> io::Result<Vec<u8>> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(Vec::new()) };
        encoder.output().clear();
        encoder.write_all(&self.text)?;
        encoder.finish()
    }
}
