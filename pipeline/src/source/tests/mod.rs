//! Sources as a job reads them: folders, a real S3 server, and a server that misbehaves by script.

mod content;
mod faults;
mod local;
mod measure;
mod s3;
mod script;
mod stores;

use std::time::Duration;

use pinport_model::{Format, PlannedObject, SourceLocation};
use tokio::runtime::Runtime;

use super::{ObjectStream, Settings, Source, SourceError, SourceOptions};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn options() -> SourceOptions {
    SourceOptions {
        settings: Settings::empty(),
        retry_base: Duration::from_millis(1),
        read_timeout: Duration::from_secs(5),
        whole_bytes: 0,
        ..SourceOptions::default()
    }
}

fn list(source: &Source, format: Format) -> Result<Vec<PlannedObject>, SourceError> {
    let mut all = Vec::new();
    source.list(format, &mut |object| {
        all.push(object);
        Ok(())
    })?;
    Ok(all)
}

/// The keys that are read, and those that are skipped.
fn keys(all: &[PlannedObject]) -> (Vec<&str>, Vec<&str>) {
    let (read, skipped): (Vec<_>, Vec<_>) = all.iter().partition(|object| object.skipped.is_none());
    let key = |object: &&PlannedObject| all.iter().position(|other| std::ptr::eq(other, *object)).unwrap();
    let name =
        |objects: Vec<&PlannedObject>| objects.iter().map(|object| all[key(object)].key.as_str()).collect();
    (name(read), name(skipped))
}

fn readable(
    all: Vec<PlannedObject>,
) -> impl Iterator<Item = Result<PlannedObject, SourceError>> + Send + 'static {
    all.into_iter().filter(|object| object.skipped.is_none()).map(Ok)
}

type Contents = Vec<(String, Result<Vec<u8>, SourceError>)>;

/// Everything that a stream gives, with an odd buffer and as chunks by turns.
fn drain(mut stream: ObjectStream) -> Contents {
    let mut all = Vec::new();
    let mut buf = vec![0; 100_003];
    while let Some(next) = stream.next_object() {
        let mut reader = match next {
            Ok(reader) => reader,
            Err(error) => {
                all.push((String::new(), Err(error)));
                continue;
            }
        };
        let mut bytes = Vec::new();
        let result = loop {
            match reader.take_chunk(0) {
                Ok(Some(chunk)) => bytes.extend_from_slice(chunk.bytes()),
                Ok(None) => {}
                Err(error) => {
                    assert_eq!(reader.take_chunk(0).err(), Some(error.clone()), "an error stays");
                    assert_eq!(reader.read(&mut buf), Err(error.clone()), "an error stays");
                    break Err(error);
                }
            }
            match reader.read(&mut buf) {
                Ok(0) => break Ok(bytes),
                Ok(count) => bytes.extend_from_slice(&buf[..count]),
                Err(error) => {
                    assert_eq!(reader.read(&mut buf), Err(error.clone()), "an error stays");
                    break Err(error);
                }
            }
        };
        if result.is_ok() {
            assert_eq!(reader.read(&mut buf), Ok(0), "the end stays");
            if reader.object().key != "-" {
                assert_eq!(reader.source_bytes(), reader.object().size);
            }
        }
        all.push((reader.object().key.clone(), result));
    }
    assert!(stream.next_object().is_none());
    all
}

fn open(location: &str, options: SourceOptions, runtime: &Runtime) -> Result<Source, SourceError> {
    Source::open(&location.parse::<SourceLocation>().unwrap(), options, runtime.handle().clone())
}

/// Bytes that differ everywhere and do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
