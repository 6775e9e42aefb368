//! The three kinds of stream as one, reporting to its [`Pulse`] what moves.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::pulse::Pulse;

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    pulse: Pulse,
}

impl Watched {
    pub(super) fn new(stream: Stream, pulse: Pulse) -> Self {
        Self { stream, pulse }
    }

    fn seen<T>(&self, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &sent {
            Poll::Pending => self.pulse.blocked(),
            Poll::Ready(_) => self.pulse.moved(),
        }
        sent
    }
}

/// Calls one method on whichever stream it is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.stream {
            Stream::Tcp($stream) => $call,
            Stream::Tls($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = each!(self, stream => Pin::new(stream).poll_read(cx, buf));
        if let Poll::Ready(Ok(())) = read {
            if buf.filled().len() > before {
                self.pulse.received();
            } else if buf.remaining() > 0 {
                self.pulse.ended();
            }
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = each!(self, stream => Pin::new(stream).poll_write(cx, bytes));
        self.seen(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = each!(self, stream => Pin::new(stream).poll_write_vectored(cx, parts));
        self.seen(sent)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = each!(self, stream => Pin::new(stream).poll_flush(cx));
        match &flushed {
            Poll::Pending => self.pulse.blocked(),
            Poll::Ready(_) => self.pulse.flushed(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = each!(self, stream => Pin::new(stream).poll_shutdown(cx));
        self.seen(done)
    }
}
