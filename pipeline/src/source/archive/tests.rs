//! Archives as programs write them, at every chunk and buffer size; and broken ones.

use std::io::Write;

use super::{super::content::tar_sum, *};
use crate::source::{
    content::Foreign,
    decode::{tests::encode, whole::Chunks},
    decoded::{Decoded, Reading},
};

const OPEN: Caps = Caps::NONE;

/// How a member lies in a zip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packed {
    Stored,
    Deflated,
    /// Its sum and sizes follow: with a signature, of eight bytes, said in front.
    Behind(bool, bool, bool),
    Encrypted,
    Method(u16),
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let members: Vec<_> = members.iter().map(|(name, bytes)| (*name, *bytes, Packed::Deflated)).collect();
    zip_of(&members)
}

fn zip_of(members: &[(&str, &[u8], Packed)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes, packed) in members {
        let data = match packed {
            Packed::Stored | Packed::Encrypted | Packed::Method(_) => bytes.to_vec(),
            _ => deflate(bytes),
        };
        let (flags, method, extra): (u16, u16, &[u8]) = match packed {
            Packed::Stored => (0, 0, &[]),
            Packed::Encrypted => (1, 0, &[]),
            Packed::Method(method) => (0, *method, &[]),
            Packed::Deflated => (0, 8, &[]),
            Packed::Behind(_, _, false) => (8, 8, &[]),
            Packed::Behind(_, _, true) => {
                (8, 8, &[0xcc, 0xbb, 1, 0, 7, 1, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            }
        };
        let behind = matches!(packed, Packed::Behind(..));
        let sizes = |out: &mut Vec<u8>, large: bool| {
            for size in [data.len(), bytes.len()] {
                match large {
                    true => out.extend((size as u64).to_le_bytes()),
                    false => out.extend((size as u32).to_le_bytes()),
                }
            }
        };
        let mut common = Vec::new();
        for field in [20, flags, method, 0, 0] {
            common.extend(field.to_le_bytes());
        }
        match behind {
            true => common.extend([0; 12]),
            false => {
                common.extend(crc(bytes).to_le_bytes());
                sizes(&mut common, false);
            }
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend((extra.len() as u16).to_le_bytes());
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 14]);
        directory.extend(name.as_bytes());
        directory.extend(extra);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(extra);
        out.extend(&data);
        if let Packed::Behind(signature, large, _) = packed {
            if *signature {
                out.extend(b"PK\x07\x08");
            }
            out.extend(crc(bytes).to_le_bytes());
            sizes(&mut out, *large);
        }
    }
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([0; 12]);
    out.extend([3, 0, b'e', b'n', b'd']);
    out
}

fn tar_entry(name: &[u8], kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut header = vec![0; HEAD_BYTES];
    header[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum = tar_sum(&header).unwrap();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(bytes);
    header.resize(header.len().next_multiple_of(HEAD_BYTES), 0);
    header
}

pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all: Vec<u8> =
        members.iter().flat_map(|(name, bytes)| tar_entry(name.as_bytes(), b'0', bytes)).collect();
    all.extend([0; 2 * HEAD_BYTES]);
    all
}

/// What an object is read as, the end, and what was skipped.
fn read(
    object: &[u8],
    format: Format,
    chunk: usize,
    room: usize,
) -> (Vec<u8>, Result<(), Fault>, Vec<String>) {
    let mut input = Chunks { bytes: object, size: chunk };
    let lead = &object[..object.len().min(HEAD_BYTES)];
    let mut decoded =
        match Decoded::begin(lead, &mut input, OPEN, Reading { format: Some(format), encoding: None }) {
            Ok(decoded) => decoded,
            Err(fault) => return (Vec::new(), Err(fault), Vec::new()),
        };
    let (mut all, mut buf, mut notes) = (Vec::new(), vec![0; room], Vec::new());
    loop {
        let result = decoded.read(&mut input, &mut buf);
        notes.extend(decoded.take_notes().into_iter().map(|(_, note)| note));
        match result {
            Ok(0) => {
                assert_eq!(decoded.source_bytes(), object.len() as u64, "all of it was read");
                return (all, Ok(()), notes);
            }
            Ok(bytes) => all.extend_from_slice(&buf[..bytes]),
            Err(fault) => return (all, Err(fault), notes),
        }
    }
}

/// The same however the bytes arrive, and wherever they go.
#[track_caller]
fn reads(object: &[u8], format: Format) -> (String, Result<(), Fault>, Vec<String>) {
    let all = read(object, format, usize::MAX, 64 << 10);
    for (chunk, room) in [(1, 64 << 10), (7, 3), (511, 1), (513, 100)] {
        assert_eq!(read(object, format, chunk, room), all, "chunks of {chunk}, buffers of {room}");
    }
    (String::from_utf8_lossy(&all.0).into_owned(), all.1, all.2)
}

const A: &[u8] = b"\xef\xbb\xbfId,\"Add\nress\"\r\n1,a\r\n2,b";
const B: &[u8] = b"Id,\"Add\nress\"\n3,c\n";
const JOINED: &str = "\u{feff}Id,\"Add\nress\"\r\n1,a\r\n2,b\n3,c\n";

#[test]
fn members_are_read_in_order_and_share_their_header() {
    let long: Vec<u8> = (0..20_000).flat_map(|row| format!("{row},x\n").into_bytes()).collect();
    let c = [b"Id,\"Add\nress\"\r", &long[..]].concat();
    let members: &[(&str, &[u8])] = &[("a.csv", A), ("dir/", b""), ("dir/b.CSV", B), ("c", &c)];
    let joined = format!("{JOINED}{}", String::from_utf8_lossy(&long));
    for object in [zip(members), tar(members)] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (text, end, notes) = reads(&encode(compression, &object), Format::Csv);
            assert!(text == joined, "{compression:?}: {text:.200}");
            assert_eq!((end, notes), (Ok(()), vec![]));
        }
    }
    // A member may be compressed itself.
    let gz = encode(Compression::Gzip, B);
    for object in [zip(&[("a.csv", A), ("b.csv.gz", &gz)]), tar(&[("a.csv", A), ("b.csv.gz", &gz)])] {
        assert_eq!(reads(&object, Format::Csv).0, JOINED);
    }
    let json =
        zip(&[("a.json", b"{\"Id\":1}"), ("b.ndjson", b"\xef\xbb\xbf{\"Id\":2}"), ("c.json", b"{}\n")]);
    assert_eq!(reads(&json, Format::Json).0, "{\"Id\":1}\n{\"Id\":2}\n{}\n");
}

#[test]
fn members_that_are_no_data_are_skipped_and_named() {
    let parquet = b"PAR1\x15\x04\x15\x40\x15";
    let members: &[(&str, &[u8])] = &[
        ("__MACOSX/._a.csv", b"\0\x05\x16\x07"),
        (".DS_Store", b"\0\0\0\x01Bud1"),
        ("README.txt", b"hello"),
        ("a.csv", A),
        ("x.json", b"{}"),
        ("empty.csv", b""),
        ("data", parquet),
        ("lines", b"{\"Id\":1}"),
        ("b.csv", B),
    ];
    for object in [zip(members), tar(members)] {
        let (text, end, notes) = reads(&object, Format::Csv);
        assert_eq!((&*text, end), (JOINED, Ok(())));
        assert_eq!(
            notes,
            [
                "__MACOSX/._a.csv: it lies in a folder whose name begins with _",
                ".DS_Store: it is a hidden file",
                "README.txt: it is a README",
                "x.json: its name says JSON",
                "empty.csv: it is empty",
                "data: it is a Parquet file",
                "lines: its content looks like JSON",
            ]
        );
    }
}

#[test]
fn what_would_be_guessed_is_refused() {
    let refused = |members: &[(&str, &[u8])], format, words: &str| {
        for object in [zip(members), tar(members)] {
            let (_, end, _) = reads(&object, format);
            let Err(Fault::Member(reason) | Fault::NoMember(reason)) = &end else { panic!("{end:?}") };
            assert!(reason.contains(words), "{reason}");
        }
    };
    refused(
        &[("a.csv", A), ("b.csv", b"Id,Other\n1,2\n")],
        Format::Csv,
        "b.csv has another header line than a.csv",
    );
    refused(&[("a.csv", A), ("b.csv", b"1,2\n")], Format::Csv, "another header line");
    refused(&[("a.csv", A), ("b.csv", b"PAR1\x15\x04")], Format::Csv, "b.csv is a Parquet file");
    refused(&[("a.csv", A), ("b.csv.zip", &zip(&[("b.csv", B)]))], Format::Csv, "is a zip archive");
    refused(
        &[("a.txt", b"{}"), ("b.pdf", b"%PDF-")],
        Format::Csv,
        "none of its members is CSV (2 skipped; the first: a.txt",
    );
    assert!(matches!(
        reads(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Format::Csv).1,
        Err(Fault::NoMember(_))
    ));
    let (_, end, _) = reads(&[0x50, 0x4b, 3, 4], Format::Csv);
    assert!(matches!(end, Err(Fault::Truncated(_))), "{end:?}");
    let office = zip(&[("[Content_Types].xml", b"<x/>"), ("xl/a.csv", A)]);
    assert_eq!(reads(&office, Format::Csv).1, Err(Fault::Foreign(Foreign::Office)));
}

#[test]
fn a_zip_is_read_as_programs_write_it() {
    for packed in [
        Packed::Stored,
        Packed::Deflated,
        Packed::Behind(true, false, false),
        Packed::Behind(false, false, false),
        Packed::Behind(true, true, false),
        Packed::Behind(true, true, true),
        Packed::Behind(false, true, true),
    ] {
        for skipped in [packed, Packed::Deflated] {
            let object = zip_of(&[("_x", b"x", skipped), ("a.csv", A, packed), ("b.csv", B, packed)]);
            let (text, end, _) = reads(&object, Format::Csv);
            assert_eq!((&*text, end), (JOINED, Ok(())), "{packed:?}");
        }
    }
    for (packed, words) in [(Packed::Encrypted, "is encrypted"), (Packed::Method(9), "by method 9")] {
        let (_, end, _) = reads(&zip_of(&[("a.csv", A, packed)]), Format::Csv);
        assert!(matches!(&end, Err(Fault::Member(reason)) if reason.contains(words)), "{end:?}");
        // One that is skipped anyway harms no one.
        let object = zip_of(&[("a.csv", A, Packed::Stored), ("b.txt.json", B, packed)]);
        assert_eq!(reads(&object, Format::Csv).1, Ok(()));
    }
}

#[test]
fn a_tar_is_read_as_programs_write_it() {
    let end = [0; 2 * HEAD_BYTES];
    let long = format!("{}/b.csv", "d".repeat(200));
    let pax = |text: &str| tar_entry(b"PaxHeaders/x", b'x', text.as_bytes());
    for object in [
        [
            tar_entry(b"a.csv", 0, A),
            tar_entry(b"././@LongLink", b'L', long.as_bytes()),
            tar_entry(b"ddd", b'0', B),
        ]
        .concat(),
        [
            pax("27 mtime=1700000000.123456\n14 path=a.csv\n"),
            tar_entry(b"x", b'0', A),
            tar_entry(b"b.csv", b'7', B),
        ]
        .concat(),
        [tar_entry(b"./", b'5', b""), tar_entry(b"./a.csv", b'0', A), tar_entry(b"./b.csv", b'0', B)]
            .concat(),
        // Two that were joined.
        [&tar_entry(b"a.csv", b'0', A)[..], &end, &tar_entry(b"b.csv", b'0', B)].concat(),
    ] {
        let object = [&object[..], &end, &[0; 8 * HEAD_BYTES]].concat();
        let (text, ended, notes) = reads(&object, Format::Csv);
        assert_eq!((&*text, ended, notes), (JOINED, Ok(()), vec![]));
    }
    let link = [tar_entry(b"l.csv", b'2', b""), tar(&[("a.csv", A)])].concat();
    assert_eq!(reads(&link, Format::Csv).2, ["l.csv: it is no file"]);
    let sparse = [tar_entry(b"s.csv", b'S', A), end.to_vec()].concat();
    assert!(matches!(reads(&sparse, Format::Csv).1, Err(Fault::Member(_))));
    // No end mark: it was cut off between two members.
    assert!(matches!(reads(&tar_entry(b"a.csv", b'0', A), Format::Csv).1, Err(Fault::Truncated(_))));
}

#[test]
fn every_cut_and_every_turned_byte_is_noticed() {
    let members: &[(&str, &[u8])] = &[("a.csv", A), ("b.csv", B)];
    let zip = zip_of(&[("a.csv", A, Packed::Stored), ("b.csv", B, Packed::Behind(true, false, false))]);
    let tar = tar(members);
    for cut in 5..zip.len() {
        assert!(read(&zip[..cut], Format::Csv, 64, 64).1.is_err(), "{cut}");
    }
    // What follows the first block of zeroes is only padding.
    for cut in HEAD_BYTES..tar.len() - 2 * HEAD_BYTES {
        assert!(read(&tar[..cut], Format::Csv, 64, 64).1.is_err(), "{cut}");
    }
    // Nothing else than the right bytes comes out as if it were right; times and the like are no one's concern.
    for at in 4..zip.len() {
        let mut zip = zip.clone();
        zip[at] ^= 0x10;
        let (bytes, end, _) = read(&zip, Format::Csv, 64, 64);
        assert!(end.is_err() || bytes == JOINED.as_bytes() || bytes == A || bytes == B, "{at}");
    }
}

#[test]
fn a_bomb_is_refused_whether_it_is_read_or_skipped() {
    let spaces = vec![b' '; 64 << 20];
    let caps = Caps { decoded: 1 << 30, ratio: 100, grace: 1 << 20 };
    for (name, packed) in [("a.csv", Packed::Deflated), ("x.json", Packed::Behind(true, false, false))] {
        let object = zip_of(&[(name, &spaces, packed), ("z.csv", A, Packed::Stored)]);
        let mut input = Chunks { bytes: &object, size: usize::MAX };
        let mut decoded = Decoded::begin(
            &object[..HEAD_BYTES],
            &mut input,
            caps,
            Reading { format: Some(Format::Csv), encoding: None },
        )
        .unwrap();
        let mut buf = vec![0; 64 << 10];
        let end = loop {
            match decoded.read(&mut input, &mut buf) {
                Ok(0) => panic!("{name} was read"),
                Ok(_) => {}
                Err(fault) => break fault,
            }
        };
        assert!(matches!(end, Fault::TooLarge(_)), "{name}: {end:?}");
    }
}
