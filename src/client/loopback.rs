//! Where a browser on this machine comes back to (RFC 8252 section 7.3, rule N1).
//!
//! It listens on 127.0.0.1 alone, on a port that the system chooses, for one request to one path of
//! 256 random bits. Others on this machine can find the port; without the path they are told that
//! nothing is there. The first request that is right closes the door. What it brings, a ticket, is of
//! use only to whoever began the flow.
//!
//! The way out begins here as well. A browser is started with an address on its command line, which
//! everybody on the machine can read; were it the flow's, somebody else could be the first to agree, and
//! attach an account of theirs. So it is another path of this door, which leads to the flow's page and
//! is open to [programs of this user](super::neighbours) only.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, HOST, HeaderValue, LOCATION, REFERRER_POLICY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use url::form_urlencoded;

use super::ClientError;
use super::neighbours::is_own;
use crate::crypto::{Digest, Random, digests_match, sha256};

/// How long a connection may take for its one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many connections are looked at; for one more, the oldest goes. Browsers open some in advance.
const MOST: usize = 32;
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The longest ticket or error code, in bytes.
const MAX_WORD: usize = 512;

/// A door that is open for one visit.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    port: u16,
    path: String,
    start: String,
}

/// What the browser brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// With this the flow is finished.
    Ticket(String),
    /// The flow failed, for the reason that has this code.
    Error(String),
}

/// Whom the door is for, and what they brought.
struct Awaited {
    host: String,
    path: Digest,
    start: Digest,
    flow: String,
    page: HeaderValue,
    onward: HeaderValue,
    brought: OnceLock<Returned>,
}

impl Loopback {
    /// Opens a door.
    ///
    /// # Errors
    /// [`ClientError::File`] when the system gives no port, [`ClientError::Failed`] when it has no
    /// random bytes.
    pub async fn open(random: &dyn Random) -> Result<Self, ClientError> {
        let path = || -> Result<String, ClientError> {
            let bytes: [u8; 32] = random.bytes().map_err(|_| {
                ClientError::failed("the system has no random bytes", "try again in a moment")
            })?;
            Ok(format!("/{}", BASE64URL_NOPAD.encode(&bytes)))
        };
        let closed = |error: std::io::Error| ClientError::file("a port on 127.0.0.1", &error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(closed)?;
        let port = listener.local_addr().map_err(closed)?.port();
        Ok(Self {
            listener,
            port,
            path: path()?,
            start: path()?,
        })
    }

    /// What a browser on this machine is started with.
    #[must_use]
    pub fn start(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.start)
    }

    /// Where the browser is to be sent: a number, not a name that something could resolve elsewhere.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    /// Sends the browser to `page`, the one of `flow`, waits until it comes back from there, and sends it on
    /// to the page `onward`. The door is closed when this ends, also when it is dropped before.
    pub async fn wait(self, flow: &str, page: HeaderValue, onward: HeaderValue) -> Returned {
        let awaited = Arc::new(Awaited {
            host: format!("127.0.0.1:{}", self.port),
            path: sha256(self.path.as_bytes()),
            start: sha256(self.start.as_bytes()),
            page,
            flow: flow.to_owned(),
            onward,
            brought: OnceLock::new(),
        });
        let mut visits = JoinSet::new();
        let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        oldest.retain(|visit| !visit.is_finished());
                        if oldest.len() >= MOST && let Some(oldest) = oldest.pop_front() {
                            oldest.abort();
                        }
                        let visit = visits.spawn(visit(stream, Arc::clone(&awaited)));
                        oldest.push_back(visit);
                    }
                    // Out of descriptors, most likely: trying at once again would only spin.
                    Err(_) => sleep(Duration::from_millis(100)).await,
                },
                Some(_) = visits.join_next() => {
                    // By now the browser has its answer.
                    if let Some(brought) = awaited.brought.get() {
                        return brought.clone();
                    }
                }
            }
        }
    }
}

/// Answers the one request of a connection.
async fn visit(stream: TcpStream, awaited: Arc<Awaited>) {
    let ends = stream.peer_addr().ok().zip(stream.local_addr().ok());
    // Asked only of one that knows the way: a look at every connection of the machine.
    let own = || ends.is_some_and(|(theirs, ours)| is_own(theirs, ours));
    let answer = service_fn(|request| {
        let answer = awaited.answer(&request, own);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut http = Builder::new();
    http.keep_alive(false).max_buf_size(MAX_HEAD);
    let served = http.serve_connection(TokioIo::new(stream), answer);
    // Somebody who left early, or never spoke, is none of our business.
    drop(timeout(PATIENCE, served).await);
}

impl Awaited {
    fn answer<B>(&self, request: &Request<B>, own: impl Fn() -> bool) -> Response<Empty<Bytes>> {
        let mut response = Response::new(Empty::new());
        let onward = if self.leaves(request) {
            own().then_some(&self.page)
        } else {
            let brought = self.read(request).filter(|_| own());
            // The first one only.
            let taken = brought.and_then(|brought| self.brought.set(brought).ok());
            taken.map(|()| &self.onward)
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Some(onward) = onward {
            headers.insert(LOCATION, onward.clone());
            *response.status_mut() = StatusCode::SEE_OTHER;
        } else {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response
    }

    /// Whether it is a GET of this path, by our number.
    fn is_get<B>(&self, request: &Request<B>, path: &Digest) -> bool {
        let asked = sha256(request.uri().path().as_bytes());
        // A name that was made to resolve to this machine stands in the host field.
        let mut hosts = request.headers().get_all(HOST).iter();
        let ours = hosts.next().is_some_and(|host| *host == *self.host) && hosts.next().is_none();
        digests_match(&asked, path) && ours && request.method() == Method::GET
    }

    /// Whether a browser sets out.
    fn leaves<B>(&self, request: &Request<B>) -> bool {
        self.is_get(request, &self.start) && request.uri().query().is_none()
    }

    /// What a request brings, if it is the awaited one.
    fn read<B>(&self, request: &Request<B>) -> Option<Returned> {
        if !self.is_get(request, &self.path) {
            return None;
        }
        let query = request.uri().query()?;
        let mut flow = None;
        let mut brought = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if value.len() > MAX_WORD || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return None;
            }
            let before = match &*name {
                "flow" => flow.replace(value.into_owned()).is_some(),
                "ticket" => brought
                    .replace(Returned::Ticket(value.into_owned()))
                    .is_some(),
                "error" => brought
                    .replace(Returned::Error(value.into_owned()))
                    .is_some(),
                _ => true,
            };
            if before {
                return None;
            }
        }
        brought.filter(|_| flow.is_some_and(|flow| flow == self.flow))
    }
}

#[cfg(test)]
#[path = "tests_loopback.rs"]
mod tests;
