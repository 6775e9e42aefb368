//! The ways to open a vault, and changing them while it serves.

use std::path::PathBuf;

use crate::custody::{Custodian, NewSlot, Provider, SlotInfo};
use crate::id::ObjectId;
use crate::secret::Secret;

use super::{Lifecycle, Unsealed, VaultError};

/// Who opens a slot. As [`Provider`], but owned, so that it can go to another thread.
#[derive(Debug)]
pub enum Opener {
    /// The key file at this path.
    KeyFile(PathBuf),
    /// These words.
    Passphrase(Secret),
    /// Whoever holds a key for the broker.
    Custodian(Custodian),
}

impl Opener {
    pub(super) fn provider(&self) -> Provider<'_> {
        match self {
            Self::KeyFile(path) => Provider::KeyFile(path),
            Self::Passphrase(words) => Provider::Passphrase(words),
            Self::Custodian(custodian) => Provider::Custodian(custodian),
        }
    }
}

impl Lifecycle {
    /// What may be shown of the ring's slots.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.changing_ring().slots()
    }

    /// Adds a slot, durably.
    ///
    /// # Errors
    /// [`VaultError::Sealed`], and what custody reports.
    pub fn add_slot(
        &self,
        vault: &Unsealed,
        opener: &Opener,
        label: &str,
    ) -> Result<ObjectId, VaultError> {
        let slot = NewSlot::new(opener.provider(), label, self.clock.now());
        // On a copy: a custodian may take seconds, and nobody else may change the file meanwhile.
        let mut ring = self.ring();
        let id = ring.add_slot(vault.root_key(), &slot, &*self.random)?;
        *self.changing_ring() = ring;
        Ok(id)
    }

    /// Whether `opener` opens slot `id`.
    ///
    /// # Errors
    /// What custody reports.
    pub fn test_slot(&self, opener: &Opener, id: ObjectId) -> Result<(), VaultError> {
        Ok(self.ring().test_slot(opener.provider(), id)?)
    }

    /// Removes a slot, durably; never the last one.
    ///
    /// # Errors
    /// What custody reports.
    pub fn remove_slot(&self, vault: &Unsealed, id: ObjectId) -> Result<(), VaultError> {
        let mut ring = self.changing_ring();
        Ok(ring.remove_slot(vault.root_key(), id)?)
    }
}
