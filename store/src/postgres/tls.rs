//! Encryption towards the database, by rustls. What is asked of the server's certificate is what `sslmode` says, with the
//! meaning it has for PostgreSQL's own programs.

use std::{fmt, fs, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{PostgresOptions, Trust};
use crate::{Result, StoreError};

/// What connections are encrypted with.
pub(super) fn connector(options: &PostgresOptions) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let wrong = |error: &dyn fmt::Display| StoreError::Unfit(format!("TLS cannot be set up: {error}"));
    let asks = match options.trust {
        Trust::Any => None,
        Trust::Authority | Trust::Host => {
            let roots = Arc::new(roots(options.authorities.as_deref())?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
            Some(verifier.build().map_err(|error| wrong(&error))?)
        }
    };
    let verifier = Verifier { provider: Arc::clone(&provider), asks, trust: options.trust };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Whom to trust: the certificates of a file, or those of the machine.
fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(StoreError::Unfit(
                "this machine knows no authorities to verify the database's certificate with: give them with sslrootcert"
                    .into(),
            ));
        }
        return Ok(roots);
    };
    let error = |why: &dyn fmt::Display| StoreError::Unfit(format!("sslrootcert {}: {why}", file.display()));
    let pem = fs::read(file).map_err(|why| error(&why))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|why| error(&why))?;
        roots.add(certificate).map_err(|why| error(&why))?;
    }
    if roots.is_empty() { Err(error(&"it has no certificate")) } else { Ok(roots) }
}

/// Asks of a certificate what `sslmode` says. That the server has its key is always asked.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    asks: Option<Arc<WebPkiServerVerifier>>,
    trust: Trust,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(asks) = &self.asks else { return Ok(ServerCertVerified::assertion()) };
        let found = asks.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match found {
            // The chain is looked at before the name.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.trust == Trust::Authority => Ok(ServerCertVerified::assertion()),
            found => found,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
