//! Brokering: a credential is used for a caller, and never handed to one.
//!
//! Whatever lane a request comes by, it is a `Crossing`, and takes these steps, each of which needs the
//! ones before it:
//!
//! | step | where | why here |
//! |---|---|---|
//! | resolve each field to a source | `resolve`, `judge` | fails before anything is dialled; opens no value |
//! | find the binding that admits target and sources | `lane` | where a credential may go is decided by the spec |
//! | find its placeholders, and refuse misplaced ones | `guard`, `leftover` | nothing has left yet |
//! | spend a use of the handle | `handle` | of many at once, as many as there are uses |
//! | admit the address | [`egress`](crate::egress) | no name is dialled that was not checked |
//! | connect and verify | [`egress`](crate::egress) | no value is opened for a peer that has not proved itself |
//! | record the intent, durably | [`audit`](crate::audit) | nothing is used unseen |
//! | open the values | `lease`, `searchers` | as late as possible |
//! | fetch a token with a signed assertion, where the binding says so | `sign` | the key itself is never sent |
//! | place them in their slots | `place`, `splice` | the caller chooses no slot |
//! | sign what was placed | `sign` | nothing changes afterwards; the caller chooses no part of a signature |
//! | send; search head and body | `upload`, [`scrub`] | an echo comes back masked |
//! | hand the answer on, read it whole, or hand frames on both ways | `relay`, `flow`, `answer`, `socket` | |
//! | record the outcome | [`audit`](crate::audit) | |
//!
//! A declared action ([`Broker::execute`]) renders its `Crossing` from a template. Tool code that runs
//! elsewhere gets a handle ([`Broker::resolve`]) and sends by right of it ([`Broker::open`],
//! [`Broker::exchange`]); while such an exchange is open, `watch` sees to it that it ends with its handle.
//! The whole story, with a drawing: [`manual::lanes`](crate::manual::lanes).

mod account;
mod answer;
mod crossing;
mod errand;
mod error;
mod exchange;
mod execute;
mod flow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guard;
mod handle;
mod handles;
mod holder;
mod intent;
mod judge;
mod lane;
mod lease;
mod leftover;
mod limits;
mod only;
mod pinned;
mod place;
mod placeholder;
mod relay;
mod resolve;
pub mod scrub;
mod search;
mod searchers;
mod sending;
mod session;
mod shown;
mod sieve;
mod sign;
mod socket;
mod splice;
mod stopped;
#[cfg(test)]
mod tests_placing;
#[cfg(test)]
mod tests_relaying;
#[cfg(test)]
mod tests_sending;
mod turns;
mod unsaid;
mod upload;
mod watch;

pub use answer::NoAnswer;
pub use errand::{Errand, Used, Wanted};
pub use error::{BrokerError, Misfit};
pub use exchange::Patience;
pub use execute::{Broker, Call};
pub use guard::Misplaced;
pub use handle::{Ended, HandleFault, HandleToken};
pub use holder::{Authority, Gateway, Holder, Holding, NoAuthority, NotHeld, Reach};
pub use judge::Judge;
pub use limits::LaneLimits;
pub use only::Only;
pub use relay::{Cut, RelayError, Relayed, RelayedBody};
pub use resolve::{Ask, Resolution};
pub use sign::NoToken;
pub use socket::{Handshake, HandshakeFault, Opened, RelayedSocket};
