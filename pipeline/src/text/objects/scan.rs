//! Finds where a JSON object ends, 64 bytes at a time: which bytes lie in strings is known for all of them at once.
//!
//! At first it is enough to count what opens and closes, as long as whatever opens is a member's value. Where
//! something else opens, the object is read again from its start, closely: bracket by bracket, by the kinds of the
//! levels that are open. So an object that misses a bracket ends before the next object, and does not take it along.
//! What only differs in the kinds of its brackets is counted as if it were right: it is no JSON, as its parser says.

#![allow(unsafe_code, reason = "vector instructions")]

use super::masks::{Masks, masks, prefix_xor};
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
use super::masks::{masks_avx2, prefix_xor_clmul};

/// Levels of which it is known whether they are objects or arrays.
const KINDS: u32 = 60;

/// How far one object was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    /// Bytes of the object that were read.
    pub(super) at: usize,
    /// Newlines that were read.
    pub(super) newlines: u64,
    /// Levels that are open.
    pub(super) depth: u32,
    /// Brackets are looked at one by one.
    closely: bool,
    /// By level, innermost first: a set bit is an object, the others are arrays. Known when looked at closely, of the
    /// first [`KINDS`] levels.
    kinds: u64,
    /// All bits, if a string is open, or none.
    in_string: u64,
    /// A backslash stands before the next byte.
    escaped: bool,
    /// 1, if the next byte may open something: a colon stands before it.
    colon: u64,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scanned {
    NeedInput,
    /// The object ends before this byte.
    Ends(usize),
    /// The object breaks at this byte.
    Broken(usize, &'static str),
}

/// The next 64 bytes, or fewer at the end.
struct Chunk {
    masks: Masks,
    len: usize,
    /// From an opening quote to before the closing one.
    in_strings: u64,
    /// What a backslash escapes.
    escaped: u64,
    /// A backslash at the end escapes what comes next.
    escapes_next: bool,
}

impl Chunk {
    /// Brackets and braces outside strings.
    #[inline(always)]
    fn brackets(&self) -> u64 {
        self.masks.brackets & !self.in_strings
    }

    /// What may not stand where it does.
    #[inline(always)]
    fn broken(&self) -> u64 {
        let Masks { newlines, strangers, .. } = self.masks;
        newlines & self.in_strings & !self.escaped | strangers & !self.in_strings
    }

    /// Newlines before the byte of this bit.
    fn newlines_before(&self, bit: u64) -> u64 {
        u64::from((self.masks.newlines & (bit - 1)).count_ones())
    }
}

/// What counting brackets found.
enum Counted {
    NeedInput,
    /// The bracket of this bit ends the object.
    Ends(u64),
    /// This should be looked at closely.
    Strange,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            at: 0,
            newlines: 0,
            depth: 0,
            closely: false,
            kinds: 0,
            in_string: 0,
            escaped: false,
            colon: 1,
        }
    }
}

impl Scan {
    /// Looks at brackets one by one from the start.
    pub(super) fn closely() -> Self {
        Self { closely: true, ..Self::default() }
    }

    /// Reads on until the object or array at the start of `bytes` ends.
    #[inline]
    pub(super) fn go_on(&mut self, bytes: &[u8]) -> Scanned {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("pclmulqdq")
        {
            // SAFETY: the processor has what the function needs.
            return unsafe { self.read_avx2(bytes) };
        }
        self.read(bytes, masks, prefix_xor)
    }

    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    #[target_feature(enable = "avx2,bmi1,popcnt,pclmulqdq")]
    fn read_avx2(&mut self, bytes: &[u8]) -> Scanned {
        // Closures have the features of the function around them.
        self.read(bytes, |chunk| masks_avx2(chunk), |bits| prefix_xor_clmul(bits))
    }

    #[inline(always)]
    fn read(
        &mut self,
        bytes: &[u8],
        masks: impl Fn(&[u8; 64]) -> Masks,
        prefix_xor: impl Fn(u64) -> u64,
    ) -> Scanned {
        // In variables of its own the state lives in registers.
        let mut state = *self;
        let mut scanned = None;
        if !state.closely {
            scanned = state.count(bytes, &masks, &prefix_xor);
            if scanned.is_none() {
                state = Self::closely();
            }
        }
        while scanned.is_none() && state.at < bytes.len() {
            let chunk = state.chunk(bytes, &masks, &prefix_xor);
            scanned = state.look_closely(bytes, &chunk);
            if scanned.is_none() {
                state.pass(&chunk);
            }
        }
        *self = state;
        scanned.unwrap_or(Scanned::NeedInput)
    }

    /// Counts brackets. Nothing, if the object must be looked at closely.
    #[inline(always)]
    fn count(
        &mut self,
        bytes: &[u8],
        masks: impl Fn(&[u8; 64]) -> Masks,
        prefix_xor: impl Fn(u64) -> u64,
    ) -> Option<Scanned> {
        loop {
            let mut counted = self.count_plain(bytes, &masks, &prefix_xor);
            if let Counted::NeedInput = counted {
                if self.at == bytes.len() {
                    return Some(Scanned::NeedInput);
                }
                let chunk = self.chunk(bytes, &masks, &prefix_xor);
                counted = self.count_chunk(&chunk);
                if let Counted::NeedInput = counted {
                    self.pass(&chunk);
                    continue;
                }
            }
            let Counted::Ends(bit) = counted else { return None };
            let at = self.at + bit.trailing_zeros() as usize;
            return (is_brace(bytes[at]) == is_brace(bytes[0])).then_some(Scanned::Ends(at + 1));
        }
    }

    /// Counts brackets up to a chunk with backslashes, or what is less than a chunk. Most chunks of most objects are
    /// plain.
    #[inline(always)]
    fn count_plain(
        &mut self,
        bytes: &[u8],
        masks: impl Fn(&[u8; 64]) -> Masks,
        prefix_xor: impl Fn(u64) -> u64,
    ) -> Counted {
        if self.escaped {
            return Counted::NeedInput;
        }
        let mut state = *self;
        let mut counted = Counted::NeedInput;
        let mut rest = &bytes[state.at..];
        while let Some((chunk, behind)) = rest.split_first_chunk() {
            let masks = masks(chunk);
            if masks.backslashes != 0 {
                break;
            }
            let in_strings = prefix_xor(masks.quotes) ^ state.in_string;
            let chunk = Chunk { masks, len: 64, in_strings, escaped: 0, escapes_next: false };
            counted = state.count_chunk(&chunk);
            let Counted::NeedInput = counted else { break };
            if chunk.masks.newlines != 0 {
                state.newlines += u64::from(chunk.masks.newlines.count_ones());
            }
            state.in_string = last_to_all(in_strings);
            state.colon = chunk.masks.colons >> 63;
            rest = behind;
        }
        state.at = bytes.len() - rest.len();
        *self = state;
        counted
    }

    #[inline(always)]
    fn count_chunk(&mut self, chunk: &Chunk) -> Counted {
        let opens = chunk.brackets() & chunk.masks.opens;
        let mut closes = chunk.brackets() ^ opens;
        let (mut depth, mut end) = (self.depth, 0);
        while closes != 0 {
            let close = lowest(closes);
            // What the chunk opened itself is not in the depth, so it may wrap around.
            if depth.wrapping_add((opens & (close - 1)).count_ones()) == 1 {
                end = close;
                break;
            }
            depth = depth.wrapping_sub(1);
            closes &= closes - 1;
        }
        let strange = chunk.broken() | opens & !(chunk.masks.colons << 1 | self.colon);
        if strange & end.wrapping_sub(1) != 0 {
            return Counted::Strange;
        }
        if end != 0 {
            self.depth = 0;
            self.newlines += chunk.newlines_before(end);
            return Counted::Ends(end);
        }
        self.depth = depth.wrapping_add(opens.count_ones());
        Counted::NeedInput
    }

    /// The chunk at hand.
    #[inline(always)]
    fn chunk(
        &self,
        bytes: &[u8],
        masks: impl Fn(&[u8; 64]) -> Masks,
        prefix_xor: impl Fn(u64) -> u64,
    ) -> Chunk {
        let rest = &bytes[self.at..];
        let (masks, len) = match rest.first_chunk() {
            Some(chunk) => (masks(chunk), 64),
            None => {
                // After the end stands white space, which says nothing.
                let mut chunk = [b' '; 64];
                chunk[..rest.len()].copy_from_slice(rest);
                (masks(&chunk), rest.len())
            }
        };
        let (escaped, escapes_next) = escaped_bytes(masks.backslashes, self.escaped, len);
        let in_strings = prefix_xor(masks.quotes & !escaped) ^ self.in_string;
        Chunk { masks, len, in_strings, escaped, escapes_next }
    }

    /// Goes on behind the chunk.
    #[inline(always)]
    fn pass(&mut self, chunk: &Chunk) {
        self.newlines += u64::from(chunk.masks.newlines.count_ones());
        self.in_string = last_to_all(chunk.in_strings);
        self.escaped = chunk.escapes_next;
        self.colon = chunk.masks.colons >> (chunk.len - 1) & 1;
        self.at += chunk.len;
    }

    /// Takes the brackets of the chunk one by one.
    #[inline(always)]
    fn look_closely(&mut self, bytes: &[u8], chunk: &Chunk) -> Option<Scanned> {
        let broken = lowest(chunk.broken());
        let mut brackets = chunk.brackets() & broken.wrapping_sub(1);
        while brackets != 0 {
            if let Some(end) = self.bracket(bytes, self.at + brackets.trailing_zeros() as usize) {
                self.newlines += chunk.newlines_before(lowest(brackets));
                return Some(end);
            }
            brackets &= brackets - 1;
        }
        if broken == 0 {
            return None;
        }
        let at = self.at + broken.trailing_zeros() as usize;
        self.newlines += chunk.newlines_before(broken);
        Some(Scanned::Broken(at, broken_by(bytes[at])))
    }

    /// Takes a brace or a bracket outside strings.
    #[inline(always)]
    fn bracket(&mut self, bytes: &[u8], at: usize) -> Option<Scanned> {
        let byte = bytes[at];
        let known = self.depth <= KINDS;
        if is_open(byte) {
            if self.depth > 0 && known && !may_begin(&bytes[..at], self.kinds & 1 == 1) {
                return Some(Scanned::Broken(at, "an object or a list begins where none can"));
            }
            self.depth += 1;
            if self.depth <= KINDS {
                self.kinds = self.kinds << 1 | is_brace(byte);
            }
            return None;
        }
        if known {
            if (self.kinds ^ is_brace(byte)) & 1 != 0 {
                return Some(Scanned::Broken(at, "a bracket closes what is not open"));
            }
            self.kinds >>= 1;
        }
        self.depth -= 1;
        (self.depth == 0).then_some(Scanned::Ends(at + 1))
    }
}

/// Which of the next `len` bytes come after a backslash that escapes them, and whether the byte after them does.
/// `before`: the first one does.
#[inline(always)]
fn escaped_bytes(backslashes: u64, before: bool, len: usize) -> (u64, bool) {
    let mut escaped = u64::from(before);
    let mut left = backslashes & !escaped;
    // They are few: of two the first one escapes the second.
    while left != 0 {
        let place = left.trailing_zeros() as usize;
        if place + 1 == len {
            return (escaped, true);
        }
        escaped |= 2 << place;
        left &= !(3 << place);
    }
    (escaped, false)
}

/// In ASCII the brackets that open have this bit, those that close do not.
#[inline(always)]
const fn is_open(bracket: u8) -> bool {
    bracket & 2 != 0
}

/// 1 for a brace, 0 for a bracket, which are 32 apart in ASCII.
#[inline(always)]
fn is_brace(byte: u8) -> u64 {
    u64::from(byte >> 5 & 1)
}

/// All bits, if the highest one is set.
#[inline(always)]
fn last_to_all(bits: u64) -> u64 {
    (bits.cast_signed() >> 63).cast_unsigned()
}

/// The lowest bit that is set.
#[inline(always)]
fn lowest(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

/// Whether a value may follow these bytes of the object or array that is open.
#[inline(always)]
fn may_begin(before: &[u8], in_object: bool) -> bool {
    let last = match before.last() {
        Some(b' ' | b'\t' | b'\r' | b'\n') => last_but_white(before),
        last => last.copied(),
    };
    match last {
        Some(b':') => in_object,
        Some(b',' | b'[') => !in_object,
        _ => false,
    }
}

#[inline(never)]
fn last_but_white(bytes: &[u8]) -> Option<u8> {
    bytes.iter().rev().copied().find(|byte| !byte.is_ascii_whitespace())
}

#[cold]
fn broken_by(byte: u8) -> &'static str {
    match byte {
        b'\n' => "a string does not end on its line",
        _ => "text stands outside quotes",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Byte by byte, as one would write it first.
    fn slow(bytes: &[u8]) -> (Scanned, u32) {
        let (mut kinds, mut last, mut at) = (Vec::new(), b' ', 0);
        let mut in_string = false;
        while let Some(&byte) = bytes.get(at) {
            if in_string {
                match byte {
                    b'"' => (in_string, last) = (false, b'"'),
                    b'\\' => at += 1,
                    b'\n' => {
                        return (
                            Scanned::Broken(at, "a string does not end on its line"),
                            kinds.len() as u32,
                        );
                    }
                    _ => {}
                }
                at += 1;
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'{' | b'[' => {
                    let expected = match kinds.last() {
                        None => true,
                        Some(b'{') => last == b':',
                        Some(_) => matches!(last, b',' | b'['),
                    };
                    if !expected {
                        let why = "an object or a list begins where none can";
                        return (Scanned::Broken(at, why), kinds.len() as u32);
                    }
                    kinds.push(byte);
                    last = byte;
                }
                b'}' | b']' => {
                    if (kinds.last() == Some(&b'{')) != (byte == b'}') {
                        let why = "a bracket closes what is not open";
                        return (Scanned::Broken(at, why), kinds.len() as u32);
                    }
                    kinds.pop();
                    last = byte;
                    if kinds.is_empty() {
                        return (Scanned::Ends(at + 1), 0);
                    }
                }
                _ if b",:0123456789+-.Etrueflasn".contains(&byte) => last = byte,
                _ => return (Scanned::Broken(at, "text stands outside quotes"), kinds.len() as u32),
            }
            at += 1;
        }
        (Scanned::NeedInput, kinds.len() as u32)
    }

    proptest! {
        #[test]
        fn the_end_is_where_a_slow_reader_finds_it(
            rest in r#"("[a-z{}\\"\n ]{0,70}"|[{}\[\],:\\" \n\t0e\-]|"(a|\\"|\\\\|é){0,40}"|[ ]{0,70}|x){0,30}"#,
            cuts in proptest::collection::vec(0_usize..200, 0..4),
        ) {
            let text = format!("{{{rest}");
            let bytes = text.as_bytes();
            let expected = slow(bytes);
            let mut plain = Scan::closely();
            prop_assert_eq!((plain.read(bytes, masks, prefix_xor), plain.depth), expected);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.clamp(1, bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            // However the bytes come.
            for closely in [true, false] {
                let mut scan = Scan { closely, ..Scan::default() };
                let mut found = Scanned::NeedInput;
                for cut in &cuts {
                    if found == Scanned::NeedInput {
                        found = scan.go_on(&bytes[..*cut]);
                    }
                }
                let is_json = |end: usize| serde_json::from_slice::<serde::de::IgnoredAny>(&bytes[..end]).is_ok();
                match (found, expected.0) {
                    // Counted as if its brackets were of the right kinds.
                    (Scanned::Ends(end), Scanned::Broken(..)) if !closely => prop_assert!(!is_json(end)),
                    (Scanned::NeedInput, Scanned::Broken(..)) if !closely => {}
                    _ => prop_assert_eq!((found, scan.depth), expected),
                }
                if let Scanned::Ends(end) | Scanned::Broken(end, _) = found {
                    let newlines = bytes[..end].iter().filter(|byte| **byte == b'\n').count();
                    prop_assert_eq!(scan.newlines, newlines as u64);
                }
            }
        }
    }
}
