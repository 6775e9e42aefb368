//! RunTools Broker.
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
pub mod id;
pub mod name;
pub mod secret;
pub mod wire;

// machines
pub mod audit;
pub mod crypto;
pub mod custody;
pub mod egress;
pub mod policy;
pub mod store;

// journeys
pub mod broker;
pub mod directory;
pub mod tools;
pub mod vault;

// surface
pub mod client;
pub mod config;
pub mod daemon;
pub mod hardening;
pub mod http;
pub mod telemetry;

pub mod manual;
