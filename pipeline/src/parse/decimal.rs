//! Reads plain decimal numbers. What is not plain is left to the standard library.

/// Powers of ten that a float holds exactly.
pub(super) const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Digits of the largest number that is read here: it fits 64 bits.
pub(super) const DIGITS: usize = 18;

/// Integers up to here are floats without rounding.
pub(super) const EXACT: u64 = 1 << 53;

/// Powers of ten, for up to eight digits.
pub(super) const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// What the digits at the start of `word` (its lowest byte first) say, and how many they are. If there is none, it says
/// something.
#[inline(always)]
pub(super) fn first_digits(word: u64) -> (u64, usize) {
    // Digits become 0 to 9; a carry out of another byte only reaches those after it.
    let word = word ^ 0x3030_3030_3030_3030;
    let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() as usize / 8;
    // The digits move to the end, after zeros; then pairs, fours and all eight are joined.
    (joined(word.wrapping_shl(64 - 8 * count as u32)), count)
}

/// The number that eight digits of one byte each say.
#[inline(always)]
fn joined(word: u64) -> u64 {
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

/// Appends the digits at `at` to `number`, which may wrap. Returns it and where they end.
#[inline]
pub(super) fn digits(bytes: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let (value, count) = first_digits(u64::from_le_bytes(*chunk));
        if count == 0 {
            return (number, at);
        }
        number = number.wrapping_mul(TENS[count]).wrapping_add(value);
        at += count;
        if count < 8 {
            return (number, at);
        }
    }
    while let Some(byte) = bytes.get(at)
        && byte.is_ascii_digit()
    {
        number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (number, at)
}

/// The number that all of `text` is, if it is plain: digits, perhaps a sign before them and a fraction after,
/// few enough that one division rounds it as the standard library would.
#[inline(always)]
pub(super) fn float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if let Some(number) = short_float(digits) {
        return Some(if negative { -number } else { number });
    }
    // With a point, so that the digits fit 64 bits.
    if digits.len() > DIGITS + 1 {
        return None;
    }
    let (mut number, mut point) = (0_u64, usize::MAX);
    for (place, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point == usize::MAX && place > 0 {
            point = place;
        } else {
            return None;
        }
    }
    let (count, fraction) = match point {
        usize::MAX => (digits.len(), 0),
        point => (digits.len() - 1, digits.len() - 1 - point),
    };
    if count == 0 || count > DIGITS || number > EXACT {
        return None;
    }
    let number = number as f64 / POWERS[fraction];
    Some(if negative { -number } else { number })
}

/// The same for at most eight bytes without a sign, which are read together. `None`: they are to be looked at one by one.
#[inline(always)]
fn short_float(digits: &[u8]) -> Option<f64> {
    let len = digits.len();
    let digit = |byte: u8, place: u32| u64::from(byte ^ b'0') << (8 * place);
    // The last byte is the highest of the word, and zeros stand before the first.
    let mut word = match digits {
        [a] => digit(*a, 7),
        [a, b] => digit(*a, 6) | digit(*b, 7),
        [a, b, c] => digit(*a, 5) | digit(*b, 6) | digit(*c, 7),
        _ => match (digits.first_chunk::<4>(), digits.last_chunk::<4>()) {
            // Between five and seven bytes some are in both halves.
            (Some(first), Some(last)) if len <= 8 => {
                let four = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes) ^ 0x3030_3030);
                four(first) << (64 - 8 * len) | four(last) << 32
            }
            _ => return None,
        },
    };
    let others = (((word & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    let mut fraction = 0;
    if others != 0 {
        // One may be the point, but not the first: it is taken out.
        let point = others.trailing_zeros() & !7;
        let is_point = word >> point & 0xff == u64::from(b'.' ^ b'0');
        if !is_point || others & (others - 1) != 0 || point as usize == 64 - 8 * len {
            return None;
        }
        fraction = 7 - point as usize / 8;
        let behind = !0xff << point;
        let before = (1 << point) - 1;
        word = word & behind | (word & before) << 8;
    }
    Some(joined(word) as f64 / POWERS[fraction])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_numbers_are_read_as_long_ones_are() {
        for text in [
            "0", "7", "10", "169", "1234", "12345", "123456", "1234567", "12345678", "1.", "1.5", "12.50",
            "0.125", "42.8323", "147.3461", "1234567.", "00000001",
        ] {
            assert_eq!(short_float(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in
            ["", ".", ".5", "1.2.3", "-1", "1e5", "12 ", "1,5", "+1", "1234567é", "0\u{b0}", "123456789"]
        {
            assert_eq!(short_float(text.as_bytes()), None, "{text}");
        }
        assert_eq!((float("-0.5"), float("-"), float("1..5"), float("-.5")), (Some(-0.5), None, None, None));
    }

    proptest! {
        #[test]
        fn plain_numbers_are_what_the_standard_library_reads(text in "-?[0-9]{0,12}(\\.[0-9]{0,9})?[0-9a-z.]{0,1}") {
            if let Some(number) = float(&text) {
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
            }
        }

        #[test]
        fn digits_end_at_the_first_other_byte(bytes in prop::collection::vec(any::<u8>(), 0..4), text in "[0-9]{0,19}") {
            let all = [text.as_bytes(), &bytes].concat();
            let count = all.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let value = all[..count].iter().fold(7_u64, |value, digit| {
                value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
            });
            prop_assert_eq!(digits(&all, 0, 7), (value, count));
        }
    }

    #[test]
    fn the_usual_ones_are_plain() {
        for text in ["0", "-0", "47.606", "-122.33", "007.50", "9007199254740992", "1.000000000000000"] {
            assert_eq!(float(text).map(f64::to_bits), text.parse().ok().map(f64::to_bits), "{text}");
            assert!(float(text).is_some(), "{text}");
        }
        for text in ["", "-", ".5", "+1", "1e5", "inf", "1 ", "0x1", "1.2.3"] {
            assert_eq!(float(text), None, "{text}");
        }
    }
}
