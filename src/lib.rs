//! RunTools Broker keeps an organisation's secrets sealed, and uses them for callers instead of handing
//! them out: a tool says where a credential may go, the broker puts it there and masks it in what
//! comes back. Nothing is used before a durable record in the journal says so.
//!
//! A module imports only what stands to its left:
//!
//! ```text
//! secret name id clock wire failpoint waiting │ crypto custody store audit egress policy │ vault backup directory oauth tools broker │ http pages proxy client config telemetry hardening daemon │ bin
//!                    words                    │               machines                   │              journeys                     │                      surface                      │
//! ```
//!
//! The life of a call, in five links:
//!
//! 1. [`http`] recognises the caller, and [`policy::check`] gives a [`policy::Permit`].
//! 2. [`tools`] renders the action, and finds the binding that says where a credential may go.
//! 3. [`egress`] admits the address, connects, and verifies the peer.
//! 4. [`audit`] records the intent durably; only then [`vault`] opens the values.
//! 5. [`broker`] places them, sends, and scrubs the answer with [`broker::scrub`].
//!
//! Read next: [`manual::architecture`] for where things are and why, [`manual::threats`] for what is
//! promised and where it is shown, and [`broker`] for the order of a call.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::let_underscore_must_use
)]

// words
pub mod clock;
#[cfg(test)]
pub(crate) mod damage;
#[cfg(test)]
#[path = "../tests/harness/dice.rs"]
#[expect(unreachable_pub, reason = "the journeys in `tests/` use it too")]
pub(crate) mod dice;
pub mod failpoint;
pub mod id;
pub mod name;
pub mod secret;
pub mod waiting;
pub mod wire;

// machines
pub mod audit;
pub mod crypto;
pub mod custody;
pub mod egress;
pub mod policy;
pub mod store;

// journeys
pub mod backup;
pub mod broker;
pub mod directory;
pub mod oauth;
pub mod tools;
pub mod vault;

// surface
pub mod client;
pub mod config;
pub mod daemon;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hardening;
pub mod http;
pub mod pages;
pub mod proxy;
pub mod telemetry;

pub mod manual;
