//! Credentials and signatures, by object_store: keys, web identity, container and instance roles, and the like.
//!
//! object_store's builders fall back to the machine's own credentials when they are given none. Nothing here lets them
//! do so unless the settings are those of the environment: a tenant's job must not read with the server's identity.

use std::time::Duration;

use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider},
    azure::{
        AzureAuthorizer, AzureConfigKey, AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder,
    },
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
        HttpService,
    },
    gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder, GoogleConfigKey},
};
use pinport_model::location::Service;
use pinport_model::with_causes;

use super::{
    keys::{AwsKeys, sendable},
    process::Program,
    profile::Profile,
    sts,
};
use crate::{limits::CREDENTIALS_TIMEOUT, source::Settings};

/// Who asks.
#[derive(Debug)]
pub(super) enum Auth {
    /// No one in particular.
    Unsigned,
    Aws {
        provider: AwsCredentialProvider,
        region: String,
        pays: bool,
    },
    Gcs(GcpCredentialProvider),
    Azure {
        provider: AzureCredentialProvider,
        account: String,
    },
}

/// The account of Azure, if one is set.
pub(super) fn azure_account(settings: &Settings) -> Option<String> {
    let builder = azure_builder(settings, "x");
    let emulated = || settings.is_on("AZURE_STORAGE_USE_EMULATOR").then(|| "devstoreaccount1".into());
    builder.get_config_value(&AzureConfigKey::AccountName).or_else(emulated)
}

impl Auth {
    /// Finds credentials by the settings, without asking for them yet; the error is a reason.
    pub(super) fn new(
        service: Service,
        bucket: &str,
        region: &str,
        settings: &Settings,
        profile: &Profile,
        client: &reqwest::Client,
    ) -> Result<Self, String> {
        let connector = Connector(client.clone());
        match service {
            Service::S3 => aws(bucket, region, settings, profile, connector),
            Service::Gcs if settings.is_on("GOOGLE_SKIP_SIGNATURE") => Ok(Self::Unsigned),
            Service::Gcs => {
                let mut builder = GoogleCloudStorageBuilder::new();
                for (name, value) in settings
                    .starting("")
                    .filter(|(name, _)| name.starts_with("GOOGLE_") || *name == "SERVICE_ACCOUNT")
                {
                    if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let named = [
                    GoogleConfigKey::ServiceAccount,
                    GoogleConfigKey::ServiceAccountKey,
                    GoogleConfigKey::ApplicationCredentials,
                ];
                if !settings.is_ambient() && named.iter().all(|key| builder.get_config_value(key).is_none()) {
                    return Err(none_named("GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_KEY"));
                }
                let store = builder
                    .with_bucket_name(bucket)
                    .with_http_connector(connector)
                    .with_retry(retry())
                    .with_client_options(ClientOptions::new())
                    .build();
                Ok(Self::Gcs(store.map_err(|error| error.to_string())?.credentials().clone()))
            }
            Service::Azure if settings.is_on("AZURE_SKIP_SIGNATURE") => Ok(Self::Unsigned),
            Service::Azure => {
                let account = azure_account(settings).ok_or("AZURE_STORAGE_ACCOUNT_NAME is not set")?;
                sendable("the account (AZURE_STORAGE_ACCOUNT_NAME)", &account)?;
                let builder = azure_builder(settings, bucket);
                if !settings.is_ambient() && !names_azure_credentials(&builder, settings) {
                    return Err(none_named("AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN"));
                }
                let store = builder.with_http_connector(connector).with_retry(retry()).build();
                let provider = store.map_err(|error| error.to_string())?.credentials().clone();
                Ok(Self::Azure { provider, account })
            }
        }
    }

    /// Signs a request; the error is a reason.
    pub(super) async fn sign(&self, request: &mut HttpRequest) -> Result<(), String> {
        let reason = |error: object_store::Error| with_causes(&error);
        match self {
            Self::Unsigned => Ok(()),
            Self::Aws { provider, region, pays } => {
                let credential = provider.get_credential().await.map_err(reason)?;
                // object_store takes for granted that they fit into headers.
                sendable("the access key id", &credential.key_id)?;
                sendable("the session token", credential.token.as_deref().unwrap_or_default())?;
                let authorizer = AwsAuthorizer::new(&credential, "s3", region).with_request_payer(*pays);
                authorizer.try_authorize(request, None).map_err(reason)
            }
            Self::Gcs(provider) => {
                let credential = provider.get_credential().await.map_err(reason)?;
                if !credential.bearer.is_empty() {
                    let value = http::HeaderValue::from_str(&format!("Bearer {}", credential.bearer));
                    let value = value.map_err(|_| "the bearer token is no header value")?;
                    request.headers_mut().insert(http::header::AUTHORIZATION, value);
                }
                Ok(())
            }
            Self::Azure { provider, account } => {
                let credential = provider.get_credential().await.map_err(reason)?;
                if let AzureCredential::BearerToken(token) = &*credential {
                    sendable("the bearer token", token)?;
                }
                AzureAuthorizer::new(&credential, account).try_authorize(request).map_err(reason)
            }
        }
    }
}

fn aws(
    bucket: &str,
    region: &str,
    settings: &Settings,
    profile: &Profile,
    connector: Connector,
) -> Result<Auth, String> {
    let client = connector.0.clone();
    if settings.is_on("AWS_SKIP_SIGNATURE") || settings.is_on("AWS_NO_SIGN_REQUEST") {
        return Ok(Auth::Unsigned);
    }
    let keys = AwsKeys::of(settings, profile)?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_retry(retry())
        .with_http_connector(connector);
    let has_keys = keys.is_some();
    // Of a container or of web identity.
    let set = |name: &str| settings.get(name).is_some_and(|value| !value.is_empty());
    let lent = set("AWS_WEB_IDENTITY_TOKEN_FILE") && set("AWS_ROLE_ARN")
        || set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        || set("AWS_CONTAINER_CREDENTIALS_FULL_URI") && set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let process = profile.get("credential_process").filter(|_| !has_keys && !lent);
    if let Some(keys) = keys {
        builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
        if let Some(token) = keys.token {
            builder = builder.with_token(token);
        }
    } else {
        const ROLES: [&str; 9] = [
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ROLE_ARN",
            "AWS_ROLE_SESSION_NAME",
            "AWS_ENDPOINT_URL_STS",
            "AWS_IMDSV1_FALLBACK",
            "AWS_METADATA_ENDPOINT",
        ];
        for (name, value) in settings.starting("AWS_").filter(|(name, _)| ROLES.contains(name)) {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if !lent && process.is_none() {
            if let Some(member) = profile.unsupported() {
                return Err(unsupported(member));
            }
            if !settings.is_ambient() {
                return Err(none_named("access_key_id and secret_access_key, or a profile that has keys"));
            }
            if settings.is_on("AWS_EC2_METADATA_DISABLED") {
                return Err(
                    "no keys in the environment or a profile, and AWS_EC2_METADATA_DISABLED is set".into()
                );
            }
        }
    }
    let program = process.map(Program::new).transpose()?;
    let store = builder.build().map_err(|error| with_causes(&error))?;
    let pays = settings.is_on("AWS_REQUEST_PAYER") || settings.get("AWS_REQUEST_PAYER") == Some("requester");
    let mut provider = store.credentials().clone();
    if let Some(program) = program {
        provider = std::sync::Arc::new(program);
    }
    if let Some(role) = sts::Role::new(region, settings)? {
        provider = std::sync::Arc::new(role.assumed_by(provider, client));
    }
    Ok(Auth::Aws { provider, region: region.into(), pays })
}

/// Why no one is asked for credentials that are not named.
fn none_named(what: &str) -> String {
    format!(
        "no credentials are configured for it, and those of the machine are used only with environment = true: configure {what}"
    )
}

/// Whether the settings name credentials; a managed identity and the CLI's sign-in are the machine's.
fn names_azure_credentials(builder: &MicrosoftAzureBuilder, settings: &Settings) -> bool {
    use AzureConfigKey::{
        AccessKey, ClientId, ClientSecret, CredentialType, FederatedTokenFile, SasKey, Token,
    };
    let set = |key: AzureConfigKey| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
    if settings.is_on("AZURE_STORAGE_USE_EMULATOR") {
        return true;
    }
    let own = ["managed_identity", "azure_cli"];
    if builder.get_config_value(&CredentialType).is_some_and(|way| own.contains(&&*way)) {
        return false;
    }
    let of_client = || set(ClientId) && (set(ClientSecret) || set(FederatedTokenFile));
    let tenant = || set(AzureConfigKey::AuthorityId);
    set(AccessKey) || set(SasKey) || set(Token) || of_client() && tenant()
}

/// What to do about a profile that signs in in a way of its own.
fn unsupported(member: &str) -> String {
    let way = match member {
        "sso_session" | "sso_start_url" | "login_session" => {
            "signs in with a browser, which is not supported: let the AWS CLI hand the keys on, by \
             eval \"$(aws configure export-credentials --format env)\", or in a profile with \
             credential_process = aws configure export-credentials --profile NAME --format process"
        }
        _ => "is not supported: export keys to the environment",
    };
    format!("the profile uses {member}, which {way}")
}

fn azure_builder(settings: &Settings, container: &str) -> MicrosoftAzureBuilder {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in settings
        .starting("")
        .filter(|(name, _)| ["AZURE_", "IDENTITY_", "MSI_"].iter().any(|prefix| name.starts_with(prefix)))
    {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder.with_container_name(container)
}

/// For the few requests that fetch credentials: a machine without any must not wait long to learn so.
fn retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 1, retry_timeout: Duration::from_secs(5) }
}

/// Lets object_store fetch credentials with a client that follows no redirects.
#[derive(Debug, Clone)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let failed = |error: reqwest::Error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
            HttpError::new(kind, error.without_url())
        };
        let (parts, body) = request.into_parts();
        let body = body.as_bytes().cloned().unwrap_or_default();
        let request = self
            .0
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .timeout(CREDENTIALS_TIMEOUT)
            .body(body);
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body: HttpResponseBody = response.bytes().await.map_err(failed)?.into();
        let mut response = HttpResponse::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// The certificates of a PEM file, which are trusted in place of the machine's; the error is a reason.
pub(super) fn authorities(path: &str) -> Result<Vec<reqwest::Certificate>, String> {
    let wrong = |why: String| format!("the certificates in {path} (AWS_CA_BUNDLE) cannot be used: {why}");
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(with_causes(&error)))?;
    if found.is_empty() { Err(wrong("it has none".into())) } else { Ok(found) }
}

/// A client that follows no redirects; the error is a reason. `authorities`: whom to trust, if not those that the
/// machine trusts.
pub(super) fn client(
    connect_timeout: Duration,
    tls: bool,
    proxies: bool,
    authorities: Option<&[reqwest::Certificate]>,
) -> Result<reqwest::Client, String> {
    // Fails when somebody installed one before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect_timeout)
        .user_agent(concat!("pinport/", env!("CARGO_PKG_VERSION")))
        .http1_only();
    if !proxies {
        builder = builder.no_proxy();
    }
    if let Some(authorities) = authorities.filter(|_| tls) {
        builder = builder.tls_certs_only(authorities.iter().cloned());
    }
    if !tls {
        // Without TLS no root certificates are needed, and a machine that has none must do.
        let roots = rustls::RootCertStore::empty();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        builder = builder.tls_backend_preconfigured(config);
    }
    builder.build().map_err(|error| {
        format!(
            "{} (does the machine have root certificates? On Debian: apt-get install ca-certificates)",
            with_causes(&error)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azures_account_is_the_one_set_or_the_emulators() {
        let emulated = Settings::empty().with("AZURE_STORAGE_USE_EMULATOR", "true");
        let named = |settings: Settings| settings.with("AZURE_STORAGE_ACCOUNT_NAME", "account");
        let account = |settings: Settings| azure_account(&settings);
        assert_eq!(account(Settings::empty()), None);
        assert_eq!(account(named(Settings::empty())).as_deref(), Some("account"));
        assert_eq!(account(emulated.clone()).as_deref(), Some("devstoreaccount1"));
        assert_eq!(account(named(emulated)).as_deref(), Some("account"));
    }
}
