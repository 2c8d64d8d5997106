//! Files to decoded bytes, by codec.

use std::{fs, io::Write, sync::Arc};

use pinport_model::{Format, PlannedObject, SourceLocation};
use pinport_pipeline::source::{Source, SourceOptions};

use crate::{
    Wanted,
    clock::{self, Cost},
    data::Data,
};

type Encode = fn(&[u8]) -> Vec<u8>;

/// Bytes that the slow codecs get.
const LESS: usize = 32 << 20;

const CODECS: [(&str, Encode, usize); 5] = [
    ("none", |bytes| bytes.to_vec(), usize::MAX),
    ("gzip", gzip, usize::MAX),
    ("zstd", |bytes| zstd::encode_all(bytes, 3).unwrap(), usize::MAX),
    ("bzip2", bzip2, LESS),
    ("xz", xz, LESS),
];

pub(crate) fn run(wanted: &Wanted, data: &Data) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, encode, most) in CODECS {
        let name = format!("read and decode {name}");
        if !wanted.any(&[&name]) {
            continue;
        }
        let part = whole_lines(&data.json[..data.json.len().min(most)]);
        let rows = part.iter().filter(|byte| **byte == b'\n').count() as u64;
        let path = data.path("object.json");
        fs::write(&path, encode(part)).unwrap();
        let source = Arc::new(
            Source::open(&SourceLocation::Path(path), SourceOptions::default(), runtime.handle().clone())
                .unwrap(),
        );
        wanted.measure(&name, rows, part.len() as u64, || read(&source, part));
    }
}

fn read(source: &Source, expected: &[u8]) -> Cost {
    let mut objects: Vec<PlannedObject> = Vec::new();
    source
        .list(Format::Json, &mut |object| {
            objects.push(object);
            Ok(())
        })
        .unwrap();
    // Not zeros: those are pages that the system has yet to give, on the clock.
    let mut decoded = vec![1; expected.len() + 1];
    let (length, cost) = clock::thread(|| {
        let mut stream = source.read(objects.into_iter().map(Ok), 0);
        let mut object = stream.next_object().unwrap().unwrap();
        let mut length = 0;
        loop {
            let end = decoded.len().min(length + (512 << 10));
            match object.read(&mut decoded[length..end]).unwrap() {
                0 => break length,
                bytes => length += bytes,
            }
        }
    });
    assert!(
        decoded[..length] == *expected,
        "{length} bytes were decoded, not the {} expected",
        expected.len()
    );
    cost
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap();
    &bytes[..=end]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
