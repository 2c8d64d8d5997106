//! Finds where a JSON object ends, 64 bytes at a time: which bytes lie in strings is known for all of them at once,
//! so only braces, brackets and what breaks the object are looked at one by one.

#![allow(unsafe_code, reason = "vector instructions")]

/// Levels of which it is known whether they are objects or arrays.
const KINDS: u32 = 60;

/// How far one object was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    /// Bytes of the object that were read.
    pub(super) at: usize,
    pub(super) depth: u32,
    /// By level, innermost first: a set bit is an object, the others are arrays.
    kinds: u64,
    in_string: bool,
    /// A backslash stands before the next byte.
    escaped: bool,
    /// Newlines that were read.
    pub(super) newlines: u64,
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

impl Scan {
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
        let mut scanned = Scanned::NeedInput;
        while let Some(rest) = bytes.get(state.at..).filter(|rest| !rest.is_empty()) {
            let (found, len) = match rest.first_chunk() {
                Some(chunk) => (masks(chunk), 64),
                None => {
                    // After the end stands white space, which says nothing.
                    let mut chunk = [b' '; 64];
                    chunk[..rest.len()].copy_from_slice(rest);
                    (masks(&chunk), rest.len())
                }
            };
            let escaped = state.escaped_bytes(found.backslashes, len);
            let quotes = found.quotes & !escaped;
            // From an opening quote to before the closing one.
            let in_strings = prefix_xor(quotes) ^ u64::from(state.in_string).wrapping_neg();
            let is_broken = found.newlines & in_strings & !escaped | found.strangers & !in_strings;
            let mut places = found.brackets & !in_strings | is_broken;
            while places != 0 {
                let at = state.at + places.trailing_zeros() as usize;
                if is_broken & places & places.wrapping_neg() != 0 {
                    scanned = Scanned::Broken(at, broken_by(bytes[at]));
                    break;
                }
                if let Some(end) = state.bracket(bytes, at) {
                    scanned = end;
                    break;
                }
                places &= places - 1;
            }
            if scanned != Scanned::NeedInput {
                let read = places & places.wrapping_neg();
                state.newlines += u64::from((found.newlines & (read - 1)).count_ones());
                break;
            }
            state.newlines += u64::from(found.newlines.count_ones());
            state.in_string = in_strings >> 63 == 1;
            state.at += len;
        }
        *self = state;
        scanned
    }

    /// Which of the next `len` bytes come after a backslash that escapes them.
    #[inline(always)]
    fn escaped_bytes(&mut self, backslashes: u64, len: usize) -> u64 {
        let before = u64::from(self.escaped);
        let mut left = backslashes & !before;
        let mut escaped = before;
        self.escaped = false;
        // They are few: of two the first one escapes the second.
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            if place + 1 == len {
                self.escaped = true;
                break;
            }
            escaped |= 2 << place;
            left &= !(3 << place);
        }
        escaped
    }

    /// Takes a brace or a bracket outside strings.
    #[inline(always)]
    fn bracket(&mut self, bytes: &[u8], at: usize) -> Option<Scanned> {
        let byte = bytes[at];
        if matches!(byte, b'{' | b'[') {
            if self.depth > 0 && self.depth <= KINDS && !may_begin(&bytes[..at], self.kinds & 1 == 1) {
                return Some(Scanned::Broken(at, "an object or a list begins where none can"));
            }
            self.depth += 1;
            if self.depth <= KINDS {
                self.kinds = self.kinds << 1 | u64::from(byte == b'{');
            }
            return None;
        }
        if self.depth <= KINDS {
            if (self.kinds & 1 == 1) != (byte == b'}') {
                return Some(Scanned::Broken(at, "a bracket closes what is not open"));
            }
            self.kinds >>= 1;
        }
        self.depth -= 1;
        (self.depth == 0).then_some(Scanned::Ends(at + 1))
    }
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

/// What 64 bytes are. A bit stands for a byte, the lowest one for the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    newlines: u64,
    /// Braces and brackets.
    brackets: u64,
    /// What stands nowhere in JSON but in strings.
    strangers: u64,
}

/// Bits of [`CLASSES`].
const QUOTE: u8 = 1;
const BACKSLASH: u8 = 2;
const NEWLINE: u8 = 4;
const BRACKET: u8 = 8;
const STRANGER: u8 = 16;

/// What each byte is.
static CLASSES: [u8; 256] = {
    let known = b" \t\r\n,:\"{}[]0123456789+-.Etrueflasn";
    let mut classes = [STRANGER; 256];
    let mut at = 0;
    while at < known.len() {
        classes[known[at] as usize] = match known[at] {
            b'"' => QUOTE,
            b'\n' => NEWLINE,
            b'{' | b'}' | b'[' | b']' => BRACKET,
            _ => 0,
        };
        at += 1;
    }
    classes[b'\\' as usize] |= BACKSLASH;
    classes
};

fn masks(chunk: &[u8; 64]) -> Masks {
    let mut masks = Masks::default();
    for (place, byte) in chunk.iter().enumerate() {
        let class = CLASSES[*byte as usize];
        let bit = |which: u8| u64::from(class & which != 0) << place;
        masks.quotes |= bit(QUOTE);
        masks.backslashes |= bit(BACKSLASH);
        masks.newlines |= bit(NEWLINE);
        masks.brackets |= bit(BRACKET);
        masks.strangers |= bit(STRANGER);
    }
    masks
}

/// Each bit with all below it, by exclusive or.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn prefix_xor_clmul(bits: u64) -> u64 {
    use std::arch::x86_64::{_mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8};
    let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
    _mm_cvtsi128_si64(product) as u64
}

/// Two tables by the halves of a byte: it is known if the entries share a bit.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
static KNOWN: [[u8; 16]; 2] = {
    let mut tables = [[0; 16]; 2];
    let mut byte = 0;
    while byte < 128 {
        if CLASSES[byte] & STRANGER == 0 {
            let bit = 1 << (byte >> 4);
            tables[0][byte & 15] |= bit;
            tables[1][byte >> 4] |= bit;
        }
        byte += 1;
    }
    tables
};

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
// Inlined, the compiler takes the masks apart and makes vectors of their bits again.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn masks_avx2(chunk: &[u8; 64]) -> Masks {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
        _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256,
        _mm256_shuffle_epi8, _mm256_srli_epi16,
    };
    // SAFETY: the loads read the 16 bytes of each table, unaligned.
    let [low, high] = KNOWN.each_ref().map(|table| unsafe {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast::<__m128i>()))
    });
    let mut masks = Masks::default();
    for (part, bytes) in chunk.as_chunks::<32>().0.iter().enumerate() {
        // SAFETY: the load reads the 32 bytes of the array, unaligned.
        let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) };
        let bits = |found: __m256i| u64::from(_mm256_movemask_epi8(found) as u32) << (part * 32);
        let is = |bytes: __m256i, byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8));
        // Braces and brackets differ in one bit.
        let braces = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
        // A byte above 0x7f has no low half for the shuffle, and the tables know none with such a high one.
        let halves = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(15));
        let known = _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, halves));
        masks.quotes |= bits(is(bytes, b'"'));
        masks.backslashes |= bits(is(bytes, b'\\'));
        masks.newlines |= bits(is(bytes, b'\n'));
        masks.brackets |= bits(_mm256_or_si256(is(braces, b'{'), is(braces, b'}')));
        masks.strangers |= bits(_mm256_cmpeq_epi8(known, _mm256_setzero_si256()));
    }
    masks
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
            let mut plain = Scan::default();
            prop_assert_eq!((plain.read(bytes, masks, prefix_xor), plain.depth), expected);
            // However the bytes come.
            let mut scan = Scan::default();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.clamp(1, bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut found = Scanned::NeedInput;
            for cut in cuts {
                if found == Scanned::NeedInput {
                    found = scan.go_on(&bytes[..cut]);
                }
            }
            prop_assert_eq!((found, scan.depth), expected);
            if let Scanned::Ends(end) | Scanned::Broken(end, _) = found {
                let newlines = bytes[..end].iter().filter(|byte| **byte == b'\n').count();
                prop_assert_eq!(scan.newlines, newlines as u64);
            }
        }
    }

    #[test]
    fn every_byte_is_known_to_every_processor() {
        for byte in 0..=u8::MAX {
            for place in [0, 15, 31, 32, 63] {
                let mut chunk = [b'a'; 64];
                chunk[place] = byte;
                #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("pclmulqdq") {
                    // SAFETY: the processor has what the functions need.
                    let (found, prefix) =
                        unsafe { (masks_avx2(&chunk), prefix_xor_clmul(1 << place | u64::from(byte))) };
                    assert_eq!(found, masks(&chunk), "{byte} at {place}");
                    assert_eq!(prefix, prefix_xor(1 << place | u64::from(byte)), "{byte} at {place}");
                }
                assert_eq!(masks(&chunk).strangers != 0, CLASSES[byte as usize] & STRANGER != 0);
            }
        }
    }
}
