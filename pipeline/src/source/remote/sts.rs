//! The credentials of a role, asked of AWS STS with other credentials and kept until shortly before they expire.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use object_store::{
    CredentialProvider,
    aws::{AwsAuthorizer, AwsCredential, AwsCredentialProvider},
    client::{HttpRequest, HttpRequestBody},
};
use percent_encoding::utf8_percent_encode;
use pinport_model::{Timestamp, with_causes};
use reqwest::Url;

use super::address::{STRICT, is_loopback};
use crate::{
    limits::{CREDENTIALS_TIMEOUT, STS_ANSWER},
    source::Settings,
};

/// How long before they expire credentials are fetched again.
const EARLY: Duration = Duration::from_secs(300);

/// A role that is to be assumed.
#[derive(Debug)]
pub(super) struct Role {
    endpoint: String,
    region: String,
    arn: String,
    external_id: Option<String>,
}

/// A role with those who may assume it.
#[derive(Debug)]
pub(super) struct AssumedRole {
    role: Role,
    by: AwsCredentialProvider,
    client: reqwest::Client,
    kept: tokio::sync::Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl Role {
    /// The role that the settings name, if they name one; the error is a reason.
    pub(super) fn new(region: &str, settings: &Settings) -> Result<Option<Self>, String> {
        let Some(arn) = settings.get("PINPORT_ASSUME_ROLE_ARN") else { return Ok(None) };
        let endpoint = settings.get("AWS_ENDPOINT_URL_STS").map(str::to_owned);
        let endpoint = endpoint.unwrap_or_else(|| {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://sts.{region}.{domain}")
        });
        let url = Url::parse(&endpoint)
            .map_err(|error| format!("the STS endpoint {endpoint} is no URL: {error}"))?;
        if url.scheme() != "https" && !is_loopback(&url) && !settings.is_on("AWS_ALLOW_HTTP") {
            return Err(format!("the STS endpoint {endpoint} is not encrypted: use https://"));
        }
        Ok(Some(Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            region: region.into(),
            arn: arn.into(),
            external_id: settings.get("PINPORT_ASSUME_ROLE_EXTERNAL_ID").map(str::to_owned),
        }))
    }

    pub(super) fn assumed_by(self, by: AwsCredentialProvider, client: reqwest::Client) -> AssumedRole {
        AssumedRole { role: self, by, client, kept: tokio::sync::Mutex::default() }
    }

    fn url(&self) -> String {
        let mut query = vec![
            ("Action", "AssumeRole"),
            ("DurationSeconds", "3600"),
            ("RoleArn", self.arn.as_str()),
            ("RoleSessionName", "pinport"),
            ("Version", "2011-06-15"),
        ];
        query.extend(self.external_id.as_deref().map(|id| ("ExternalId", id)));
        let pairs =
            query.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, STRICT)));
        format!("{}/?{}", self.endpoint, pairs.collect::<Vec<_>>().join("&"))
    }
}

impl AssumedRole {
    async fn ask(&self) -> Result<(Instant, Arc<AwsCredential>), String> {
        let by = self.by.get_credential().await.map_err(|error| with_causes(&error))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.role.url().parse().map_err(|_| "its request makes no valid URL")?;
        AwsAuthorizer::new(&by, "sts", &self.role.region)
            .try_authorize(&mut request, None)
            .map_err(|error| with_causes(&error))?;
        let (parts, _) = request.into_parts();
        let request = self.client.request(parts.method, parts.uri.to_string()).headers(parts.headers);
        let sent = request.timeout(CREDENTIALS_TIMEOUT).send().await;
        let mut response = sent.map_err(|error| with_causes(&error.without_url()))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| with_causes(&error.without_url()))? {
            body.extend_from_slice(&chunk);
            if body.len() > STS_ANSWER {
                return Err("its answer is too long".into());
            }
        }
        let body = String::from_utf8_lossy(&body);
        if !response.status().is_success() {
            let said = element(&body, "Message").or(element(&body, "Code")).unwrap_or("nothing more");
            return Err(format!("{}: {said}", response.status()));
        }
        read(&body).ok_or_else(|| "its answer has no credentials".into())
    }
}

#[async_trait::async_trait]
impl CredentialProvider for AssumedRole {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some((until, credential)) = &*kept
            && *until > Instant::now()
        {
            return Ok(Arc::clone(credential));
        }
        let asked = self.ask().await.map_err(|reason| object_store::Error::Generic {
            store: "STS",
            source: format!("role {} cannot be assumed: {reason}", self.role.arn).into(),
        })?;
        Ok(Arc::clone(&kept.insert(asked).1))
    }
}

/// The credentials in an answer, and until when they are used.
fn read(body: &str) -> Option<(Instant, Arc<AwsCredential>)> {
    let credential = AwsCredential {
        key_id: element(body, "AccessKeyId")?.into(),
        secret_key: element(body, "SecretAccessKey")?.into(),
        token: Some(element(body, "SessionToken")?.into()),
    };
    let end: Timestamp = element(body, "Expiration")?.parse().ok()?;
    let left = u64::try_from(end.as_millis() - Timestamp::now().as_millis()).unwrap_or(0);
    let until = Instant::now() + Duration::from_millis(left).saturating_sub(EARLY);
    Some((until, Arc::new(credential)))
}

/// The text of the first element of this name. What STS puts there needs no escapes.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_with_their_end() {
        let end = Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000);
        let body = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>AK</AccessKeyId>\
             <SecretAccessKey>a/b+c=</SecretAccessKey><SessionToken>T==</SessionToken>\
             <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        let (until, credential) = read(&body).unwrap();
        assert_eq!((credential.key_id.as_str(), credential.secret_key.as_str()), ("AK", "a/b+c="));
        let left = until - Instant::now();
        assert!(left > Duration::from_secs(3200) && left <= Duration::from_secs(3300), "{left:?}");
        assert!(read("<Credentials/>").is_none());
    }

    #[test]
    fn a_role_is_asked_for_where_the_settings_say() {
        let settings = Settings::empty().with("PINPORT_ASSUME_ROLE_ARN", "arn:aws:iam::1:role/a b");
        let role = Role::new("eu-west-1", &settings).unwrap().unwrap();
        assert_eq!(
            role.url(),
            "https://sts.eu-west-1.amazonaws.com/?Action=AssumeRole&DurationSeconds=3600&\
             RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b&RoleSessionName=pinport&Version=2011-06-15"
        );
        assert!(
            Role::new("x", &settings.clone().with("AWS_ENDPOINT_URL_STS", "http://sts.example")).is_err()
        );
        assert!(Role::new("x", &settings.with("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")).is_ok());
        assert!(Role::new("x", &Settings::empty()).unwrap().is_none());
    }
}
