//! A service that is recognised by its client certificate: the one that was pinned, with its key.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use runtools_broker::crypto::sha256;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};

use super::hub::Set;
use crate::harness::{Broker, Setup};

/// A self-signed certificate and its key.
struct Pair {
    pem: String,
    key_pem: String,
}

impl Pair {
    fn new(name: &str) -> Self {
        Self::of(&CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    fn of(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self {
            pem: params.self_signed(&key).unwrap().pem(),
            key_pem: key.serialize_pem(),
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()
    }

    /// The certificate, to be shown with the key of `other`.
    fn with_key_of(&self, other: &Self) -> Arc<Shows> {
        let key = PrivateKeyDer::from_pem_slice(other.key_pem.as_bytes()).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        Arc::new(Shows(Arc::new(CertifiedKey::new(vec![self.der()], key))))
    }

    fn shown(&self) -> Arc<Shows> {
        self.with_key_of(self)
    }
}

/// Shows this certificate, whether or not it has its key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A broker that asks its clients for a certificate.
struct Stand {
    broker: Broker,
    root: CertificateDer<'static>,
    _dir: tempfile::TempDir,
}

impl Stand {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = Pair::new("localhost");
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&cert, &own.pem).unwrap();
        std::fs::write(&key, &own.key_pem).unwrap();
        let config = format!(
            "[tls]\ncert = \"{}\"\nkey = \"{}\"\nclient_certificates = true\n",
            cert.display(),
            key.display()
        );
        let broker = Broker::with(Setup {
            config,
            ..Setup::default()
        });
        Self {
            broker,
            root: own.der(),
            _dir: dir,
        }
    }

    /// Asks who one is. `Err` when no answer came.
    fn me(
        &self,
        shows: impl Into<Option<Arc<Shows>>>,
        lines: &[String],
    ) -> Result<(u16, Value), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let config = match shows.into() {
            Some(shows) => config.with_client_cert_resolver(shows),
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let addr = self.broker.origin().strip_prefix("http://").unwrap();
        let socket = TcpStream::connect(addr).unwrap();
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).unwrap();
        let mut stream = rustls::StreamOwned::new(session, socket);
        let mut head = "GET /v1/me HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n".to_owned();
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let said = |error: std::io::Error| error.to_string();
        stream.write_all(head.as_bytes()).map_err(said)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(said)?;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
        Ok((status, serde_json::from_str(body).unwrap()))
    }

    /// The code of the refusal.
    #[track_caller]
    fn refused(&self, shows: impl Into<Option<Arc<Shows>>>, lines: &[String]) -> (u16, String) {
        let (status, body) = self.me(shows, lines).unwrap();
        let code = body["error"]["code"].as_str().unwrap().to_owned();
        (status, code)
    }
}

#[test]
fn a_service_is_recognised_by_the_certificate_that_was_pinned_and_by_its_key() {
    let stand = Stand::new();
    let operator = stand.broker.operator();
    let bob = operator
        .post(
            "/v1/organizations/current/members",
            &json!({"name": "Bob", "createKey": true}),
        )
        .expect(201)["data"]
        .clone();
    let key = bob["key"].as_str().unwrap();
    let token = [format!("X-RunTools-Subject-Token: {key}")];
    let (own, other) = (Pair::new("tool-hub"), Pair::new("tool-hub"));
    // The file has the private key beside it, which stays here.
    let file = stand.broker.path("hub.pem");
    std::fs::write(&file, format!("{}{}", own.key_pem, own.pem)).unwrap();
    let file = file.display().to_string();
    let words = [
        "service",
        "add",
        "tool-hub",
        "--certificate",
        &file,
        "--json",
    ];
    let made = stand.broker.runs(&words, None).expect(0)["data"].clone();
    assert!(made["key"].is_null(), "{made}");
    let credential = &made["credentials"][0];
    assert_eq!(credential["kind"], "certificate");
    let print = data_encoding::HEXLOWER.encode(&sha256(&own.der()));
    assert_eq!(credential["shown"], print);
    assert!(credential["expiresAt"].is_string());

    let (status, me) = stand.me(own.shown(), &token).unwrap();
    assert_eq!(status, 200, "{me}");
    assert_eq!(me["data"]["id"], bob["userId"]);
    assert_eq!(me["data"]["via"], "service");

    let unauthorized = (401, "unauthorized".to_owned());
    assert_eq!(
        stand.refused(other.shown(), &token),
        unauthorized,
        "cert not pinned"
    );
    assert_eq!(stand.refused(other.shown(), &[]), unauthorized);
    assert_eq!(stand.refused(None, &[]), unauthorized);
    assert_eq!(stand.refused(None, &token).0, 400, "no certificate at all");
    let missing = (403, "subject_missing".to_owned());
    assert_eq!(stand.refused(own.shown(), &[]), missing);
    let wrong = ["X-RunTools-Subject-Token: rt_live_wrong".to_owned()];
    let refused = (403, "subject_refused".to_owned());
    assert_eq!(stand.refused(own.shown(), &wrong), refused);
    let thief = stand.me(own.with_key_of(&other), &token);
    assert!(thief.is_err(), "its certificate without its key: {thief:?}");

    // A user's own key is a user's own key, whatever the connection is made with.
    let (_, me) = stand
        .me(own.shown(), &[format!("X-API-Key: {key}")])
        .unwrap();
    assert_eq!(me["data"]["via"], "api_key");

    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/operator/services/{id}/rotate");
    let turned = operator.post(&path, &json!({"certificate": other.pem}));
    turned.expect(201);
    assert_eq!(stand.refused(own.shown(), &token), unauthorized);
    assert_eq!(stand.me(other.shown(), &token).unwrap().0, 200);
    let again = json!({"name": "another", "certificate": other.pem});
    let taken = operator.post("/v1/operator/services", &again);
    assert_eq!(taken.refused(409), "exists");
    assert_eq!(operator.delete(&path.replace("/rotate", "")).status, 200);
    assert_eq!(stand.refused(other.shown(), &token), unauthorized);
}

#[test]
fn only_a_certificate_that_is_not_over_is_pinned_and_only_where_clients_are_asked_for_one() {
    let stand = Stand::new();
    let operator = stand.broker.operator();
    let mut params = CertificateParams::new(vec!["old".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (old, own) = (Pair::of(&params), Pair::new("tool-hub"));
    let more = Pair::new("more").pem;
    for pem in [
        &old.pem,
        &own.key_pem,
        "",
        "-----BEGIN CERTIFICATE-----",
        &format!("{}{more}", own.pem),
        &format!("{}{}", own.pem, own.pem),
        &format!("{}{}", own.pem, own.key_pem),
        &format!("{}{}", own.key_pem, own.pem),
        &format!("{}\nand more", own.pem),
    ] {
        let body = json!({"name": "hub", "certificate": pem});
        let reply = operator.post("/v1/operator/services", &body);
        assert_eq!(reply.status, 400, "{pem}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("BEGIN P"));
    }
    let one = format!("\n{}\n", own.pem);
    let body = json!({"name": "hub", "certificate": one});
    operator.post("/v1/operator/services", &body).expect(201);
    let set = Set::new();
    let body = json!({"name": "hub", "certificate": own.pem});
    let reply = set.stage.operator().post("/v1/operator/services", &body);
    assert_eq!(reply.refused(409), "certificates_unasked");
    set.finish();
}

#[test]
fn a_lockdown_makes_a_pinned_certificate_void_until_it_is_pinned_again() {
    let stand = Stand::new();
    let operator = stand.broker.operator();
    let member = json!({"name": "Bob", "createKey": true});
    let members = "/v1/organizations/current/members";
    let bob = operator.post(members, &member).expect(201)["data"].clone();
    let own = Pair::new("tool-hub");
    let service = json!({"name": "tool-hub", "certificate": own.pem});
    let made = operator.post("/v1/operator/services", &service).expect(201)["data"].clone();
    let id = made["id"].as_str().unwrap();
    let delegated = json!({"userId": bob["userId"]});
    let path = format!("/v1/services/{id}/delegations");
    operator.post(&path, &delegated).expect(201);
    let user = bob["userId"].as_str().unwrap();
    let subject = [format!("X-RunTools-Subject: {user}")];
    assert_eq!(stand.me(own.shown(), &subject).unwrap().0, 200);
    let run = |words: &[&str]| {
        let ran = stand.broker.runs(words, None);
        assert_eq!(ran.exit, 0, "{}", ran.stderr);
    };
    run(&["lockdown", "--yes"]);
    assert_eq!(stand.refused(own.shown(), &subject).0, 503);
    run(&["unseal"]);
    let unauthorized = (401, "unauthorized".to_owned());
    assert_eq!(stand.refused(own.shown(), &subject), unauthorized);
    // Another one for the same service is made from now on, and good.
    let other = Pair::new("tool-hub");
    let path = format!("/v1/operator/services/{id}/rotate");
    let turned = operator.post(&path, &json!({"certificate": other.pem}));
    turned.expect(201);
    assert_eq!(stand.me(other.shown(), &subject).unwrap().0, 200);
    assert_eq!(stand.refused(own.shown(), &subject), unauthorized);
}
