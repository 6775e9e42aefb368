//! A record as it is in memory.

use std::sync::Arc;

use serde::Serialize;

use crate::crypto::{Digest, Owner, Record, sha256};
use crate::store::{Batch, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// A record in memory, and the digest of the record that it came from.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    /// What it says.
    pub value: Arc<T>,
    /// The digest of its record.
    pub record: Digest,
}

impl<T> Kept<T> {
    /// What stands in `record`.
    pub(in crate::oauth) fn of(value: T, record: &Record) -> Self {
        Self {
            value: Arc::new(value),
            record: sha256(record.as_bytes()),
        }
    }

    /// Puts `value`, sealed, into `batch` at `place`; what the roster is told once that is committed.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub(in crate::oauth) fn put(
        vault: &Unsealed,
        org: &OrgKeys,
        batch: &mut Batch,
        place: StoreKey,
        value: T,
    ) -> Result<Self, VaultError>
    where
        T: Serialize,
    {
        let record = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, &value)?;
        let kept = Self::of(value, &record);
        batch.put(place, record);
        Ok(kept)
    }
}
