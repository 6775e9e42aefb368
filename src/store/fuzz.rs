//! The store's small files: its anchor, the format marker, and what stands beside it for a time.

use super::{anchor, kind, spool};
use crate::crypto::{Key, KeyRef, MacKey};
use crate::id::{ObjectId, StoreId};

const STORE: StoreId = StoreId::from_bytes([1; 16]);
const SLOT: usize = 512;

/// The key of the anchors in the corpus.
fn anchor_key() -> Option<MacKey> {
    let id = ObjectId::from_bytes([2; 16]);
    let key = Key::from_bytes(KeyRef { id, version: 1 }, &mut [2; 32]).ok()?;
    MacKey::new(&key).ok()
}

/// What an anchor says is written in one way, and stands in the slot that it was read from.
pub(crate) fn anchor(bytes: &[u8]) {
    let Some(mac) = anchor_key() else {
        return;
    };
    if let Some((at, state)) = anchor::newest(bytes, STORE, &mac) {
        let slot = bytes.chunks_exact(SLOT).nth(at);
        let again = anchor::slot_of(&state, STORE, &mac);
        assert_eq!(slot, Some(again.as_slice()));
    }
}

/// A format marker is written in one way.
pub(crate) fn format(bytes: &[u8]) {
    if let Some(folder) = kind::Folder::of_marker(bytes) {
        assert_eq!(folder.marker().as_bytes(), bytes);
    }
}

/// What stands in a file beside the store is written in one way.
pub(crate) fn spool(bytes: &[u8]) {
    if let Some(records) = spool::decode(bytes) {
        let again = spool::encode(&records);
        assert!(again.is_ok_and(|again| again == bytes));
    }
}
