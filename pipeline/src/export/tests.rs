//! Parquet files: the schema, and files that are made group by group.

use std::ops::ControlFlow;

use bytes::Bytes;
use parquet::{
    basic::Type,
    file::reader::{FileReader as _, SerializedFileReader},
    schema::types::SchemaDescriptor,
};
use pinport_model::{Application, ApplicationId, Channel, Compression, Draft, TextMember, Timestamp};
use pinport_store::{
    Scope, Store as _,
    memory::Memory,
    record::write::columns::{Columns, SHAPES},
};

use super::{ExportError, ParquetFile, columnar::schema};
use crate::limits::PARQUET_GROUPS;

const APP: ApplicationId = ApplicationId::from_bytes([7; 16]);

#[test]
fn the_schema_has_the_columns_that_are_written() {
    let descriptor = SchemaDescriptor::new(schema());
    assert_eq!(descriptor.num_columns(), SHAPES.len());
    for (column, shape) in descriptor.columns().iter().zip(&SHAPES) {
        let expected = if shape.is_number { Type::DOUBLE } else { Type::BYTE_ARRAY };
        assert_eq!((column.path().string().as_str(), column.physical_type()), (shape.path, expected));
        let levels = (column.max_def_level(), column.max_rep_level());
        assert_eq!(levels, (shape.definition, shape.repetition), "{}", shape.path);
    }
}

/// A store with so many endpoints.
fn store(rows: usize) -> Memory {
    let store = Memory::default();
    let created = Timestamp::from_millis(0);
    let application = Application { id: APP, name: "a".into(), created, tags: Default::default() };
    store.create_application(&application).unwrap();
    for row in 0..rows {
        let mut draft = Draft::default();
        draft.set_text(TextMember::Address, Some("a@x"));
        draft.channel = Some(Channel::Email);
        store.put_endpoint(APP, &format!("e{row:05}"), &mut draft, created).unwrap();
    }
    store
}

/// All endpoints of the store.
fn columns(store: &Memory) -> Columns {
    let mut columns = Columns::new(APP);
    let mut add = |stored: pinport_store::Stored<'_>| {
        columns.add(&stored)?;
        Ok(ControlFlow::Continue(()))
    };
    store.read_out(Scope::Application(APP), None, 1 << 20, &mut add).unwrap();
    columns
}

#[test]
fn a_file_is_its_bytes_group_by_group() {
    let store = store(20);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut file = ParquetFile::new(compression).unwrap();
        let mut bytes = Vec::new();
        for _ in 0..3 {
            bytes.extend(file.group(columns(&store)).unwrap());
            // A group without rows is none.
            assert_eq!(file.group(Columns::new(APP)).unwrap(), b"");
        }
        bytes.extend(file.end().unwrap());
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let groups: Vec<_> = reader
            .metadata()
            .row_groups()
            .iter()
            .map(|group| (group.num_rows(), group.num_columns()))
            .collect();
        assert_eq!(groups, [(20, SHAPES.len()); 3]);
        let ids: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                row.unwrap().into_columns().into_iter().find(|(name, _)| name == "Id").unwrap().1.to_string()
            })
            .collect();
        assert_eq!((ids.len(), &*ids[0], &*ids[59]), (60, "\"e00000\"", "\"e00019\""));
    }
}

#[test]
fn groups_of_a_file_are_bounded() {
    let store = store(1);
    let mut file = ParquetFile::new(Compression::None).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..PARQUET_GROUPS {
        bytes.extend(file.group(columns(&store)).unwrap());
    }
    let error = file.group(columns(&store)).unwrap_err();
    assert!(matches!(&error, ExportError::Unfit(text) if text.contains("export to a folder")), "{error}");
    bytes.extend(file.end().unwrap());
    // What the footer takes while it is held: docs/limits.md says so.
    let held = SerializedFileReader::new(Bytes::from(bytes)).unwrap().metadata().memory_size();
    assert!(held < PARQUET_GROUPS * (16 << 10), "{held} bytes");
}
