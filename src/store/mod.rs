//! What stands on disk: engines, the commit writer, and the guard against an older or emptier store.
//!
//! An [`Engine`] is small, synchronous and raw: bytes in, bytes out, one atomic and durable
//! [`apply`](Engine::apply). Over every engine stands the same [`Store`], which is why there is no
//! `Store` trait: preconditions, grouping, the digest, the generation and the anchor are the security
//! argument, and it should exist once, not once per engine. What an engine may get wrong, the store
//! notices.
//!
//! **Values are [`Record`]s and nothing else**, so plaintext cannot be stored. Keys are a [`Class`]
//! byte and bytes that callers have hashed under a key, so names cannot be read.
//!
//! The life of a commit, and why in that order:
//!
//! 1. Callers queue on one writer thread, which takes what has gathered (up to 256). Nothing else ever
//!    writes, or has sled's own threads flush: its pool deadlocks when seven tasks await that. A part of
//!    long work ([`Store::submit`]) is a group of its own, after those that somebody waits for.
//! 2. Each caller's preconditions are checked against the engine and the earlier commits of the group.
//!    One that fails is refused alone.
//! 3. One batch holds every accepted change **and** the new sealed state record: generation, number of
//!    records, keyed digest of all of them, head of the audit journal. They are true together or not
//!    at all.
//! 4. The engine applies the batch and syncs it. Only then is it durable.
//! 5. The anchor file, which lies outside the database, is told the new state. It may lag after a power
//!    cut, since it is not synced each time, but never leads.
//! 6. The callers are answered.
//!
//! At the next start everything is counted and digested anew, and compared with the state record and
//! the anchor before a single record is served. An older copy, a missing record, a flipped byte that
//! the engine did not notice: the store does not open, and says why ([`StoreError::hint`]).
//!
//! Readers see a change once it is applied, which is a moment before it is durable. A change that was
//! seen and then failed to sync leaves the store failed, and it serves nothing until it is reopened.

mod anchor;
mod anchors;
mod batch;
mod census;
mod copying;
mod disk;
mod engine;
mod error;
mod files;
mod flushing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod group;
mod guard;
mod key;
mod kind;
mod lookout;
mod memory;
mod older;
mod opened;
mod recent;
mod redb_engine;
mod rewraps;
mod rewrite;
mod sled_engine;
mod snapshot;
mod spool;
mod state;
mod submitted;
mod thread;
mod veiled;
mod writer;

#[cfg(test)]
mod tests_commit;
#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_flips;
#[cfg(test)]
mod tests_log;
#[cfg(test)]
mod tests_power;
#[cfg(test)]
mod tests_rewrite;
#[cfg(test)]
mod tests_stuck;
#[cfg(test)]
mod tests_support;
#[cfg(test)]
mod tests_veil;

use crate::crypto::Record;

pub use anchor::anchor_was_used;
pub use anchors::{AnchorFiles, ExternalFault};
pub use batch::{Batch, Expect};
pub use disk::{DEFAULT_CACHE_BYTES, DiskEngine};
pub use engine::{Engine, Pair, Visitor, Write};
pub use error::StoreError;
pub use files::engine_at;
pub use key::{Class, StoreKey};
pub use kind::{EngineKind, UnknownEngine};
pub use memory::{MemoryEngine, Refusing};
pub use older::{Anchored, OlderStore};
pub use opened::{Store, StoreKeys};
pub use recent::Read;
pub use rewrite::{Progress, Rewritten};
pub use snapshot::{Listener, Snapshot};
pub use spool::{Spool, SpoolName};
pub use state::JournalMark;
pub use submitted::Submitted;
#[cfg(test)]
pub(crate) use tests_support::Faulty;
pub use writer::Probe;

/// The longest record that a commit takes, in bytes (96 KiB): a padded value of 64 KiB, its data key
/// and its metadata. sled's segments are sized after it, so that no record becomes a loose file.
pub const MAX_RECORD_BYTES: usize = 96 * 1024;

/// The most bytes of records in one commit (4 MiB). Longer work is cut into several.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// The most changes in one commit.
pub const MAX_BATCH_CHANGES: usize = 1024;

/// Reads a record before the store is opened: the system keys, without which it cannot be.
/// Nothing has compared the engine's content with the anchor yet, so trust only what a key opens.
///
/// # Errors
/// What the engine reports; [`StoreError::Damaged`] when the bytes are no record.
pub fn read_raw(engine: &dyn Engine, key: &StoreKey) -> Result<Option<Record>, StoreError> {
    engine.get(key.as_bytes())?.map(adopt_record).transpose()
}

/// As [`read_raw`], of every record whose key begins with `prefix`, one after the other. However many there are:
/// they are kept by `each`, which keeps none that it cannot open.
///
/// # Errors
/// As [`read_raw`]; what `each` returns.
pub fn visit_raw<E: From<StoreError>>(
    engine: &dyn Engine,
    prefix: &StoreKey,
    mut each: impl FnMut(&StoreKey, &Record) -> Result<(), E>,
) -> Result<(), E> {
    let mut after: Option<StoreKey> = None;
    loop {
        let last = after.as_ref().map(StoreKey::as_bytes);
        let page = adopt_pairs(engine.scan(prefix.as_bytes(), last, 256)?, engine.order())?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (place, record) in &page {
            each(place, record)?;
        }
    }
}

fn adopt_pairs(pairs: Vec<Pair>, order: u32) -> Result<Vec<(StoreKey, Record)>, StoreError> {
    let adopted = pairs.into_iter().map(|(key, value)| {
        let key = StoreKey::of(&key).ok_or(StoreError::Damaged {
            what: "a record has an unknown class",
        })?;
        Ok((key.found_in(order), adopt_record(value)?))
    });
    adopted.collect()
}

fn parse_record(bytes: &[u8]) -> Result<Record, StoreError> {
    adopt_record(bytes.to_vec())
}

fn adopt_record(bytes: Vec<u8>) -> Result<Record, StoreError> {
    Record::adopt(bytes).map_err(|_| StoreError::Damaged {
        what: "a record has an unknown form",
    })
}
