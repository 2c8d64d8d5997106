//! Paging tokens: opaque positions in a list. A token names the list it belongs to (its kind and the
//! application), so that it leads nowhere in another one; it holds no secret and no state.

use sha2::{Digest as _, Sha256};

use crate::ApiError;

const TAG: usize = 8;

/// The token for the place after `key` in a list.
pub(crate) fn write(list: &str, owner: &[u8], key: &[u8]) -> String {
    let tag = tag(list, owner, key);
    let mut token = String::with_capacity(2 * (TAG + key.len()));
    for byte in tag.iter().chain(key) {
        token.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        token.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    token
}

/// The key that a token of this list holds.
pub(crate) fn read<const N: usize>(list: &str, owner: &[u8], token: &str) -> Result<[u8; N], ApiError> {
    let bad = || ApiError::bad_request("The token is not one that this server has given out for this list.");
    let digits = token.as_bytes();
    if digits.len() != 2 * (TAG + N) {
        return Err(bad());
    }
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = digits.chunks_exact(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    let bytes = bytes.ok_or_else(bad)?;
    let (found, key) = bytes.split_at(TAG);
    let key: [u8; N] = key.try_into().map_err(|_| bad())?;
    if found == tag(list, owner, &key) { Ok(key) } else { Err(bad()) }
}

fn tag(list: &str, owner: &[u8], key: &[u8]) -> [u8; TAG] {
    let mut hash = Sha256::new();
    // Lengths keep parts apart.
    for part in [b"pinport token 1", list.as_bytes(), owner, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    std::array::from_fn(|index| hash[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_in_its_own_list_alone() {
        let token = write("jobs", b"app one", &[7; 16]);
        assert_eq!(read::<16>("jobs", b"app one", &token).unwrap(), [7; 16]);
        assert!(read::<16>("jobs", b"app two", &token).is_err());
        assert!(read::<16>("segments", b"app one", &token).is_err());
        assert!(read::<4>("jobs", b"app one", &token).is_err());
    }

    #[test]
    fn a_changed_token_is_refused() {
        let token = write("jobs", b"a", &[1; 16]);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(read::<16>("jobs", b"a", std::str::from_utf8(&changed).unwrap()).is_err(), "{at}");
        }
        for bad in ["", "x", "ü", &token.to_uppercase(), &token[1..]] {
            assert!(bad == token || read::<16>("jobs", b"a", bad).is_err(), "{bad}");
        }
    }
}
