//! The first bytes inside a tunnel: a TLS hello, or something that has no business there.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::ServerConfig;
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_rustls::server::{StartHandshake, TlsStream};

use crate::name::Host;

/// The longest hello, in bytes.
const LONGEST: usize = 64 << 10;
/// A TLS record of a handshake begins so (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// What came first.
pub(super) enum First {
    /// A hello, whole.
    Hello(Box<Hello>),
    /// No TLS at all.
    Other,
    /// Something that begins like a hello and is none. The bytes are the alert that says so.
    Broken(Vec<u8>),
    /// The client left.
    Gone,
}

/// A hello that was not answered.
pub(super) struct Hello {
    accepted: Accepted,
    bytes: Bytes,
    /// Whether `accepted` knows all of them.
    is_all: bool,
}

impl Hello {
    /// Whether it asks for `host`. Addresses are no server names (RFC 6066, 3), so that a hello for one
    /// has none.
    pub(super) fn is_for(&self, host: &Host) -> bool {
        is_named(host, self.accepted.client_hello().server_name())
    }

    /// The bytes that it came in, and all that came after it.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Answers it on `stream`, and goes on until hands are shaken. `None` when they are not.
    pub(super) async fn answer<S>(
        self,
        stream: S,
        server: Arc<ServerConfig>,
    ) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Nobody has more to say before they are answered: early data is for who was given a ticket.
        if !self.is_all {
            return None;
        }
        let shaking = StartHandshake::from_parts(self.accepted, stream).into_stream(server);
        shaking.await.ok()
    }
}

fn is_named(host: &Host, name: Option<&str>) -> bool {
    match (host, name) {
        (Host::Address(_), None) => true,
        (Host::Name(host), Some(name)) => host.eq_ignore_ascii_case(name),
        _ => false,
    }
}

/// Reads the hello from `stream`.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> First {
    let mut acceptor = Acceptor::default();
    let mut bytes = BytesMut::with_capacity(2_048);
    let mut given = 0;
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(1..) if bytes.len() <= LONGEST => {}
            _ => return First::Gone,
        }
        if bytes.first().is_some_and(|first| *first != HANDSHAKE) {
            return First::Other;
        }
        while let Some(mut rest) = bytes.get(given..).filter(|rest| !rest.is_empty()) {
            match acceptor.read_tls(&mut rest) {
                Ok(read @ 1..) => given += read,
                _ => return First::Gone,
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let is_all = given == bytes.len();
                    return First::Hello(Box::new(Hello {
                        accepted,
                        bytes: bytes.freeze(),
                        is_all,
                    }));
                }
                Ok(None) => {}
                Err((_, mut alert)) => {
                    let mut told = Vec::new();
                    // Into memory: it cannot fail.
                    drop(alert.write_all(&mut told));
                    return First::Broken(told);
                }
            }
        }
    }
}

/// The alert that a name is not served here (RFC 6066, 3): fatal, in clear, since nothing is agreed on yet.
pub(super) const UNRECOGNISED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{First, HANDSHAKE, is_named, read};
    use crate::name::Host;

    fn first(bytes: &[u8]) -> First {
        let mut stream = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(read(&mut stream))
    }

    #[test]
    fn what_is_no_hello_is_told_from_one() {
        for text in ["GET / HTTP/1.1\r\n", "\0", "SSH-2.0-x", "\u{17}\u{3}\u{3}"] {
            assert!(matches!(first(text.as_bytes()), First::Other), "{text:?}");
        }
        assert!(matches!(first(b""), First::Gone));
        // A record that ends early, and one that holds no hello.
        assert!(matches!(first(&[HANDSHAKE, 3, 1, 0, 9, 1]), First::Gone));
        let broken = first(&[HANDSHAKE, 3, 1, 0, 4, 9, 0, 0, 0]);
        assert!(matches!(broken, First::Broken(_)));
    }

    #[test]
    fn a_hello_asks_for_the_host_that_the_tunnel_goes_to() {
        let named = |host: &str, name: Option<&str>| is_named(&Host::parse(host).unwrap(), name);
        assert!(named("api.good.com", Some("api.good.com")));
        assert!(named("api.good.com", Some("API.good.com")));
        assert!(named("1.2.3.4", None));
        assert!(named("[::1]", None));
        assert!(!named("api.good.com", None));
        assert!(!named("api.good.com", Some("evil.test")));
        assert!(!named("1.2.3.4", Some("api.good.com")));
    }

    proptest! {
        #[test]
        fn no_first_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), like in any::<bool>()) {
            let begins: &[u8] = if like { &[HANDSHAKE, 3, 1, 0, 200, 1, 0] } else { &[] };
            first(&[begins, &bytes].concat());
        }
    }
}
