//! The caller's half of the opening: what they ask, and what they are answered.

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Version};

use crate::egress::{SocketKey, is_word, lists, only};

/// A caller's request to speak WebSocket (RFC 6455, 4.2.1).
#[derive(Debug)]
pub struct Handshake(SocketKey);

/// Why such a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    /// It asks for another protocol.
    #[error("the only protocol to switch to is websocket")]
    Protocol,
    /// It asks for another version of it.
    #[error("the only version of WebSocket is 13")]
    Version,
    /// It breaks the rules.
    #[error("the request to open a WebSocket is not right: {0}")]
    Malformed(&'static str),
}

impl Handshake {
    /// Reads it from a request; `None` from one that asks for no other protocol.
    ///
    /// # Errors
    /// [`HandshakeFault`].
    pub fn read(
        method: &Method,
        version: Version,
        headers: &HeaderMap,
        has_body: bool,
    ) -> Result<Option<Self>, HandshakeFault> {
        let malformed = |why| Err(HandshakeFault::Malformed(why));
        if !headers.contains_key(UPGRADE) {
            return Ok(None);
        }
        if !only(headers, &UPGRADE).is_some_and(|value| is_word(value, "websocket")) {
            return Err(HandshakeFault::Protocol);
        }
        if *method != Method::GET || version != Version::HTTP_11 || has_body {
            return malformed("it is a GET of HTTP/1.1, without a body");
        }
        if !lists(headers, &CONNECTION, "upgrade") {
            return malformed("its Connection says Upgrade");
        }
        if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(HandshakeFault::Version);
        }
        match only(headers, &SEC_WEBSOCKET_KEY).and_then(SocketKey::read) {
            Some(key) => Ok(Some(Self(key))),
            None => malformed("its one Sec-WebSocket-Key is the base64 of 16 bytes"),
        }
    }

    /// Puts what makes an answer of status 101 the answer to this request into `headers`.
    pub(super) fn agree(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.0.accept());
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, SEC_WEBSOCKET_ACCEPT};
    use http::{HeaderMap, Method, Version};

    use super::{Handshake, HandshakeFault};

    const GOOD: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn read(lines: &[(&str, &str)]) -> Result<Option<Handshake>, HandshakeFault> {
        Handshake::read(&Method::GET, Version::HTTP_11, &headers(lines), false)
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_request_that_keeps_the_rules_is_answered_by_them() {
        assert!(read(&[]).unwrap().is_none(), "asks for nothing");
        let asked = read(&GOOD).unwrap().unwrap();
        let mut answer = HeaderMap::new();
        asked.agree(&mut answer);
        assert_eq!(answer[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn ht_11_nothing_but_a_websocket_asked_for_by_the_rules_is_read() {
        for other in ["h2c", "websocket, h2c", "TLS/1.0", ""] {
            let mut lines = GOOD;
            lines[0].1 = other;
            assert_eq!(read(&lines).unwrap_err(), HandshakeFault::Protocol);
        }
        let twice = [&GOOD[..], &[("upgrade", "websocket")]].concat();
        assert_eq!(read(&twice).unwrap_err(), HandshakeFault::Protocol);
        for (line, wrong) in [(1, "keep-alive"), (3, "short"), (3, "")] {
            let mut lines = GOOD;
            lines[line].1 = wrong;
            let refused = read(&lines).unwrap_err();
            assert!(matches!(refused, HandshakeFault::Malformed(_)), "{wrong}");
        }
        for wrong in ["8", "13, 8", ""] {
            let mut lines = GOOD;
            lines[2].1 = wrong;
            assert_eq!(read(&lines).unwrap_err(), HandshakeFault::Version);
        }
        let good = headers(&GOOD);
        for (method, version, has_body) in [
            (Method::POST, Version::HTTP_11, false),
            (Method::GET, Version::HTTP_10, false),
            (Method::GET, Version::HTTP_2, false),
            (Method::GET, Version::HTTP_11, true),
        ] {
            assert!(Handshake::read(&method, version, &good, has_body).is_err());
        }
    }
}
