//! The pages of a store's listing: any bytes end in objects or a reason, and keys arrive as they were written.

use std::fmt::Write as _;

use pinport_pipeline::fuzzing::read_listing;

use super::input::Input;

/// Checks a page, or what one is made from.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    if data.byte() < 128 {
        if let Ok((objects, next)) = read_listing(data.0) {
            assert!(objects.iter().all(|object| object.skipped.is_none()));
            assert_ne!(next.as_deref(), Some(""));
        }
        return;
    }
    let next = (data.byte() < 128)
        .then(|| data.text(20))
        .map(|token| writable(&token))
        .filter(|token| !token.is_empty());
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult>");
    let mut objects = Vec::new();
    while !data.is_empty() && objects.len() < 8 {
        let (key, size) = (writable(&data.text(40)), data.number(65_535) as u64);
        let spelling = data.byte();
        let etag = (spelling & 16 != 0).then(|| format!("\"{size:x}\""));
        body += "<Contents>";
        let _ = write!(body, "<Key>{}</Key><Size> {size}\n</Size>", spelled(&key, spelling));
        if let Some(etag) = &etag {
            let _ = write!(body, "<ETag>{}</ETag>", spelled(etag, spelling));
        }
        body += "<Owner><ID>x</ID><Key>not this</Key></Owner><Empty/></Contents>";
        objects.push((key, size, etag));
    }
    let _ = write!(body, "<IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some(next) = &next {
        let _ = write!(body, "<NextContinuationToken>{}</NextContinuationToken>", spelled(next, 0));
    }
    body += "</ListBucketResult>";
    let (found, found_next) = read_listing(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"));
    let found: Vec<_> = found.into_iter().map(|object| (object.key, object.size, object.etag)).collect();
    assert_eq!((found, found_next), (objects, next));
}

/// Without what XML cannot write.
fn writable(text: &str) -> String {
    text.chars().filter(|char| !matches!(char, '\0' | '\u{fffe}' | '\u{ffff}')).collect()
}

/// Text as one of the ways to write it.
fn spelled(text: &str, way: u8) -> String {
    if way & 3 == 3 && !text.contains("]]>") && text.chars().all(|char| char >= ' ') {
        return format!("<![CDATA[{text}]]>");
    }
    text.chars()
        .map(|char| match char {
            '&' if way & 4 == 0 => "&amp;".into(),
            '<' if way & 4 == 0 => "&lt;".into(),
            '"' if way & 4 == 0 => "&quot;".into(),
            '&' | '<' | '>' | '"' | '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' if way & 8 == 0 => {
                format!("&#x{:x};", u32::from(char))
            }
            '&' | '<' | '>' | '"' | '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' => {
                format!("&#{};", u32::from(char))
            }
            char => char.to_string(),
        })
        .collect()
}
