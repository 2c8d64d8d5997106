//! From columns to a Parquet file, a group of rows at a time: the schema, how columns are encoded, the footer. It hands on the
//! bytes of the file as they come, and never holds more of it than a group and the footer.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use parquet::{
    basic::{Compression as Codec, GzipLevel, ZstdLevel},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        metadata::SortingColumn,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnPath, TypePtr},
    },
};
use pinport_model::Compression;
use pinport_store::record::write::columns::{Column, Columns, SHAPES, Shape};

use super::{ExportError, packing::GZIP_LEVEL};
use crate::limits::PARQUET_GROUPS;

/// What a warehouse makes a table of. Members are those that JSON has, and as optional as there: a member that every endpoint
/// has is required. Dates are texts, because a date that the API was given is kept as it was written, whatever that is.
const SCHEMA: &str = "
message endpoint {
  optional binary ChannelType (STRING);
  optional binary Address (STRING);
  required binary EndpointStatus (STRING);
  required binary OptOut (STRING);
  optional group Location {
    optional binary City (STRING);
    optional binary Country (STRING);
    optional double Latitude;
    optional double Longitude;
    optional binary PostalCode (STRING);
    optional binary Region (STRING);
  }
  optional group Demographic {
    optional binary AppVersion (STRING);
    optional binary Locale (STRING);
    optional binary Make (STRING);
    optional binary Model (STRING);
    optional binary ModelVersion (STRING);
    optional binary Platform (STRING);
    optional binary PlatformVersion (STRING);
    optional binary Timezone (STRING);
  }
  required binary EffectiveDate (STRING);
  required group Attributes (MAP) {
    repeated group key_value {
      required binary key (STRING);
      required group value (LIST) {
        repeated group list {
          required binary element (STRING);
        }
      }
    }
  }
  optional group Metrics (MAP) {
    repeated group key_value {
      required binary key (STRING);
      required double value;
    }
  }
  optional group User {
    required group UserAttributes (MAP) {
      repeated group key_value {
        required binary key (STRING);
        required group value (LIST) {
          repeated group list {
            required binary element (STRING);
          }
        }
      }
    }
    optional binary UserId (STRING);
  }
  optional binary CohortId (STRING);
  optional binary RequestId (STRING);
  required binary ApplicationId (STRING);
  required binary Id (STRING);
  required binary CreationDate (STRING);
}";

/// Columns whose values are nearly all different: a dictionary of them would be made in vain.
const UNLIKE: [&str; 3] = ["Address", "Id", "User.UserId"];

/// Levels that are encoded at a time, and the values that belong to them.
const AT_ONCE: usize = 8 << 10;

/// The level at which zstd is used: its own default.
const ZSTD_LEVEL: i32 = 3;

static TYPE: LazyLock<TypePtr> =
    LazyLock::new(|| Arc::new(parse_message_type(SCHEMA).expect("a test reads the schema")));

/// What a file says of its columns.
pub(super) fn schema() -> TypePtr {
    TYPE.clone()
}

impl From<ParquetError> for ExportError {
    fn from(error: ParquetError) -> Self {
        Self::Io(std::io::Error::other(error))
    }
}

/// A Parquet file while it is made.
pub struct ParquetFile {
    writer: SerializedFileWriter<Vec<u8>>,
    values: Vec<ByteArray>,
}

impl ParquetFile {
    /// A file whose pages are compressed so.
    pub fn new(compression: Compression) -> Result<Self, ExportError> {
        let codec = match compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Gzip => Codec::GZIP(GzipLevel::try_new(GZIP_LEVEL)?),
            Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
        };
        let id = SHAPES.iter().position(|shape| shape.path == "Id");
        // They are read out in order of id, byte by byte.
        let sorted = id.map(|id| SortingColumn {
            column_idx: i32::try_from(id).unwrap_or_default(),
            descending: false,
            nulls_first: false,
        });
        let mut properties = WriterProperties::builder()
            .set_compression(codec)
            // One for each page makes the footer, which is held to the end, many times as large.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_sorting_columns(sorted.map(|sorted| vec![sorted]));
        for name in UNLIKE {
            let path = ColumnPath::new(name.split('.').map(str::to_owned).collect());
            properties = properties.set_column_dictionary_enabled(path, false);
        }
        let writer = SerializedFileWriter::new(Vec::new(), schema(), Arc::new(properties.build()))?;
        Ok(Self { writer, values: Vec::new() })
    }

    /// Adds endpoints as a group of rows; the next bytes of the file.
    pub fn group(&mut self, columns: Columns) -> Result<Vec<u8>, ExportError> {
        if columns.rows() > 0 {
            if self.writer.flushed_row_groups().len() >= PARQUET_GROUPS {
                let text = format!(
                    "one Parquet file holds at most {PARQUET_GROUPS} groups of rows: export to a folder or a bucket, \
                     which take parts"
                );
                return Err(ExportError::Unfit(text));
            }
            let mut group = self.writer.next_row_group()?;
            for (column, shape) in columns.into_columns().into_iter().zip(&SHAPES) {
                let Some(mut writer) = group.next_column()? else { break };
                match writer.untyped() {
                    ColumnWriter::ByteArrayColumnWriter(writer) => {
                        each_text(column, shape, &mut self.values, &mut |texts, definition, repetition| {
                            writer.write_batch(texts, definition, repetition)
                        })?;
                    }
                    ColumnWriter::DoubleColumnWriter(writer) => {
                        let Column { numbers, definition, repetition, .. } = &column;
                        writer.write_batch(numbers, levels(definition), levels(repetition))?;
                    }
                    _ => {}
                }
                writer.close()?;
            }
            group.close()?;
        }
        self.taken()
    }

    /// The last bytes of the file.
    pub fn end(mut self) -> Result<Vec<u8>, ExportError> {
        self.writer.finish()?;
        self.taken()
    }

    fn taken(&mut self) -> Result<Vec<u8>, ExportError> {
        self.writer.flush()?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}

fn levels(levels: &[i16]) -> Option<&[i16]> {
    (!levels.is_empty()).then_some(levels)
}

/// Writes texts with some levels of theirs.
type WriteTexts<'a> =
    dyn FnMut(&[ByteArray], Option<&[i16]>, Option<&[i16]>) -> Result<usize, ParquetError> + 'a;

/// Hands the texts of a column on, some at a time: each is a handle of 40 bytes then.
fn each_text(
    column: Column,
    shape: &Shape,
    values: &mut Vec<ByteArray>,
    write: &mut WriteTexts<'_>,
) -> Result<(), ParquetError> {
    let Column { texts, ends, definition, repetition, .. } = column;
    let texts = Bytes::from(texts);
    let count = if definition.is_empty() { ends.len() } else { definition.len() };
    let mut starts = std::iter::once(0).chain(ends.iter().copied());
    let mut ends = ends.iter().copied();
    let mut from = 0;
    while from < count {
        let mut to = count.min(from + AT_ONCE);
        // A row is not torn.
        while repetition.get(to).is_some_and(|level| *level > 0) {
            to += 1;
        }
        let definition = definition.get(from..to);
        let there = definition
            .map_or(to - from, |levels| levels.iter().filter(|level| **level == shape.definition).count());
        values.clear();
        values.extend(
            starts
                .by_ref()
                .zip(ends.by_ref())
                .take(there)
                .map(|(start, end)| ByteArray::from(texts.slice(start as usize..end as usize))),
        );
        write(values, definition, repetition.get(from..to))?;
        from = to;
    }
    values.clear();
    Ok(())
}
