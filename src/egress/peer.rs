//! A peer that has proved itself: the only thing a request can be sent to.

use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;

use super::connector::Route;
use super::link::Failed;
use super::pool::Unused;
use super::{Egress, EgressError, Incoming, Origin, Outgoing};

/// A connection whose peer showed a valid certificate for the target's host, or a cleartext one
/// inside a private range that was granted. Made only by [`Egress::connect`].
///
/// Dropped without sending, its connection stays open for the next request.
pub struct VerifiedPeer {
    egress: Egress,
    route: Route,
    unused: Unused,
    address: SocketAddr,
    reused: bool,
}

impl VerifiedPeer {
    pub(super) fn new(
        egress: Egress,
        route: Route,
        unused: Unused,
        reused: bool,
    ) -> Result<Self, EgressError> {
        let address = unused.peer().ok_or(EgressError::Connect)?;
        Ok(Self {
            egress,
            route,
            unused,
            address,
            reused,
        })
    }

    /// The address at the other end, one of those that were checked.
    #[must_use]
    pub const fn peer_addr(&self) -> SocketAddr {
        self.address
    }

    /// What the peer proved to be.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.route.url.origin()
    }

    /// Sends `request` and waits for the head of the answer.
    ///
    /// A waiting connection that turns out dead before a byte was sent is replaced once, with
    /// addresses that are checked again; a request that may have left is never sent twice. After a body
    /// that not every server reads the connection is not used again.
    ///
    /// # Errors
    /// [`EgressError::Method`], [`HeaderValue`](EgressError::HeaderValue) or
    /// [`BadUrl`](EgressError::BadUrl) before anything is sent;
    /// [`Timeout`](EgressError::Timeout), [`Closed`](EgressError::Closed),
    /// [`UpstreamProtocol`](EgressError::UpstreamProtocol), [`TooLarge`](EgressError::TooLarge) or
    /// [`Upload`](EgressError::Upload) after; those of [`Egress::connect`] when a dead connection
    /// cannot be replaced.
    pub async fn send(self, request: Outgoing) -> Result<Incoming, EgressError> {
        let socket = request.socket.clone();
        let keeps = request.leaves_connection_clean();
        let request = request.prepare(&self.route.url.authority())?;
        let limits = *self.egress.limits();
        let (mut link, mut home) = self.unused.take().ok_or(EgressError::Connect)?;
        let response = match link.exchange(request, limits.head).await {
            Ok(response) => response,
            Err(Failed::Unsent(request)) if self.reused => {
                let fresh = self.egress.dial(&self.route).await?;
                (link, home) = fresh.take().ok_or(EgressError::Connect)?;
                let again = link.exchange(*request, limits.head).await;
                again.map_err(Failed::reason)?
            }
            Err(failed) => return Err(failed.reason()),
        };
        match socket {
            Some(key) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Incoming::switched(response, link, &key, limits.head).await
            }
            _ => Ok(Incoming::new(
                response,
                link,
                keeps.then_some(home),
                limits.body_idle,
            )),
        }
    }
}

impl fmt::Debug for VerifiedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedPeer({})", self.route.url.origin())
    }
}
