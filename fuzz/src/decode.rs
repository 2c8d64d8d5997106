//! Decoding says the same however the bytes arrive, and what the codecs' own readers say: of what was encoded here
//! and then cut, padded or followed by garbage, and of any bytes at all.

use std::io::{self, Read, Write as _};

use pinport_pipeline::{
    fuzzing::{Decoded, decode as decoded},
    source::Compression,
};

use super::input::Input;

/// Decoded bytes that are looked at.
const MOST: u64 = 1 << 20;

/// Checks some bytes: an object as it is, or what it is made from.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    let mode = data.byte();
    let (chunk, room) = (data.number(255).max(1), data.number(511).max(1));
    if mode < 128 {
        any_bytes(data.0, chunk, room);
    } else {
        encoded(data, chunk, room);
    }
}

fn any_bytes(input: &[u8], chunk: usize, room: usize) {
    let whole = decoded(input, usize::MAX, 1 << 16, MOST);
    let other = decoded(input, chunk, room, MOST);
    let too_large = [&whole, &other].map(|said| matches!(&said.end, Err(why) if why.starts_with("TooLarge")));
    if too_large.contains(&true) {
        // What came before the cap depends on the room.
        return assert_eq!(too_large, [true, true]);
    }
    assert!(whole.bytes == other.bytes, "{} and {} bytes", whole.bytes.len(), other.bytes.len());
    assert_eq!(whole.end.is_ok(), other.end.is_ok(), "{:?} {:?}", whole.end, other.end);
    if whole.end.is_ok() {
        assert_eq!((whole.used, other.used), (input.len() as u64, input.len() as u64));
    }
    match plain(whole.compression, input) {
        Ok(expected) => assert_eq!((whole.end, whole.bytes), (Ok(()), expected)),
        Err((so_far, error)) => {
            assert!(whole.end.is_err(), "{error} for {whole:?}");
            assert!(so_far.starts_with(&whole.bytes) || whole.bytes.starts_with(&so_far), "{error}");
        }
    }
}

/// What the codec's own reader makes of `input`: all, or what came before an error.
fn plain(compression: Compression, input: &[u8]) -> Result<Vec<u8>, (Vec<u8>, io::Error)> {
    fn all(reader: &mut dyn Read, out: &mut Vec<u8>) -> io::Result<()> {
        let mut buf = [0; 4096];
        loop {
            match reader.read(&mut buf)? {
                0 => return Ok(()),
                _ if out.len() as u64 > MOST => return Ok(()),
                bytes => out.extend_from_slice(&buf[..bytes]),
            }
        }
    }
    let mut out = Vec::new();
    let end = match compression {
        Compression::None => return Ok(input.to_vec()),
        Compression::Gzip => gzip(input, &mut out),
        Compression::Zstd => {
            zstd::stream::read::Decoder::new(input).and_then(|mut reader| all(&mut reader, &mut out))
        }
        Compression::Bzip2 => all(&mut bzip2::read::MultiBzDecoder::new(input), &mut out),
        Compression::Xz => all(&mut liblzma::read::XzDecoder::new_multi_decoder(input), &mut out),
    };
    match end {
        Ok(()) => Ok(out),
        Err(error) => Err((out, error)),
    }
}

/// Member by member, with zeros allowed after each.
#[expect(clippy::disallowed_types, reason = "an oracle that goes on behind each member itself")]
fn gzip(mut input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut member = flate2::bufread::GzDecoder::new(input);
        let mut buf = [0; 4096];
        loop {
            match member.read(&mut buf)? {
                0 => break,
                _ if out.len() as u64 > MOST => return Ok(()),
                bytes => out.extend_from_slice(&buf[..bytes]),
            }
        }
        input = member.into_inner();
        input = &input[input.iter().take_while(|byte| **byte == 0).count()..];
        if input.is_empty() {
            return Ok(());
        }
    }
}

/// `data` in some members of one codec, whole and with something done to its end.
fn encoded(mut data: Input<'_>, chunk: usize, room: usize) {
    let codecs = [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz];
    let codec = data.of(&codecs);
    let (harm, amount) = (data.number(3), data.number(511));
    let mut parts = Vec::new();
    // How much is decoded, and at which byte, after each member.
    let mut borders = Vec::new();
    let mut object = Vec::new();
    while parts.is_empty() || (!data.is_empty() && parts.len() < 4) {
        let part = data.part(1023);
        let part = part.repeat(1 + data.number(7));
        object.extend(encode(codec, &part));
        parts.push(part);
        borders.push((object.len(), parts.concat().len()));
    }
    let all = parts.concat();
    let Decoded { compression, bytes, end, used } = decoded(&object, chunk, room, u64::MAX);
    assert_eq!((compression, end, used), (codec, Ok(()), object.len() as u64));
    assert_eq!(bytes, all);
    match harm {
        0 => {
            let cut = amount % object.len();
            let cut_off = decoded(&object[..cut], chunk, room, u64::MAX);
            if cut_off.compression != codec {
                return;
            }
            assert!(all.starts_with(&cut_off.bytes));
            match borders.iter().find(|border| border.0 == cut) {
                Some(border) => assert_eq!((cut_off.end, cut_off.bytes.len()), (Ok(()), border.1)),
                None => assert!(cut_off.end.is_err(), "cut at {cut}"),
            }
        }
        1 => {
            // xz pads by fours.
            let zeros = if codec == Compression::Xz { amount / 4 * 4 } else { amount };
            object.extend(vec![0; zeros]);
            let padded = decoded(&object, chunk, room, u64::MAX);
            assert_eq!(padded.bytes, all);
            let allowed = matches!(codec, Compression::Gzip | Compression::Xz) || zeros == 0;
            assert_eq!(padded.end.is_ok(), allowed, "{zeros} zeros");
        }
        2 => {
            object.extend(b"garbage");
            let followed = decoded(&object, chunk, room, u64::MAX);
            assert_eq!((followed.bytes, followed.end.is_err()), (all, true));
        }
        _ => {
            let at = amount % object.len();
            object[at] ^= 1 << (amount % 8);
            any_bytes(&object, chunk, room);
        }
    }
}

/// One member.
pub fn encode(codec: Compression, bytes: &[u8]) -> Vec<u8> {
    const NEVER: &str = "writing to memory does not fail";
    match codec {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder =
                flate2::GzBuilder::new().filename("a").write(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect(NEVER);
            encoder.finish().expect(NEVER)
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect(NEVER);
            encoder.include_checksum(true).expect(NEVER);
            encoder.write_all(bytes).expect(NEVER);
            encoder.finish().expect(NEVER)
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).expect(NEVER);
            encoder.finish().expect(NEVER)
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).expect(NEVER);
            encoder.finish().expect(NEVER)
        }
    }
}
