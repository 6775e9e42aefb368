//! What a client may take: time, bytes, connections.

use std::time::Duration;

/// Every limit of the HTTP surface, each enforced for plain TCP, TLS and the Unix socket alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// From accepting a TCP connection to the end of its TLS handshake. Over: closed.
    pub tls_handshake: Duration,
    /// From being ready to the first byte of the first request. Over: closed.
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its header. Over: closed.
    pub header_read: Duration,
    /// Between two pieces of a request body. Over: the body fails with
    /// [`BodyError::Idle`](super::BodyError), which is a 408.
    pub body_idle: Duration,
    /// From the first byte of a request to the last byte of its response. Over: 408 while the
    /// response has not begun, closed afterwards. A route lifts it with
    /// [`RequestDeadline`](super::RequestDeadline) or [`Streaming`](super::Streaming).
    pub whole_request: Duration,
    /// Between two requests of one connection. Over: closed.
    pub keep_alive_idle: Duration,
    /// How long a client may refuse to take any byte of a response. Over: closed.
    pub write_stall: Duration,
    /// Request line and header fields together, in bytes. Over: 431.
    pub header_bytes: usize,
    /// Header fields of one request. Over: 431.
    pub headers: usize,
    /// Path and query together, in bytes; not of a provider's answer, which is read by its own rules.
    /// Over: 414.
    pub uri_bytes: usize,
    /// Open TCP connections, and separately open Unix socket connections, so that a flood from the
    /// network cannot lock the operator out. Over: closed at once.
    pub connections: usize,
    /// Open connections of one network source (an IPv4 address, an IPv6 /64). Over: closed at once.
    pub connections_per_source: usize,
    /// Open Unix socket connections of one user id. Over: closed at once.
    pub connections_per_user: usize,
    /// Requests between their header and the end of their response, or its beginning where it streams or
    /// switches protocols. Over: 503 with `Retry-After`.
    pub in_flight: usize,
    /// How long running requests may go on after shutdown was asked for. Over: cut.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(5),
            first_byte: Duration::from_secs(5),
            header_read: Duration::from_secs(5),
            body_idle: Duration::from_secs(10),
            whole_request: Duration::from_secs(30),
            keep_alive_idle: Duration::from_secs(30),
            write_stall: Duration::from_secs(30),
            header_bytes: 16 * 1024,
            headers: 64,
            uri_bytes: 4 * 1024,
            connections: 512,
            connections_per_source: 32,
            connections_per_user: 128,
            in_flight: 256,
            drain: Duration::from_secs(20),
        }
    }
}
