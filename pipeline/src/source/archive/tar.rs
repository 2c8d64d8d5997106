//! The members of a tar: the oldest form, ustar, GNU's and pax.

use super::{
    super::content::{octal, tar_sum},
    Fault, Input, Member, Members, corrupt, need, pass, take,
};
use crate::limits::{ARCHIVE_NAME, HEAD_BYTES};

const WHAT: &str = "tar archive";

/// No member is so large; its size and its padding can be added.
const SIZE_MOST: u64 = 1 << 62;

/// Where the reading of a tar is.
#[derive(Default)]
pub(super) struct Tar {
    /// Bytes of the member, and of the padding after it, that are still to come.
    left: u64,
    padding: u64,
    /// Whether a block of zeroes was seen: without one, the archive was cut off.
    marked: bool,
}

/// What entries before a member say of it.
#[derive(Default)]
struct Overrides {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Tar {
    fn skip_rest(&mut self, input: &mut dyn Input) -> Result<(), Fault> {
        pass(input, self.left + self.padding, WHAT)?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The content of an entry that says something of the next one.
    fn content(&mut self, input: &mut dyn Input, size: u64) -> Result<Vec<u8>, Fault> {
        if size > ARCHIVE_NAME {
            return corrupt(format!("a tar header has {size} bytes, at most {ARCHIVE_NAME} are read"));
        }
        let mut content = vec![0; size as usize];
        need(input, &mut content, WHAT)?;
        pass(input, padding(size), WHAT)?;
        Ok(content)
    }
}

impl Members for Tar {
    fn next(&mut self, input: &mut dyn Input) -> Result<Option<Member>, Fault> {
        self.skip_rest(input)?;
        let mut overrides = Overrides::default();
        loop {
            let mut header = [0; HEAD_BYTES];
            if !take(input, &mut header, WHAT)? {
                return if self.marked { Ok(None) } else { Err(super::cut_off(WHAT)) };
            }
            if header.iter().all(|byte| *byte == 0) {
                self.marked = true;
                continue;
            }
            // A tar after the end of another, as cat joins them, is read too.
            self.marked = false;
            let sum = octal(&header[148..156]);
            if sum.is_none() || sum != tar_sum(&header) && sum != signed_sum(&header) {
                return corrupt("the sum of a tar header is wrong");
            }
            let Some(size) = number(&header[124..136]) else {
                return corrupt("a tar header has no size");
            };
            match header[156] {
                b'L' => {
                    let name = self.content(input, size)?;
                    overrides.name = Some(until_zero(&name).to_vec());
                }
                b'x' => {
                    let pax = self.content(input, size)?;
                    overrides.read_pax(&pax)?;
                }
                b'K' | b'g' | b'V' => {
                    self.content(input, size)?;
                }
                kind => {
                    let other = matches!(kind, b'1'..=b'6');
                    self.left = if other { 0 } else { overrides.size.unwrap_or(size) };
                    self.padding = padding(self.left);
                    let name = overrides.name.unwrap_or_else(|| name(&header));
                    let name = String::from_utf8_lossy(&name).into_owned();
                    let name = name.strip_prefix("./").map(str::to_owned).unwrap_or(name);
                    let unreadable = match kind {
                        b'S' => Some("is sparse, which is not read"),
                        b'M' => Some("began on another volume"),
                        _ if overrides.sparse => Some("is sparse, which is not read"),
                        _ => None,
                    };
                    let unreadable = unreadable.map(str::to_owned);
                    return Ok(Some(Member { name, size: Some(self.left), unreadable, other }));
                }
            }
        }
    }

    fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let wanted = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let bytes = input.read(&mut buf[..wanted])?;
        if bytes == 0 {
            return Err(super::cut_off(WHAT));
        }
        self.left -= bytes as u64;
        Ok(bytes)
    }
}

impl Overrides {
    /// Lines of `LENGTH KEY=VALUE`.
    fn read_pax(&mut self, mut pax: &[u8]) -> Result<(), Fault> {
        while !until_zero(pax).is_empty() {
            let line = pax.iter().position(|byte| *byte == b' ').and_then(|space| {
                let length: usize = std::str::from_utf8(&pax[..space]).ok()?.parse().ok()?;
                let line = pax.get(space + 1..length)?.strip_suffix(b"\n")?;
                let equals = line.iter().position(|byte| *byte == b'=')?;
                Some((&line[..equals], &line[equals + 1..], length))
            });
            let Some((key, value, length)) = line else {
                return corrupt("a pax header of the tar archive cannot be read");
            };
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => {
                    self.size = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                    self.size = self.size.filter(|size| *size < SIZE_MOST);
                    if self.size.is_none() {
                        return corrupt("a pax header of the tar archive has no size");
                    }
                }
                key => self.sparse |= key.starts_with(b"GNU.sparse"),
            }
            pax = &pax[length..];
        }
        Ok(())
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % HEAD_BYTES as u64
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

fn name(header: &[u8; HEAD_BYTES]) -> Vec<u8> {
    let name = until_zero(&header[..100]);
    let prefix = until_zero(&header[345..500]);
    // GNU's form has other things in the place of the prefix.
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

/// A size: octal digits, or, where they do not suffice, bytes.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] != 0x80 {
        return octal(field);
    }
    let (high, low) = field[1..].split_at(field.len() - 9);
    let low = u64::from_be_bytes(low.try_into().ok()?);
    (high.iter().all(|byte| *byte == 0) && low < SIZE_MOST).then_some(low)
}

/// The sum as some old programs made it, of signed bytes.
fn signed_sum(header: &[u8]) -> Option<u64> {
    let own = 148..156;
    let sum: i64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if own.contains(&at) { 32 } else { i64::from(byte.cast_signed()) })
        .sum();
    u64::try_from(sum).ok()
}
