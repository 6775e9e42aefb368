//! Connections over TLS: to a bare server, and through the egress proxy to the same.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::load::{Opened, Way, dial};
use crate::servers::{Broker, Server};

/// The most uses that a handle may be asked for with.
pub(crate) const USES: u64 = 1_000;

/// A bare server over TLS, `localhost` by its certificate.
pub(crate) struct Secure {
    pub(crate) server: Server,
    folder: TempDir,
}

impl Secure {
    /// One that answers JSON of `size` bytes at `/hello`, and streams events at `/events`.
    pub(crate) fn start(size: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = root.self_signed(&root_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("root.pem", certificate);
        write("cert.pem", leaf.pem());
        write("key.pem", key.serialize_pem());
        let place = folder.path().display().to_string();
        let server = Server::own(&["--serve-secure", &place, &size.to_string()]);
        Self { server, folder }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.addr.port()
    }

    /// A broker that trusts this server.
    pub(crate) fn broker(&self) -> Broker {
        let root = self.folder.path().join("root.pem");
        Broker::with(|_: &Path| {
            format!(
                "[egress]\nextra_roots = [{root:?}]\nconnections = 4096\nconnections_per_org = 4096\n"
            )
        })
    }

    /// To it, and to it alone.
    pub(crate) fn way(&self) -> Way {
        let pem = std::fs::read(self.folder.path().join("root.pem")).unwrap();
        let (config, addr) = (trusting(&pem), self.server.addr);
        Arc::new(move || {
            let config = Arc::clone(&config);
            Box::pin(async move {
                Opened {
                    stream: Box::new(shake(config, dial(addr).await).await),
                    asks: None,
                    uses: u64::MAX,
                }
            })
        })
    }
}

/// The same, for one request each.
pub(crate) fn once(way: Way) -> Way {
    Arc::new(move || {
        let opening = way();
        Box::pin(async move {
            let opened = opening.await;
            Opened { uses: 1, ..opened }
        })
    })
}

/// A tool that may send a field to `port` of this machine, over TLS.
pub(crate) fn install(broker: &Broker, port: u16) {
    let secret = r#"{"name":"CRM_KEY","value":"sk_live_0123456789abcdefghij"}"#;
    broker.operator("POST", "/v1/secrets", secret);
    let tool = json!({
        "slug": "bench-lane", "name": "B",
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "k"}}},
        "bindings": [{
            "scheme": "https", "hosts": ["localhost"], "port": port,
            "private": ["127.0.0.1/32", "::1/128"], "methods": ["GET"], "paths": ["/**"],
            "slots": {"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]},
        }],
        "actionsJson": {},
    });
    broker.operator("POST", "/v1/tools/custom", &tool.to_string());
    broker.operator("POST", "/v1/tools/bench-lane/install", "");
}

/// Asks for a handle to the tool of [`install`]. `more` goes into the request.
pub(crate) fn resolve(broker: &Broker, more: &Value) -> Value {
    let mut body = json!({
        "tool": "bench-lane", "credentialOverrides": {"apiKey": "CRM_KEY"},
        "maxUses": USES, "ttlSeconds": 900,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let path = ("POST", "/v1/resolve");
    let made = broker.with_key(&broker.key, path, &body.to_string());
    made["data"].clone()
}

/// A handle of the proxy's, and what uses it.
#[derive(Clone)]
struct Held {
    head: Arc<str>,
    asks: Arc<[u8]>,
    config: Arc<ClientConfig>,
}

/// Handles of the proxy's, each with the uses that it has left.
pub(crate) struct Handles {
    proxy: SocketAddr,
    left: Mutex<VecDeque<(Held, u64)>>,
}

impl Handles {
    /// Asks for `count` of them; their tunnels go to `port`, and ask for `path`.
    pub(crate) fn ask(broker: &Broker, count: usize, port: u16, path: &str) -> Arc<Self> {
        let mut proxy = None;
        let held = (0..count).map(|_| {
            let made = resolve(broker, &json!({"lane": "proxy"}));
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let url = text(&made["proxy"]["url"]);
            proxy = Some(url.strip_prefix("http://").unwrap().parse().unwrap());
            let pair = format!("runtools:{}", text(&made["handle"]));
            let pair = BASE64.encode(pair.as_bytes());
            let placeholder = text(&made["placeholders"]["apiKey"]);
            let held = Held {
                head: format!(
                    "CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\
                     Proxy-Authorization: Basic {pair}\r\n\r\n"
                )
                .into(),
                asks: format!(
                    "GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {placeholder}\r\n\r\n"
                )
                .into_bytes()
                .into(),
                config: trusting(text(&made["proxy"]["certificateAuthority"]).as_bytes()),
            };
            (held, USES)
        });
        let left = Mutex::new(held.collect());
        let proxy = proxy.unwrap();
        Arc::new(Self { proxy, left })
    }

    /// Tunnels, each for `uses` requests.
    pub(crate) fn way(self: &Arc<Self>, uses: u64) -> Way {
        let handles = Arc::clone(self);
        Arc::new(move || {
            let handles = Arc::clone(&handles);
            Box::pin(async move {
                let held = handles.next(uses);
                Opened {
                    stream: Box::new(tunnel(handles.proxy, &held).await),
                    asks: Some(held.asks.to_vec()),
                    uses,
                }
            })
        })
    }

    /// The handle that has waited longest, for so many uses.
    fn next(&self, uses: u64) -> Held {
        let mut left = self.left.lock().unwrap();
        let (held, has) = left.pop_front().expect("enough handles for the run");
        if has > uses {
            left.push_back((held.clone(), has - uses));
        }
        held
    }
}

async fn tunnel(proxy: SocketAddr, held: &Held) -> TlsStream<TcpStream> {
    let mut stream = dial(proxy).await;
    stream.write_all(held.head.as_bytes()).await.unwrap();
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "the proxy closed the connection");
    }
    let text = || String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", text());
    shake(Arc::clone(&held.config), stream).await
}

async fn shake(config: Arc<ClientConfig>, stream: TcpStream) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let shaking = TlsConnector::from(config).connect(name, stream);
    shaking.await.unwrap()
}

/// What trusts the authority of `pem` alone, and begins each connection anew.
fn trusting(pem: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
