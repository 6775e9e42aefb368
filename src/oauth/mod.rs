//! Connected apps: accounts that people authorise through OAuth.
//!
//! So far the first part: [`provider`], which reads what is known of those who issue tokens. Nothing
//! serves connections yet.

pub mod provider;
