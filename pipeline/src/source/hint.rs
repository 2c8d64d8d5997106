//! What a user can do about an error of a source: by what happened, by the service, and by the store's own code.

use super::SourceError;

/// The service that a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    S3,
    Gcs,
    Azure,
    Files,
}

fn at(url: &str) -> At {
    match url.split_once("://") {
        Some(("gs", _)) => At::Gcs,
        Some(("az", _)) => At::Azure,
        Some(("s3", _)) => At::S3,
        _ => At::Files,
    }
}

/// What can be done about an error, if there is something.
pub(super) fn of(error: &SourceError) -> Option<&'static str> {
    Some(match error {
        SourceError::NoSuchBucket { bucket, .. } => match at(bucket) {
            At::Gcs => "check the bucket's name and the endpoint (GOOGLE_BASE_URL)",
            At::Azure => "check the container's name and the account (AZURE_STORAGE_ACCOUNT_NAME)",
            _ => "check the bucket's name, the region (AWS_REGION) and the endpoint (AWS_ENDPOINT_URL_S3)",
        },
        SourceError::AccessDenied { url, reason, .. } => {
            return Some(by_code(reason).unwrap_or_else(|| denied(at(url))));
        }
        SourceError::NoCredentials { url, .. } => match at(url) {
            At::Gcs => {
                "set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account, or GOOGLE_SKIP_SIGNATURE=true \
                 for public buckets"
            }
            At::Azure => {
                "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or \
                 AZURE_SKIP_SIGNATURE=true for public containers"
            }
            _ => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_SKIP_SIGNATURE=true for public \
                 buckets"
            }
        },
        SourceError::NoMatch { skipped, url, first_skipped } => {
            no_match(*skipped, url, first_skipped.as_deref())
        }
        SourceError::Changed { url, reason, .. }
            if at(url) == At::S3 && (reason.contains("entity tag") || reason.contains("answered 412")) =>
        {
            "import it anew when nobody writes to it any more; if nobody does, the store lists other tags than it sends: \
             --trust-listing size"
        }
        SourceError::Changed { .. } => "import it anew when nobody writes to it any more",
        SourceError::Unreachable { url, reason, .. } => match at(url) {
            _ if reason.contains("certificate") => {
                "the store's certificate is not trusted: set AWS_CA_BUNDLE to a PEM file of the authority that issued it"
            }
            At::Gcs => "check the endpoint (GOOGLE_BASE_URL) and the network",
            At::Azure => {
                "check the account (AZURE_STORAGE_ACCOUNT_NAME), the endpoint (AZURE_STORAGE_ENDPOINT) and the network"
            }
            _ => "check the endpoint (AWS_ENDPOINT_URL_S3) and the network",
        },
        SourceError::Throttled { .. } => "try again later",
        SourceError::NoRoom { .. } => "make room or raise the quota, then export again",
        SourceError::Truncated { .. } | SourceError::Corrupt { .. } => {
            "upload the object again, or restore it from its origin"
        }
        SourceError::Redirected { url, .. } => match at(url) {
            At::Gcs => "set GOOGLE_BASE_URL to where the store points",
            At::Azure => "set AZURE_STORAGE_ENDPOINT to where the store points",
            _ => "set AWS_REGION or AWS_ENDPOINT_URL_S3 to where the store points",
        },
        SourceError::NotData { what, .. } => what.advice(),
        SourceError::Archive { none: true, .. } => "check --format; other files are to be extracted first",
        SourceError::Archive { .. } => "extract it, and import the files in it",
        SourceError::Refused { .. } => "check --format and the first lines of the object",
        SourceError::Unreadable { reason, .. } if reason.contains("Too many open files") => {
            "raise the limit of open files (ulimit -n 8192)"
        }
        SourceError::Unreadable { path, .. } if path.to_string_lossy().contains(['*', '?']) => {
            "* and ? are not expanded within quotes: name the folder, of which all data is read"
        }
        SourceError::Unreadable { .. } => "check the path, and who may read it",
        SourceError::Other { url, reason, .. } => return other(at(url), reason),
        SourceError::NotFound { .. } | SourceError::TooLarge { .. } | SourceError::Cancelled => return None,
    })
}

/// The same for what could not be written.
pub(super) fn of_writing(error: &SourceError) -> Option<&'static str> {
    const CODES: [(&str, &str); 3] = [
        ("AuthorizationPermissionMismatch", "grant the role Storage Blob Data Contributor on the container"),
        (
            "kms:",
            "the bucket encrypts with a KMS key: allow kms:GenerateDataKey and kms:Decrypt on it, also in its key policy",
        ),
        (
            "KMS.",
            "the bucket encrypts with a KMS key: it must be enabled, and kms:GenerateDataKey and kms:Decrypt allowed on it",
        ),
    ];
    let SourceError::AccessDenied { url, reason, .. } = error else { return of(error) };
    let own = CODES.iter().find(|(code, _)| reason.contains(code)).map(|(_, hint)| *hint);
    own.or_else(|| by_code(reason)).or_else(|| {
        Some(match at(url) {
            At::Gcs => {
                "check the credentials (GOOGLE_APPLICATION_CREDENTIALS) and whether they may write objects of the bucket \
                 (roles/storage.objectUser)"
            }
            At::Azure => {
                "check the credentials and whether they may write blobs of the container (role Storage Blob Data \
                 Contributor, or a SAS with c and w)"
            }
            _ => {
                "check the credentials and whether they may write objects of the bucket (s3:PutObject, \
                 s3:AbortMultipartUpload)"
            }
        })
    })
}

fn no_match(skipped: u64, url: &str, first: Option<&str>) -> &'static str {
    let bucket = at(url) != At::Files;
    let key = url.splitn(4, '/').nth(3).unwrap_or_default();
    match skipped {
        0 if bucket && key.contains(['*', '?']) => {
            "check the pattern: * and ? stand for characters of one name, ** for names too"
        }
        0 if bucket && key.ends_with(char::is_whitespace) => {
            "the prefix ends with white space, which counts: keys are compared letter by letter"
        }
        0 if bucket => "check the prefix: keys are compared letter by letter",
        0 => "the folder holds no files; check the path",
        1 if first.is_some_and(|first| first.ends_with("it is empty")) => {
            "the object has no bytes: check whether what writes it is done"
        }
        _ => {
            "check --format: objects of the other format are skipped; one that is named exactly is read whatever its name"
        }
    }
}

fn denied(at: At) -> &'static str {
    match at {
        At::Gcs => {
            "check the credentials (GOOGLE_APPLICATION_CREDENTIALS) and whether they may list the bucket and read its \
             objects (roles/storage.objectViewer)"
        }
        At::Azure => {
            "check the credentials and whether they may list the container and read its blobs (role Storage Blob Data \
             Reader, or a SAS with r and l)"
        }
        _ => {
            "check the credentials and whether they may list the bucket and read its objects; if whoever asks pays for \
             the bucket, set AWS_REQUEST_PAYER=requester"
        }
    }
}

/// By a code that a store gave, wherever it stands in what it said.
fn by_code(reason: &str) -> Option<&'static str> {
    const CODES: [(&str, &str); 15] = [
        (
            "RequestTimeTooSkewed",
            "the clock of this machine is wrong: set it (timedatectl set-ntp true), then try again",
        ),
        (
            "InvalidObjectState",
            "the object is archived (Glacier): restore it (aws s3api restore-object), then import it",
        ),
        (
            "BlobArchived",
            "the blob is archived: rehydrate it (az storage blob set-tier --tier Hot), then import it",
        ),
        ("ExpiredToken", "the temporary credentials have expired: get new ones (AWS_SESSION_TOKEN)"),
        ("TokenRefreshRequired", "the temporary credentials have expired: get new ones (AWS_SESSION_TOKEN)"),
        (
            "InvalidToken",
            "AWS_SESSION_TOKEN belongs to other keys, or keys without one are meant: set all three anew",
        ),
        ("InvalidAccessKeyId", "check the credentials: the store does not know AWS_ACCESS_KEY_ID"),
        (
            "SignatureDoesNotMatch",
            "check the credentials: AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID, or the clock is wrong",
        ),
        ("kms:", "the objects are encrypted with a KMS key: allow kms:Decrypt on it, also in its key policy"),
        (
            "KMS.",
            "the objects are encrypted with a KMS key: it must be enabled, and kms:Decrypt allowed on it",
        ),
        (
            "Server Side Encryption",
            "the object is encrypted with a key of its owner's (SSE-C), which is not supported: copy it without",
        ),
        ("AuthorizationPermissionMismatch", "grant the role Storage Blob Data Reader on the container"),
        (
            "AccountIsDisabled",
            "the account is disabled, as where a subscription has reached its spending limit: look at the subscription",
        ),
        (
            "KeyBasedAuthenticationNotPermitted",
            "the account allows no keys: sign in with AZURE_CLIENT_ID and the like",
        ),
        (
            "AuthenticationFailed",
            "check AZURE_STORAGE_ACCOUNT_KEY or the SAS, its end, and the clock of this machine",
        ),
    ];
    CODES.iter().find(|(code, _)| reason.contains(code)).map(|(_, hint)| *hint)
}

fn other(at: At, reason: &str) -> Option<&'static str> {
    if let Some(hint) = by_code(reason) {
        return Some(hint);
    }
    // What S3 answers a HEAD request, without a body that would say why.
    (at == At::S3 && reason == "the store answered 400").then_some(
        "S3 answers so when temporary credentials have expired (AWS_SESSION_TOKEN) or AWS_REGION is another",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_of_what_was_found() {
        let no_match = |url: &str, skipped, first: Option<&str>| {
            of(&SourceError::NoMatch { url: url.into(), skipped, first_skipped: first.map(str::to_owned) })
                .unwrap()
        };
        assert!(no_match("s3://bucket/prefix", 0, None).starts_with("check the prefix"));
        assert!(no_match("s3://bucket/*.csv", 0, None).contains("** for names"));
        assert!(no_match("s3://bucket/x ", 0, None).contains("white space"));
        assert!(no_match("data", 0, None).starts_with("the folder holds no files"));
        assert!(
            no_match("s3://bucket/prefix", 1, Some("x: its name says CSV")).starts_with("check --format")
        );
        assert!(no_match("x.csv", 1, Some("x.csv: it is empty")).contains("no bytes"));
        let unreadable = |path: &str, reason: &str| {
            of(&SourceError::Unreadable { path: path.into(), reason: reason.into(), object: false }).unwrap()
        };
        assert!(unreadable("data", "Too many open files (os error 24)").starts_with("raise the limit"));
        assert!(unreadable("data", "Permission denied (os error 13)").starts_with("check the path"));
        assert!(unreadable("data/*.csv", "No such file").contains("name the folder"));
        let other = |reason: &str| {
            of(&SourceError::Other { url: "s3://bucket".into(), reason: reason.into(), object: false })
        };
        assert!(other("the store answered 400").is_some_and(|hint| hint.contains("AWS_SESSION_TOKEN")));
        assert_eq!(other("the store answered 400 Malformed"), None);
        assert!(
            other("the store answered 400 KMS.DisabledException").is_some_and(|hint| hint.contains("KMS"))
        );
        assert!(
            other("the store answered 403 InvalidObjectState: x")
                .is_some_and(|hint| hint.contains("restore"))
        );
    }

    /// No hint speaks of another service's variables.
    #[test]
    fn hints_are_of_the_service() {
        for (scheme, own) in [("s3", "AWS_"), ("gs", "GOOGLE_"), ("az", "AZURE_")] {
            let (url, reason) = (format!("{scheme}://b/k"), String::new());
            for error in [
                SourceError::NoSuchBucket { bucket: url.clone(), reason: reason.clone() },
                SourceError::NoCredentials { url: url.clone(), reason: reason.clone() },
                SourceError::AccessDenied { url: url.clone(), reason: reason.clone(), credentials: true },
                SourceError::Unreachable { url: url.clone(), byte: 0, reason: reason.clone(), object: true },
                SourceError::Redirected { url: url.clone(), target: reason.clone() },
            ] {
                for hint in [of(&error).unwrap(), of_writing(&error).unwrap()] {
                    for other in ["AWS_", "GOOGLE_", "AZURE_"] {
                        assert!(other == own || !hint.contains(other), "{url}: {hint}");
                    }
                }
            }
        }
        let denied = |url: &str, reason: &str| {
            of(&SourceError::AccessDenied { url: url.into(), reason: reason.into(), credentials: true })
                .unwrap()
        };
        assert!(denied("s3://b", "the store answered 403 RequestTimeTooSkewed: x").contains("clock"));
        assert!(denied("s3://b", "not authorized to perform: kms:Decrypt on").contains("KMS key"));
        assert!(denied("s3://b", "the store answered 403 AccessDenied").contains("AWS_REQUEST_PAYER"));
        let unwritable = |reason: &str| {
            let (url, reason) = ("s3://b".into(), reason.into());
            of_writing(&SourceError::AccessDenied { url, reason, credentials: false }).unwrap()
        };
        assert!(unwritable("not authorized to perform: kms:GenerateDataKey on").contains("GenerateDataKey"));
        assert!(unwritable("the store answered 403 ExpiredToken").contains("have expired"));
        let changed = SourceError::Changed {
            url: "s3://b/k".into(),
            byte: 0,
            reason: "its entity tag was a and is b".into(),
        };
        assert!(of(&changed).unwrap().contains("--trust-listing size"));
    }
}
