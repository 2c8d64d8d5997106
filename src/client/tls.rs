//! Whom a client trusts: the system's root certificates, or only those of a file.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};

use crate::exit::Usage;

/// A client for the servers of others: it follows no redirects and takes no proxy. `ca`: whom to trust, if not those that
/// the machine trusts. `is_plain`: it only speaks HTTP. `failed`: what an error says
/// that is not the file's.
pub(crate) fn to_others(
    ca: Option<&Path>,
    is_plain: bool,
    patience: Duration,
    failed: &'static str,
) -> anyhow::Result<reqwest::Client> {
    // Fails when somebody installed one before, which is as good.
    let _ = ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(patience)
        .user_agent(concat!("pinport/", env!("CARGO_PKG_VERSION")))
        .no_proxy();
    match ca {
        Some(file) => builder = builder.tls_backend_preconfigured(only(file)?),
        None if is_plain => builder = builder.tls_backend_preconfigured(none()),
        None => {}
    }
    builder.build().context(failed)
}

/// For a client that speaks no TLS: root certificates would be read in vain, and a machine may have none.
pub(crate) fn none() -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    // ring has the suites of both versions.
    let builder = builder.with_safe_default_protocol_versions().unwrap_or_else(|_| ClientConfig::builder());
    builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// Trusts the certificates in a PEM file: of authorities, or of servers themselves.
pub(crate) fn only(file: &Path) -> anyhow::Result<ClientConfig> {
    let wrong = |why: String| Usage(format!("--ca {}: {why}", file.display()));
    let pem = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    let mut roots = RootCertStore::empty();
    let mut own = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("it is not valid PEM ({error})")))?;
        roots
            .add(certificate.clone())
            .map_err(|error| wrong(format!("a certificate in it cannot be used ({error})")))?;
        own.push(certificate);
    }
    if own.is_empty() {
        return Err(wrong("it has no certificate".into()).into());
    }
    let provider = Arc::new(ring::default_provider());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    let verifier = Arc::new(Trusted { authorities, own });
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Verifies as usual, and also takes a certificate of the file itself where a server shows just that one:
/// `openssl req -x509` marks what it makes as an authority's, which no server may have by the book.
#[derive(Debug)]
struct Trusted {
    authorities: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // All the same must hold but for that mark: the dates were judged before it.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.own.iter().any(|own| own == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
