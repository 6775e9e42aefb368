//! Connected apps: accounts that people authorise through OAuth.
//!
//! So far parts: [`provider`], which reads what is known of those who issue tokens; [`client`], as whom
//! the broker speaks to them; [`token`], which writes requests to them and reads their answers;
//! [`flow`], which takes a person there and back. Nothing serves connections yet.

pub mod client;
pub mod flow;
pub mod provider;
pub mod token;
