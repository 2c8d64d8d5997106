//! Figures, by hand: `cargo test --release -p pinport-pipeline measure -- --ignored --nocapture`.

use std::{fs, io::Write, net::TcpListener, time::Instant};

use super::*;
use crate::source::{Compression, decode::tests::encode};

/// Seconds of CPU time of this thread and the runtime's.
fn cpu() -> f64 {
    let me = fs::read_link("/proc/thread-self").unwrap();
    let me = me.file_name().unwrap().to_owned();
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten().filter(|task| {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        task.file_name() == me || name.starts_with("tokio")
    });
    let nanos: u64 = tasks
        .filter_map(|task| {
            fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    nanos as f64 / 1e9
}

fn figure(name: &str, source: &Source, expected: u64) {
    let all = list(source, Format::Json).unwrap();
    let (begun, before) = (Instant::now(), cpu());
    let mut stream = source.read(readable(all), 0);
    let mut buf = vec![0; 512 << 10];
    let mut bytes = 0;
    while let Some(reader) = stream.next_object() {
        let mut reader = reader.unwrap();
        loop {
            match reader.read(&mut buf).unwrap() {
                0 => break,
                count => bytes += count as u64,
            }
        }
    }
    assert_eq!(bytes, expected);
    let (cpu, wall, gb) = (cpu() - before, begun.elapsed().as_secs_f64(), bytes as f64 / 1e9);
    println!("{name}: {:.2} GB per CPU second, {:.2} GB/s", gb / cpu, gb / wall);
}

fn rows(bytes: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(bytes + 1000);
    let mut row = 0_u64;
    while data.len() < bytes {
        let mix = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(
            data,
            "{{\"Id\":\"{mix:016x}{row:08x}\",\"ChannelType\":\"EMAIL\",\"Address\":\"user{mix:x}@example.com\",\"Location\":{{\"City\":\"City {}\",\"Country\":\"US\"}},\
             \"Demographic\":{{\"Platform\":\"iOS\",\"Locale\":\"en_US\",\"Timezone\":\"America/Los_Angeles\"}},\"Attributes\":{{\"plan\":[\"p{}\"],\"tags\":[\"t{}\",\"t{}\"]}},\
             \"Metrics\":{{\"visits\":{}.5}},\"User\":{{\"UserId\":\"u{:x}\"}}}}",
            mix % 900, mix % 7, mix % 31, mix % 57, mix % 1000, mix >> 20
        )
        .unwrap();
        row += 1;
    }
    data
}

#[test]
#[ignore = "prints figures"]
fn local_files() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let data = rows(256 << 20);
    for codec in
        [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz]
    {
        let part =
            if matches!(codec, Compression::Bzip2 | Compression::Xz) { &data[..32 << 20] } else { &data };
        let path = folder.path().join("x.json");
        fs::write(&path, encode(codec, part)).unwrap();
        let source = open(path.to_str().unwrap(), options(), &runtime).unwrap();
        figure(codec.as_str(), &source, part.len() as u64);
    }
}

/// Client and server share the processors, but only the client's CPU time is counted.
#[test]
#[ignore = "prints figures"]
fn s3_over_loopback() {
    let runtime = runtime();
    let size = 8_u64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::Builder::new()
        .name("static".into())
        .spawn(move || super::script::serve_static(&listener, 128, size))
        .unwrap();
    for request_bytes in [4 << 20, 8 << 20] {
        let options = SourceOptions { request_bytes, ..super::script::fault_options(address) };
        let source = open("s3://bucket/big", options.clone(), &runtime).unwrap();
        figure(&format!("s3, ranges of {} MiB", request_bytes >> 20), &source, 128 * size);
    }
}
