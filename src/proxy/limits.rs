//! What connections may take.

use std::time::Duration;

use super::tempo::Times;

/// The bounds of connections to the proxy that are an operator's to set. [`Default`] gives the values in
/// the field notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyLimits {
    /// How long a tunnel may be without a request, or without a byte where it passes unread: 2 min.
    pub idle: Duration,
    /// How long what passes unread may go on after the time of its handle is over: 2 min.
    pub grace: Duration,
    /// Connections that are let in, of all holders together: 512.
    pub connections: usize,
    /// Of these, connections by all handles of one organisation, so that one cannot leave the others
    /// without: 256.
    pub per_org: usize,
    /// Of these, connections by all handles of one user, so that one cannot leave their colleagues
    /// without: 128.
    pub per_user: usize,
    /// Of these, connections by one handle: 64.
    pub per_handle: usize,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(2),
            grace: Duration::from_mins(2),
            connections: 512,
            per_org: 256,
            per_user: 128,
            per_handle: 64,
        }
    }
}

/// Connections of those who have not shown a handle yet, so that they keep nobody out who has one.
pub(super) const STRANGERS: usize = 128;
/// For showing a handle, from the first moment of a connection, whatever is said on it meanwhile.
pub(super) const STRANGE: Duration = Duration::from_secs(30);

/// For the head of a request.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// For the first bytes in a tunnel, and for the handshake that they begin.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the part of a request's body that is held back.
pub(super) const GATHER: Duration = Duration::from_secs(30);
/// Between two pieces of a request's body.
pub(super) const BODY_IDLE: Duration = Duration::from_secs(30);
/// Between two questions whether who speaks HTTP/2 is still there.
pub(super) const PING: Duration = Duration::from_secs(30);

/// Bytes and fields of a request's head.
pub(super) const HEAD_BYTES: usize = 64 << 10;
pub(super) const HEAD_FIELDS: usize = 128;
/// Requests at once in one tunnel.
pub(super) const STREAMS: u32 = 64;

/// What an HTTP/1.1 connection may take that is `idle` for no longer than so.
pub(super) const fn times(idle: Duration) -> Times {
    Times {
        idle,
        head: Some(HEAD),
        stall: Duration::from_secs(30),
    }
}
