//! What connections may take.

use std::time::Duration;

use super::tempo::Times;

/// Connections that are let in, of all holders together.
pub(super) const CONNECTIONS: usize = 512;
/// Connections by one handle.
pub(super) const PER_HANDLE: usize = 64;
/// Connections by all handles of one user, so that one cannot leave their colleagues without.
pub(super) const PER_USER: usize = 128;
/// Connections by all handles of one organisation, so that one cannot leave the others without.
pub(super) const PER_ORG: usize = 256;
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
/// For a whole exchange.
pub(super) const LONGEST: Duration = Duration::from_hours(1);
/// For what passes through after the time of its handle is over.
pub(super) const AFTER: Duration = Duration::from_mins(2);
/// Without a request, or in a tunnel that is passed through without a byte.
pub(super) const IDLE: Duration = Duration::from_mins(2);

/// Bytes and fields of a request's head.
pub(super) const HEAD_BYTES: usize = 64 << 10;
pub(super) const HEAD_FIELDS: usize = 128;
/// Requests at once in one tunnel.
pub(super) const STREAMS: u32 = 64;

/// What an HTTP/1.1 connection may take.
pub(super) const TIMES: Times = Times {
    idle: IDLE,
    head: Some(HEAD),
    stall: Duration::from_secs(30),
};
