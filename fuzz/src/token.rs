//! A paging token leads back to its place in its own list, and any other text nowhere.

use pinport_server::fuzzing::{read_token, write_token};

use super::input::Input;

/// Checks a token and a changed one.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    let (list, owner) = (data.text(12), data.part(20));
    let mut key = [0; 16];
    key.fill_with(|| data.byte());
    let token = write_token(&list, owner, &key);
    assert_eq!(read_token(&list, owner, &token), Some(key));
    assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let (other_list, other_owner) = (data.text(12), data.part(20));
    if (&other_list, other_owner) != (&list, owner) {
        assert_eq!(read_token(&other_list, other_owner, &token), None);
    }
    let mut changed = token.clone().into_bytes();
    let at = data.number(changed.len() - 1);
    changed[at] = data.byte();
    let changed = String::from_utf8_lossy(&changed);
    if changed != token {
        assert_eq!(read_token(&list, owner, &changed), None);
    }
    let other = String::from_utf8_lossy(data.0);
    if let Some(key) = read_token(&list, owner, &other) {
        assert_eq!(write_token(&list, owner, &key), other, "a token has one spelling");
    }
}
