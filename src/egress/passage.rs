//! A way to a host for somebody else's TLS: the address is guarded, and who is there is for them to verify.
//!
//! Nothing of the broker's own travels here, and no credential: what the egress proxy passes on for hosts
//! that its operator lists, and it has seen the name in the hello that goes first.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connector::Egress;
use super::room::Seat;
use super::{EgressError, Private, Url};

/// A host all of whose addresses were checked. Made only by [`Egress::passage`].
#[derive(Debug)]
pub struct Passage {
    egress: Egress,
    addresses: Vec<SocketAddr>,
}

/// Bytes to and from one of its addresses.
pub struct PassageStream {
    pub(super) tcp: TcpStream,
    pub(super) _seat: Seat,
}

impl Egress {
    /// Checks every address of the URL's host, as [`Egress::admit`] does; nothing is dialled.
    ///
    /// # Errors
    /// As [`Egress::admit`].
    pub async fn passage(&self, url: &Url, private: &Private) -> Result<Passage, EgressError> {
        Ok(Passage {
            egress: self.clone(),
            addresses: self.checked(url, private).await?,
        })
    }
}

impl Passage {
    /// Dials one of the addresses.
    ///
    /// # Errors
    /// [`EgressError::Connect`], [`Timeout`](EgressError::Timeout), [`Busy`](EgressError::Busy) or
    /// [`Share`](EgressError::Share).
    pub async fn open(self) -> Result<PassageStream, EgressError> {
        self.egress.dial_bare(&self.addresses).await
    }
}

impl AsyncRead for PassageStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for PassageStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl fmt::Debug for PassageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassageStream")
    }
}
