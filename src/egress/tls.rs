//! TLS 1.2 and 1.3 with verified names. There is no setting, here or elsewhere, to skip it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{EgressError, Phase, TlsFault};
use crate::name::Host;

/// A connector that trusts the web's roots and `extra_roots`.
pub(super) fn connector(
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<TlsConnector, EgressError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for root in extra_roots {
        roots.add(root).map_err(|_| EgressError::Root)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| EgressError::Root)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session skips the certificate, and the promise is that it was verified on the very
    // connection that carries a credential.
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Wraps `tcp` in TLS, once the peer has proved to be `host`.
pub(super) async fn handshake(
    connector: &TlsConnector,
    host: &Host,
    tcp: TcpStream,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, EgressError> {
    let name = match host {
        Host::Name(name) => {
            ServerName::try_from(name.to_string()).map_err(|_| EgressError::Tls {
                reason: TlsFault::WrongName,
            })?
        }
        Host::Address(address) => ServerName::from(*address),
    };
    match tokio::time::timeout(limit, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(EgressError::Tls {
            reason: fault(&error),
        }),
        Err(_elapsed) => Err(EgressError::Timeout {
            phase: Phase::Handshake,
        }),
    }
}

fn fault(error: &io::Error) -> TlsFault {
    use CertificateError as Cert;
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    let Some(rustls::Error::InvalidCertificate(error)) = inner else {
        return TlsFault::Other;
    };
    match error {
        Cert::NotValidForName | Cert::NotValidForNameContext { .. } => TlsFault::WrongName,
        Cert::Expired | Cert::ExpiredContext { .. } => TlsFault::Expired,
        Cert::NotValidYet | Cert::NotValidYetContext { .. } => TlsFault::NotYetValid,
        Cert::UnknownIssuer => TlsFault::UnknownIssuer,
        _ => TlsFault::Other,
    }
}
