//! The first bytes inside a tunnel: a TLS hello, or something that has no business there.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The longest hello, in bytes.
const LONGEST: usize = 64 << 10;
/// A TLS record of a handshake begins so (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// What came first.
pub(super) enum First {
    /// A hello, whole; all bytes that came, and the name that it asks for.
    Hello(Bytes, Option<String>),
    /// No TLS at all.
    Other,
    /// Something that begins like a hello and is none. The bytes are the alert that says so.
    Broken(Vec<u8>),
    /// The client left.
    Gone,
}

/// Reads the hello from `stream`, and no byte of anything after the record that it ends in is lost.
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
                    let name = accepted.client_hello().server_name().map(str::to_owned);
                    return First::Hello(bytes.freeze(), name);
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

/// A stream whose first bytes were read already.
pub(super) struct Replayed<S> {
    first: Bytes,
    stream: S,
}

impl<S> Replayed<S> {
    pub(super) const fn new(first: Bytes, stream: S) -> Self {
        Self { first, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.slice(..length));
        self.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for Replayed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replayed")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::{First, HANDSHAKE, Replayed, read};

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

    proptest! {
        #[test]
        fn no_first_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), like in any::<bool>()) {
            let begins: &[u8] = if like { &[HANDSHAKE, 3, 1, 0, 200, 1, 0] } else { &[] };
            first(&[begins, &bytes].concat());
        }

        #[test]
        fn what_was_read_first_is_read_again_first(
            one in prop::collection::vec(any::<u8>(), 0..50),
            two in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut stream = Replayed::new(Bytes::from(one.clone()), two.as_slice());
            let mut all = Vec::new();
            runtime.block_on(stream.read_to_end(&mut all)).unwrap();
            prop_assert_eq!(all, [one, two].concat());
        }
    }
}
