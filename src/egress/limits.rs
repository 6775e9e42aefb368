//! How long, how large and how many.

use std::time::Duration;

/// The bounds of outbound exchanges. [`Default`] gives the values in the field notes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a name's addresses, and as long at most for the turn to ask for them: 5 s.
    pub resolve: Duration,
    /// For a TCP connection, over all addresses of a host: 10 s.
    pub connect: Duration,
    /// For the TLS handshake: 10 s.
    pub handshake: Duration,
    /// From the last byte of the request that was taken to the head of the answer: 60 s.
    pub head: Duration,
    /// Between two pieces of the answer's body: 60 s.
    pub body_idle: Duration,
    /// Bytes in the head of an answer, and in its trailers: 64 KiB.
    pub head_bytes: usize,
    /// Headers in the head of an answer: 128.
    pub headers: usize,
    /// How long a connection waits to be used again: 30 s.
    pub pool_idle: Duration,
    /// Connections that wait, per origin, grant and organisation: 64.
    pub pool_per_origin: usize,
    /// Connections in all, used or waiting: 512.
    pub connections: usize,
    /// Of these, connections of one organisation: 256.
    pub connections_per_org: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            head: Duration::from_mins(1),
            body_idle: Duration::from_mins(1),
            head_bytes: 64 * 1024,
            headers: 128,
            pool_idle: Duration::from_secs(30),
            pool_per_origin: 64,
            connections: 512,
            connections_per_org: 256,
        }
    }
}
