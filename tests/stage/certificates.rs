//! TLS upstreams with certificates that are not to be trusted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncReadExt;

use crate::harness::client::block_on;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    WrongName,
    Expired,
    NotYet,
    SelfSigned,
    UnknownIssuer,
}

/// A TLS listener that keeps every byte that arrived inside TLS.
pub struct Suspect {
    pub port: u16,
    /// The root that the broker is told to trust.
    pub root: String,
    accepted: Arc<AtomicUsize>,
    inside: Arc<Mutex<Vec<u8>>>,
}

impl Suspect {
    pub fn start(flaw: Flaw) -> Self {
        let (root, issuer) = authority();
        let (_, stranger) = authority();
        let name = if flaw == Flaw::WrongName {
            "other.test"
        } else {
            "localhost"
        };
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if flaw == Flaw::Expired {
            leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
            leaf.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        if flaw == Flaw::NotYet {
            leaf.not_before = rcgen::date_time_ymd(2090, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match flaw {
            Flaw::SelfSigned => leaf.self_signed(&key),
            Flaw::UnknownIssuer => leaf.signed_by(&key, &stranger),
            Flaw::WrongName | Flaw::Expired | Flaw::NotYet => leaf.signed_by(&key, &issuer),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.unwrap().der().clone()],
                rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted: Arc<AtomicUsize> = Arc::default();
        let inside: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (count, kept) = (Arc::clone(&accepted), Arc::clone(&inside));
        block_on(async move {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let mut bytes = Vec::new();
                        drop(stream.read_to_end(&mut bytes).await);
                        kept.lock().unwrap().extend_from_slice(&bytes);
                    });
                }
            });
        });
        Self {
            port,
            root,
            accepted,
            inside,
        }
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn bytes_inside(&self) -> usize {
        self.inside.lock().unwrap().len()
    }
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name
        .push(rcgen::DnType::CommonName, "test root");
    let pem = root.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(root, key))
}
