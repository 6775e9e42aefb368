//! Backups: the store, its journal and its key ring at one moment, for whoever holds an identity, from
//! nobody but this broker.
//!
//! A backup is one file in the age format, so `age --decrypt` opens it too. Three things stand between
//! its content and whoever finds it:
//!
//! 1. It is encrypted to *recipients*, who are the backup's key: their identities are kept away from the
//!    broker, which never has one. When a backup's key is to be destroyed stands in the file: what was
//!    shredded after the backup was made is gone from it with that key.
//! 2. What is inside is sealed as it is on disk. The ring is there with its slots, and never the root key:
//!    to restore takes what opens a slot, besides an identity.
//! 3. Whoever knows a recipient can encrypt to it, so all of it is *signed* with the key of the journal's
//!    checkpoints. That key is under the root key: whoever opens the ring of a backup knows whose signature
//!    it has to be.
//!
//! ```text
//! age file      header: a stanza per recipient, and one, `runtools-backup`, that says in clear of which
//!               store it is, when it was made, when its key ends, and which key that is
//! inside        "RTBACKUP" │ version u8 (1) │ frames
//! frame         kind u8 │ length u32 │ body, at most 1 MiB; integers are big-endian
//!   1 head      store 16 │ made u64 │ key ends u64 or 0 │ key 16 │ signer 32 │ engine u8 (1 sled, 2 redb) │ version of the broker
//!   2 settings  the settings file as the broker read it, if it read one
//!   3 records   many of: length u16 │ key │ length u32 or 2^32-1 for "no more" │ record
//!   4 ring      root.ring
//!   5 segment   first record u64 │ offset u64 │ bytes of that segment of the journal
//!   6 end       generation u64 │ records u64 │ digest 32 │ journal mark 8+32 │ journal head 8+32 │ SHA-256 of the ring │ signature 64
//! chain         h = SHA-256("runtools-backup-frame" ‖ h ‖ kind ‖ body), from zeros; the signature is of the last one,
//!               which covers the end without its signature
//! ```
//!
//! Frames come in this order, and nothing after the end. Of several records of one key the last counts: they
//! are written while others are changed, until what is left can be read at one moment
//! ([`Store::snapshot`](crate::store::Store::snapshot)). The ring and the end of the journal are of that moment.

mod create;
mod envelope;
mod error;
mod file;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keeper;
mod key;
mod ledger;
mod open;
mod restore;
mod schedule;
mod shape;
mod trust;
mod work;

#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_rig;
#[cfg(test)]
mod tests_roundtrip;

pub use create::{Made, Wish, write};
pub use envelope::{Outer, inspect};
pub use error::BackupError;
pub use file::NewFile;
pub use keeper::{Failed, Keeper, Plan};
pub use key::{Identities, Recipients};
pub use ledger::{Kept, KeyUse, Ledger};
pub use open::{Opened, Part, read};
pub use restore::{Restored, Unpacked};
pub use schedule::Schedule;
pub use shape::{End, Head};
pub use trust::{Sought, Verified, verify};
