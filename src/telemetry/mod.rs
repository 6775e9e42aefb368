//! Logs and metrics: what an operator sees, made so that no value can be in it.
//!
//! [`logs`] lets only our own events through, at any level: other crates print bytes at `trace`.
//! [`Metrics`] has a fixed set of series: a label is a word from this program, never an input.

pub mod logs;
mod meter;
mod metrics;
mod oauth;

pub use logs::LogHandle;
pub use metrics::Metrics;
