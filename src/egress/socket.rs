//! A connection that becomes a WebSocket (RFC 6455, 4): the question, its answer, and what is left then.
//!
//! Both sides of the broker open a socket of their own, each with a key of its own. No extension is ever
//! agreed on: what is compressed cannot be searched.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use data_encoding::BASE64;
use http::Response;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::link::Link;
use super::{EgressError, Phase};
use crate::crypto::{CryptoError, Random, sha1};

/// What every WebSocket server appends to a key before it hashes it (RFC 6455, 1.3).
const APPENDED: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// A key of an opening: sixteen random bytes, by which an answer shows that it belongs to the question.
#[derive(Clone, PartialEq, Eq)]
pub struct SocketKey(HeaderValue);

impl SocketKey {
    /// Draws one.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn draw(random: &dyn Random) -> Result<Self, CryptoError> {
        let text = BASE64.encode(&random.bytes::<16>()?);
        HeaderValue::try_from(text)
            .map(Self)
            .map_err(|_| CryptoError::Random)
    }

    /// The key that somebody sends in `Sec-WebSocket-Key`; `None` when it is none.
    #[must_use]
    pub fn read(value: &HeaderValue) -> Option<Self> {
        let bytes = BASE64.decode(value.as_bytes()).ok()?;
        (bytes.len() == 16).then(|| Self(value.clone()))
    }

    /// What `Sec-WebSocket-Accept` must say in the answer.
    #[must_use]
    pub fn accept(&self) -> HeaderValue {
        let whole = [self.0.as_bytes(), APPENDED.as_bytes()].concat();
        // Base64 is always a header value.
        HeaderValue::try_from(BASE64.encode(&sha1(&whole)))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Makes a request's headers ask for a WebSocket, and for nothing besides.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(SEC_WEBSOCKET_KEY, self.0.clone());
    }

    /// Whether an answer's headers agree to this question (RFC 6455, 4.1): by the word, with the right
    /// hash, and without an extension, since none was offered.
    fn is_agreed_to(&self, headers: &HeaderMap) -> bool {
        let upgrade = only(headers, &UPGRADE).is_some_and(|value| is_word(value, "websocket"));
        let accept = only(headers, &SEC_WEBSOCKET_ACCEPT);
        upgrade
            && lists(headers, &CONNECTION, "upgrade")
            && accept.is_some_and(|accept| *accept == self.accept())
            && !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS)
    }
}

impl fmt::Debug for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketKey")
    }
}

/// The value of a header that is sent once.
#[must_use]
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a header's value is this word, in any case.
#[must_use]
pub fn is_word(value: &HeaderValue, word: &str) -> bool {
    let text = value.as_bytes().trim_ascii();
    text.eq_ignore_ascii_case(word.as_bytes())
}

/// Whether a header whose value is a list has this word in it, in any case.
#[must_use]
pub fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

/// A connection to an upstream that agreed to speak WebSocket on it. What comes from it is unsearched.
/// Dropped, it is closed.
pub struct UpstreamSocket {
    io: TokioIo<Upgraded>,
    /// Holds the connection's place among all.
    _link: Link,
}

impl UpstreamSocket {
    /// Takes over the connection of an answer that says 101; with it comes the answer's head.
    pub(super) async fn open<B>(
        mut response: Response<B>,
        link: Link,
        key: &SocketKey,
        limit: Duration,
    ) -> Result<(http::response::Parts, Self), EgressError> {
        if !key.is_agreed_to(response.headers()) {
            return Err(EgressError::UpstreamProtocol);
        }
        let phase = Phase::Head;
        let io = timeout(limit, hyper::upgrade::on(&mut response)).await;
        let io = io
            .map_err(|_| EgressError::Timeout { phase })?
            .map_err(|_| EgressError::Closed)?;
        let socket = Self {
            io: TokioIo::new(io),
            _link: link,
        };
        Ok((response.into_parts().0, socket))
    }
}

impl AsyncRead for UpstreamSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for UpstreamSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for UpstreamSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamSocket")
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::SocketKey;
    use crate::crypto::SystemRandom;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let key = SocketKey::read(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")).unwrap();
        assert_eq!(key.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for wrong in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "*"] {
            assert!(SocketKey::read(&HeaderValue::from_static(wrong)).is_none());
        }
    }

    #[test]
    fn ex_8_only_an_answer_to_this_very_question_without_extensions_is_agreement() {
        let key = SocketKey::draw(&SystemRandom).unwrap();
        let other = SocketKey::draw(&SystemRandom).unwrap();
        assert_ne!(key, other);
        let (accept, other) = (key.accept(), other.accept());
        let accept = accept.to_str().unwrap();
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-accept", accept),
        ];
        assert!(key.is_agreed_to(&headers(&good)));
        for missing in 0..good.len() {
            let mut lines = good.to_vec();
            lines.remove(missing);
            assert!(!key.is_agreed_to(&headers(&lines)), "{missing}");
        }
        for more in [
            ("sec-websocket-extensions", "permessage-deflate"),
            ("sec-websocket-accept", accept),
            ("upgrade", "websocket"),
        ] {
            let lines = [&good[..], &[more]].concat();
            assert!(!key.is_agreed_to(&headers(&lines)), "{more:?}");
        }
        let mut wrong = good;
        wrong[2].1 = other.to_str().unwrap();
        assert!(!key.is_agreed_to(&headers(&wrong)));
    }
}
