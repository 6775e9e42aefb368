//! What the journeys stand on: a broker of one's own, clients, upstreams, and the leak oracle.
//!
//! Everything is real: the broker is the built binary in its own process on a folder that goes with
//! the test, clients speak HTTP over its socket or port, upstreams are servers on loopback.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each journey uses a part of the harness"
)]
#![allow(
    clippy::format_collect,
    clippy::match_wild_err_arm,
    clippy::unnecessary_debug_formatting,
    clippy::redundant_closure_for_method_calls,
    clippy::duration_suboptimal_units,
    reason = "what reads best in a test"
)]

pub mod agreeable;
pub mod ambiguous;
pub mod api;
pub mod broker;
pub mod canary;
pub mod chromium;
pub mod chromium_log;
pub mod client;
pub mod connect;
pub mod crm;
pub mod desk;
pub mod dice;
pub mod disk;
pub mod fault_provider;
pub mod jar;
pub mod machine;
pub mod memory;
pub mod nobody;
pub mod oidc;
pub mod oidc_client;
pub mod oidc_log;
pub mod program;
pub mod screen;
pub mod shared;
pub mod slow;
pub mod terminal;
pub mod tools;
pub mod upstream;

pub use broker::{Broker, Setup};
pub use canary::Canaries;
pub use client::{Client, Reply};
pub use upstream::{Seen, Upstream};

/// What `look` finds, as soon as it finds something; fails after ten seconds.
#[track_caller]
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "it never came");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
