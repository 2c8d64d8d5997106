//! pinport's decoders beside async-compression's: the same libraries below, in one program, on one thread.
//!
//! ```text
//! pinport sample --rows 100000 >rows.json
//! cargo run --release --manifest-path benches/decoders/Cargo.toml -- rows.json [--runs 5]
//! ```
//!
//! Both decode the same bytes in turn, each several times, and the least CPU time of each is printed. pinport reads
//! its bytes from a file, as an import does; async-compression has them in memory already.

#[allow(dead_code, reason = "the benchmark of the stages needs more of it")]
#[path = "../../stages/clock.rs"]
mod clock;

use std::{
    env, fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZstdDecoder};
use pinport_model::{Format, PlannedObject, SourceLocation};
use pinport_pipeline::source::{Source, SourceOptions};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    runtime::{Builder, Runtime},
};

/// Bytes that the slow codecs get.
const LESS: usize = 32 << 20;

/// Bytes that are asked of a decoder at once: a block of the pipeline.
const BLOCK: usize = 512 << 10;

struct Codec {
    name: &'static str,
    most: usize,
    encode: fn(&[u8]) -> io::Result<Vec<u8>>,
}

const CODECS: [Codec; 4] = [
    Codec { name: "gzip", most: usize::MAX, encode: gzip },
    Codec { name: "zstd", most: usize::MAX, encode: |bytes| zstd::encode_all(bytes, 3) },
    Codec { name: "bzip2", most: LESS, encode: bzip2 },
    Codec { name: "xz", most: LESS, encode: xz },
];

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let rows = arguments.next().expect("a file of rows is named");
    let runs: u32 = arguments.nth(1).map_or(5, |runs| runs.parse().expect("a number of runs"));
    let rows = fs::read(rows)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let object = env::temp_dir().join(format!("pinport-decoders-{}", std::process::id()));

    println!("GB decoded per CPU second\n\n| codec | pinport | async-compression |\n|---|---:|---:|");
    for codec in CODECS {
        let decoded = &rows[..rows.len().min(codec.most)];
        let encoded = (codec.encode)(decoded)?;
        fs::write(&object, &encoded)?;
        // Not zeros: those are pages that the system has yet to give.
        let mut room = vec![1; decoded.len() + 1];
        let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
        for _ in 0..runs {
            let source = open(&object, &runtime);
            ours = ours.min(measured(decoded, &mut room, |room| read(&source, room)));
            theirs = theirs.min(measured(decoded, &mut room, |room| {
                runtime.block_on(read_async(codec.name, &encoded, room)).expect("the bytes are sound")
            }));
        }
        let speed = |seconds: f64| decoded.len() as f64 / seconds / 1e9;
        println!("| {} | {:.3} | {:.3} |", codec.name, speed(ours), speed(theirs));
    }
    fs::remove_file(object)
}

/// CPU seconds of this thread that `decode` takes; what it makes must be `expected`.
fn measured(expected: &[u8], room: &mut [u8], decode: impl FnOnce(&mut [u8]) -> usize) -> f64 {
    room.fill(1);
    let (length, cost) = clock::thread(|| decode(room));
    assert!(room[..length] == *expected, "{length} bytes were decoded, not the {} expected", expected.len());
    cost.seconds()
}

fn open(object: &Path, runtime: &Runtime) -> Arc<Source> {
    let location = SourceLocation::Path(object.into());
    Arc::new(
        Source::open(&location, SourceOptions::default(), runtime.handle().clone())
            .expect("the file is there"),
    )
}

fn read(source: &Arc<Source>, room: &mut [u8]) -> usize {
    let mut objects: Vec<PlannedObject> = Vec::new();
    source
        .list(Format::Json, &mut |object| {
            objects.push(object);
            Ok(())
        })
        .expect("the file is there");
    let mut stream = source.read(objects.into_iter().map(Ok), 0);
    let mut object = stream.next_object().expect("it can be read").expect("there is an object");
    let mut length = 0;
    loop {
        let end = room.len().min(length + BLOCK);
        match object.read(&mut room[length..end]).expect("the bytes are sound") {
            0 => return length,
            bytes => length += bytes,
        }
    }
}

async fn read_async(codec: &str, encoded: &[u8], room: &mut [u8]) -> io::Result<usize> {
    macro_rules! all {
        ($decoder:ident) => {{
            let mut decoder = $decoder::new(encoded);
            // As an import must: after a member there may be another.
            decoder.multiple_members(true);
            drain(decoder, room).await
        }};
    }
    match codec {
        "gzip" => all!(GzipDecoder),
        "zstd" => all!(ZstdDecoder),
        "bzip2" => all!(BzDecoder),
        "xz" => all!(XzDecoder),
        _ => unreachable!("the codecs are those above"),
    }
}

async fn drain(mut decoder: impl AsyncRead + Unpin, room: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let end = room.len().min(length + BLOCK);
        match decoder.read(&mut room[length..end]).await? {
            0 => return Ok(length),
            bytes => length += bytes,
        }
    }
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn bzip2(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn xz(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes)?;
    encoder.finish()
}
