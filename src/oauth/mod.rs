//! Connected apps: accounts that people authorise through OAuth.
//!
//! So far: [`provider`], which reads what is known of those who issue tokens, and [`client`], as whom
//! the broker speaks to them. Nothing serves connections yet.

pub mod client;
pub mod provider;
