//! A record as it is in memory.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::load::open;
use crate::crypto::{Digest, Owner, Record, sha256};
use crate::store::{Batch, Expect, StoreKey};
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

    /// What stands at `place` as long as nobody changed what this says: its record, or the one that a rotation of
    /// keys put in its place. The store remembers for a minute or two that they say the same, and this is kept for as
    /// long as the vault is open.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub(in crate::oauth) async fn unchanged(
        &self,
        vault: &Unsealed,
        org: &OrgKeys,
        place: &StoreKey,
    ) -> Result<Expect, VaultError>
    where
        T: DeserializeOwned + PartialEq,
    {
        let found = vault.store().get(place).await?;
        let now = found.as_ref().map(|record| sha256(record.as_bytes()));
        let same = match (&found, now) {
            (Some(record), Some(now)) if now != self.record => {
                (open::<T>(vault, org, place, record)? == *self.value).then_some(now)
            }
            _ => None,
        };
        Ok(Expect::Exactly(same.unwrap_or(self.record)))
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
