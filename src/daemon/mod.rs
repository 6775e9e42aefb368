//! The daemon, put together: from settings to a broker that serves, and to its orderly end.
//!
//! ```text
//! harden ─▶ settings ─▶ directories ─▶ confine ─▶ engine ─▶ ring ─▶ unseal? ─▶ first organisation? ─▶ listen ─▶ deny calls ─▶ serve
//!                                                                                                                signal ─▶ drain ─▶ last record ─▶ seal
//! ```

mod backups;
mod connected;
pub mod doctor;
mod ending;
mod error;
mod folders;
mod front;
pub mod init;
mod offline;
mod parts;
mod prepare;
mod setback;
mod start;
mod supervisor;
mod unsealing;

pub use error::DaemonError;
pub use offline::Offline;
pub use prepare::Prepared;
pub use setback::{Examined, Refused};
pub use start::{Daemon, Welcome};
