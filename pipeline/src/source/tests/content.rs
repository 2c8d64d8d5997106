//! Objects that hold no records: skipped in a folder and named, refused where they are read.

use pinport_model::ReadOptions;

use super::*;
use crate::source::{
    Compression, Foreign,
    archive::tests::{tar, zip},
    decode::tests::encode,
    tests::local::write,
};

fn parquet() -> Vec<u8> {
    let mut bytes = b"PAR1\x15\x04\x15\x40".to_vec();
    bytes.extend(noise(2000, 7));
    bytes
}

#[test]
fn what_is_no_data_is_skipped_in_a_folder_with_its_reason() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    for (key, bytes) in [
        ("a.csv", b"Id\n1\n".to_vec()),
        ("b", parquet()),
        ("c.dat", encode(Compression::Gzip, &parquet())),
        ("d.dat", b"<!DOCTYPE html>".to_vec()),
        ("_x/e.csv", b"Id\n2\n".to_vec()),
        (".f.csv", b"Id\n3\n".to_vec()),
        ("g.dat", b"Id\n4\n".to_vec()),
    ] {
        write(folder.path(), key, &bytes);
    }
    let source = open(folder.path().to_str().unwrap(), options(), &runtime).unwrap();
    let all = list(&source, Format::Csv).unwrap();
    assert_eq!(keys(&all).0, ["a.csv", "g.dat"]);
    let reasons: Vec<_> = all.iter().filter_map(|object| object.skipped.as_deref()).collect();
    assert_eq!(
        reasons,
        [
            "it is a hidden file",
            "it lies in a folder whose name begins with _",
            "it is a Parquet file",
            "it is a Parquet file",
            "it is a web page (HTML)",
        ]
    );
}

/// However few bytes arrive at once, and whatever the name says.
#[test]
fn what_is_no_data_is_refused_before_its_first_byte() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    for (key, bytes, what) in [
        ("a.csv", parquet(), Foreign::Parquet),
        ("b.csv.gz", encode(Compression::Gzip, &parquet()), Foreign::Parquet),
        ("c.csv", encode(Compression::Zstd, b"%PDF-1.7"), Foreign::Pdf),
        ("d.csv", b"<?xml version='1.0'?><Error><Code>x</Code></Error>".to_vec(), Foreign::StoreError),
        ("e.csv", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), Foreign::LfsPointer),
    ] {
        write(folder.path(), key, &bytes);
        let source = open(folder.path().join(key).to_str().unwrap(), options(), &runtime).unwrap();
        let all = list(&source, Format::Csv).unwrap();
        let contents = drain(source.read(readable(all.clone()), 0));
        let [(_, Err(SourceError::NotData { what: found, .. }))] = &contents[..] else {
            panic!("{key}: {contents:?}")
        };
        assert_eq!(*found, what, "{key}");
        assert!(matches!(source.head(&all[0], 10), Err(SourceError::NotData { .. })), "{key}");
    }
    // One object of a folder costs the others nothing.
    write(folder.path(), "z.csv", b"Id\n1\n");
    let source = open(folder.path().to_str().unwrap(), options(), &runtime).unwrap();
    let contents = drain(source.read(readable(list(&source, Format::Csv).unwrap()), 0));
    assert_eq!(contents.len(), 6);
    assert_eq!(contents[5], ("z.csv".to_owned(), Ok(b"Id\n1\n".to_vec())));
}

#[test]
fn what_is_compressed_twice_is_read_from_any_byte() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let data: Vec<u8> = (0..60_000).flat_map(|row| format!("{row},{}\n", row * 7919).into_bytes()).collect();
    for (outer, inner) in [
        (Compression::Gzip, Compression::Gzip),
        (Compression::Zstd, Compression::Bzip2),
        (Compression::Gzip, Compression::Xz),
    ] {
        write(folder.path(), "x.csv.gz", &encode(outer, &encode(inner, &data)));
        let source = open(folder.path().join("x.csv.gz").to_str().unwrap(), options(), &runtime).unwrap();
        let all = list(&source, Format::Csv).unwrap();
        for start in [0, 1, 511, 512, 70_000, data.len()] {
            let contents = drain(source.read(readable(all.clone()), start as u64));
            assert!(contents[0].1.as_deref() == Ok(&data[start..]), "{outer:?} {inner:?} {start}");
        }
        let cut = &encode(outer, &encode(inner, &data)[..3000]);
        write(folder.path(), "x.csv.gz", cut);
        let contents = drain(source.read(readable(list(&source, Format::Csv).unwrap()), 0));
        assert!(matches!(contents[0].1, Err(SourceError::Truncated { .. })), "{contents:?}");
    }
    let thrice = (0..3).fold(data, |data, _| encode(Compression::Gzip, &data));
    write(folder.path(), "y.csv.gz", &thrice);
    let source = open(folder.path().join("y.csv.gz").to_str().unwrap(), options(), &runtime).unwrap();
    let contents = drain(source.read(readable(list(&source, Format::Csv).unwrap()), 0));
    assert!(matches!(contents[0].1, Err(SourceError::NotData { what: Foreign::CompressedAgain, .. })));
}

/// Two layers of zeroes: small to read, and larger than anybody's memory when decoded.
#[test]
fn a_bomb_in_a_bomb_is_refused() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let bomb = encode(Compression::Gzip, &encode(Compression::Gzip, &vec![b' '; 64 << 20]));
    assert!(bomb.len() < 16 << 10, "{}", bomb.len());
    write(folder.path(), "x.csv.gz", &bomb);
    let options = SourceOptions { ratio_grace: 1 << 20, ..options() };
    let source = open(folder.path().join("x.csv.gz").to_str().unwrap(), options, &runtime).unwrap();
    let contents = drain(source.read(readable(list(&source, Format::Csv).unwrap()), 0));
    assert!(matches!(contents[0].1, Err(SourceError::TooLarge { .. })), "{:?}", contents[0].1);
}

/// So an import that was stopped goes on, also within a member.
#[test]
fn an_archive_is_read_from_any_byte() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let rows =
        |start: u32| (start..start + 9_000).map(|row| format!("{row},{}\n", row * 7919)).collect::<String>();
    let (a, b) = (format!("Id,Address\n{}", rows(0)), format!("Id,Address\n{}", rows(9_000)));
    let all = format!("{a}{}", rows(9_000));
    let members = [("a.csv", a.as_bytes()), ("b.csv", b.as_bytes()), ("c.json", b"{}")];
    for (name, bytes) in [
        ("x.zip", zip(&members)),
        ("x.tar", tar(&members)),
        ("x.tgz", encode(Compression::Gzip, &tar(&members))),
    ] {
        write(folder.path(), name, &bytes);
        let source = open(folder.path().join(name).to_str().unwrap(), options(), &runtime).unwrap();
        let source = source.reading(Format::Csv, &ReadOptions::default());
        let listed = list(&source, Format::Csv).unwrap();
        assert_eq!(source.head(&listed[0], 16).unwrap(), &all.as_bytes()[..16]);
        for start in [0, 1, 511, 70_000, a.len() - 1, a.len(), a.len() + 1, all.len()] {
            let contents = drain(source.read(readable(listed.clone()), start as u64));
            assert!(contents[0].1.as_deref() == Ok(&all.as_bytes()[start..]), "{name} {start}");
        }
    }
}
