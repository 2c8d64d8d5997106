//! Recognises bytes that are neither CSV nor JSON by how they begin, and what a user can do about them.
//!
//! Only signatures that no CSV header and no JSON begins with count; the rest is for the parsers to judge.

use crate::limits::HEAD_BYTES;

/// A kind of file that holds no records that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// A zip archive.
    Zip,
    /// A workbook or document of an office program, which is a zip archive.
    Office,
    /// A workbook or document of an older office program.
    Ole,
    /// A tar archive.
    Tar,
    /// Any other archive.
    Archive,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro.
    Avro,
    /// Apache ORC.
    Orc,
    /// Apache Arrow or Feather.
    Arrow,
    /// A database of SQLite, DuckDB or Access.
    Database,
    /// Statements of a SQL dump.
    Sql,
    /// Contacts as vCards.
    Vcard,
    /// A PDF document.
    Pdf,
    /// A picture.
    Picture,
    /// A web page.
    Html,
    /// An XML document.
    Xml,
    /// The error that a store answered, saved in place of the data.
    StoreError,
    /// A pointer of git-LFS.
    LfsPointer,
    /// An encrypted message.
    Encrypted,
    /// Compressed in a way that is not read.
    Compressed,
    /// Compressed again and again.
    CompressedAgain,
}

impl Foreign {
    /// What it is, after "it is".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zip => "a zip archive",
            Self::Office => "a workbook or document (.xlsx, .ods, .docx)",
            Self::Ole => "a workbook or document of an office program (.xls, .doc, .rtf)",
            Self::Tar => "a tar archive",
            Self::Archive => "an archive (7z, rar or cpio)",
            Self::Parquet => "a Parquet file",
            Self::Avro => "an Avro file",
            Self::Orc => "an ORC file",
            Self::Arrow => "an Arrow or Feather file",
            Self::Database => "a database file (SQLite, DuckDB or Access)",
            Self::Sql => "a SQL dump",
            Self::Vcard => "a vCard file",
            Self::Pdf => "a PDF document",
            Self::Picture => "a picture",
            Self::Html => "a web page (HTML)",
            Self::Xml => "an XML document",
            Self::StoreError => "the error answer of a store (XML), saved in place of the data",
            Self::LfsPointer => "a git-LFS pointer, not the file itself",
            Self::Encrypted => "an encrypted message (PGP or age)",
            Self::Compressed => "compressed in a way that is not read (lz4, snappy, lzop or compress)",
            Self::CompressedAgain => "compressed more than twice",
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Zip | Self::Tar | Self::Archive => "extract it, and import the files in it",
            Self::Office | Self::Ole => "save the sheet as CSV (UTF-8), and import that",
            Self::Parquet | Self::Avro | Self::Orc | Self::Arrow => {
                "export it as CSV or as JSON lines first (with DuckDB, Spark or pandas), and import that"
            }
            Self::Database | Self::Sql => "export the table as CSV or as JSON lines, and import that",
            Self::Vcard => "export the contacts as CSV, and import that",
            Self::Pdf | Self::Picture => "export the data as CSV or as JSON lines, and import that",
            Self::Html => "download the data itself: a page like this is often a login or an error page",
            Self::Xml => "export the data as CSV or as JSON lines, and import that",
            Self::StoreError => "download the data again: the error in it says why it failed",
            Self::LfsPointer => "fetch the file itself with git lfs pull",
            Self::Encrypted => "decrypt it first",
            Self::Compressed => "decompress it, or compress it with gzip or zstd",
            Self::CompressedAgain => "decompress it until it is plain or compressed once",
        }
    }
}

/// Signatures that neither a header nor a record begins with.
const CERTAIN: &[(&[u8], Foreign)] = &[
    (b"PK\x03\x04", Foreign::Zip),
    (b"PK\x05\x06", Foreign::Zip),
    (b"PK\x07\x08PK\x03\x04", Foreign::Zip),
    (b"PK00PK\x03\x04", Foreign::Zip),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Foreign::Ole),
    (b"7z\xbc\xaf\x27\x1c", Foreign::Archive),
    (b"Rar!\x1a\x07", Foreign::Archive),
    (b"Obj\x01", Foreign::Avro),
    (b"SQLite format 3\0", Foreign::Database),
    (b"\0\x01\0\0Standard ", Foreign::Database),
    (b"BEGIN:VCARD", Foreign::Vcard),
    (b"-- MySQL dump", Foreign::Sql),
    (b"-- MariaDB dump", Foreign::Sql),
    (b"--\n-- PostgreSQL database dump", Foreign::Sql),
    (b"PGDMP", Foreign::Sql),
    (b"INSERT INTO ", Foreign::Sql),
    (b"CREATE TABLE ", Foreign::Sql),
    (b"{\\rtf", Foreign::Ole),
    (b"\x89PNG\r\n\x1a\n", Foreign::Picture),
    (b"\xff\xd8\xff", Foreign::Picture),
    (b"age-encryption.org/v1\n", Foreign::Encrypted),
    (b"-----BEGIN PGP MESSAGE-----", Foreign::Encrypted),
    (b"%PDF-", Foreign::Pdf),
    (b"version https://git-lfs.github.com/spec/", Foreign::LfsPointer),
    (b"\x04\x22\x4d\x18", Foreign::Compressed),
    (b"\xff\x06\0\0sNaPpY", Foreign::Compressed),
    (b"\x89LZO\0\r\n\x1a\n", Foreign::Compressed),
    (b"\x1f\x9d", Foreign::Compressed),
    (b"\x1f\xa0", Foreign::Compressed),
    (b"070701", Foreign::Archive),
];

/// Signatures that are text: a header may begin so, but then no control characters follow.
const BEFORE_BINARY: &[(&[u8], Foreign)] = &[
    (b"PAR1", Foreign::Parquet),
    (b"PARE", Foreign::Parquet),
    (b"ORC", Foreign::Orc),
    (b"ARROW1", Foreign::Arrow),
    (b"FEA1", Foreign::Arrow),
    (b"GIF87a", Foreign::Picture),
    (b"GIF89a", Foreign::Picture),
];

/// Names of the first member of a zip archive that is a workbook or a document.
const OFFICE: [&[u8]; 6] = [b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"word/", b"mimetype"];

/// What bytes that begin so are, if they can be neither CSV nor JSON. `None` for what may be either, and for
/// compressed bytes that can be decoded.
pub(super) fn foreign(head: &[u8]) -> Option<Foreign> {
    // Most objects: a letter or a brace, and no more to do than a glance at the place of tar's signature.
    if is_tar(head) {
        return Some(Foreign::Tar);
    }
    // DuckDB's signature comes after a sum.
    if head.get(8..12) == Some(b"DUCK") && head[..8].iter().any(|byte| !byte.is_ascii_graphic()) {
        return Some(Foreign::Database);
    }
    if let Some((_, kind)) = CERTAIN.iter().find(|(signature, _)| head.starts_with(signature)) {
        let office = *kind == Foreign::Zip
            && head.get(30..).is_some_and(|name| OFFICE.iter().any(|member| name.starts_with(member)));
        return Some(if office { Foreign::Office } else { *kind });
    }
    let control = |byte: &u8| matches!(byte, 0..=8 | 0x0e..=0x1f);
    if let Some((signature, kind)) = BEFORE_BINARY.iter().find(|(signature, _)| head.starts_with(signature)) {
        let behind = &head[signature.len()..];
        return behind.iter().take(64).any(control).then_some(*kind);
    }
    markup(head)
}

/// A web page or an XML document.
fn markup(head: &[u8]) -> Option<Foreign> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if !matches!(head, [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'?', ..]) {
        return None;
    }
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let has = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    if has(&["<!doctype html", "<html", "<head>", "<body", "<script"]) {
        return Some(Foreign::Html);
    }
    if has(&["<error>"]) && has(&["<code>"]) {
        return Some(Foreign::StoreError);
    }
    // A header may have names in angle brackets, but none that ends an element.
    has(&["<?xml", "<!doctype", "</", "/>", " xmlns"]).then_some(Foreign::Xml)
}

/// Whether a tar archive begins here: its header carries a sum of itself.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..HEAD_BYTES) else {
        // Cut off within the first header, or no tar.
        return head.get(257..262) == Some(b"ustar");
    };
    if &header[257..262] == b"ustar" {
        return true;
    }
    // The oldest form has no signature. A line of text holds no NUL after a name.
    if header[0] == 0 || !header[..100].contains(&0) {
        return false;
    }
    tar_sum(header) == octal(&header[148..156])
}

/// The sum of a tar header, with its own place taken as blanks.
pub(super) fn tar_sum(header: &[u8]) -> Option<u64> {
    let own = 148..156;
    let sum =
        header.iter().enumerate().map(|(at, byte)| if own.contains(&at) { 32 } else { u64::from(*byte) });
    Some(sum.sum())
}

/// A number of a tar header in octal digits, between blanks and NULs.
pub(super) fn octal(field: &[u8]) -> Option<u64> {
    let end = |byte: &u8| matches!(byte, 0 | b' ');
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let digits = &digits[..digits.iter().position(end).unwrap_or(digits.len())];
    digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_no_records_are_known_by_their_first_bytes() {
        let zip = |name: &[u8]| [&b"PK\x03\x04"[..], &[0; 26], name].concat();
        for (head, kind) in [
            (zip(b"contacts.csv"), Foreign::Zip),
            (zip(b"[Content_Types].xml"), Foreign::Office),
            (zip(b"xl/workbook.xml"), Foreign::Office),
            (b"PK\x05\x06".to_vec(), Foreign::Zip),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...".to_vec(), Foreign::Ole),
            (b"PAR1\x15\x04\x15".to_vec(), Foreign::Parquet),
            (b"Obj\x01\x02".to_vec(), Foreign::Avro),
            (b"ORC\x0a\x03".to_vec(), Foreign::Orc),
            (b"ARROW1\0\0".to_vec(), Foreign::Arrow),
            (b"%PDF-1.7".to_vec(), Foreign::Pdf),
            (b"\xef\xbb\xbf\r\n<!DOCTYPE HTML>".to_vec(), Foreign::Html),
            (b"<HTML>".to_vec(), Foreign::Html),
            (b"<?xml version='1.0'?><html xmlns='x'>".to_vec(), Foreign::Html),
            (b"<?xml version='1.0'?><rows/>".to_vec(), Foreign::Xml),
            (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code>".to_vec(), Foreign::StoreError),
            (b"<Error><Code>NoSuchKey</Code></Error>".to_vec(), Foreign::StoreError),
            (b"<!-- saved --><HTML>".to_vec(), Foreign::Html),
            (b"<contacts><contact/></contacts>".to_vec(), Foreign::Xml),
            (b"<Workbook xmlns='x'>".to_vec(), Foreign::Xml),
            (b"BEGIN:VCARD\r\nVERSION:3.0".to_vec(), Foreign::Vcard),
            (b"INSERT INTO contacts VALUES".to_vec(), Foreign::Sql),
            (b"\x12\x34\0\0\0\0\0\0DUCK\x40".to_vec(), Foreign::Database),
            (b"{\\rtf1\\ansi".to_vec(), Foreign::Ole),
            (b"version https://git-lfs.github.com/spec/v1\noid".to_vec(), Foreign::LfsPointer),
            (b"\x04\x22\x4d\x18".to_vec(), Foreign::Compressed),
        ] {
            assert_eq!(foreign(&head), Some(kind), "{}", String::from_utf8_lossy(&head));
            assert!(!kind.name().is_empty() && !kind.advice().is_empty());
        }
    }

    #[test]
    fn what_may_be_csv_or_json_is_left_to_the_parsers() {
        for head in [
            &b""[..],
            b"Id,Address\n",
            b"ORCID,Id\n1,2\n",
            b"PAR1,Id\n",
            b"ARROW1\tId\n",
            b"PK,Address\n",
            b"version,Id\n",
            b"Object,Id\n",
            b"Id,Adres,DUCK\n",
            b"{\"rtf\":1}",
            b"<Id>,<Address>\n",
            b"{\"Id\":1}",
            b"\xff\xfeI\0d\0",
            b"\x1f\x8b\x08",
        ] {
            assert_eq!(foreign(head), None, "{}", String::from_utf8_lossy(head));
        }
        assert_eq!(foreign(&[b'a'; 600]), None);
        assert_eq!(foreign(&[0; 600]), None);
    }

    #[test]
    fn a_tar_is_known_with_and_without_its_signature() {
        let mut header = [0; HEAD_BYTES];
        header[..5].copy_from_slice(b"a.csv");
        header[124..136].copy_from_slice(b"00000000012\0");
        let sum = tar_sum(&header).unwrap();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(is_tar(&header));
        header[0] = b'b';
        assert!(!is_tar(&header));
        header[257..262].copy_from_slice(b"ustar");
        assert!(is_tar(&header));
        assert_eq!(foreign(&header), Some(Foreign::Tar));
        assert_eq!(octal(b"  17 \0"), Some(15));
        assert_eq!(octal(b"18\0"), None);
    }
}
