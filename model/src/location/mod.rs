//! Where an import reads from, by strict grammar.

mod elsewhere;

use std::{borrow::Cow, fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The source of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceLocation {
    /// A key or key prefix in a bucket.
    Bucket {
        /// Which service.
        service: Service,
        /// Bucket or container.
        bucket: String,
        /// An object's key, or a prefix of keys; may be empty. Never decoded: keys are taken verbatim.
        key: String,
    },
    /// A file or a folder.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

/// An object store service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3 and whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    /// The scheme of the service's URLs.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

/// Text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no source: {reason}")]
pub struct ParseLocationError {
    text: String,
    reason: Cow<'static, str>,
}

impl FromStr for SourceLocation {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason| ParseLocationError { text: text.into(), reason: Cow::Borrowed(reason) };
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(reason) = elsewhere::right_form(text) {
            return Err(ParseLocationError { text: text.into(), reason: reason.into() });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() { Err(error("it is empty")) } else { Ok(Self::Path(text.into())) };
        };
        let service = match scheme {
            // As Hadoop calls it.
            "s3" | "s3a" | "s3n" => Service::S3,
            "gs" => Service::Gcs,
            "az" => Service::Azure,
            "file" if rest.starts_with('/') => return Ok(Self::Path(rest.into())),
            "file" => return Err(error("file:// needs an absolute path, as in file:///data/contacts")),
            _ if scheme.trim() != scheme => return Err(error("it begins with white space")),
            _ => return Err(error("the scheme is not one of s3, gs, az, file")),
        };
        if rest.ends_with(['\r', '\n', '\t']) {
            return Err(error("it ends with a line break or a tab: take that away"));
        }
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(error("the bucket is missing, as in s3://bucket/prefix"));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if bucket.len() > 255 || !bucket.bytes().all(allowed) {
            return Err(error("a bucket's name has only letters, digits, '.', '-' and '_'"));
        }
        // HTTP clients resolve such a segment of a path, and ask for another bucket.
        if bucket == "." || bucket == ".." {
            return Err(error("\".\" and \"..\" are no buckets"));
        }
        Ok(Self::Bucket { service, bucket: bucket.into(), key: key.into() })
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { service, bucket, key } => write!(f, "{}://{bucket}/{key}", service.scheme()),
            // Without its scheme it would read as an URL.
            Self::Path(path) if path.to_string_lossy().contains("://") => {
                write!(f, "file://{}", path.display())
            }
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("-"),
        }
    }
}

impl Serialize for SourceLocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SourceLocation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_distinguished() {
        let parse = |text: &str| text.parse::<SourceLocation>();
        let bucket = |service, bucket: &str, key: &str| {
            Ok(SourceLocation::Bucket { service, bucket: bucket.into(), key: key.into() })
        };
        assert_eq!(parse("s3://b/a key/ü%20.json"), bucket(Service::S3, "b", "a key/ü%20.json"));
        assert_eq!(parse("s3a://b/k"), bucket(Service::S3, "b", "k"));
        assert_eq!(parse("s3n://b/k"), bucket(Service::S3, "b", "k"));
        assert_eq!(parse("gs://b"), bucket(Service::Gcs, "b", ""));
        assert_eq!(parse("az://c/p//q"), bucket(Service::Azure, "c", "p//q"));
        assert_eq!(parse("file:///data"), Ok(SourceLocation::Path("/data".into())));
        assert_eq!(parse("contacts"), Ok(SourceLocation::Path("contacts".into())));
        assert_eq!(parse("-"), Ok(SourceLocation::Stdin));
        for text in [
            "",
            "s3://",
            "s3:///key",
            "http://x/y",
            "file://relative",
            "s3://user@host/key",
            "s3://a b/k",
            "s3://./k",
            "s3://../other/k",
            " s3://b/k",
            "s3://b/k\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_source_is_said() {
        let reason = |text: &str| text.parse::<SourceLocation>().map_err(|error| error.reason);
        let file = "file:// needs an absolute path, as in file:///data/contacts";
        assert_eq!(reason("file://data"), Err(file.into()));
        assert_eq!(reason("ftp://data"), Err("the scheme is not one of s3, gs, az, file".into()));
        assert!(reason(&format!("s3://{}", "b".repeat(255))).is_ok());
        assert!(reason(&format!("s3://{}", "b".repeat(256))).is_err());
    }

    #[test]
    fn a_source_reads_back_what_it_writes() {
        for text in ["s3://b/k", "gs://b/", "/data/x", "-", "file:///data/a://b"] {
            assert_eq!(text.parse::<SourceLocation>().unwrap().to_string(), text);
        }
    }
}
