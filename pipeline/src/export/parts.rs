//! From rows as text to parts: cut, compressed, hashed, written, and listed in a manifest.

use std::{io, path::Path, sync::mpsc::Receiver, time::Instant};

use pinport_model::{Compression, WrittenPart};
use pinport_store::ranges::Spare;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Export, ExportError, Form, Handed, ParquetFile, Text,
    packing::Packer,
    target::{Part, Target},
};

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
    file: Hashed<'a>,
    packer: Packer,
    records: u64,
    text_bytes: u64,
    begun: Instant,
}

/// The file of a part, with the hash of what is in it; of what a pipe takes no manifest says one.
struct Hashed<'a> {
    part: Part<'a>,
    hash: Option<Sha256>,
    bytes: u64,
}

impl Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.bytes += bytes.len() as u64;
        self.part.write(bytes)
    }
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
        let hash = (!target.is_pipe()).then(Sha256::new);
        Ok(Self {
            file: Hashed { part: target.begin(&name, note)?, hash, bytes: 0 },
            name,
            packer: Packer::new(compression)?,
            records: 0,
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
        let Self { packer, file, .. } = self;
        packer.pack(bytes, &mut |packed| file.write(packed))
    }

    /// Makes it whole: it is there when this returns. `last` is the id of its last endpoint.
    pub fn end(self, last: String) -> Result<WrittenPart, ExportError> {
        let Self { name, mut file, packer, records, text_bytes, begun } = self;
        packer.end(&mut |packed| file.write(packed))?;
        let Hashed { part, hash, bytes } = file;
        part.finish()?;
        tracing::debug!(name, records, took = ?begun.elapsed(), "a part is written");
        let sha256 = hash.map(|hash| pinport_model::hex(hash.finalize())).unwrap_or_default();
        Ok(WrittenPart { name, records, bytes, text_bytes, sha256, last })
    }
}
