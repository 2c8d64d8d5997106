//! Where a bucket is: its base address and how keys become paths, verbatim.

use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pinport_model::location::Service;
use reqwest::Url;

use super::{keys::region, profile::Profile};
use crate::source::Settings;

/// What stands for itself in a URL that is signed: all but the unreserved characters of RFC 3986 is encoded.
pub(super) const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// The address of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Without a slash at the end.
    base: String,
    /// Whether the bucket is the first segment of the path (it always is for Azure and GCS).
    bucket_in_path: Option<String>,
    pub(super) region: String,
    pub(super) loopback: bool,
    pub(super) tls: bool,
}

impl Address {
    /// The address of a bucket by the settings, without a name that of the service; the error is a reason.
    pub(super) fn new(
        service: Service,
        bucket: &str,
        account: Option<&str>,
        settings: &Settings,
        profile: &Profile,
    ) -> Result<Self, String> {
        let region = region(settings, profile);
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(format!("\"{region}\" is no region"));
        }
        let first = |names: &[&str]| names.iter().find_map(|name| settings.get(name)).map(str::to_owned);
        let in_path = (!bucket.is_empty()).then(|| bucket.to_owned());
        let (base, bucket_in_path) = match service {
            Service::S3 => {
                let endpoint = first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
                    .or_else(|| profile.endpoint().map(str::to_owned));
                match endpoint {
                    Some(endpoint)
                        if !bucket.is_empty() && settings.is_on("AWS_VIRTUAL_HOSTED_STYLE_REQUEST") =>
                    {
                        (endpoint.replacen("://", &format!("://{bucket}."), 1), None)
                    }
                    Some(endpoint) => (endpoint, in_path),
                    None => {
                        let domain =
                            if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                        // A dot in the bucket's name does not match the certificate of the virtual host.
                        if bucket.is_empty() || bucket.contains(['.', '_']) {
                            (format!("https://s3.{region}.{domain}"), in_path)
                        } else {
                            (format!("https://{bucket}.s3.{region}.{domain}"), None)
                        }
                    }
                }
            }
            Service::Gcs => {
                let base = first(&["GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"]);
                (base.unwrap_or_else(|| "https://storage.googleapis.com".into()), in_path)
            }
            Service::Azure => {
                let endpoint = first(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]);
                let account = account.ok_or("AZURE_STORAGE_ACCOUNT_NAME is not set")?;
                let emulator = settings.is_on("AZURE_STORAGE_USE_EMULATOR");
                let emulated = || {
                    let url = settings.get("AZURITE_BLOB_STORAGE_URL").unwrap_or("http://127.0.0.1:10000");
                    format!("{}/{account}", url.trim_end_matches('/'))
                };
                let own = || format!("https://{account}.blob.core.windows.net");
                (endpoint.unwrap_or_else(|| if emulator { emulated() } else { own() }), in_path)
            }
        };
        let base = if base.contains("://") { base } else { format!("http://{base}") };
        let url = Url::parse(&base).map_err(|error| format!("the endpoint {base} is no URL: {error}"))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(format!("the endpoint {base} is neither https:// nor http://")),
        };
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err("the endpoint may have no user, query or fragment".into());
        }
        let loopback = is_loopback(&url);
        if !tls && !loopback && !settings.is_on("AWS_ALLOW_HTTP") && !settings.is_on("PINPORT_ALLOW_HTTP") {
            return Err(format!(
                "the endpoint {base} is not encrypted: use https://, or allow http:// with AWS_ALLOW_HTTP=true"
            ));
        }
        Ok(Self { base: url.as_str().trim_end_matches('/').into(), bucket_in_path, region, loopback, tls })
    }

    /// The URL of a key, or of the bucket, with a query.
    pub(super) fn url(&self, key: Option<&str>, query: &[(&str, &str)]) -> Result<String, String> {
        let mut url = self.base.clone();
        if let Some(bucket) = &self.bucket_in_path {
            url.push('/');
            url.push_str(bucket);
        }
        if let Some(key) = key {
            // Every HTTP client resolves such segments, so that another object would be asked for.
            if key.split('/').any(|segment| segment == "." || segment == "..") {
                return Err("a key with a segment \".\" or \"..\" cannot be asked for over HTTP".into());
            }
            url.push('/');
            url.extend(utf8_percent_encode(key, STRICT_PATH));
        } else if self.bucket_in_path.is_none() {
            url.push('/');
        }
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, STRICT));
        }
        Ok(url)
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(service: Service, bucket: &str, settings: Settings) -> Result<Address, String> {
        Address::new(service, bucket, Some("acc"), &settings, &Profile::default())
    }

    #[test]
    fn keys_go_into_the_url_verbatim() {
        let settings = Settings::empty().with("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/");
        let address = address(Service::S3, "b", settings).unwrap();
        for (key, path) in [
            ("a/b.json", "a/b.json"),
            ("a//b", "a//b"),
            ("/a", "/a"),
            ("a b%20+ü?#&", "a%20b%2520%2B%C3%BC%3F%23%26"),
        ] {
            assert_eq!(address.url(Some(key), &[]).unwrap(), format!("http://127.0.0.1:9000/b/{path}"));
        }
        assert!(address.url(Some("a/../b"), &[]).is_err());
        assert_eq!(
            address.url(None, &[("list-type", "2"), ("prefix", "a b/")]).unwrap(),
            "http://127.0.0.1:9000/b?list-type=2&prefix=a%20b%2F"
        );
    }

    #[test]
    fn each_service_has_its_address() {
        let url = |service, bucket: &str, settings| {
            address(service, bucket, settings).unwrap().url(Some("k"), &[]).unwrap()
        };
        let empty = Settings::empty;
        assert_eq!(url(Service::S3, "b", empty()), "https://b.s3.us-east-1.amazonaws.com/k");
        assert_eq!(
            url(Service::S3, "b.c", empty().with("AWS_REGION", "cn-north-1")),
            "https://s3.cn-north-1.amazonaws.com.cn/b.c/k"
        );
        assert_eq!(
            url(
                Service::S3,
                "b",
                empty()
                    .with("AWS_ENDPOINT_URL_S3", "https://s3.example")
                    .with("AWS_ENDPOINT_URL", "https://x")
            ),
            "https://s3.example/b/k"
        );
        assert_eq!(
            url(
                Service::S3,
                "b",
                empty()
                    .with("AWS_ENDPOINT_URL", "https://s3.example")
                    .with("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
            ),
            "https://b.s3.example/k"
        );
        assert_eq!(url(Service::Gcs, "b", empty()), "https://storage.googleapis.com/b/k");
        assert_eq!(url(Service::Azure, "b", empty()), "https://acc.blob.core.windows.net/b/k");
        assert_eq!(
            url(Service::Azure, "b", empty().with("AZURE_STORAGE_USE_EMULATOR", "true")),
            "http://127.0.0.1:10000/acc/b/k"
        );
    }

    #[test]
    fn a_service_has_an_address_without_a_bucket() {
        let url = |service, settings, query: &[_]| {
            address(service, "", settings).unwrap().url(None, query).unwrap()
        };
        let empty = Settings::empty;
        assert_eq!(url(Service::S3, empty(), &[]), "https://s3.us-east-1.amazonaws.com/");
        let own = empty().with("AWS_ENDPOINT_URL", "https://s3.example/");
        assert_eq!(url(Service::S3, own.clone(), &[]), "https://s3.example/");
        let own = own.with("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true");
        assert_eq!(url(Service::S3, own, &[]), "https://s3.example/");
        let list = [("comp", "list")];
        assert_eq!(url(Service::Azure, empty(), &list), "https://acc.blob.core.windows.net/?comp=list");
    }

    #[test]
    fn http_is_for_loopback_only() {
        let with =
            |endpoint: &str| address(Service::S3, "b", Settings::empty().with("AWS_ENDPOINT_URL", endpoint));
        for endpoint in ["http://localhost:1", "http://127.9.9.9", "http://[::1]:8", "https://example.com"] {
            assert!(with(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in [
            "http://example.com",
            "http://10.0.0.1",
            "ftp://localhost",
            "http://u:p@localhost",
            "http://localhost/?x",
        ] {
            assert!(with(endpoint).is_err(), "{endpoint}");
        }
        let allowed =
            Settings::empty().with("AWS_ENDPOINT_URL", "http://minio:9000").with("AWS_ALLOW_HTTP", "true");
        assert!(address(Service::S3, "b", allowed).is_ok());
    }
}
