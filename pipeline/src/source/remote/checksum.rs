//! What a store says an object's bytes add up to, held against the bytes that came.
//!
//! S3 returns the checksum an object was uploaded with, and GCS the CRC of any, if the whole of it is asked for in one
//! request. CRCs cost
//! nothing that can be measured beside the transfer, so they are always compared; SHA-256 and the MD5 of an entity
//! tag take as long as everything else that is done with the bytes, so they are only on request. Checksums of parts
//! (`…-3`) and tags of encrypted objects say nothing of the bytes and are left aside.

use std::collections::VecDeque;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::CrcAlgorithm;
use http::{HeaderMap, header};
use sha2::Digest as _;

use crate::buffers::Chunk;

/// How bytes are added up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Crc(CrcAlgorithm, usize),
    Sha256,
    Md5,
}

/// The sum of an object as its store gives it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checksum {
    kind: Kind,
    name: &'static str,
    /// As text: base64, or hexadecimal for an entity tag.
    value: String,
}

impl Checksum {
    /// The sum of a whole object from an answer's headers; `thorough` also takes the dear ones.
    pub(super) fn from_headers(headers: &HeaderMap, thorough: bool) -> Option<Self> {
        const CRCS: [(&str, &str, CrcAlgorithm, usize); 3] = [
            ("x-amz-checksum-crc64nvme", "CRC-64/NVME", CrcAlgorithm::Crc64Nvme, 8),
            ("x-amz-checksum-crc32c", "CRC-32C", CrcAlgorithm::Crc32Iscsi, 4),
            ("x-amz-checksum-crc32", "CRC-32", CrcAlgorithm::Crc32IsoHdlc, 4),
        ];
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let of_all = text("x-amz-checksum-type").is_none_or(|kind| kind.eq_ignore_ascii_case("FULL_OBJECT"));
        // A sum of sums ends with the number of parts, which is no base64.
        let value = |name: &str, bytes: usize| {
            let value = text(name).filter(|_| of_all)?;
            (STANDARD.decode(value).ok()?.len() == bytes).then(|| value.to_owned())
        };
        for (header, name, algorithm, bytes) in CRCS {
            if let Some(value) = value(header, bytes) {
                return Some(Self { kind: Kind::Crc(algorithm, bytes), name, value });
            }
        }
        // GCS gives the sum of what it stores, which is what we ask for.
        let hashes = text("x-goog-hash").unwrap_or_default();
        if let Some(value) = hashes.split(',').find_map(|hash| hash.trim().strip_prefix("crc32c=")) {
            return Some(Self {
                kind: Kind::Crc(CrcAlgorithm::Crc32Iscsi, 4),
                name: "CRC-32C",
                value: value.into(),
            });
        }
        if !thorough {
            return None;
        }
        if let Some(value) = value("x-amz-checksum-sha256", 32) {
            return Some(Self { kind: Kind::Sha256, name: "SHA-256", value });
        }
        let encrypted = text("x-amz-server-side-encryption").is_some_and(|kind| kind.starts_with("aws:kms"))
            || text("x-amz-server-side-encryption-customer-algorithm").is_some();
        let tag = text(header::ETAG.as_str()).filter(|_| !encrypted)?.trim_matches('"');
        let is_md5 = tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_md5.then(|| Self { kind: Kind::Md5, name: "MD5 (entity tag)", value: tag.to_ascii_lowercase() })
    }

    /// Holds the bytes against it; the error is a reason.
    pub(super) fn check(&self, chunks: &VecDeque<Chunk>) -> Result<(), String> {
        let found = match self.kind {
            Kind::Crc(algorithm, bytes) => {
                let mut digest = crc_fast::Digest::new(algorithm);
                chunks.iter().for_each(|chunk| digest.update(chunk.bytes()));
                STANDARD.encode(&digest.finalize().to_be_bytes()[8 - bytes..])
            }
            Kind::Sha256 => {
                let mut digest = sha2::Sha256::new();
                chunks.iter().for_each(|chunk| digest.update(chunk.bytes()));
                STANDARD.encode(digest.finalize())
            }
            Kind::Md5 => {
                let mut digest = md5::Md5::new();
                chunks.iter().for_each(|chunk| digest.update(chunk.bytes()));
                pinport_model::hex(digest.finalize())
            }
        };
        if found == self.value {
            return Ok(());
        }
        Err(format!("its {} is {} in the store and {found} as it arrived", self.name, self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_headers(headers: &[(&'static str, &str)], thorough: bool) -> Option<Checksum> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Checksum::from_headers(&map, thorough)
    }

    fn check(checksum: Option<Checksum>, parts: [&'static str; 2]) -> Result<(), String> {
        checksum
            .unwrap()
            .check(&parts.iter().map(|part| Chunk { buffer: part.as_bytes().to_vec(), start: 0 }).collect())
    }

    /// The published check values of "123456789", and what Python's hashlib says of it.
    const SUMS: [(&str, &str); 6] = [
        ("x-goog-hash", "md5=JfnnlDI7RTiF9RgfG2JNCw==,crc32c=4waSgw=="),
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ("etag", "\"25f9e794323b453885f5181f1b624d0b\""),
    ];

    #[test]
    fn every_sum_is_held_against_the_bytes() {
        for sum in SUMS {
            assert_eq!(check(from_headers(&[sum], true), ["1234", "56789"]), Ok(()), "{sum:?}");
            let wrong = check(from_headers(&[sum], true), ["1234", "56788"]).unwrap_err();
            assert!(
                wrong.contains(
                    sum.1.rsplit(',').next().unwrap().trim_start_matches("crc32c=").trim_matches('"')
                ),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_is_dear_or_says_nothing_of_the_bytes_is_left_aside() {
        for sum in &SUMS[4..] {
            assert_eq!(from_headers(&[*sum], false), None);
        }
        for sum in SUMS {
            assert_eq!(
                from_headers(&[("x-amz-checksum-type", "COMPOSITE"), sum], true).is_some(),
                ["etag", "x-goog-hash"].contains(&sum.0)
            );
            assert!(from_headers(&[("x-amz-checksum-type", "FULL_OBJECT"), sum], true).is_some());
        }
        for other in [
            ("x-amz-checksum-crc32", "y/Q5Jg==-3"),
            ("x-amz-checksum-crc32", "y/Q5"),
            ("etag", "\"25f9e794323b453885f5181f1b624d0b-2\""),
            ("etag", "\"z5f9e794323b453885f5181f1b624d0b\""),
        ] {
            assert_eq!(from_headers(&[other], true), None, "{other:?}");
        }
        for encrypted in [
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ] {
            assert_eq!(from_headers(&[encrypted, SUMS[5]], true), None);
        }
        assert!(from_headers(&[("x-amz-server-side-encryption", "AES256"), SUMS[5]], true).is_some());
    }
}
