//! The answers of stores in XML: pages of a listing, lists of buckets, and errors.

use pinport_model::PlannedObject;
use quick_xml::{Reader, events::Event};

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Page {
    pub(in crate::source) objects: Vec<PlannedObject>,
    /// What keys begin with up to the next delimiter, if one was asked for.
    pub(in crate::source) folders: Vec<String>,
    /// How to ask for the next page.
    pub(in crate::source) next: Option<Next>,
}

/// What a page says of the one after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::source) enum Next {
    /// A token of the store's.
    Token(String),
    /// It begins after this key: the first version of S3's protocol.
    Key(String),
}

/// What an error document says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ErrorBody {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) region: Option<String>,
}

/// Reads a page of S3, GCS (`ListBucketResult`) or Azure (`EnumerationResults`). The error is a reason.
pub(in crate::source) fn page(body: &[u8]) -> Result<Page, String> {
    let mut page = Page::default();
    let (mut root, mut truncated, mut token, mut marker) = (false, None, None, None);
    let mut entry = Entry::default();
    walk(body, &mut |path, text, encoded| {
        let parent = path.len().checked_sub(2).and_then(|at| path.get(at)).map(String::as_str);
        let is_root = |name: &str| name == "ListBucketResult" || name == "EnumerationResults";
        match (parent, path.last().map_or("", String::as_str)) {
            (None, name) if is_root(name) => root = true,
            (Some("ListBucketResult"), "IsTruncated") => truncated = Some(text == "true"),
            (Some("ListBucketResult"), "NextContinuationToken")
            | (Some("EnumerationResults"), "NextMarker") => {
                token = Some(text).filter(|text| !text.is_empty());
            }
            (Some("ListBucketResult"), "NextMarker") => marker = Some(text).filter(|text| !text.is_empty()),
            (Some("Contents"), "Key") => entry.key = Some(text),
            (Some("CommonPrefixes"), "Prefix") => page.folders.push(text),
            (Some("BlobPrefix"), "Name") => {
                page.folders.push(if encoded { percent_decoded(&text)? } else { text });
            }
            (Some("Blob"), "Name") => entry.key = Some(if encoded { percent_decoded(&text)? } else { text }),
            (Some("Contents"), "Size") | (Some("Properties"), "Content-Length") => entry.size = Some(text),
            (Some("Contents"), "ETag") | (Some("Properties"), "Etag") => entry.etag = Some(text),
            (_, "Contents" | "Blob") => page.objects.push(std::mem::take(&mut entry).finish()?),
            _ => {}
        }
        Ok(())
    })?;
    if !root {
        return Err("the answer is no listing".into());
    }
    // Without a delimiter, the first version of the protocol goes on after the last key and does not say so.
    let last = || page.objects.iter().map(|object| object.key.clone()).max().filter(|key| !key.is_empty());
    page.next = match (truncated, token) {
        (Some(false), _) => None,
        (_, Some(token)) => Some(Next::Token(token)),
        (Some(true), None) => match marker.or_else(last) {
            Some(key) => Some(Next::Key(key)),
            None => return Err("the listing is cut off without a way to go on".into()),
        },
        (None, None) => None,
    };
    Ok(page)
}

/// Reads the list of an account's buckets (S3) or containers (Azure), and whether there are more. The error is a reason.
pub(super) fn buckets(body: &[u8]) -> Result<(Vec<String>, bool), String> {
    let (mut names, mut root, mut more) = (Vec::new(), false, false);
    walk(body, &mut |path, text, _| {
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ListAllMyBucketsResult" | "EnumerationResults"] => root = true,
            ["ListAllMyBucketsResult", "Buckets", "Bucket", "Name"]
            | ["EnumerationResults", "Containers", "Container", "Name"] => names.push(text),
            ["ListAllMyBucketsResult", "ContinuationToken"] | ["EnumerationResults", "NextMarker"] => {
                more |= !text.is_empty();
            }
            _ => {}
        }
        Ok(())
    })?;
    if root { Ok((names, more)) } else { Err("the answer is no list of buckets".into()) }
}

/// Reads an error document; `None` if it is none.
pub(super) fn error(body: &[u8]) -> Option<ErrorBody> {
    let (mut found, mut root) = (ErrorBody::default(), false);
    let walked = walk(body, &mut |path, text, _| {
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["Error"] => root = true,
            ["Error", "Code"] => found.code = text,
            ["Error", "Message"] => found.message = text,
            ["Error", "Region"] => found.region = Some(text),
            _ => {}
        }
        Ok(())
    });
    (walked.is_ok() && root && !found.code.is_empty()).then_some(found)
}

#[derive(Default)]
struct Entry {
    key: Option<String>,
    size: Option<String>,
    etag: Option<String>,
}

impl Entry {
    fn finish(self) -> Result<PlannedObject, String> {
        let key = self.key.ok_or("the listing has an object without a key")?;
        let size = self.size.as_deref().unwrap_or("").trim().parse();
        let size = size.map_err(|_| format!("the listing gives no size for {key}"))?;
        Ok(PlannedObject { key, size, etag: self.etag.filter(|etag| !etag.is_empty()), skipped: None })
    }
}

type Leave<'a> = &'a mut dyn FnMut(&[String], String, bool) -> Result<(), String>;

/// Calls `leave` at the end of each element with its path, its text and whether it says `Encoded="true"`.
fn walk(body: &[u8], leave: Leave<'_>) -> Result<(), String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut reader = Reader::from_reader(body);
    reader.config_mut().expand_empty_elements = true;
    let (mut path, mut text, mut encoded, mut roots) = (Vec::<String>::new(), String::new(), false, 0);
    let broken = |error: &dyn std::fmt::Display| format!("the answer is no valid XML: {error}");
    loop {
        match reader.read_event().map_err(|error| broken(&error))? {
            Event::Start(start) => {
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                if path.len() > 16 {
                    return Err("the answer is no valid XML: it is nested too deeply".into());
                }
                text.clear();
                encoded = start.attributes().flatten().any(|attribute| {
                    attribute.key.as_ref() == b"Encoded" && attribute.value.as_ref() == b"true"
                });
            }
            Event::End(_) => {
                leave(&path, std::mem::take(&mut text), encoded)?;
                path.pop();
                encoded = false;
                roots += u32::from(path.is_empty());
            }
            Event::Text(part) => text.push_str(&part.xml10_content().map_err(|error| broken(&error))?),
            Event::CData(part) => text.push_str(&part.xml10_content().map_err(|error| broken(&error))?),
            Event::GeneralRef(reference) => {
                if let Some(char) = reference.resolve_char_ref().map_err(|error| broken(&error))? {
                    text.push(char);
                } else {
                    let name = reference.decode().map_err(|error| broken(&error))?;
                    let value = quick_xml::escape::resolve_predefined_entity(&name);
                    text.push_str(value.ok_or_else(|| broken(&format!("unknown entity {name}")))?);
                }
            }
            Event::DocType(_) => return Err("the answer is no valid XML: it has a document type".into()),
            Event::Eof if path.is_empty() && roots == 1 => return Ok(()),
            Event::Eof => return Err("the answer is no valid XML: it is cut off".into()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
        }
    }
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| format!("the listing has a key that is not UTF-8: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_s3_is_read() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>a&amp;b/</Prefix>
<IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken>
<Contents><Key>a&amp;b/ x&#x1;&lt;&#13;.json </Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>
<ETag>&quot;abc&quot;</ETag><Size>12</Size><Owner><ID>1</ID><Key>no</Key></Owner></Contents>
<Contents><Key>z</Key><Size>0</Size></Contents><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>
</ListBucketResult>"#;
        let page = page(body).unwrap();
        assert_eq!(page.next, Some(Next::Token("t+/=".into())));
        assert_eq!(page.objects.len(), 2);
        assert_eq!(page.objects[0].key, "a&b/ x\u{1}<\r.json ");
        assert_eq!(page.objects[0].etag.as_deref(), Some("\"abc\""));
        assert_eq!((page.objects[0].size, page.objects[1].size), (12, 0));
        assert_eq!(page.folders, ["p/"]);
    }

    #[test]
    fn a_page_of_azure_is_read() {
        let body = "\u{feff}<?xml version=\"1.0\"?><EnumerationResults ContainerName=\"c\"><Blobs>\
            <Blob><Name>a//b</Name><Properties><Etag>0x8D</Etag><Content-Length>7</Content-Length></Properties></Blob>\
            <Blob><Name Encoded=\"true\">q%FFx</Name><Properties><Content-Length>7</Content-Length></Properties></Blob>\
            <Blob><Name Encoded=\"false\" Odd=\"true\">q%20x</Name><Properties><Content-Length>7</Content-Length></Properties></Blob>\
            <BlobPrefix><Name>a/</Name></BlobPrefix></Blobs><NextMarker /></EnumerationResults>";
        assert!(page(body.as_bytes()).unwrap_err().contains("UTF-8"));
        let read = page(body.replace("%FF", "%EF%BF%BF").as_bytes()).unwrap();
        assert_eq!(read.next, None);
        assert_eq!(read.objects[0].key, "a//b");
        assert_eq!(read.objects[1].key, "q\u{ffff}x");
        assert_eq!(read.objects[2].key, "q%20x");
        assert_eq!((read.objects.len(), &read.folders[..]), (3, &["a/".to_owned()][..]));
    }

    #[test]
    fn lists_of_buckets_are_read() {
        let body = "<?xml version=\"1.0\"?><ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Owner><ID>1</ID><DisplayName>me</DisplayName></Owner><Buckets><Bucket><Name>b.one</Name>\
            <CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket><Bucket><Name>two</Name></Bucket></Buckets>\
            </ListAllMyBucketsResult>";
        assert_eq!(buckets(body.as_bytes()), Ok((vec!["b.one".into(), "two".into()], false)));
        let more = body.replace("</Buckets>", "</Buckets><ContinuationToken>t</ContinuationToken>");
        assert!(buckets(more.as_bytes()).unwrap().1);
        let azure = "\u{feff}<EnumerationResults ServiceEndpoint=\"x\"><Containers><Container><Name>c</Name>\
            <Properties><Etag>1</Etag></Properties></Container></Containers><NextMarker /></EnumerationResults>";
        assert_eq!(buckets(azure.as_bytes()), Ok((vec!["c".into()], false)));
        assert_eq!(buckets(b"<ListAllMyBucketsResult></ListAllMyBucketsResult>"), Ok((vec![], false)));
        assert!(buckets(b"<html></html>").is_err());
        assert!(buckets(&body.as_bytes()[..body.len() - 1]).is_err());
    }

    #[test]
    fn broken_pages_are_errors() {
        let whole = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>";
        assert!(page(whole.as_bytes()).is_ok());
        for cut in 0..whole.len() {
            assert!(page(&whole.as_bytes()[..cut]).is_err(), "{cut}");
        }
        let cut_off = whole.replace("false", "true");
        assert_eq!(page(cut_off.as_bytes()).unwrap().next, Some(Next::Key("k".into())));
        let marker = cut_off.replace("<Contents>", "<NextMarker>m</NextMarker><Contents>");
        assert_eq!(page(marker.as_bytes()).unwrap().next, Some(Next::Key("m".into())));
        let empty = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
        assert!(page(empty.as_bytes()).is_err());
        assert!(page(whole.replace("<Size>1</Size>", "").as_bytes()).is_err());
        assert!(page(b"<html><body>hello</body></html>").is_err());
    }

    #[test]
    fn errors_are_not_taken_for_data() {
        let body = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>gone</Message><Region>eu</Region></Error>";
        assert_eq!(
            error(body),
            Some(ErrorBody { code: "NoSuchKey".into(), message: "gone".into(), region: Some("eu".into()) })
        );
        assert_eq!(error(b"Id,Address\n"), None);
        assert_eq!(error(b"<Error>"), None);
    }
}
