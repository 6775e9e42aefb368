//! The request side: what the caller hands over, and what is left of it on the wire.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED,
    HOST, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;

use super::EgressError;
use super::folded::folded;
use super::socket::SocketKey;
use super::url::check_path_and_query;

/// What ended a request's body early. Its text goes nowhere.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Never forwarded: they speak of the caller's connection, or of an answer in parts, encodings or
/// charsets in which it could not be searched whole. A caller's cookies are no part of a request that carries a credential.
const DROPPED: [HeaderName; 15] = [
    ACCEPT_CHARSET,
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    IF_RANGE,
    RANGE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
];

/// The same, for names that have no constant or share a beginning.
const DROPPED_BEGINNINGS: [&str; 6] = [
    "cookie2",
    "keep-alive",
    "http2-settings",
    "proxy-",
    "x-forwarded-",
    "x-runtools-",
];

/// Those of them that are for one hop only.
const HOP: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A request for a [`VerifiedPeer`](super::VerifiedPeer). Not shown whole: any part of it may carry
/// a credential.
///
/// Headers that the broker placed itself are marked sensitive ([`HeaderValue::set_sensitive`]): of
/// several headers of one name the sensitive one wins, and only it survives the list of headers
/// that are dropped.
pub struct Outgoing {
    /// Any but TRACE, TRACK and CONNECT.
    pub method: Method,
    /// What the request line says; the rules of [`Url`](super::Url) hold for it too.
    pub path_and_query: PathAndQuery,
    /// End-to-end headers. `Host`, length and encoding headers are set here, not by the caller.
    pub headers: HeaderMap,
    body: UnsyncBoxBody<Bytes, BodyError>,
    length: Option<u64>,
    /// With which the connection is asked to become a WebSocket.
    pub(super) socket: Option<SocketKey>,
}

impl Outgoing {
    /// A request whose body is at hand; empty for none.
    #[must_use]
    pub fn full(method: Method, path: PathAndQuery, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            path_and_query: path,
            headers,
            body: boxed(body),
            length: None,
            socket: None,
        }
    }

    /// The same, which asks for a WebSocket by this key.
    #[must_use]
    pub fn to_socket(mut self, key: SocketKey) -> Self {
        self.socket = Some(key);
        self
    }

    /// A request whose body is still arriving. With `length` (bytes) it is sent with a
    /// `Content-Length` and must have exactly that many, without one it is sent in chunks.
    pub fn stream<B>(
        method: Method,
        path: PathAndQuery,
        headers: HeaderMap,
        body: B,
        length: Option<u64>,
    ) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Self {
            method,
            path_and_query: path,
            headers,
            body: body.map_err(Into::into).boxed_unsync(),
            length,
            socket: None,
        }
    }

    /// Whether every server reads all of it. A body has no meaning on these methods (RFC 9110, 9.3), and one
    /// that leaves it in the connection takes it for the beginning of the next request.
    pub(super) fn leaves_connection_clean(&self) -> bool {
        let bodiless = [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS];
        self.body.is_end_stream() || !bodiless.contains(&self.method)
    }

    /// Makes the request as it goes out to `authority`.
    pub(super) fn prepare(self, authority: &str) -> Result<Request<Upload>, EgressError> {
        check_method(&self.method)?;
        check_path_and_query(self.path_and_query.as_str())?;
        let mut headers = clean(&self.headers)?;
        let host = HeaderValue::from_str(authority).map_err(|_| EgressError::HeaderValue)?;
        headers.insert(HOST, host);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(key) = &self.socket {
            key.ask(&mut headers);
        }
        let mut request = Request::new(Upload {
            body: self.body,
            length: self.length,
            activity: Arc::new(Activity::new()),
        });
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.path_and_query);
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({})", self.method)
    }
}

/// Refuses the methods that make an upstream echo a request, or a tunnel of a connection.
///
/// # Errors
/// [`EgressError::Method`] for TRACE, TRACK and CONNECT in any letter case.
pub fn check_method(method: &Method) -> Result<(), EgressError> {
    let banned = ["TRACE", "TRACK", "CONNECT"];
    if banned
        .iter()
        .any(|word| method.as_str().eq_ignore_ascii_case(word))
    {
        return Err(EgressError::Method);
    }
    Ok(())
}

/// Makes a header value of a credential, marked sensitive.
///
/// # Errors
/// [`EgressError::HeaderValue`] when it is empty, has a space at either end, or has any byte outside
/// printable ASCII: line breaks above all, which would start a header of their own.
pub fn credential_value(value: &[u8]) -> Result<HeaderValue, EgressError> {
    let printable = value.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if value.is_empty() || !printable || value.trim_ascii().len() != value.len() {
        return Err(EgressError::HeaderValue);
    }
    let mut value = HeaderValue::from_bytes(value).map_err(|_| EgressError::HeaderValue)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Drops what must not travel, and lets placed headers win over the caller's own.
pub(super) fn clean(headers: &HeaderMap) -> Result<HeaderMap, EgressError> {
    let listed = listed_in_connection(headers);
    let mut clean = HeaderMap::with_capacity(headers.len() + 2);
    for name in headers.keys() {
        let mut placed = headers
            .get_all(name)
            .iter()
            .filter(|value| value.is_sensitive());
        if let Some(value) = placed.next() {
            if placed.next().is_some() {
                return Err(EgressError::HeaderValue);
            }
            // Length, framing and host are ours even against a binding that names them.
            if !is_framing(name) {
                clean.insert(name, credential_value(value.as_bytes())?);
            }
        } else if !is_dropped(name) && !listed.contains(name) {
            for value in headers.get_all(name) {
                if value
                    .as_bytes()
                    .iter()
                    .any(|b| matches!(b, 0 | b'\r' | b'\n'))
                {
                    return Err(EgressError::HeaderValue);
                }
                let sent = if *name == ACCEPT {
                    without_charset(value)
                } else {
                    value.clone()
                };
                clean.append(name, sent);
            }
        }
    }
    Ok(clean)
}

/// What is accepted, in whatever charset.
fn without_charset(accepted: &HeaderValue) -> HeaderValue {
    let is_charset = |part: &&[u8]| {
        let name = part.split(|b| *b == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"charset")
    };
    let parts = accepted.as_bytes().split(|b| *b == b',').map(|range| {
        let parts = range.split(|b| *b == b';');
        parts
            .filter(|part| !is_charset(part))
            .collect::<Vec<_>>()
            .join(&b';')
    });
    let text = parts.collect::<Vec<_>>().join(&b',');
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("*/*"))
}

/// Takes out what is for the caller's own hop and no further (RFC 9110, 7.6.1): `Connection`, what it
/// lists, and the headers that always go with it. So nobody decides on, or signs, what is not sent.
pub fn strip_hop(headers: &mut HeaderMap) {
    for name in listed_in_connection(headers) {
        headers.remove(name);
    }
    for name in HOP {
        headers.remove(name);
    }
}

fn listed_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let words = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    words
        .filter_map(|word| HeaderName::from_bytes(word.trim_ascii()).ok())
        .collect()
}

fn is_dropped(name: &HeaderName) -> bool {
    let text = &*folded(name);
    DROPPED.iter().any(|dropped| dropped == text)
        || DROPPED_BEGINNINGS
            .iter()
            .any(|start| text.starts_with(start))
}

fn is_framing(name: &HeaderName) -> bool {
    let text = &*folded(name);
    [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        HOST,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .iter()
    .any(|framing| framing == text)
}

fn boxed(body: Bytes) -> UnsyncBoxBody<Bytes, BodyError> {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// When a request last moved.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    millis: AtomicU64,
    /// Whether nobody takes anything of its body any more.
    over: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn note(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// The moment of the last move, or of the start.
    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Whether its body was sent to its end, or given up.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// A request's body on its way out.
pub(super) struct Upload {
    body: UnsyncBoxBody<Bytes, BodyError>,
    length: Option<u64>,
    activity: Arc<Activity>,
}

impl Upload {
    /// A body that is at hand.
    pub(super) fn of(body: Bytes) -> Self {
        Self {
            body: boxed(body),
            length: None,
            activity: Arc::new(Activity::new()),
        }
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}

/// hyper lets go of a body once its end is on its way.
impl Drop for Upload {
    fn drop(&mut self) {
        self.activity.over.store(true, Ordering::Release);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.activity.note();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(|| self.body.size_hint(), SizeHint::with_exact)
    }
}
