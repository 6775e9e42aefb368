//! The custom tools that were read lately, beside the digest of the record that each came from, so that a
//! changed record is always read again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Tool;
use crate::crypto::Digest;
use crate::store::StoreKey;

/// How much of them is kept, in bytes of memory, roughly. What one takes its author decides.
const KEPT: usize = 64 << 20;

#[derive(Default)]
struct Kept {
    tools: HashMap<StoreKey, (Digest, Tool, usize)>,
    size: usize,
}

/// The tools that are kept.
#[derive(Default)]
pub(super) struct Parsed(RwLock<Kept>);

impl Parsed {
    /// The tool that stands at `place`, if it was read from this record.
    pub(super) fn get(&self, place: &StoreKey, digest: &Digest) -> Option<Tool> {
        let kept = self.read();
        let (known, tool, _) = kept.tools.get(place)?;
        (known == digest).then(|| tool.clone())
    }

    /// Keeps a tool of so many bytes. When there is no room all others go.
    pub(super) fn keep(&self, place: &StoreKey, digest: Digest, (tool, size): (Tool, usize)) {
        let mut kept = self.write();
        if let Some((_, _, old)) = kept.tools.remove(place) {
            kept.size -= old;
        }
        if kept.size + size > KEPT {
            *kept = Kept::default();
        }
        kept.size += size;
        kept.tools.insert(place.clone(), (digest, tool, size));
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        *self.write() = Kept::default();
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
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
    use crate::store::{Class, StoreKey};
    use crate::tools::{Tool, ToolSpec};

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_a_changed_record_is_not_found() {
        let spec = ToolSpec::from_custom_json(json!({ "slug": "x", "name": "X" })).unwrap();
        let spec = Arc::new(spec);
        let tool = || Tool {
            spec: Arc::clone(&spec),
            custom: None,
        };
        let parsed = Parsed::default();
        let place = |n: u8| StoreKey::new(Class::Tool, &[&[n]]);
        let has = |n: u8| parsed.get(&place(n), &sha256(b"1")).is_some();
        for n in 0..4 {
            parsed.keep(&place(n), sha256(b"1"), (tool(), KEPT / 4));
        }
        assert!((0..4).all(has));
        parsed.keep(&place(0), sha256(b"2"), (tool(), KEPT / 4));
        assert!(!has(0) && (1..4).all(has));
        parsed.keep(&place(4), sha256(b"1"), (tool(), 1));
        assert!(has(4) && !(1..4).any(has));
        assert_eq!(parsed.read().size, 1);
        parsed.forget();
        assert!(!has(4));
    }
}
