//! The TLS listener of the built broker: 1.3 only, and a certificate that is replaced while serving.

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Broker, Setup};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};

/// A self-signed pair for localhost, written to files that are not in place yet.
fn pair(dir: &Path) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    fs::write(dir.join("cert.new"), made.pem()).unwrap();
    fs::write(dir.join("key.new"), key.serialize_pem()).unwrap();
    made.der().clone()
}

fn rename(dir: &Path, what: &str) {
    fs::rename(
        dir.join(format!("{what}.new")),
        dir.join(format!("{what}.pem")),
    )
    .unwrap();
}

/// A broker with TLS, and the certificate that it serves.
fn start() -> (Broker, CertificateDer<'static>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let served = pair(dir.path());
    rename(dir.path(), "cert");
    rename(dir.path(), "key");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let config = format!(
        "[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
        cert.display(),
        key.display()
    );
    let broker = Broker::with(Setup {
        config,
        ..Setup::default()
    });
    (broker, served, dir)
}

/// Asks whether it lives, trusting `root`, over this version of TLS.
fn ask(
    broker: &Broker,
    root: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let addr = broker.origin().strip_prefix("http://").unwrap();
    let socket = TcpStream::connect(addr).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut stream = rustls::StreamOwned::new(session, socket);
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream
        .write_all(request)
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    read.map(|_| answer).map_err(|error| error.to_string())
}

fn serves(broker: &Broker, root: &CertificateDer<'static>) -> bool {
    ask(broker, root, &rustls::version::TLS13)
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[track_caller]
fn serves_within(broker: &Broker, root: &CertificateDer<'static>, patience: Duration) {
    let end = Instant::now() + patience;
    while !serves(broker, root) {
        assert!(
            Instant::now() < end,
            "the new certificate is not served: {}",
            broker.log_text()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tls_1_3_is_spoken_and_nothing_older_nor_clear_text() {
    let (broker, root, _dir) = start();
    let answer = ask(&broker, &root, &rustls::version::TLS13).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let refused = ask(&broker, &root, &rustls::version::TLS12).unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    assert!(
        broker.anonymous().try_send("GET", "/livez", None).is_err(),
        "clear text was answered"
    );
}

#[test]
fn a_renewed_certificate_is_served_after_a_rename_or_a_signal_and_a_broken_pair_is_not() {
    let (broker, first, dir) = start();
    assert!(serves(&broker, &first));
    // As renewal tools do it: by rename, one file after the other.
    let second = pair(dir.path());
    assert!(!serves(&broker, &second));
    rename(dir.path(), "cert");
    broker.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        serves(&broker, &first),
        "a certificate without its key is served"
    );
    rename(dir.path(), "key");
    serves_within(&broker, &second, Duration::from_secs(6));

    // In place, and told by a signal.
    let third = pair(dir.path());
    for what in ["cert", "key"] {
        fs::copy(
            dir.path().join(format!("{what}.new")),
            dir.path().join(format!("{what}.pem")),
        )
        .unwrap();
    }
    broker.signal("HUP");
    serves_within(&broker, &third, Duration::from_secs(1));

    for broken in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        fs::write(dir.path().join("cert.pem"), broken).unwrap();
        broker.signal("HUP");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(
            serves(&broker, &third),
            "a broken pair took the place of a good one"
        );
    }
    assert!(
        broker.log_text().contains("keeping the old one")
            || broker.log_text().contains("the old one stays")
    );
    assert!(!broker.log_text().contains("panicked"));
    rename(dir.path(), "cert");
    serves_within(&broker, &third, Duration::from_secs(6));
}
