//! Client certificates: asked for where the operator says so, never required, and worth nothing but
//! their digest.
//!
//! No authority is asked: a service is recognised by the one certificate that was pinned for it. The
//! handshake proves that the client has the key of the certificate that it shows; whose it is, and whether it
//! still counts, is the directory's to know.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::expiry::validity;
use crate::clock::Timestamp;
use crate::crypto::{Digest, sha256};

/// Whether clients are asked for a certificate. Browsers that have one would ask their users which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not.
    Unasked,
    /// They may show one.
    Asked,
}

/// The certificate whose key a client proved to have. Stands in the extensions of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The SHA-256 of the certificate.
    pub fingerprint: Digest,
}

impl ClientCertificate {
    pub(super) fn of(chain: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let own = chain?.first()?;
        Some(Self {
            fingerprint: sha256(own),
        })
    }
}

/// What is remembered of a certificate in PEM: its SHA-256, and when it ends; nothing when the text is
/// anything but one certificate. Of a chain it would be a guess which one is meant, and a private key
/// beside it has no business here.
#[must_use]
pub fn read_certificate(pem: &str) -> Option<(Digest, Timestamp)> {
    let block = pem.trim().strip_prefix("-----BEGIN CERTIFICATE-----")?;
    let body = block.strip_suffix("-----END CERTIFICATE-----")?;
    if body.contains("-----") {
        return None;
    }
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, end) = validity(&certificate)?;
    Some((sha256(&certificate), end))
}

/// Takes any certificate whose key the client has.
#[derive(Debug)]
pub(super) struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    pub(super) fn new(provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self(provider.signature_verification_algorithms))
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // TLS 1.3 is all that is spoken.
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
