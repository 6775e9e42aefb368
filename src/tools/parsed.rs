//! The custom tools that were read lately, beside the digest of the record that each came from, so that a
//! changed record is always read again.
//!
//! A spec that somebody has in use is known for as long, also when there is no room to keep it for the next:
//! handles pin the specs that they were made for, and many copies of one would take what is bounded here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::{Custom, Tool, ToolSpec};
use crate::crypto::Digest;
use crate::store::StoreKey;

/// How much of them is kept, in bytes of memory, roughly. What one takes its author decides.
const KEPT: usize = 64 << 20;

#[derive(Default)]
struct Kept {
    tools: HashMap<StoreKey, Known>,
    size: usize,
}

struct Known {
    digest: Digest,
    custom: Custom,
    spec: Weak<ToolSpec>,
    /// The same, where it is kept for the next.
    held: Option<Arc<ToolSpec>>,
}

/// The tools that are kept.
#[derive(Default)]
pub(super) struct Parsed(RwLock<Kept>);

impl Parsed {
    /// The tool that stands at `place`, if it was read from this record.
    pub(super) fn get(&self, place: &StoreKey, digest: &Digest) -> Option<Tool> {
        let kept = self.read();
        let known = kept.tools.get(place)?;
        known.tool().filter(|_| known.digest == *digest)
    }

    /// Keeps a custom tool, and answers it. When there is no room all others go that nobody has in use.
    pub(super) fn keep(
        &self,
        place: &StoreKey,
        digest: Digest,
        custom: Custom,
        spec: ToolSpec,
    ) -> Tool {
        let before = self.read().tools.get(place).and_then(Known::tool);
        // A record that was sealed anew is another one, of the same spec.
        let before = before.map(|tool| tool.spec).filter(|old| **old == spec);
        let spec = before.unwrap_or_else(|| Arc::new(spec));
        let mut kept = self.write();
        // Somebody else has read it meanwhile.
        let same = kept.tools.get(place).filter(|known| known.digest == digest);
        let spec = same.and_then(|known| known.spec.upgrade()).unwrap_or(spec);
        let old = kept.tools.remove(place);
        kept.size -= old.as_ref().map_or(0, Known::size);
        let full = kept.size + custom.size > KEPT;
        let gone = full.then(|| kept.let_go());
        kept.size += custom.size;
        let known = Known {
            digest,
            custom,
            spec: Arc::downgrade(&spec),
            held: Some(Arc::clone(&spec)),
        };
        kept.tools.insert(place.clone(), known);
        drop(kept);
        // Without the lock: a spec may bring much with it.
        drop((old, gone));
        let custom = Some(custom);
        Tool { spec, custom }
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        let gone = std::mem::take(&mut *self.write());
        // Without the lock.
        drop(gone);
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Keeps none for the next, and knows only those that are in use. Answers the others.
    #[must_use]
    fn let_go(&mut self) -> Vec<Arc<ToolSpec>> {
        let mut gone = Vec::new();
        self.tools.retain(|_, known| {
            let ours = usize::from(known.held.is_some());
            gone.extend(known.held.take());
            known.spec.strong_count() > ours
        });
        self.size = 0;
        gone
    }
}

impl Known {
    fn tool(&self) -> Option<Tool> {
        Some(Tool {
            spec: self.spec.upgrade()?,
            custom: Some(self.custom),
        })
    }

    /// What it takes of the room there is.
    fn size(&self) -> usize {
        self.held.as_ref().map_or(0, |_| self.custom.size)
    }
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parsed")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{KEPT, Parsed};
    use crate::crypto::sha256;
    use crate::id::UserId;
    use crate::store::{Class, StoreKey};
    use crate::tools::{Custom, ToolSpec};

    fn spec(name: &str) -> ToolSpec {
        ToolSpec::from_custom_json(json!({ "slug": "x", "name": name })).unwrap()
    }

    fn custom(size: usize) -> Custom {
        Custom {
            maker: UserId::from_bytes([1; 16]),
            shared: false,
            vouched: false,
            term: 0,
            revealer: None,
            size,
        }
    }

    fn place(n: u8) -> StoreKey {
        StoreKey::new(Class::Tool, &[&[n]])
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_a_changed_record_is_not_found() {
        let parsed = Parsed::default();
        let keep = |n, digest: &[u8], size| {
            let tool = parsed.keep(&place(n), sha256(digest), custom(size), spec("X"));
            drop(tool);
        };
        let has = |n: u8| parsed.get(&place(n), &sha256(b"1")).is_some();
        for n in 0..4 {
            keep(n, b"1", KEPT / 4);
        }
        assert!((0..4).all(has));
        keep(0, b"2", KEPT / 4);
        assert!(!has(0) && (1..4).all(has));
        keep(4, b"1", 1);
        assert!(has(4) && !(1..4).any(has));
        assert_eq!(parsed.read().size, 1);
        assert_eq!(parsed.read().tools.len(), 1);
        parsed.forget();
        assert!(!has(4));
    }

    #[test]
    fn a_spec_that_is_in_use_is_shared_though_there_is_no_room_for_it() {
        let parsed = Parsed::default();
        let used = parsed.keep(&place(1), sha256(b"1"), custom(KEPT), spec("X"));
        parsed.keep(&place(2), sha256(b"1"), custom(KEPT), spec("X"));
        let again = parsed.get(&place(1), &sha256(b"1")).unwrap();
        assert!(Arc::ptr_eq(&used.spec, &again.spec));
        assert_eq!(parsed.read().size, KEPT);
        // Read at the same time by another call, or from a record that was sealed anew.
        for digest in [b"1", b"2"] {
            let again = parsed.keep(&place(1), sha256(digest), custom(KEPT), spec("X"));
            assert!(Arc::ptr_eq(&used.spec, &again.spec));
        }
        let other = parsed.keep(&place(1), sha256(b"3"), custom(KEPT), spec("Y"));
        assert!(!Arc::ptr_eq(&used.spec, &other.spec));
        assert_eq!(parsed.read().size, KEPT);
        drop((used, again, other));
        parsed.keep(&place(3), sha256(b"1"), custom(KEPT), spec("X"));
        assert_eq!(parsed.read().tools.len(), 1, "nobody has them in use");
    }
}
