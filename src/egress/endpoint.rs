//! The command line's way to the user's own broker.
//!
//! No guard stands here, because the user named the place; what is sent goes there and nowhere else.
//! Over a network it travels in verified TLS, in clear only to the same machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::link::{Failed, Link};
use super::outgoing::Upload;
use super::tls;
use super::{EgressError, Incoming, Limits, Phase, Scheme, UpstreamBody, Url, UrlFault};
use crate::name::Host;
use crate::secret::Secret;

/// The largest answer that [`Endpoint::send`] reads whole, in bytes (16 MiB).
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// A place the user named, where their broker listens.
pub struct Endpoint {
    place: Place,
    limits: Limits,
}

enum Place {
    Unix(PathBuf),
    Tcp(Url),
    Tls(Url, TlsConnector),
}

/// A request's body.
#[derive(Debug)]
pub enum Payload {
    /// Anything.
    Plain(Bytes),
    /// Something with a secret value in it; wiped once it is sent.
    Secret(Secret),
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, 16 MiB at most.
    pub body: Bytes,
}

/// An answer whose body is still arriving.
#[derive(Debug)]
pub struct StreamedReply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: UpstreamBody,
}

impl Endpoint {
    /// The broker behind a Unix socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Unix(path.into()))
    }

    /// The broker at a URL without path: `https://…`, or `http://` on the same machine
    /// (`localhost`, `127.0.0.0/8`, `[::1]`).
    ///
    /// # Errors
    /// [`EgressError::BadUrl`], [`EgressError::Cleartext`] for `http` to another machine,
    /// [`EgressError::Root`] for a root that is no certificate.
    pub fn url(text: &str, extra_roots: Vec<CertificateDer<'static>>) -> Result<Self, EgressError> {
        let url = Url::parse(text)?;
        if url.path() != "/" || url.query().is_some() {
            return Err(UrlFault::Reading.into());
        }
        match url.scheme() {
            Scheme::Https => Ok(Self::at(Place::Tls(url, tls::connector(extra_roots)?))),
            Scheme::Http if loopback(&url).is_some() => Ok(Self::at(Place::Tcp(url))),
            Scheme::Http => Err(EgressError::Cleartext),
        }
    }

    /// Sends one request over a connection of its own and reads the whole answer.
    ///
    /// # Errors
    /// What may go wrong on the way: [`EgressError::Connect`], [`Tls`](EgressError::Tls),
    /// [`Timeout`](EgressError::Timeout), [`Closed`](EgressError::Closed) and so on;
    /// [`TooLarge`](EgressError::TooLarge) for an answer over 16 MiB.
    pub async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Payload>,
    ) -> Result<Reply, EgressError> {
        let StreamedReply {
            status,
            headers,
            body,
        } = self
            .send_streaming(method, path_and_query, headers, body)
            .await?;
        let body = read_whole(body).await?;
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    /// Sends one request over a connection of its own; the caller reads the answer as it comes.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_streaming(
        &self,
        method: Method,
        path_and_query: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Payload>,
    ) -> Result<StreamedReply, EgressError> {
        let request = self.request(method, path_and_query, headers, body)?;
        let mut link = self.dial().await?;
        let answer = link.exchange(request, self.limits.head).await;
        let answer = Incoming::new(
            answer.map_err(Failed::reason)?,
            link,
            None,
            self.limits.body_idle,
        );
        Ok(StreamedReply {
            status: answer.status,
            headers: answer.headers,
            body: answer.body,
        })
    }

    fn at(place: Place) -> Self {
        let limits = Limits {
            // A tool's run answers when the upstream has.
            head: Duration::from_secs(150),
            ..Limits::default()
        };
        Self { place, limits }
    }

    fn request(
        &self,
        method: Method,
        path_and_query: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Payload>,
    ) -> Result<Request<Upload>, EgressError> {
        let path = PathAndQuery::try_from(path_and_query).map_err(|_| UrlFault::Character)?;
        let host = match &self.place {
            Place::Unix(_) => "localhost".to_owned(),
            Place::Tcp(url) | Place::Tls(url, _) => url.authority(),
        };
        let mut request = Request::new(Upload::of(body.map_or_else(Bytes::new, Payload::bytes)));
        *request.method_mut() = method;
        *request.uri_mut() = path.into();
        request.headers_mut().extend(headers);
        let host = HeaderValue::try_from(host).map_err(|_| EgressError::HeaderValue)?;
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }

    async fn dial(&self) -> Result<Link, EgressError> {
        let limits = &self.limits;
        let late = |_| EgressError::Timeout {
            phase: Phase::Connect,
        };
        match &self.place {
            Place::Unix(path) => {
                let dialled = timeout(limits.connect, UnixStream::connect(path)).await;
                let stream = dialled.map_err(late)?.map_err(|_| EgressError::Connect)?;
                Link::start(TokioIo::new(stream), limits, None, None).await
            }
            Place::Tcp(url) => {
                let addresses = loopback(url).ok_or(EgressError::Cleartext)?;
                let dialled = timeout(limits.connect, TcpStream::connect(&*addresses)).await;
                let stream = dialled.map_err(late)?.map_err(|_| EgressError::Connect)?;
                Link::start(TokioIo::new(stream), limits, None, None).await
            }
            Place::Tls(url, connector) => {
                let dialled = timeout(limits.connect, dial_host(url)).await;
                let stream = dialled.map_err(late)?.map_err(|_| EgressError::Connect)?;
                let limit = limits.handshake;
                let stream = tls::handshake(connector, url.host(), stream, limit).await?;
                Link::start(TokioIo::new(stream), limits, None, None).await
            }
        }
    }
}

impl Payload {
    fn bytes(self) -> Bytes {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Secret(secret) => {
                let copy = secret.expose(|bytes| Zeroizing::new(bytes.to_vec()));
                Bytes::from_owner(copy)
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.place {
            Place::Unix(_) => "Endpoint(unix)",
            Place::Tcp(_) => "Endpoint(http)",
            Place::Tls(..) => "Endpoint(https)",
        })
    }
}

async fn dial_host(url: &Url) -> std::io::Result<TcpStream> {
    match url.host() {
        Host::Name(name) => TcpStream::connect((&**name, url.port())).await,
        Host::Address(address) => TcpStream::connect((*address, url.port())).await,
    }
}

/// The loopback addresses that a URL means, if it means this machine. `localhost` is not looked up:
/// a resolver might send it elsewhere.
fn loopback(url: &Url) -> Option<Vec<SocketAddr>> {
    let ips = match url.host() {
        Host::Name(name) if &**name == "localhost" => {
            vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ]
        }
        Host::Address(address) if address.is_loopback() => vec![*address],
        _ => return None,
    };
    Some(
        ips.into_iter()
            .map(|ip| SocketAddr::new(ip, url.port()))
            .collect(),
    )
}

async fn read_whole(mut body: UpstreamBody) -> Result<Bytes, EgressError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if whole.len() + data.len() > MAX_REPLY_BYTES {
                return Err(EgressError::TooLarge);
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.into())
}
