//! The server's certificate: read from PEM files, checked against its key, and replaced while connections go
//! on. One crypto provider (ring), TLS 1.2 and 1.3, HTTP/1.1 alone.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read \"{}\"", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file is not PEM.
    #[error("\"{}\" is not valid PEM", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: pem::Error,
    },
    /// A file has no certificate.
    #[error("\"{}\" has no certificate; a PEM file with the server's certificate first, then its chain, is expected", .0.display())]
    NoCertificate(PathBuf),
    /// A file has no key.
    #[error("\"{}\" has no private key; a PEM file with an unencrypted PKCS#8, PKCS#1 or SEC1 key is expected", .0.display())]
    NoKey(PathBuf),
    /// The key is another's.
    #[error("the key in \"{}\" is not the key of the certificate in \"{}\"", .key.display(), .certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate or key of a kind that is not supported.
    #[error("the certificate in \"{}\" and its key cannot be used", .certificate.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        #[source]
        error: rustls::Error,
    },
}

/// A certificate in use.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a certificate and its key.
    pub fn load(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let config = RwLock::new(read(&certificate, &key)?);
        Ok(Self { certificate, key, config })
    }

    /// Reads the files again, for connections to come. If that fails, the old certificate stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = read(&self.certificate, &self.key)?;
        *self.config.write() = config;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read()))
    }
}

/// When a certificate is valid, in seconds since 1970: the first of a file, which is the server's.
pub fn validity(certificate: &Path) -> Result<std::ops::Range<i64>, TlsError> {
    let text = bytes(certificate)?;
    let first = CertificateDer::pem_slice_iter(&text).next();
    let first = first.ok_or_else(|| TlsError::NoCertificate(certificate.to_owned()))?;
    let first = first.map_err(|error| TlsError::NotPem { path: certificate.to_owned(), error })?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&first)
        .map_err(|_| TlsError::NoCertificate(certificate.to_owned()))?;
    let validity = parsed.validity();
    Ok(validity.not_before.timestamp()..validity.not_after.timestamp())
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let not_pem = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::NotPem { path, error }
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(not_pem(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey(key.to_owned()),
        error => not_pem(key)(error),
    })?;
    let unusable = |error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        error => TlsError::Unusable { certificate: certificate.to_owned(), error },
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let paths = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        std::fs::write(&paths.0, made.cert.pem()).unwrap();
        std::fs::write(&paths.1, made.signing_key.serialize_pem()).unwrap();
        paths
    }

    #[test]
    fn each_mistake_has_its_own_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = made(dir.path(), "a");
        let (_, other_key) = made(dir.path(), "b");
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let broken = dir.path().join("broken");
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
        let fails = |certificate: &Path, key: &Path| Tls::load(certificate, key).unwrap_err().to_string();
        assert!(fails(&dir.path().join("none"), &key).starts_with("cannot read"));
        assert!(fails(&certificate, &dir.path().join("none")).starts_with("cannot read"));
        assert!(fails(&broken, &key).contains("not valid PEM"));
        assert!(fails(&empty, &key).contains("no certificate"));
        assert!(fails(&key, &key).contains("no certificate"));
        assert!(fails(&certificate, &empty).contains("no private key"));
        assert!(fails(&certificate, &other_key).contains("is not the key of"));
        let tls = Tls::load(&certificate, &key).unwrap();
        std::fs::copy(&other_key, &key).unwrap();
        assert!(tls.reload().unwrap_err().to_string().contains("is not the key of"));
    }
}
