//! A source's text: its grammar, what it may reach by the configuration, and the URL an object is asked for at.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use pinport_model::{SourceLocation, location::Service};
use pinport_pipeline::{
    fuzzing::object_url,
    jobs::{Grant, Hidden, Resolver, RoleConfig, SourcesConfig},
    source::{Settings, SourceOptions},
};

/// Checks a source's text.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    let world = World::get();
    let named = world.resolver.location(text);
    match text.parse::<SourceLocation>() {
        Ok(location) => {
            assert_eq!(named.is_ok(), text.contains("://"), "a server takes URLs alone");
            grammar(text, &location);
            let said = location.to_string();
            assert_eq!(
                said.parse::<SourceLocation>().as_ref(),
                Ok(&location),
                "it reads back what it writes"
            );
            world.reach(&location);
            if let SourceLocation::Bucket { service: Service::S3, bucket, key } = &location {
                verbatim(bucket, key);
            }
        }
        Err(error) => {
            assert!(named.is_err());
            let error = error.to_string();
            assert!(error.contains("is no source"), "{error}");
        }
    }
}

/// The parts are those of the text, unchanged.
fn grammar(text: &str, location: &SourceLocation) {
    match location {
        SourceLocation::Stdin => assert_eq!(text, "-"),
        SourceLocation::Path(path) => {
            let path = path.to_str().expect("made of text");
            assert!(text == path || text.strip_prefix("file://") == Some(path));
            assert!(!path.is_empty());
            assert!(!text.contains("://") || path.starts_with('/'));
        }
        SourceLocation::Bucket { service, bucket, key } => {
            let schemes = [service.scheme(), "s3a", "s3n"];
            let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)?.strip_prefix("://"));
            let rest = rest.expect("it begins with its scheme");
            assert!(rest == bucket || rest == format!("{bucket}/{key}"));
            assert!(!bucket.is_empty() && !bucket.contains(['/', '@', ':', '?', '#', '%', '\\']));
        }
    }
}

/// What a key's wildcards reach begins so.
fn before_wildcards(key: &str) -> &str {
    key.find(['*', '?']).map_or(key, |first| &key[..first])
}

/// An HTTP client asks for the very key: it changes nothing in the URL, and decoding its path gives the key.
fn verbatim(bucket: &str, key: &str) {
    let is_dots = |segment: &str| segment == "." || segment == "..";
    let url = match object_url(bucket, key) {
        Ok(url) => url,
        Err(_) => return assert!(key.split('/').any(is_dots)),
    };
    assert!(!key.split('/').any(is_dots));
    let Ok(parsed) = reqwest::Url::parse(&url) else { panic!("{url} is no URL") };
    assert_eq!((parsed.as_str(), parsed.query(), parsed.fragment()), (url.as_str(), None, None));
    let path = parsed.path().strip_prefix('/').and_then(|path| path.strip_prefix(bucket));
    let path = path.unwrap_or_else(|| panic!("{url} does not name {bucket}"));
    let decoded = percent_decoded(path.strip_prefix('/').expect("a key follows"));
    assert_eq!(decoded, key.as_bytes());
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let digits = str::from_utf8(&rest[..2]).expect("two digits");
            decoded.push(u8::from_str_radix(digits, 16).expect("two digits"));
            rest = &rest[2..];
        } else {
            decoded.push(byte);
        }
    }
    decoded
}

/// A configuration that opens some buckets and a folder.
struct World {
    resolver: Resolver,
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder for a while");
            let top = folder.path().canonicalize().expect("it is there");
            let root = top.join("root");
            std::fs::create_dir_all(root.join("in")).expect("a folder");
            std::fs::write(root.join("in/a.json"), "{}").expect("a file");
            std::fs::write(top.join("secret.json"), "{}").expect("a file");
            std::os::unix::fs::symlink(&top, root.join("out")).expect("a link");
            let default = RoleConfig {
                access_key_id: Some("ID".into()),
                secret_access_key: Some(Hidden::new("secret")),
                allow: Some(vec!["open".into(), "s3://half/exports/".into()]),
                ..RoleConfig::default()
            };
            let config =
                SourcesConfig { default, local_root: Some(root.clone()), ..SourcesConfig::default() };
            let options = SourceOptions { settings: Settings::empty(), ..SourceOptions::default() };
            let resolver = Resolver::new(config, options).expect("a good configuration");
            Self { resolver, root, _folder: folder }
        })
    }

    /// What may be read is what the configuration opens.
    fn reach(&self, location: &SourceLocation) {
        let open = self.resolver.resolve(location, None, None, &Grant::everything()).is_ok();
        let expected = match location {
            SourceLocation::Stdin => false,
            SourceLocation::Path(path) => self.is_within(path),
            SourceLocation::Bucket { service, bucket, key } => {
                bucket == "open"
                    || (*service == Service::S3
                        && bucket == "half"
                        && before_wildcards(key).starts_with("exports/"))
            }
        };
        assert_eq!(open, expected, "{location}");
        // Below the folder, wherever it is: the text cannot name it.
        if let SourceLocation::Path(path) = location {
            let below = self.root.join(path.strip_prefix("/").unwrap_or(path));
            let path = SourceLocation::Path(below.clone());
            let open = self.resolver.resolve(&path, None, None, &Grant::everything()).is_ok();
            assert_eq!(open, self.is_within(&below), "{}", below.display());
        }
    }

    fn is_within(&self, path: &Path) -> bool {
        let Ok(found) = path.canonicalize() else { return false };
        found.starts_with(&self.root) && (found.is_file() || found.is_dir())
    }
}
