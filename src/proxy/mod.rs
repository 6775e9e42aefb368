//! The egress proxy: tool code elsewhere, unmodified, through one address and with one password.
//!
//! ```text
//! accept ─ seat ─ handle? ─ target ─ bound? ─ 200 ─ TLS hello ─ name? ─ leaf ─ HTTP/1.1 or 2 ─ each request ─▶ broker
//!                  407                403             400         alert                          one use
//! ```
//!
//! Tool code sets `HTTPS_PROXY` and writes placeholders where its credentials would stand. What it sends is
//! decrypted here, by a certificate of an [`authority`] that was made for its handle alone, and
//! goes on as any request by right of a handle does ([`Broker::open`](crate::broker::Broker::open)): each
//! has its use, its record, its search. One that asks for a WebSocket makes one of its connection, inside a
//! tunnel or outside. Nothing is passed on as it came but to hosts that the operator
//! lists, and never to one that the handle's tool is bound to. The story, with a drawing:
//! [`manual::lanes`](crate::manual::lanes).

mod answer;
mod authority;
mod credential;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gate;
mod hello;
mod inside;
mod leaves;
mod limits;
mod passing;
mod seats;
mod serve;
mod switch;
mod target;
mod tempo;
mod tunnel;
mod visit;

pub use gate::Gate;
pub use limits::ProxyLimits;
pub use passing::{Listed, Passing};
pub use serve::Proxy;
