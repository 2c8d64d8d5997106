//! Other ways of writing a source, and how it is written here: addresses of buckets in a browser, URLs of Hadoop, ARNs.
//!
//! They are not read as they stand: an address says more than a source does (a region, an account, a signature), and
//! what it says more belongs into settings.

/// How a source is written that was given in another form; `None` if it was not. It is a reason of an error.
pub(super) fn right_form(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix("arn:") {
        let (_, resource) = rest.split_once(":s3:::")?;
        return Some(format!("an ARN is no URL: write s3://{resource}"));
    }
    for scheme in ["s3", "gs", "az"] {
        let rest = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(":/"));
        if let Some(rest) = rest.filter(|rest| !rest.starts_with('/')) {
            return Some(format!("a slash is missing: write {scheme}://{rest}"));
        }
    }
    let (scheme, rest) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Some(of_address(rest)),
        lower @ ("s3" | "gs" | "az" | "file") if lower != scheme => {
            Some(format!("the scheme is written in lower case: {lower}://{rest}"))
        }
        "gcs" => Some(format!("write gs://{rest}")),
        "abfs" | "abfss" | "wasb" | "wasbs" | "adl" => Some(of_hadoop(rest)),
        "azure" | "azblob" => Some(format!("write az://{rest}")),
        _ => None,
    }
}

/// Azure as Hadoop writes it: `container@account.dfs.core.windows.net/path`.
fn of_hadoop(rest: &str) -> String {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match host.split_once('@') {
        Some((container, host)) => {
            let account = host.split('.').next().unwrap_or(host);
            format!("write az://{container}/{path} and set AZURE_STORAGE_ACCOUNT_NAME={account}")
        }
        None => "write az://container/path and set AZURE_STORAGE_ACCOUNT_NAME".into(),
    }
}

/// A bucket's address in the web, as far as services are known by it.
fn of_address(rest: &str) -> String {
    let (address, query) = rest.split_once(['?', '#']).unwrap_or((rest, ""));
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let host = host.to_ascii_lowercase();
    let host = host.split_once(':').map_or(&*host, |(host, _)| host);
    let path = decoded(path);
    let signed = ["X-Amz-Signature=", "X-Goog-Signature=", "sig="].iter().any(|name| query.contains(name));
    let form = console(host, &path, query).or_else(|| s3(host, &path)).or_else(|| google(host, &path));
    match form.or_else(|| azure(host, &path)) {
        Some(form) if signed => {
            format!("a signed address is read by itself: curl -fsS 'ADDRESS' | pinport import -; with credentials, write {form}")
        }
        Some(form) => format!("a bucket is not named by its address: write {form}"),
        None => "the scheme is not one of s3, gs, az, file: for a bucket of another store, set AWS_ENDPOINT_URL_S3 to the store's and write \
                 s3://bucket/prefix; for a file in the web: curl -fsS ADDRESS | pinport import -"
            .into(),
    }
}

fn s3(host: &str, path: &str) -> Option<String> {
    let host = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
    // `s3.REGION` or `s3-REGION`, perhaps after the bucket; older addresses have no region.
    let (bucket, service) = if host == "s3" || host.starts_with("s3.") || host.starts_with("s3-") {
        (None, &host[2..])
    } else {
        let at = [".s3.", ".s3-"].iter().filter_map(|mark| host.find(mark)).min();
        match at {
            Some(at) => (Some(&host[..at]), &host[at + 3..]),
            None => (Some(host.strip_suffix(".s3")?), ""),
        }
    };
    let region = service.trim_start_matches(['.', '-']);
    let region = region.strip_prefix("website").unwrap_or(region).trim_start_matches(['.', '-']);
    let region = region.strip_prefix("dualstack.").unwrap_or(region);
    let region = if region.is_empty() { String::new() } else { format!(" with AWS_REGION={region}") };
    Some(match bucket {
        Some(bucket) => format!("s3://{bucket}/{path}{region}"),
        None => format!("s3://{path}{region}"),
    })
}

/// What the browser shows of AWS's and Google's console.
fn console(host: &str, path: &str, query: &str) -> Option<String> {
    if host == "console.cloud.google.com" {
        let path = path.strip_prefix("storage/browser/")?;
        let path = path.strip_prefix("_details/").unwrap_or(path);
        return Some(format!("gs://{}", path.split(';').next().unwrap_or(path)));
    }
    if !host.ends_with("console.aws.amazon.com") {
        return None;
    }
    let bucket = path.strip_prefix("s3/buckets/").or(path.strip_prefix("s3/object/"))?;
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
    Some(format!("s3://{}/{}", bucket.trim_end_matches('/'), decoded(prefix)))
}

fn google(host: &str, path: &str) -> Option<String> {
    if ["storage.googleapis.com", "storage.cloud.google.com"].contains(&host) {
        return Some(format!("gs://{path}"));
    }
    host.strip_suffix(".storage.googleapis.com").map(|bucket| format!("gs://{bucket}/{path}"))
}

fn azure(host: &str, path: &str) -> Option<String> {
    let account =
        host.strip_suffix(".blob.core.windows.net").or(host.strip_suffix(".dfs.core.windows.net"))?;
    Some(format!("az://{path} with AZURE_STORAGE_ACCOUNT_NAME={account}"))
}

/// Text without percent signs for other characters, where it has any that are valid.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_are_answered_with_the_right_one() {
        for (text, right) in [
            (
                "https://b.s3.eu-west-1.amazonaws.com/a%20b/c.csv",
                "write s3://b/a b/c.csv with AWS_REGION=eu-west-1",
            ),
            ("https://my.b.s3.amazonaws.com/k", "write s3://my.b/k"),
            ("https://b.s3-eu-west-1.amazonaws.com/k", "write s3://b/k with AWS_REGION=eu-west-1"),
            ("https://s3.eu-west-1.amazonaws.com/b/k", "write s3://b/k with AWS_REGION=eu-west-1"),
            ("https://s3.amazonaws.com/b/k", "write s3://b/k"),
            ("https://s3.dualstack.us-east-2.amazonaws.com/b", "write s3://b with AWS_REGION=us-east-2"),
            ("http://b.s3-website.eu-central-1.amazonaws.com/", "write s3://b/ with AWS_REGION=eu-central-1"),
            ("https://b.s3.cn-north-1.amazonaws.com.cn/k", "write s3://b/k with AWS_REGION=cn-north-1"),
            ("https://b.s3.amazonaws.com/k?X-Amz-Signature=1", "curl -fsS 'ADDRESS' | pinport import -"),
            (
                "https://eu-west-1.console.aws.amazon.com/s3/buckets/b?region=x&prefix=a/b/",
                "write s3://b/a/b/",
            ),
            ("https://storage.googleapis.com/b/k", "write gs://b/k"),
            ("https://b.storage.googleapis.com/k", "write gs://b/k"),
            ("https://console.cloud.google.com/storage/browser/b/d;tab=objects", "write gs://b/d"),
            ("https://acc.blob.core.windows.net/c/k", "write az://c/k with AZURE_STORAGE_ACCOUNT_NAME=acc"),
            (
                "abfss://c@acc.dfs.core.windows.net/p/q",
                "write az://c/p/q and set AZURE_STORAGE_ACCOUNT_NAME=acc",
            ),
            ("https://example.com/contacts.csv", "curl -fsS ADDRESS | pinport import -"),
            ("arn:aws:s3:::b/k", "write s3://b/k"),
            ("s3:/b/k", "write s3://b/k"),
            ("S3://b/k", "s3://b/k"),
            ("gcs://b/k", "write gs://b/k"),
        ] {
            let form = right_form(text).unwrap_or_default();
            assert!(form.contains(right), "{text}: {form}");
        }
        for text in ["s3://b/k", "contacts", "arn:x", "file:///x", "ftp://x", "s3", "a/s3:/b", ""] {
            assert_eq!(right_form(text), None, "{text}");
        }
    }
}
