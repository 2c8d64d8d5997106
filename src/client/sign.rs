//! Signs requests with SigV4 from the usual AWS credentials. Keys are looked for when a server first asks for a
//! signature: a server that stands open never sees them.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use pinport_pipeline::source::{AwsKeys, Settings};
use pinport_server::access::SERVICE;
use reqwest::header::{HeaderName, HeaderValue};

/// What a signature says of the body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Bytes with this SHA-256, in hexadecimal digits.
    Hash(&'a str),
    /// Nothing: taken by servers for uploads over TLS or from the same machine.
    Unsigned,
}

/// Who signs.
#[derive(Debug, Default)]
pub(super) struct Signer {
    /// Whether the server asked for signatures.
    asked: AtomicBool,
    identity: OnceLock<Result<Identity, String>>,
}

#[derive(Debug)]
struct Identity {
    keys: AwsKeys,
    region: String,
}

impl Signer {
    /// Whether requests are signed.
    pub(super) fn is_on(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Signs requests from now on; the error says why there is nothing to sign with.
    pub(super) fn turn_on(&self) -> Result<(), String> {
        self.identity().map_err(str::to_owned)?;
        self.asked.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn identity(&self) -> Result<&Identity, &str> {
        let found = self.identity.get_or_init(|| {
            let (keys, region) = AwsKeys::find(&Settings::from_environment())?;
            let keys = keys.ok_or("neither the environment nor a profile names one")?;
            Ok(Identity { keys, region })
        });
        found.as_ref().map_err(String::as_str)
    }

    /// The headers that sign a request; the error is a reason.
    pub(super) fn sign(
        &self,
        method: &str,
        url: &str,
        content_type: Option<&str>,
        payload: Payload<'_>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let Identity { keys, region } = self.identity().map_err(str::to_owned)?;
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = Credentials::new(&keys.id, &keys.secret, keys.token.clone(), None, "pinport").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?;
        let body = match payload {
            Payload::Bytes(bytes) => SignableBody::Bytes(bytes),
            Payload::Hash(hash) => SignableBody::Precomputed(hash.to_owned()),
            Payload::Unsigned => SignableBody::UnsignedPayload,
        };
        let headers = content_type.map(|value| ("content-type", value));
        let request = SignableRequest::new(method, url, headers.into_iter(), body)
            .map_err(|error| error.to_string())?;
        let (instructions, _) =
            sign(request, &params.into()).map_err(|error| error.to_string())?.into_parts();
        let (headers, _) = instructions.into_parts();
        let mut signed = Vec::with_capacity(headers.len());
        for header in headers {
            let mut value = HeaderValue::from_str(header.value()).map_err(|error| error.to_string())?;
            value.set_sensitive(header.sensitive());
            signed.push((HeaderName::from_static(header.name()), value));
        }
        Ok(signed)
    }
}
