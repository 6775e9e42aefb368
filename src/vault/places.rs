//! Where a vault's files are.

use std::path::PathBuf;

use super::VaultError;
use crate::custody::{KEY_FILE, RING_FILE};

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    /// The data directory: store, anchor, journal.
    pub data: PathBuf,
    /// The keys directory: ring and key file.
    pub keys: PathBuf,
}

impl Places {
    /// The key file that a broker makes for itself.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.keys.join(KEY_FILE)
    }

    /// The store's files.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// The journal's segments.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.data.join("audit")
    }

    pub(super) fn anchor(&self) -> PathBuf {
        self.data.join("anchor")
    }

    /// Refuses to begin afresh where a ring tells of a store that was in use: called before anything
    /// is made, so that a volume that is not mounted stays as empty as it is.
    ///
    /// # Errors
    /// [`VaultError::StoreGone`].
    pub fn refuse_gone(&self) -> Result<(), VaultError> {
        let ring = self.keys.join(RING_FILE);
        if ring.exists() && !self.store().exists() && !self.first_start().exists() {
            return Err(VaultError::StoreGone);
        }
        Ok(())
    }

    /// Stands while a first start is under way; with it, an empty store is no loss.
    pub(super) fn first_start(&self) -> PathBuf {
        self.data.join("first-start")
    }
}
