//! An engine without a disk, for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Engine, Pair, StoreError, Visitor, Write};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps everything in memory. Durable as long as the process lives, which is what unit tests need.
#[derive(Default)]
pub struct MemoryEngine {
    pairs: RwLock<Map>,
    refusing: AtomicU8,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusing {
    /// It is done.
    Nothing,
    /// It is not done, and that is said.
    Writes,
    /// It is done, and it is said that it is not: as when a disk fails right after it.
    Knowledge,
}

impl MemoryEngine {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, refuses what `refusing` says.
    pub fn refuse(&self, refusing: Refusing) {
        let number = match refusing {
            Refusing::Nothing => 0,
            Refusing::Writes => 1,
            Refusing::Knowledge => 2,
        };
        self.refusing.store(number, Ordering::Release);
    }

    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.pairs.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryEngine({} pairs)", self.read().len())
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        Ok(self
            .read()
            .range::<[u8], _>((scan_start(prefix, after), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn visit(
        &self,
        from: &[u8],
        until: Option<&[u8]>,
        each: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        // A range that ends before it begins would panic.
        if until.is_some_and(|until| until <= from) {
            return Ok(());
        }
        let end = until.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.read().range::<[u8], _>((Bound::Included(from), end)) {
            each(key, value)?;
        }
        Ok(())
    }

    fn apply(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        let refusing = self.refusing.load(Ordering::Acquire);
        if refusing == 1 {
            return Err(StoreError::Full);
        }
        let mut map = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            match write {
                Write::Put(key, value) => map.insert(key.to_vec(), value.to_vec()),
                Write::Delete(key) => map.remove(*key),
            };
        }
        if refusing == 2 {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    fn len(&self) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.read().len()).unwrap_or(u64::MAX))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let bytes: usize = self.read().iter().map(|(k, v)| k.len() + v.len()).sum();
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// Where a scan begins: after `after`, unless the prefix itself begins later.
pub(super) fn scan_start<'a>(prefix: &'a [u8], after: Option<&'a [u8]>) -> Bound<&'a [u8]> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}
