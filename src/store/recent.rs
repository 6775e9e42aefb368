//! Records that were read lately, each with its digest.
//!
//! A request reads the same few records as the one before it: a pointer, a version, a tool. To read one
//! from the engine is to find a page, copy the record and check its form; and who remembers what a record
//! said compares its digest each time. Here a record is read and digested once, until it is written again.
//!
//! Whoever writes forgets what was kept under the keys that are written, after the engine has applied the
//! change and before anybody hears of it. A reader that began before may still bring the old record: it is
//! kept only if nothing was written since the reader looked here.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use super::StoreKey;
use crate::crypto::{Digest, Record, sha256};

/// How many bytes are kept, keys included; above it all are forgotten.
const ROOM: usize = 8 << 20;
/// What an entry takes besides its record, about.
const ENTRY: usize = 256;

/// A record as it was read, with the SHA-256 of its bytes.
#[derive(Debug)]
pub struct Read {
    record: Record,
    digest: Digest,
}

impl Read {
    /// The record, digested.
    #[must_use]
    pub fn new(record: Record) -> Self {
        let digest = sha256(record.as_bytes());
        Self { record, digest }
    }

    /// The SHA-256 of its bytes, for [`Expect::Exactly`](super::Expect::Exactly).
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Deref for Read {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.record
    }
}

/// A record, or that there is none.
type Found = Option<Arc<Read>>;

/// How often something had been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Writes(u64);

/// What was read lately.
#[derive(Debug, Default)]
pub(super) struct Recent(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    writes: Writes,
    room: usize,
    kept: HashMap<StoreKey, Found>,
}

impl Recent {
    /// What is kept under `key`; else what to bring along with what is read.
    pub(super) fn get(&self, key: &StoreKey) -> Result<Found, Writes> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.kept.get(key).cloned().ok_or(inner.writes)
    }

    /// Keeps what was `found` in the engine, unless something was written since `writes`.
    pub(super) fn keep(&self, writes: Writes, key: StoreKey, found: Found) {
        let length = found.as_ref().map_or(0, |read| read.as_bytes().len());
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.writes != writes {
            return;
        }
        inner.room = inner.room.saturating_add(length.saturating_add(ENTRY));
        if inner.room > ROOM {
            inner.kept.clear();
            inner.room = length.saturating_add(ENTRY);
        }
        inner.kept.insert(key, found);
    }

    /// Forgets everything, as after a long time.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let writes = Writes(inner.writes.0.wrapping_add(1));
        *inner = Inner {
            writes,
            ..Inner::default()
        };
    }

    /// Forgets what is kept under `keys`, which were written.
    pub(super) fn written<'k>(&self, keys: impl Iterator<Item = &'k StoreKey>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.writes.0 = inner.writes.0.wrapping_add(1);
        for key in keys {
            inner.kept.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests_support::{key, record, record_of};
    use super::{ENTRY, ROOM, Read, Recent};

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let recent = Recent::default();
        let (name, other) = (key("a"), key("b"));
        let before = recent.get(&name).unwrap_err();
        recent.written([&other].into_iter());
        recent.keep(before, name.clone(), None);
        let now = recent.get(&name).unwrap_err();
        let read = Arc::new(Read::new(record(1)));
        recent.keep(now, name.clone(), Some(Arc::clone(&read)));
        assert_eq!(recent.get(&name).unwrap().unwrap().digest(), read.digest());
        recent.written([&other].into_iter());
        assert!(recent.get(&name).is_ok(), "another's write forgets nothing");
        recent.written([&name].into_iter());
        assert!(recent.get(&name).is_err());
    }

    #[test]
    fn room_is_bounded_also_for_what_is_not_there() {
        let recent = Recent::default();
        let long = Arc::new(Read::new(record_of(7, 60_000)));
        for n in 0..2_000_usize {
            let key = key(&n.to_string());
            let writes = recent.get(&key).unwrap_err();
            let found = n.is_multiple_of(5).then(|| Arc::clone(&long));
            recent.keep(writes, key, found);
            let inner = recent.0.read().unwrap();
            let bytes = inner
                .kept
                .values()
                .flatten()
                .map(|read| read.as_bytes().len());
            let bytes: usize = bytes.sum();
            assert!(inner.room <= ROOM && inner.kept.len() * ENTRY + bytes <= inner.room);
        }
    }
}
