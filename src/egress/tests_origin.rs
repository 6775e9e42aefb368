//! An origin on loopback that counts what reaches it, certificates good and bad, and a resolver
//! that says what it is told.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{
    Egress, EgressError, EgressOptions, Incoming, Limits, Outgoing, Private, ResolveError,
    Resolver, Url,
};

/// A certificate authority of the test's own.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("The test's own root")
    }

    pub(super) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A server with a certificate for `name`, valid from and to the starts of these years.
    pub(super) fn server(&self, name: &str, years: (i32, i32)) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        acceptor(certificate.der().clone(), &key)
    }
}

pub(super) fn self_signed(name: &str) -> TlsAcceptor {
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    acceptor(params.self_signed(&key).unwrap().der().clone(), &key)
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// One thing that an origin does about a request.
#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(u64),
    Close,
}

pub(crate) fn answer(text: &str) -> Vec<Step> {
    let length = text.len();
    send(&format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}"
    ))
}

pub(crate) fn send(text: &str) -> Vec<Step> {
    vec![Step::Send(text.into())]
}

/// A listener on loopback. `requests` holds what arrived, head and body, after TLS.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    accepts: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    resumed: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) async fn start<S>(tls: Option<TlsAcceptor>, script: S) -> Self
    where
        S: Fn(usize) -> Vec<Step> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            accepts: Arc::default(),
            bytes: Arc::default(),
            requests: Arc::default(),
            resumed: Arc::default(),
        };
        let (accepts, bytes) = (Arc::clone(&origin.accepts), Arc::clone(&origin.bytes));
        let (requests, script) = (Arc::clone(&origin.requests), Arc::new(script));
        let resumed = Arc::clone(&origin.resumed);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                accepts.fetch_add(1, Ordering::SeqCst);
                let (bytes, requests) = (Arc::clone(&bytes), Arc::clone(&requests));
                let (tls, script) = (tls.clone(), Arc::clone(&script));
                let resumed = Arc::clone(&resumed);
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, &bytes, &requests, &*script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                let kind = stream.get_ref().1.handshake_kind();
                                let again = usize::from(kind == Some(HandshakeKind::Resumed));
                                resumed.fetch_add(again, Ordering::SeqCst);
                                serve(stream, &bytes, &requests, &*script).await;
                            }
                        }
                    }
                });
            }
        });
        origin
    }

    pub(crate) fn accepts(&self) -> usize {
        self.accepts.load(Ordering::SeqCst)
    }

    /// TLS handshakes that skipped the certificate.
    pub(super) fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }

    /// Bytes of HTTP that arrived.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn url(&self, scheme: &str, host: &str) -> Url {
        Url::parse(&format!("{scheme}://{host}:{}/", self.address.port())).unwrap()
    }
}

async fn serve<T: AsyncRead + AsyncWrite + Unpin>(
    mut stream: T,
    bytes: &AtomicUsize,
    requests: &Mutex<Vec<String>>,
    script: &(dyn Fn(usize) -> Vec<Step> + Sync),
) {
    let mut seen = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = request_end(&seen) {
                break end;
            }
            let mut piece = vec![0; 16 * 1024];
            match stream.read(&mut piece).await {
                Ok(read) if read > 0 => {
                    bytes.fetch_add(read, Ordering::SeqCst);
                    seen.extend_from_slice(&piece[..read]);
                }
                _ => return,
            }
        };
        let request: Vec<u8> = seen.drain(..end).collect();
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(String::from_utf8_lossy(&request).into_owned());
            requests.len()
        };
        for step in script(number) {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
                Step::Close => return,
            }
        }
    }
}

/// Where the first request in `seen` ends, by its Content-Length or its last chunk.
fn request_end(seen: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(seen);
    let head = text.find("\r\n\r\n")? + 4;
    let lower = text.get(..head)?.to_ascii_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return text.find("0\r\n\r\n").map(|at| at + 5);
    }
    let length = lower.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| {
        rest.split("\r\n").next().unwrap().parse().unwrap()
    });
    (seen.len() >= head + length).then_some(head + length)
}

/// Says its answers in turn, the last one for ever, and counts the questions.
#[derive(Debug, Default)]
pub(crate) struct Told {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Told {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolver for Told {
    fn resolve<'a>(
        &'a self,
        _name: &'a str,
        _port: u16,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        Box::pin(std::future::ready(answer.ok_or(ResolveError)))
    }
}

pub(crate) fn egress(
    root: Option<CertificateDer<'static>>,
    resolver: Arc<impl Resolver + 'static>,
    limits: Limits,
) -> Egress {
    Egress::new(EgressOptions {
        extra_roots: root.into_iter().collect(),
        resolver,
        limits,
        own: Vec::new(),
    })
    .unwrap()
}

/// A connector for cleartext to loopback.
pub(crate) fn plain(limits: Limits) -> Egress {
    egress(None, Told::new(&[&["127.0.0.1"]]), limits)
}

pub(super) fn loopback() -> Private {
    Private::Granted(vec!["127.0.0.0/8".parse().unwrap()])
}

pub(super) fn get(path: &'static str) -> Outgoing {
    let path = PathAndQuery::from_static(path);
    Outgoing::full(Method::GET, path, HeaderMap::new(), Bytes::new())
}

pub(crate) async fn fetch(egress: &Egress, url: Url) -> Result<Incoming, EgressError> {
    let target = egress.admit(url, &loopback()).await?;
    egress.connect(target).await?.send(get("/")).await
}

pub(super) async fn text(incoming: Incoming) -> Result<String, EgressError> {
    let body = incoming.body.collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// Waits until what an exchange left to do in the background is done.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(40)).await;
}
