//! Looking into a vault that no broker has open: would it unseal, and is all of it there?

use std::path::Path;
use std::sync::Arc;

use super::VaultError;
use super::system::SystemKeys;
use crate::audit::{AuditError, Head, Journal, Known, VerifyReport};
use crate::crypto::{Key, Random};
use crate::id::StoreId;
use crate::store::{AnchorFiles, Engine, Store, StoreKeys};

/// What was found in a vault whose store is sound.
#[derive(Debug)]
pub struct Examination {
    /// How many records the store has: each was read, and their digest is the one that was sealed.
    pub records: u64,
    /// The journal, which fits the store; without a report when its chain was too long to follow.
    pub journal: Result<Option<VerifyReport>, AuditError>,
}

/// Checks what an unsealing checks, and the journal's whole chain if it has no more than
/// `most_journal_bytes` bytes. The journal is left as it is. `engine` and the anchor file are to be
/// copies: a store that opens may write to both. Blocks.
///
/// # Errors
/// What the store reports; [`VaultError::StoreGone`] when it is empty; [`VaultError::Crypto`] when it
/// is another root key's.
pub fn examine(
    root: &Key,
    id: StoreId,
    engine: Arc<dyn Engine>,
    anchors: AnchorFiles,
    audit: &Path,
    random: Arc<dyn Random>,
    most_journal_bytes: u64,
) -> Result<Examination, VaultError> {
    let keys = SystemKeys::open(&*engine, id, root)?.ok_or(VaultError::StoreGone)?;
    let store_keys = StoreKeys {
        seal: keys.store,
        anchor: keys.anchor,
    };
    let store = Store::open(engine, id, store_keys, anchors, random)?;
    let mark = store.journal_mark();
    let known = Known {
        head: Head {
            seq: mark.seq,
            hash: mark.head,
        },
        generation: store.generation(),
    };
    let records = store.records();
    store.close();
    Ok(Examination {
        records,
        journal: Journal::examine(audit, id, &keys.journal, known, most_journal_bytes),
    })
}
