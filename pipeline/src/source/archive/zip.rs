//! The members of a zip in the order in which they lie in it, without its directory, which is only at the end: there
//! it must list as many members as were met, so that nothing that was deleted from it is taken for data in silence.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Caps, Fault, Input, Member, Members, corrupt, cut_off, need, pass, take};

const WHAT: &str = "zip archive";

/// The size of a member is not in front of it, but after it.
const DESCRIPTOR: u16 = 1 << 3;
const ENCRYPTED: u16 = 1 | 1 << 6;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Where the reading of a zip is.
pub(super) struct Zip {
    caps: Caps,
    begun: bool,
    members: u64,
    current: Option<Current>,
    /// Bytes of the members before, packed and unpacked.
    packed: u64,
    plain: u64,
}

struct Current {
    name: String,
    method: u16,
    /// Sum and sizes as they are declared in front; none if they follow.
    declared: Option<(u32, u64, u64)>,
    zip64: bool,
    inflate: Option<Box<Decompress>>,
    crc: Crc,
    packed: u64,
    plain: u64,
    ended: bool,
}

impl Current {
    /// Whether the end can be found.
    fn readable(&self) -> bool {
        self.inflate.is_some() || self.method == STORED && self.declared.is_some()
    }

    fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        if self.ended || buf.is_empty() {
            return Ok(0);
        }
        let bytes = match &mut self.inflate {
            Some(inflate) => loop {
                let bytes = input.fill()?;
                let exhausted = bytes.is_empty();
                // Not beyond what the member has: what follows is another's.
                let most = self.declared.map_or(u64::MAX, |(_, packed, _)| packed - self.packed);
                let bytes = &bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
                let before = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(bytes, buf, FlushDecompress::None);
                let used = (inflate.total_in() - before.0) as usize;
                let made = (inflate.total_out() - before.1) as usize;
                input.consume(used);
                self.packed += used as u64;
                let Ok(status) = status else {
                    return corrupt(format!("the member {} cannot be decompressed", self.name));
                };
                self.ended = status == Status::StreamEnd;
                if made > 0 || self.ended {
                    break made;
                }
                if used == 0 {
                    return if exhausted {
                        Err(cut_off(WHAT))
                    } else {
                        self.wrong("does not end in its size")
                    };
                }
            },
            None => {
                let left = self.declared.map_or(0, |(_, packed, _)| packed - self.packed);
                let wanted = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let bytes = if wanted == 0 { 0 } else { input.read(&mut buf[..wanted])? };
                if bytes == 0 && left > 0 {
                    return Err(cut_off(WHAT));
                }
                self.packed += bytes as u64;
                self.ended = bytes as u64 == left;
                bytes
            }
        };
        self.crc.update(&buf[..bytes]);
        self.plain += bytes as u64;
        if self.ended {
            self.check(input)?;
        }
        Ok(bytes)
    }

    /// Holds sum and sizes against what is declared in front or after.
    fn check(&mut self, input: &mut dyn Input) -> Result<(), Fault> {
        let found = (self.crc.sum(), self.packed, self.plain);
        let declared = match self.declared {
            Some(declared) => declared,
            None => self.descriptor(input)?,
        };
        if declared.0 != found.0 {
            return self.wrong("has another CRC-32 than it should have");
        }
        if (declared.1, declared.2) != (found.1, found.2) {
            return self.wrong("has another size than it should have");
        }
        Ok(())
    }

    /// What is declared after: perhaps a signature, the sum, and sizes of four or eight bytes each.
    fn descriptor(&self, input: &mut dyn Input) -> Result<(u32, u64, u64), Fault> {
        let mut first = [0; 4];
        need(input, &mut first, WHAT)?;
        if &first == b"PK\x07\x08" {
            need(input, &mut first, WHAT)?;
        }
        let crc = u32::from_le_bytes(first);
        let mut sizes = [0; 16];
        need(input, &mut sizes[..8], WHAT)?;
        let short = (u64::from(le32(&sizes[..4])), u64::from(le32(&sizes[4..8])));
        // Few who write eight bytes say so in front. The two differ unless the member is empty.
        if short == (self.packed, self.plain) && !(self.zip64 && self.plain == 0) {
            return Ok((crc, short.0, short.1));
        }
        need(input, &mut sizes[8..], WHAT)?;
        Ok((crc, le64(&sizes[..8]), le64(&sizes[8..])))
    }

    fn wrong<T>(&self, how: &str) -> Result<T, Fault> {
        corrupt(format!("the member {} {how}", self.name))
    }
}

impl Zip {
    pub(super) fn new(caps: Caps) -> Self {
        Self { caps, begun: false, members: 0, current: None, packed: 0, plain: 0 }
    }

    fn skip_rest(&mut self, input: &mut dyn Input) -> Result<(), Fault> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        match current.declared {
            // No one looks at it.
            Some((_, packed, _)) if !current.ended && current.packed == 0 => pass(input, packed, WHAT),
            _ if current.ended => {
                self.packed += current.packed;
                self.plain += current.plain;
                Ok(())
            }
            _ if !current.readable() => {
                corrupt(format!("where the member {} ends is not declared in front of it", current.name))
            }
            _ => {
                let mut waste = vec![0; 64 << 10];
                while !current.ended {
                    current.read(input, &mut waste)?;
                    self.check_caps(&current)?;
                }
                self.packed += current.packed;
                self.plain += current.plain;
                Ok(())
            }
        }
    }

    /// Members that are skipped grow too.
    fn check_caps(&self, current: &Current) -> Result<(), Fault> {
        self.caps.check(self.plain + current.plain, self.packed + current.packed)
    }

    fn member(&mut self, input: &mut dyn Input) -> Result<Member, Fault> {
        let mut header = [0; 26];
        need(input, &mut header, WHAT)?;
        let flags = le16(&header[2..]);
        let method = le16(&header[4..]);
        let crc = le32(&header[10..]);
        let (mut packed, mut plain) = (u64::from(le32(&header[14..])), u64::from(le32(&header[18..])));
        let mut name = vec![0; usize::from(le16(&header[22..]))];
        let mut extra = vec![0; usize::from(le16(&header[24..]))];
        need(input, &mut name, WHAT)?;
        need(input, &mut extra, WHAT)?;
        let zip64 = field(&extra, 1);
        let mut large = zip64.into_iter().flat_map(|field| field.chunks_exact(8)).map(le64);
        for size in [&mut plain, &mut packed] {
            if *size == u64::from(u32::MAX)
                && let Some(large) = large.next()
            {
                *size = large;
            }
        }
        let name = String::from_utf8_lossy(&name).into_owned();
        let encrypted = flags & ENCRYPTED != 0;
        let behind = flags & DESCRIPTOR != 0;
        let inflate = (method == DEFLATED && !encrypted).then(|| Box::new(Decompress::new(false)));
        let folder = name.ends_with('/');
        // Some say both, in front and after; then what is after must be read all the same.
        let declared = (!behind).then_some((crc, packed, plain));
        let current = Current {
            name: pinport_model::escape_controls(&name).into_owned(),
            method,
            declared,
            zip64: zip64.is_some(),
            inflate,
            crc: Crc::new(),
            packed: 0,
            plain: 0,
            ended: false,
        };
        let unreadable = if encrypted {
            Some("is encrypted".to_owned())
        } else if !matches!(method, STORED | DEFLATED) {
            Some(format!("is compressed by method {method}, only deflate is read"))
        } else if !current.readable() {
            Some("was stored by a program that did not know its size".to_owned())
        } else {
            None
        };
        self.members += 1;
        let size = current.declared.map(|(_, _, plain)| plain);
        if folder && behind && method == STORED {
            // It has no bytes, but a descriptor.
            current.descriptor(input)?;
            self.current = None;
        } else {
            self.current = Some(current);
        }
        Ok(Member { name, size, unreadable: unreadable.filter(|_| !folder), other: folder })
    }

    /// Goes over the directory, whose first signature was read.
    fn directory(&mut self, input: &mut dyn Input, mut signature: [u8; 4]) -> Result<(), Fault> {
        let mut listed = 0;
        loop {
            match &signature {
                b"PK\x01\x02" => {
                    let mut entry = [0; 42];
                    need(input, &mut entry, WHAT)?;
                    let lengths = [24, 26, 28].map(|at| u64::from(le16(&entry[at..])));
                    pass(input, lengths.iter().sum(), WHAT)?;
                    listed += 1;
                }
                // A signature of the directory.
                b"PK\x05\x05" => {
                    let mut length = [0; 2];
                    need(input, &mut length, WHAT)?;
                    pass(input, u64::from(le16(&length)), WHAT)?;
                }
                // Its end in zip64's form, and where that is.
                b"PK\x06\x06" => {
                    let mut length = [0; 8];
                    need(input, &mut length, WHAT)?;
                    pass(input, le64(&length), WHAT)?;
                }
                b"PK\x06\x07" => pass(input, 16, WHAT)?,
                b"PK\x05\x06" => {
                    let mut end = [0; 18];
                    need(input, &mut end, WHAT)?;
                    if le16(&end) != 0 && le16(&end) != u16::MAX {
                        return Err(Fault::Member("it is one part of several".into()));
                    }
                    pass(input, u64::from(le16(&end[16..])), WHAT)?;
                    break;
                }
                _ => return corrupt("the directory of the zip archive cannot be read"),
            }
            need(input, &mut signature, WHAT)?;
        }
        if !input.fill()?.is_empty() {
            return corrupt("garbage follows the zip archive");
        }
        if listed != self.members {
            let met = self.members;
            return corrupt(format!("the zip archive lists {listed} members and holds {met}"));
        }
        Ok(())
    }
}

impl Members for Zip {
    fn next(&mut self, input: &mut dyn Input) -> Result<Option<Member>, Fault> {
        self.skip_rest(input)?;
        let mut signature = [0; 4];
        if !take(input, &mut signature, WHAT)? {
            return Err(cut_off(WHAT));
        }
        // The mark of an archive that was to be split and was not.
        if !std::mem::replace(&mut self.begun, true) && matches!(&signature, b"PK\x07\x08" | b"PK00") {
            need(input, &mut signature, WHAT)?;
        }
        // Notes for decryption, before the directory.
        if &signature == b"PK\x06\x08" {
            let mut length = [0; 4];
            need(input, &mut length, WHAT)?;
            pass(input, u64::from(le32(&length)), WHAT)?;
            need(input, &mut signature, WHAT)?;
        }
        match &signature {
            b"PK\x03\x04" => self.member(input).map(Some),
            b"PK\x01\x02" | b"PK\x05\x06" | b"PK\x06\x06" => {
                self.directory(input, signature)?;
                Ok(None)
            }
            _ => corrupt("no member of the zip archive begins here"),
        }
    }

    fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let Some(mut current) = self.current.take() else { return Ok(0) };
        let bytes = current.read(input, buf);
        let checked = self.check_caps(&current);
        self.current = Some(current);
        checked.and(bytes)
    }
}

/// A field of the extra data of a member.
fn field(mut extra: &[u8], id: u16) -> Option<&[u8]> {
    while let [a, b, c, d, rest @ ..] = extra {
        let length = usize::from(u16::from_le_bytes([*c, *d])).min(rest.len());
        if u16::from_le_bytes([*a, *b]) == id {
            return Some(&rest[..length]);
        }
        extra = &rest[length..];
    }
    None
}

fn le16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn le64(bytes: &[u8]) -> u64 {
    u64::from(le32(bytes)) | u64::from(le32(&bytes[4..])) << 32
}
