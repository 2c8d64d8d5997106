//! Keys as object_store's paths. A path drops empty segments and refuses some names, so `dir/`, `/x` and `./z` would
//! read another object or none. No key reaches a path as it is: it is one segment of base64, which
//! [`connector`](super::connector) turns back before it signs.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use object_store::path::Path;

/// The path that stands for `key`.
pub(super) fn to_path(key: &str) -> Path {
    Path::from(URL_SAFE_NO_PAD.encode(key))
}

/// The key that the last segment of a URL's path stands for; `None` if [`to_path`] never made it.
pub(super) fn from_url_path(path: &str) -> Option<String> {
    let (_, last) = path.rsplit_once('/')?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(last).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_back_from_a_single_plain_segment() {
        let long = "é/".repeat(512);
        let odd = ["a//b", "dir/", "/x", "..", "./z", "%", "%2F", "a b", "\u{1}\n", "é", "a?b#c", "=", &long];
        for key in odd {
            let path = to_path(key);
            let segment = path.as_ref();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            assert!(!segment.is_empty() && segment.bytes().all(plain), "{key}: {segment}");
            assert_eq!(from_url_path(&format!("/bucket/{segment}")).as_deref(), Some(key));
        }
    }

    #[test]
    fn other_paths_stand_for_no_key() {
        assert_eq!(from_url_path("/bucket/a.b"), None);
        assert_eq!(from_url_path("none"), None);
    }
}
