//! The journal: nothing is used unseen.
//!
//! A change or a use begins with an intent ([`Journal::record`]), which is durable before anything
//! happens, and which the caller proves by holding [`Recorded`]; it ends with an [`Outcome`]. When
//! an intent cannot be made durable, nothing happens.
//!
//! Each record is one line of JSON ([`Event`] is the allow-list of what it may say). Lines form a
//! hash chain; checkpoints signed with Ed25519 say where the chain stood. On disk, what one group
//! commit wrote is one sealed box in an append-only segment. [`Journal::export`] gives the lines in
//! the clear, and [`verify_export`] checks them anywhere, with the public key alone.
//!
//! Three things guard each other: the chain shows an edit, the signature shows a chain that was
//! made anew, and a position kept elsewhere ([`Journal::contains`], [`verify_export_knowing`])
//! shows a journal that was cut, replaced by an older one, or signed with a stolen key.

mod action;
mod actor;
mod chain;
mod checker;
mod checkpoint;
mod copying;
mod disk;
mod draft;
mod error;
mod event;
mod examine;
mod export;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod journal;
mod keys;
mod known;
mod line;
mod outcome;
mod query;
mod reader;
mod recovery;
mod room;
mod scan;
mod segment;
mod shared;
mod verify;
mod writer;

#[cfg(test)]
mod tests_examine;
#[cfg(test)]
mod tests_export;
#[cfg(test)]
mod tests_failure;
#[cfg(test)]
mod tests_flips;
#[cfg(test)]
mod tests_handover;
#[cfg(test)]
mod tests_journal;
#[cfg(test)]
mod tests_query;
#[cfg(test)]
mod tests_rig;
#[cfg(test)]
mod tests_room;
#[cfg(test)]
mod tests_segment;
#[cfg(test)]
mod tests_speed;

pub use action::{Action, ActionError};
pub use actor::{Acting, Actor, Via, Word};
pub use chain::Head;
pub use checker::{Fault, Problem};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use copying::{Extent, Piece, backup_message, segment_file};
pub use error::AuditError;
pub use event::{Code, Decision, Event, Gap, Target, TargetKind};
pub use journal::{Journal, Options, Recorded};
pub use keys::{JournalKey, JournalKeys, Signer};
pub use known::Known;
pub use outcome::{Outcome, Status};
pub use query::{Ended, Entry, Filter, MAX_PAGE, Page, Scope, SecretFilter};
pub use shared::Probe;
pub use verify::{Verdict, VerifyError, VerifyReport, verify_export, verify_export_knowing};
