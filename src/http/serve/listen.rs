//! Where clients come in.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::client_certificate::ClientCertificates;
use super::peer::Peer;
use super::tls::{TlsCertificate, TlsError, server_config};
use super::unix::UnixSocket;

/// Why a listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Plain HTTP was asked for on an address that other machines reach.
    #[error("{0} is not a loopback address: set tls.cert and tls.key, or listen on 127.0.0.1")]
    PlainOnNetwork(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The socket file cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Socket {
        /// The socket file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket file's path is longer than the kernel takes.
    #[error("the socket path {path} is longer than {max} bytes: choose a shorter one")]
    SocketPathTooLong {
        /// The socket file.
        path: PathBuf,
        /// The longest path, in bytes.
        max: usize,
    },
    /// Another process listens on the socket.
    #[error("{0} is in use: another broker is running")]
    SocketInUse(PathBuf),
    /// Something that is no socket has the socket's name, and is left alone.
    #[error("{0} exists and is not a socket: move it away or choose another path")]
    NotASocket(PathBuf),
    /// The TLS settings cannot be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Refuses plain HTTP on an address that other machines reach.
///
/// # Errors
/// [`ListenError::PlainOnNetwork`] when `addr` is not loopback.
pub fn refuse_plain(addr: SocketAddr) -> Result<(), ListenError> {
    if addr.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(ListenError::PlainOnNetwork(addr))
    }
}

/// One place where clients come in.
#[derive(Debug)]
pub struct Listener(pub(super) Kind);

pub(super) enum Kind {
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
    Unix(UnixSocket),
}

/// A connection as it comes from the kernel, before any handshake.
pub(crate) enum Accepted {
    Tcp(TcpStream),
    Tls(TcpStream, TlsAcceptor),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    /// Plain HTTP, for this machine only.
    ///
    /// # Errors
    /// [`ListenError::PlainOnNetwork`] off loopback; [`ListenError::Bind`] when the address cannot
    /// be had.
    pub async fn tcp(addr: SocketAddr) -> Result<Self, ListenError> {
        refuse_plain(addr)?;
        Ok(Self(Kind::Tcp(bind(addr).await?)))
    }

    /// HTTPS, with TLS 1.3 and nothing older. The certificate may change while serving.
    ///
    /// # Errors
    /// [`ListenError::Bind`] when the address cannot be had; [`ListenError::Tls`] when rustls does
    /// not take the settings.
    pub async fn tls(
        addr: SocketAddr,
        certificate: Arc<TlsCertificate>,
        clients: ClientCertificates,
    ) -> Result<Self, ListenError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, clients)?));
        Ok(Self(Kind::Tls(bind(addr).await?, acceptor)))
    }

    /// Plain HTTP over a socket file with permission bits `mode` (0o600 unless a group may use
    /// it). A stale file is replaced; the folder is made if it is missing, for its owner only.
    ///
    /// # Errors
    /// [`ListenError::SocketInUse`] when somebody listens there; [`ListenError::NotASocket`],
    /// [`ListenError::SocketPathTooLong`] or [`ListenError::Socket`] when the file cannot be made.
    pub fn unix(path: &Path, mode: u32) -> Result<Self, ListenError> {
        UnixSocket::bind(path, mode).map(|socket| Self(Kind::Unix(socket)))
    }

    /// The TCP address, with the port the system chose if it was asked to.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(listener) | Kind::Tls(listener, _) => listener.local_addr().ok(),
            Kind::Unix(_) => None,
        }
    }

    /// The next connection. Of a TLS listener the handshake is still to come.
    pub(crate) async fn accept(&self) -> io::Result<(Accepted, Peer)> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, peer) = accept_tcp(listener, false).await?;
                Ok((Accepted::Tcp(stream), peer))
            }
            Kind::Tls(listener, acceptor) => {
                let (stream, peer) = accept_tcp(listener, true).await?;
                Ok((Accepted::Tls(stream, acceptor.clone()), peer))
            }
            Kind::Unix(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Accepted::Unix(stream), peer))
            }
        }
    }
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| ListenError::Bind { addr, source })
}

async fn accept_tcp(listener: &TcpListener, tls: bool) -> io::Result<(TcpStream, Peer)> {
    let (stream, addr) = listener.accept().await?;
    // Only a socket that is gone already refuses; its connection will find that out by itself.
    if stream.set_nodelay(true).is_err() {
        tracing::trace!("a client left before its connection was set up");
    }
    Ok((stream, Peer::Tcp { addr, tls }))
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Tls(..) => "Tls",
            Self::Unix(_) => "Unix",
        })
    }
}
