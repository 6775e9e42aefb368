//! Serving: from a socket to a request, with a limit on everything a client may take.
//!
//! ```text
//! accept ─ seat free? ─ TLS handshake ─ header ─ short URI? room in flight? ─ routes ─ response
//!          (caps)       5 s             5 s      414       503                 408      cut
//! ```
//!
//! hyper parses; everything that has to do with time and number is here, because a server that
//! waits politely is a server that one silent client per descriptor can stop. Each connection has a
//! [`Pulse`](pulse::Pulse) that knows where it stands and until when, and one timer.

mod accept;
mod admission;
mod body;
mod client_certificate;
mod connection;
mod expiry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod limits;
mod listen;
mod observer;
mod pace;
mod peer;
mod pulse;
mod service;
mod shutdown;
mod stream;
mod switch;
mod tls;
mod unix;

#[cfg(test)]
mod tests_harness;
#[cfg(test)]
mod tests_life;
#[cfg(test)]
mod tests_limits;
#[cfg(test)]
mod tests_tls;

pub use accept::{Drained, serve};
pub use body::{BodyError, BoxError, RequestBody, Seat};
pub use client_certificate::{ClientCertificate, ClientCertificates, read_certificate};
pub use limits::ServeLimits;
pub(crate) use listen::Accepted;
pub use listen::{ListenError, Listener, refuse_plain};
pub use observer::{Cut, Observer, Rejection, Unobserved};
pub use peer::Peer;
pub(super) use peer::Source;
pub use service::{RequestDeadline, Streaming};
pub use shutdown::Shutdown;
pub use switch::{Switch, Switched};
pub use tls::{TlsCertificate, TlsError, TlsFiles};
pub use unix::MAX_SOCKET_PATH_BYTES;
