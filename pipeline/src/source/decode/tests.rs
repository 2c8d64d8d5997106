//! Every codec, whole and broken, at every chunk size.

use std::io::Write;

use proptest::prelude::*;

use super::{whole::decode, *};

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz];
const OPEN: Caps = Caps { decoded: u64::MAX, ratio: u64::MAX, grace: u64::MAX };

pub(crate) fn encode(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn rows(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|row| format!("{{\"Id\":\"{row}-{:x}\"}}\n", row * 7919 % 104_729).into_bytes())
        .collect()
}

#[test]
fn members_end_to_end_decode_at_every_chunk_size() {
    let parts = [rows(40), Vec::new(), rows(9)];
    for codec in CODECS {
        let encoded: Vec<u8> = parts.iter().flat_map(|part| encode(codec, part)).collect();
        assert_eq!(Compression::of(&encoded), codec);
        for chunk in 1..=encoded.len() {
            let (decoded, end, read) = decode(&encoded, chunk, 1 + chunk % 97, OPEN);
            assert_eq!(end, Ok(()), "{codec:?} {chunk}");
            assert_eq!(decoded, parts.concat(), "{codec:?} {chunk}");
            assert_eq!(read, encoded.len() as u64);
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    let data = rows(60);
    for codec in CODECS {
        let encoded = encode(codec, &data);
        for cut in 10..encoded.len() {
            let (decoded, end, read) = decode(&encoded[..cut], 64, 256, OPEN);
            assert!(matches!(end, Err(Fault::Truncated(_))), "{codec:?} {cut}: {end:?}");
            assert!(data.starts_with(&decoded));
            assert!(read <= cut as u64);
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    // A block with runs is what bzip2 can be in the middle of when it finds the damage.
    let runs: Vec<u8> = (0..40).flat_map(|run| vec![b'a' + run % 26; usize::from(run) * 17 % 600]).collect();
    for data in [rows(60), runs, Vec::new()] {
        for codec in CODECS {
            let encoded = encode(codec, &data);
            for bit in 0..encoded.len() * 8 {
                let mut flipped = encoded.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if Compression::of(&flipped) != codec {
                    continue;
                }
                let (decoded, end, _) = decode(&flipped, 50, 256, OPEN);
                // Names and times in a header may differ; the data may not.
                assert!(end.is_err() || decoded == data, "{codec:?} {bit}");
                for (chunk, room) in [(usize::MAX, 1 << 16), (7, 1 << 16), (usize::MAX, 113), (1, 1)] {
                    let other = decode(&flipped, chunk, room, OPEN);
                    let what = format!("{codec:?} {bit} {chunk} {room}");
                    assert!(other.0 == decoded, "{what}: {} and {} bytes", other.0.len(), decoded.len());
                    assert_eq!(other.1.is_err(), end.is_err(), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_zstd_frame_holds_what_its_header_says() {
    let empty = encode(Compression::Zstd, b"");
    assert_eq!(empty[4] & 0x24, 0x24, "one segment, with a checksum");
    let mut other = empty.clone();
    other[5] = 16;
    // Its checksum is right, and block by block zstd finds nothing wrong.
    let fault = Err(Fault::Corrupt("the zstd frame is of 16 bytes and holds 0".into()));
    assert_eq!(decode(&other, usize::MAX, 100, OPEN).1, fault);
    let frames = [empty, encode(Compression::Zstd, &rows(2)), other].concat();
    for chunk in 1..20 {
        let (decoded, end, _) = decode(&frames, chunk, 100, OPEN);
        assert_eq!((decoded, &end), (rows(2), &fault), "{chunk}");
    }
}

#[test]
fn padding_is_accepted_and_garbage_is_not() {
    let data = rows(3);
    for codec in CODECS {
        let mut encoded = encode(codec, &data);
        let length = encoded.len() as u64;
        encoded.extend(b"garbage behind the end");
        for chunk in [1, 7, 4096] {
            let (decoded, end, read) = decode(&encoded, chunk, 4096, OPEN);
            assert_eq!(decoded, data, "{codec:?}");
            assert!(matches!(end, Err(Fault::Corrupt(_))), "{codec:?} {end:?}");
            // xz reads a little into what it takes for the next stream.
            assert!(read >= length && read <= length + 12, "{codec:?} {read} {length}");
        }
    }
    for (codec, padding) in
        [(Compression::Gzip, 1), (Compression::Gzip, 511), (Compression::Xz, 4), (Compression::Xz, 512)]
    {
        let mut encoded = encode(codec, &data);
        encoded.extend(vec![0; padding]);
        for chunk in [1, 7, 4096] {
            assert_eq!(decode(&encoded, chunk, 4096, OPEN).0, data);
            assert_eq!(decode(&encoded, chunk, 4096, OPEN).1, Ok(()), "{codec:?} {padding}");
        }
        encoded.extend(b"x behind the padding");
        assert!(matches!(decode(&encoded, 9, 4096, OPEN).1, Err(Fault::Corrupt(_))), "{codec:?}");
    }
    let odd = [&encode(Compression::Xz, &data)[..], &[0; 6]].concat();
    for chunk in [1, 7, 4096] {
        let (decoded, end, _) = decode(&odd, chunk, 4096, OPEN);
        assert!(decoded == data && matches!(end, Err(Fault::Corrupt(_))), "{end:?}");
    }
    let skippable =
        [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &encode(Compression::Zstd, &data)[..]].concat();
    assert_eq!(decode(&skippable, 5, 100, OPEN), (data, Ok(()), skippable.len() as u64));
}

#[test]
fn bombs_end_at_the_cap() {
    let caps = Caps { decoded: u64::MAX, ratio: 1000, grace: 8 << 20 };
    let zeros = vec![0; 16 << 20];
    for codec in CODECS {
        // As many members as make a gibibyte.
        let bomb = encode_best(codec, &zeros).repeat(64);
        let (decoded, end, _) = decode(&bomb, 1 << 16, 1 << 16, caps);
        assert!(matches!(end, Err(Fault::TooLarge(_))), "{codec:?} {end:?}");
        assert!(decoded.len() < 100 << 20, "{codec:?} {}", decoded.len());
    }
    let small = encode(Compression::Zstd, &zeros[..4 << 20]);
    assert_eq!(decode(&small, 1 << 16, 1 << 16, caps).1, Ok(()), "short repetitive files are harmless");
    let caps = Caps { decoded: 1000, ..OPEN };
    assert!(matches!(decode(&rows(200), 64, 64, caps).1, Err(Fault::TooLarge(_))));
}

fn encode_best(codec: Compression, bytes: &[u8]) -> Vec<u8> {
    if codec != Compression::Gzip {
        return encode(codec, bytes);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn text_is_not_taken_for_compressed() {
    for text in [&b""[..], b"B", b"BZh", b"BZh9,Id,Address", b"(x", b"{}", b"\xff\xfeI\0", b"PK\x03\x04"] {
        assert_eq!(Compression::of(text), Compression::None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..4),
        codec in 0..CODECS.len(), chunk in 1_usize..700, out in 1_usize..700,
    ) {
        let encoded: Vec<u8> = parts.iter().flat_map(|part| encode(CODECS[codec], part)).collect();
        let (decoded, end, _) = decode(&encoded, chunk, out, OPEN);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(decoded, parts.concat());
    }

    #[test]
    fn garbage_never_panics(codec in 0..CODECS.len(), tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = encode(CODECS[codec], b"")[..6].to_vec();
        bytes.extend(tail);
        let _ = decode(&bytes, 17, 64, Caps { decoded: 1 << 20, ..OPEN });
    }
}
