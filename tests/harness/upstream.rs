//! An upstream: a real HTTP/1.1 server on loopback that keeps what it saw.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::client::block_on;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

type Handler = dyn Fn(&Seen) -> Response<Bytes> + Send + Sync;

/// A running upstream.
#[derive(Clone)]
pub struct Upstream {
    addr: SocketAddr,
    root: Option<String>,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepted: Arc<AtomicUsize>,
}

impl Seen {
    /// One header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> String {
        let value = self
            .headers
            .get(name)
            .map(|value| value.as_bytes().to_vec());
        String::from_utf8(value.unwrap_or_default()).unwrap()
    }

    /// Everything that arrived, as JSON: what an echo endpoint answers.
    pub fn echo(&self) -> serde_json::Value {
        let headers: serde_json::Map<_, _> = self
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes())
                        .into_owned()
                        .into(),
                )
            })
            .collect();
        serde_json::json!({
            "method": self.method, "target": self.target, "headers": headers,
            "body": String::from_utf8_lossy(&self.body),
        })
    }
}

impl Upstream {
    /// Cleartext, answering each request with an echo of itself.
    pub fn echo() -> Self {
        Self::plain(|seen| json(200, &seen.echo()))
    }

    /// Cleartext.
    pub fn plain(handler: impl Fn(&Seen) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self::serve(None, handler)
    }

    /// TLS, with a certificate of a root of its own for `names`; see [`Upstream::root_pem`].
    pub fn tls(
        names: &[&str],
        handler: impl Fn(&Seen) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name
            .push(rcgen::DnType::CommonName, "test root");
        let certificate = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(root, root_key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self::serve(Some((config, certificate.pem())), handler)
    }

    fn serve(
        tls: Option<(rustls::ServerConfig, String)>,
        handler: impl Fn(&Seen) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let listener = block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let (config, root) = tls.unzip();
        let acceptor = config.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
        let upstream = Self {
            addr,
            root,
            seen: Arc::default(),
            accepted: Arc::default(),
        };
        let (this, handler): (_, Arc<Handler>) = (upstream.clone(), Arc::new(handler));
        block_on(async {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    this.accepted.fetch_add(1, Ordering::SeqCst);
                    let (this, handler, acceptor) =
                        (this.clone(), Arc::clone(&handler), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => this.talk(stream, handler).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    this.talk(stream, handler).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        upstream
    }

    async fn talk(
        &self,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        handler: Arc<Handler>,
    ) {
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let (this, handler) = (self.clone(), Arc::clone(&handler));
            async move {
                let (parts, body) = request.into_parts();
                let body = body
                    .collect()
                    .await
                    .map(|body| body.to_bytes())
                    .unwrap_or_default();
                let target = parts
                    .uri
                    .path_and_query()
                    .map_or("", |t| t.as_str())
                    .to_owned();
                let method = parts.method.to_string();
                let seen = Seen {
                    method,
                    target,
                    headers: parts.headers,
                    body,
                };
                // Handlers may wait, and the threads of the runtime serve everybody.
                let handled = tokio::task::spawn_blocking(move || (handler(&seen), seen));
                let (response, seen) = handled.await.unwrap();
                this.seen.lock().unwrap().push(seen);
                Ok::<_, Infallible>(response.map(Full::new))
            }
        });
        drop(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await,
        );
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The root that a broker must trust, for `egress.extra_roots`.
    pub fn root_pem(&self) -> &str {
        self.root.as_deref().unwrap()
    }

    /// Every request that arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The last request that arrived.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen
            .lock()
            .unwrap()
            .last()
            .cloned()
            .expect("no request arrived")
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A JSON answer.
pub fn json(status: u16, body: &serde_json::Value) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .unwrap()
}
