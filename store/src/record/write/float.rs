//! Numbers as JSON writes them, byte for byte as `serde_json` does. Coordinates and metrics nearly all have few decimals:
//! those are written as whole numbers are, for half of what it takes to find the shortest text of any number.

use super::super::append::append;

/// Decimals that are written so, and what makes a whole number of them.
const DECIMALS: usize = 4;
const SCALE: f64 = 1e4;

/// Decimal numbers with fewer digits than this are told apart by their nearest `f64`, so the shortest text is the only one.
const MOST: i64 = 1_000_000_000_000_000;

/// Appends a number.
pub(super) fn float(out: &mut Vec<u8>, number: f64) {
    let scaled = (number.abs() * SCALE + 0.5) as i64;
    // Zero has a sign, too.
    if (1..MOST).contains(&scaled) && scaled as f64 / SCALE == number.abs() {
        short(out, number < 0.0, scaled.unsigned_abs());
    } else if number.is_finite() {
        append(out, zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

fn short(out: &mut Vec<u8>, is_negative: bool, scaled: u64) {
    let (whole, rest) = (scaled / SCALE as u64, scaled % SCALE as u64);
    if is_negative {
        out.push(b'-');
    }
    append(out, itoa::Buffer::new().format(whole).as_bytes());
    let (high, low) = (rest / 100, rest % 100);
    let digit = |number: u64| b'0' + number as u8;
    let text: [u8; 1 + DECIMALS] =
        [b'.', digit(high / 10), digit(high % 10), digit(low / 10), digit(low % 10)];
    // One decimal stays. How many there are is hard to foresee, so all are written first.
    let zeros = match low {
        0 => 2 + usize::from(high % 10 == 0),
        _ => usize::from(low % 10 == 0),
    };
    out.extend_from_slice(&text);
    out.truncate(out.len() - zeros);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: f64) -> String {
        let mut out = Vec::new();
        float(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_serde(
            any in any::<f64>(),
            digits in any::<i64>(),
            shift in 0_u32..63,
            decimals in 0_i32..8,
        ) {
            let decimal = (digits >> shift) as f64 / 10_f64.powi(decimals);
            let bits = decimal.to_bits();
            let beside = [bits.wrapping_add(1), bits.wrapping_sub(1)].map(f64::from_bits);
            for number in [any, decimal, beside[0], beside[1], decimal * 1e4, decimal / 1e4] {
                prop_assert_eq!(written(number), serde_json::to_string(&number).unwrap());
            }
        }
    }

    #[test]
    fn numbers_at_the_bounds_are_those_of_serde() {
        let bound = MOST as f64 / SCALE;
        let edges =
            [0.0, 1.0, 0.5, 0.1, 0.00005, 0.00004, 0.0001, 0.00015, 9.9999, 9.99995, 1e15, 1e16, 1e21, 1e-5];
        let most =
            [bound, bound - 0.0001, bound + 0.125, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY];
        for number in edges.into_iter().chain(most).flat_map(|number| [number, -number]) {
            assert_eq!(written(number), serde_json::to_string(&number).unwrap(), "{number:e}");
        }
    }
}
