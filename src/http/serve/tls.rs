//! The certificate: TLS 1.3 only, replaced while serving.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::client_certificate::{AnyCertificate, ClientCertificates};
use super::expiry::validity;
use super::observer::Observer;
use super::shutdown::Shutdown;
use crate::clock::Timestamp;

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Why a certificate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The certificate file holds no PEM certificate.
    #[error("{0} holds no PEM certificate")]
    NoCertificate(PathBuf),
    /// The key file holds no PEM private key.
    #[error("{0} holds no PEM private key")]
    NoKey(PathBuf),
    /// The key is of a kind that is not supported, or is not the certificate's.
    #[error("the key in {key} does not belong to the certificate in {cert}, or cannot be used")]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// rustls does not take the settings.
    #[error("TLS 1.3 cannot be set up")]
    Setup,
}

/// A certificate and its key, held in memory and read again when their files change.
pub struct TlsCertificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Option<Stamp>>,
}

/// What tells one state of the two files from another.
type Stamp = [(u64, u64, i64, i64); 2];

impl TlsCertificate {
    /// Reads the pair.
    ///
    /// # Errors
    /// [`TlsError`] when a file cannot be read or the two do not belong together.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        // Taken before reading: a change in between is then seen as one.
        let seen = stamp(&files).ok();
        let current = read(&files)?;
        Ok(Arc::new(Self {
            files,
            current: ArcSwap::from_pointee(current),
            seen: Mutex::new(seen),
        }))
    }

    /// Reads the pair again. New handshakes get the new one; running connections stay as they are.
    ///
    /// # Errors
    /// [`TlsError`] when the new pair is bad: the one before it stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let seen = stamp(&self.files);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen.ok();
        self.current.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// Reads the pair again if its files are not the ones read last. Says whether they were not.
    ///
    /// # Errors
    /// As [`TlsCertificate::reload`].
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let now = stamp(&self.files)?;
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == Some(now) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// When the certificate in use ends, if that can be read from it.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        validity(self.current.load().cert.first()?).map(|(_, end)| end)
    }

    /// When the certificate in use begins, if that can be read from it.
    #[must_use]
    pub fn begins_at(&self) -> Option<Timestamp> {
        validity(self.current.load().cert.first()?).map(|(begin, _)| begin)
    }

    /// Whether the certificate in use is for the host of this name or address.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let current = self.current.load();
        let parsed = current.cert.first().map(ParsedCertificate::try_from);
        let name = ServerName::try_from(host.trim_matches(['[', ']']));
        match (parsed, name) {
            (Some(Ok(certificate)), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
            _ => false,
        }
    }

    /// Looks at the files `every` so often, until the end. Renewal tools replace files by rename,
    /// which an open file would not notice.
    pub async fn watch(self: Arc<Self>, every: Duration, end: Shutdown, told: Arc<dyn Observer>) {
        loop {
            tokio::select! {
                () = end.ending() => return,
                () = tokio::time::sleep(every) => {}
            }
            match self.reload_if_changed() {
                Ok(true) => {
                    tracing::info!("new TLS certificate in use");
                    told.certificate(true);
                }
                // A file that is missing stays missing for many looks: say so once.
                Err(error) if self.forget() => {
                    tracing::warn!(%error, "new TLS certificate not usable, keeping the old one");
                    told.certificate(false);
                }
                Ok(false) | Err(_) => {}
            }
        }
    }

    /// Whether this failure is a new one.
    fn forget(&self) -> bool {
        let unreadable = stamp(&self.files).is_err();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.is_some();
        if unreadable {
            *seen = None;
        }
        known
    }
}

impl ResolvesServerCert for TlsCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for TlsCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsCertificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// TLS 1.3 with ring, named explicitly so that no other provider in the build can be picked.
pub(super) fn server_config(
    certificate: Arc<TlsCertificate>,
    clients: ClientCertificates,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| TlsError::Setup)?;
    let builder = match clients {
        ClientCertificates::Unasked => builder.with_no_client_auth(),
        ClientCertificates::Asked => {
            builder.with_client_cert_verifier(AnyCertificate::new(&provider()))
        }
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let cert = read_file(&files.cert)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate(files.cert.clone()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(files.cert.clone()));
    }
    let key = zeroize::Zeroizing::new(read_file(&files.key)?);
    let key =
        PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|_| TlsError::Mismatch {
        cert: files.cert.clone(),
        key: files.key.clone(),
    })
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.clone(),
        source,
    })
}

fn stamp(files: &TlsFiles) -> Result<Stamp, TlsError> {
    let one = |path: &PathBuf| {
        let meta = fs::metadata(path).map_err(|source| TlsError::Read {
            path: path.clone(),
            source,
        })?;
        // The change time moves with the permissions too: a file made readable is worth a new look.
        Ok((meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
    };
    Ok([one(&files.cert)?, one(&files.key)?])
}
