//! TLS: what is refused, and how a certificate is replaced.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tests_harness::{Server, all, lasts, short};
use super::{
    ClientCertificates, Cut, Listener, Shutdown, TlsCertificate, TlsError, TlsFiles, Unobserved,
};

struct Pair {
    der: CertificateDer<'static>,
    cert: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Pair {
        der: made.cert.der().clone(),
        cert: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    }
}

/// Replaces a file the way renewal tools do.
fn rename_over(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn install(files: &TlsFiles, cert: &str, key: &str) {
    rename_over(&files.cert, cert);
    rename_over(&files.key, key);
}

async fn serving(files: &TlsFiles) -> (Server, Arc<TlsCertificate>) {
    let certificate = TlsCertificate::load(files.clone()).unwrap();
    let listener = Listener::tls(
        "127.0.0.1:0".parse().unwrap(),
        Arc::clone(&certificate),
        ClientCertificates::Unasked,
    )
    .await
    .unwrap();
    (Server::on(listener, short()), certificate)
}

async fn connect(
    server: &Server,
    trusted: &Pair,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, server.connect().await)
        .await
}

async fn hello(stream: &mut TlsStream<TcpStream>) -> String {
    stream
        .write_all(b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    all(stream).await
}

#[tokio::test]
async fn tls_1_3_is_served_and_1_2_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (files, pair) = (files(folder.path()), pair());
    install(&files, &pair.cert, &pair.key);
    let (server, _) = serving(&files).await;
    let answer = hello(&mut connect(&server, &pair, &TLS13).await.unwrap()).await;
    assert!(answer.ends_with("tls: true }"), "{answer}");
    assert!(connect(&server, &pair, &TLS12).await.is_err());
}

#[tokio::test]
async fn a_half_handshake_and_a_silent_tls_client_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (files, pair) = (files(folder.path()), pair());
    install(&files, &pair.cert, &pair.key);
    let (server, _) = serving(&files).await;
    let mut silent = connect(&server, &pair, &TLS13).await.unwrap();
    let half_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    let (half, _) = tokio::join!(lasts(server.connect().await, &half_hello), all(&mut silent));
    assert!(half.0 >= Duration::from_millis(400), "{:?}", half.0);
    assert!(half.0 < Duration::from_millis(1400), "{:?}", half.0);
    sleep(Duration::from_millis(50)).await;
    let cuts = server.seen.cuts();
    assert_eq!(cuts.len(), 2, "{cuts:?}");
    assert!(cuts.contains(&Cut::Handshake) && cuts.contains(&Cut::Silent));
}

#[tokio::test]
async fn a_certificate_renamed_over_is_served_and_a_broken_pair_keeps_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (files, first, second) = (files(folder.path()), pair(), pair());
    install(&files, &first.cert, &first.key);
    let (server, certificate) = serving(&files).await;
    let mut open = connect(&server, &first, &TLS13).await.unwrap();
    assert!(!certificate.reload_if_changed().unwrap());

    let watching = tokio::spawn(Arc::clone(&certificate).watch(
        Duration::from_millis(20),
        server.shutdown.clone(),
        Arc::new(Unobserved),
    ));
    install(&files, &second.cert, &second.key);
    sleep(Duration::from_millis(150)).await;
    assert!(connect(&server, &second, &TLS13).await.is_ok());
    assert!(connect(&server, &first, &TLS13).await.is_err());
    assert!(hello(&mut open).await.contains("200 OK"));

    // The certificate of one pair with the key of the other.
    install(&files, &first.cert, &second.key);
    sleep(Duration::from_millis(150)).await;
    assert!(connect(&server, &second, &TLS13).await.is_ok());
    fs::remove_file(&files.key).unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(connect(&server, &second, &TLS13).await.is_ok());
    install(&files, &first.cert, &first.key);
    sleep(Duration::from_millis(150)).await;
    assert!(connect(&server, &first, &TLS13).await.is_ok());
    server.shutdown.signal();
    watching.await.unwrap();
}

#[test]
fn a_bad_pair_is_refused_at_the_start_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (files, one, other) = (files(folder.path()), pair(), pair());
    let load = || TlsCertificate::load(files.clone()).unwrap_err();
    assert!(matches!(load(), TlsError::Read { .. }));
    install(&files, &one.cert, &other.key);
    assert!(matches!(load(), TlsError::Mismatch { .. }));
    install(&files, "no PEM", &one.key);
    assert!(matches!(load(), TlsError::NoCertificate(_)));
    install(&files, &one.cert, "no PEM");
    assert!(matches!(load(), TlsError::NoKey(_)));
    assert!(!Shutdown::new().is_ending());
}
