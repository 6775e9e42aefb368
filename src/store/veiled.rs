//! An engine whose names on disk are under a veil.
//!
//! Everybody above it knows a record by its key: a class, then keyed hashes. On disk the hashes stand under a
//! [`Veil`], which belongs to the folder: other files may have another one, and to go from one veil to the
//! next is to copy the store into a folder of the next ([`Store::rewrite_under`](super::Store::rewrite_under)).
//! So there is no moment at which a record is under two names, or under none: the store is in one folder.
//!
//! The state record and the keys of the installation are found before any key is there, and say nothing by
//! their names: those stand as they are. What is in order of the keys is in order of the names on disk.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{Class, Engine, Pair, Store, StoreError, StoreKey, Visitor, Write};
use crate::crypto::Veil;

const LOCKED: StoreError = StoreError::Damaged {
    what: "its names are under a key that is not there",
};
const NO_NAME: StoreError = StoreError::Damaged {
    what: "a record has a name that nothing is stored under",
};

impl Store {
    /// Which order records are in: a number that grows whenever names come to stand under another key, and with it
    /// in another order. What comes after a key is known in the order alone that it was found in.
    #[must_use]
    pub fn order(&self) -> u32 {
        self.engine().order()
    }
}

/// The veil of a folder, while the key is there. Every read looks at it, so there is no lock around it.
pub(super) type Lifting = Arc<ArcSwapOption<Veil>>;

/// An engine under a veil.
pub(super) struct Veiled {
    engine: Box<dyn Engine>,
    veil: Lifting,
}

/// Whether a key stands on disk as it is.
fn is_plain(key: &[u8]) -> bool {
    key.is_empty() || key == StoreKey::STATE || key.first() == Some(&Class::SystemKey.byte())
}

impl Veiled {
    pub(super) const fn new(engine: Box<dyn Engine>, veil: Lifting) -> Self {
        Self { engine, veil }
    }

    /// How a key stands on disk.
    fn covered(&self, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        covered(self.veil.load().as_deref(), key)
    }
}

fn covered(veil: Option<&Veil>, key: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut name = key.to_vec();
    if !is_plain(key) {
        let (_, hashes) = name.split_first_mut().ok_or(NO_NAME)?;
        veil.ok_or(LOCKED)?.cover(hashes).map_err(|_| NO_NAME)?;
    }
    Ok(name)
}

/// The key that stands so on disk.
fn uncovered(veil: Option<&Veil>, mut name: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if !is_plain(&name) {
        let (_, hashes) = name.split_first_mut().ok_or(NO_NAME)?;
        veil.ok_or(LOCKED)?.uncover(hashes).map_err(|_| NO_NAME)?;
    }
    Ok(name)
}

impl Engine for Veiled {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.engine.get(&self.covered(key)?)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let veil = self.veil.load();
        let veil = veil.as_deref();
        let prefix = covered(veil, prefix)?;
        let after = after.map(|after| covered(veil, after)).transpose()?;
        let found = self.engine.scan(&prefix, after.as_deref(), limit)?;
        let found = found.into_iter();
        let found = found.map(|(name, value)| Ok((uncovered(veil, name)?, value)));
        found.collect()
    }

    /// The range is one of names as they stand on disk; so are the names that are shown while the veil is not
    /// lifted.
    fn visit(
        &self,
        from: &[u8],
        until: Option<&[u8]>,
        each: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        // One for all of it: whoever seals meanwhile does not make names of another kind of the rest.
        let Some(veil) = self.veil.load_full() else {
            return self.engine.visit(from, until, each);
        };
        self.engine.visit(from, until, &mut |name, value| {
            each(&uncovered(Some(&veil), name.to_vec())?, value)
        })
    }

    fn apply(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        let veil = self.veil.load();
        let veil = veil.as_deref();
        let under = writes.iter().map(|write| match write {
            Write::Put(key, value) => Ok((covered(veil, key)?, Some(*value))),
            Write::Delete(key) => Ok((covered(veil, key)?, None)),
        });
        let under = under.collect::<Result<Vec<_>, StoreError>>()?;
        let writes: Vec<_> = under
            .iter()
            .map(|(name, value)| match value {
                Some(value) => Write::Put(name, value),
                None => Write::Delete(name),
            })
            .collect();
        self.engine.apply(&writes)
    }

    fn len(&self) -> Result<u64, StoreError> {
        self.engine.len()
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        self.engine.is_empty()
    }

    fn rank(&self, key: &[u8]) -> Vec<u8> {
        self.covered(key).unwrap_or_default()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.engine.size_bytes()
    }
}

impl fmt::Debug for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Veiled({:?})", self.engine)
    }
}
