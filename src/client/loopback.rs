//! Where a browser on this machine comes back to (RFC 8252 section 7.3, rule N1).
//!
//! It listens on 127.0.0.1 alone, on a port that the system chooses, for one request to one path of
//! 256 random bits. Others on this machine can find the port; without the path they are told that
//! nothing is there. The first request that is right closes the door. What it brings, a ticket, is of
//! use only to whoever began the flow.

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
    flow: String,
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
        let bytes: [u8; 32] = random.bytes().map_err(|_| {
            ClientError::failed("the system has no random bytes", "try again in a moment")
        })?;
        let closed = |error: std::io::Error| ClientError::file("a port on 127.0.0.1", &error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(closed)?;
        let port = listener.local_addr().map_err(closed)?.port();
        let path = format!("/{}", BASE64URL_NOPAD.encode(&bytes));
        Ok(Self {
            listener,
            port,
            path,
        })
    }

    /// Where the browser is to be sent: a number, not a name that something could resolve elsewhere.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    /// Waits until the browser comes back from `flow`, and sends it on to the page `onward`. The door
    /// is closed when this ends, also when it is dropped before.
    pub async fn wait(self, flow: &str, onward: HeaderValue) -> Returned {
        let awaited = Arc::new(Awaited {
            host: format!("127.0.0.1:{}", self.port),
            path: sha256(self.path.as_bytes()),
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
    let answer = service_fn(|request| {
        let answer = awaited.answer(&request);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut http = Builder::new();
    http.keep_alive(false).max_buf_size(MAX_HEAD);
    let served = http.serve_connection(TokioIo::new(stream), answer);
    // Somebody who left early, or never spoke, is none of our business.
    drop(timeout(PATIENCE, served).await);
}

impl Awaited {
    fn answer<B>(&self, request: &Request<B>) -> Response<Empty<Bytes>> {
        let mut response = Response::new(Empty::new());
        let taken = self.read(request).and_then(|brought| {
            // The first one only.
            self.brought.set(brought).ok()
        });
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if taken.is_some() {
            headers.insert(LOCATION, self.onward.clone());
            *response.status_mut() = StatusCode::SEE_OTHER;
        } else {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response
    }

    /// What a request brings, if it is the awaited one.
    fn read<B>(&self, request: &Request<B>) -> Option<Returned> {
        let path = sha256(request.uri().path().as_bytes());
        // A name that was made to resolve to this machine stands in the host field.
        let mut hosts = request.headers().get_all(HOST).iter();
        let ours = hosts.next().is_some_and(|host| *host == *self.host) && hosts.next().is_none();
        if !digests_match(&path, &self.path) || !ours || request.method() != Method::GET {
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
mod tests {
    use http::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::{Loopback, MOST, Returned};
    use crate::crypto::SystemRandom;

    const ONWARD: &str = "http://127.0.0.1:8420/connect/FLOW/result";

    /// A door that is waited at: its port, its path, and what will be brought.
    async fn door() -> (u16, String, JoinHandle<Returned>) {
        let loopback = Loopback::open(&SystemRandom).await.unwrap();
        let (port, path) = (loopback.port, loopback.path.clone());
        let onward = HeaderValue::from_static(ONWARD);
        let waits = tokio::spawn(async move { loopback.wait("FLOW", onward).await });
        (port, path, waits)
    }

    async fn send(port: u16, head: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn get(port: u16, target: &str) -> String {
        let head = format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
        send(port, &head).await.unwrap()
    }

    #[tokio::test]
    async fn n1_the_browser_is_sent_on_and_the_door_is_closed() {
        let (port, path, waits) = door().await;
        let answer = get(port, &format!("{path}?flow=FLOW&ticket=t-1_2")).await;
        assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
        assert!(
            answer.contains(&format!("location: {ONWARD}\r\n")),
            "{answer}"
        );
        assert!(answer.contains("cache-control: no-store\r\n") && !answer.contains("t-1_2"));
        assert_eq!(waits.await.unwrap(), Returned::Ticket("t-1_2".into()));
        let again = send(port, &format!("GET {path} HTTP/1.1\r\n\r\n")).await;
        assert_eq!(
            again.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
    }

    #[tokio::test]
    async fn n1_a_failure_comes_back_by_its_code() {
        let (port, path, waits) = door().await;
        get(port, &format!("{path}?flow=FLOW&error=access_denied")).await;
        assert_eq!(
            waits.await.unwrap(),
            Returned::Error("access_denied".into())
        );
    }

    #[tokio::test]
    async fn n1_whoever_guesses_is_told_that_nothing_is_there() {
        let (port, path, waits) = door().await;
        let right = "flow=FLOW&ticket=mine";
        let short: String = path.chars().take(43).collect();
        for target in [
            "/".to_owned(),
            format!("/callback?{right}"),
            format!("/{}?{right}", "A".repeat(43)),
            format!("{path}/?{right}"),
            format!("{path}x?{right}"),
            format!("{short}?{right}"),
            path.to_lowercase(),
            path.clone(),
            format!("{path}?"),
            format!("{path}?flow=FLOW"),
            format!("{path}?ticket=mine"),
            format!("{path}?flow=OTHER&ticket=mine"),
            format!("{path}?{right}&ticket=yours"),
            format!("{path}?{right}&error=x"),
            format!("{path}?{right}&more=x"),
            format!("{path}?flow=FLOW&ticket=a%0ab"),
            format!("{path}?flow=FLOW&ticket={}", "x".repeat(513)),
        ] {
            let answer = get(port, &target).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{target} {answer}");
            assert!(!answer.contains("FLOW"), "{answer}");
        }
        assert!(!waits.is_finished());
        get(port, &format!("{path}?{right}")).await;
        assert_eq!(waits.await.unwrap(), Returned::Ticket("mine".into()));
    }

    #[tokio::test]
    async fn n1_other_methods_and_names_for_this_machine_are_refused() {
        let (port, path, waits) = door().await;
        let right = format!("{path}?flow=FLOW&ticket=mine");
        for head in [
            format!("POST {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
            format!("HEAD {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"),
            format!("GET {right} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n"),
            format!("GET {right} HTTP/1.1\r\nhost: evil.example:{port}\r\n\r\n"),
            format!("GET {right} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nhost: evil\r\n\r\n"),
            format!("GET {right} HTTP/1.1\r\n\r\n"),
        ] {
            let answer = send(port, &head).await.unwrap();
            assert!(!answer.contains(" 303 "), "{head} {answer}");
        }
        assert!(!waits.is_finished());
    }

    #[tokio::test]
    async fn n1_nothing_but_the_loopback_address_is_listened_on() {
        let loopback = Loopback::open(&SystemRandom).await.unwrap();
        assert_eq!(
            loopback.listener.local_addr().unwrap().ip().to_string(),
            "127.0.0.1"
        );
        let uri = loopback.redirect_uri();
        assert_eq!(
            uri,
            format!("http://127.0.0.1:{}{}", loopback.port, loopback.path)
        );
        // The broker takes ports from 1024, and paths of at most 65 plain characters.
        assert!(loopback.port >= 1024 && loopback.path.len() == 44);
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c);
        assert!(loopback.path.chars().all(plain));
        // Elsewhere on this machine, and in IPv6, the port is free.
        for address in ["127.0.0.2", "::1"] {
            assert!(TcpStream::connect((address, loopback.port)).await.is_err());
        }
        let another = Loopback::open(&SystemRandom).await.unwrap();
        assert_ne!(another.path, loopback.path);
    }

    #[tokio::test]
    async fn n1_those_who_never_speak_do_not_keep_the_browser_out() {
        let (port, path, waits) = door().await;
        let mut silent = Vec::new();
        for _ in 0..2 * MOST {
            silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        }
        get(port, &format!("{path}?flow=FLOW&ticket=mine")).await;
        assert_eq!(waits.await.unwrap(), Returned::Ticket("mine".into()));
    }

    #[tokio::test]
    async fn n1_a_flow_that_is_given_up_closes_the_door() {
        let (port, _, waits) = door().await;
        waits.abort();
        waits.await.unwrap_err();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }
}
