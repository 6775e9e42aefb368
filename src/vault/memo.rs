//! What was opened and need not be opened again while its record is, byte for byte, the same.
//!
//! It holds pointers and metadata, never a value and never a data key. Each entry stands beside the
//! digest of the record that it came from: what the store says stands there is asked on every use, and
//! a record that differs in a byte is opened anew. So nothing here has to be told of a change, and a box
//! that was moved or altered is refused as ever. It goes with the vault, at sealing.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use crate::crypto::{Digest, Owner};
use crate::id::OrgId;
use crate::store::StoreKey;

use super::metadata::SecretInfo;
use super::pointer::Pointer;
use super::value::VersionPlace;

/// The most entries of each kind, about a kilobyte each; above it all are forgotten.
const KEPT: usize = 8_192;

/// Opened things by their places, each with the digest of its record.
struct Kept<K, T>(RwLock<HashMap<K, (Digest, T)>>);

impl<K, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, T: Clone> Kept<K, T> {
    fn get(&self, place: &K, digest: &Digest) -> Option<T> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (of, thing) = kept.get(place)?;
        (of == digest).then(|| thing.clone())
    }

    fn keep(&self, place: K, digest: Digest, thing: T) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(place, (digest, thing));
    }
}

/// Where a pointer stands, and whose it is.
pub(super) type PointerPlace = (OrgId, Owner, StoreKey);

/// Metadata, and the digest of its plaintext, which is in the value's context.
pub(super) type Described = (Arc<SecretInfo>, Digest);

/// The memory of one unsealed vault.
#[derive(Default)]
pub(super) struct Memo {
    pointers: Kept<PointerPlace, Pointer>,
    described: Kept<VersionPlace, Described>,
}

impl Memo {
    /// The pointer that the record of this digest held at `place`.
    pub(super) fn pointer(&self, place: &PointerPlace, record: &Digest) -> Option<Pointer> {
        self.pointers.get(place, record)
    }

    pub(super) fn keep_pointer(&self, place: PointerPlace, record: Digest, read: Pointer) {
        self.pointers.keep(place, record, read);
    }

    /// The metadata that the record of this digest held at `place`.
    pub(super) fn described(&self, place: &VersionPlace, record: &Digest) -> Option<Described> {
        self.described.get(place, record)
    }

    pub(super) fn keep_described(&self, place: VersionPlace, record: Digest, read: Described) {
        self.described.keep(place, record, read);
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Kept};

    #[test]
    fn only_the_same_record_at_the_same_place_is_remembered() {
        let kept = Kept::default();
        kept.keep(1, [1; 32], "one");
        assert_eq!(kept.get(&1, &[1; 32]), Some("one"));
        assert_eq!(kept.get(&1, &[2; 32]), None);
        assert_eq!(kept.get(&2, &[1; 32]), None);
        kept.keep(1, [2; 32], "two");
        assert_eq!(kept.get(&1, &[1; 32]), None);
        assert_eq!(kept.get(&1, &[2; 32]), Some("two"));
    }

    #[test]
    fn the_memory_is_bounded() {
        let kept = Kept::default();
        for place in 0..=KEPT {
            kept.keep(place, [0; 32], ());
        }
        assert_eq!(kept.get(&0, &[0; 32]), None);
        assert_eq!(kept.get(&KEPT, &[0; 32]), Some(()));
    }
}
