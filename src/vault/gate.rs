//! The one door to the vault: closed while it is sealed.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{Vault, VaultError};

/// Holds the vault while it is unsealed, and nothing while it is sealed.
#[derive(Debug, Default)]
pub struct Gate(ArcSwapOption<Vault>);

/// A vault that is unsealed, for as long as this lives: sealing waits for it.
#[derive(Clone, Debug)]
pub struct Unsealed(Arc<Vault>);

impl Gate {
    /// The vault, if it is unsealed.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    pub fn unsealed(&self) -> Result<Unsealed, VaultError> {
        self.0.load_full().map(Unsealed).ok_or(VaultError::Sealed)
    }

    /// Whether the vault is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.load().is_none()
    }

    /// Puts an unsealed vault behind the door.
    pub(super) fn open(&self, vault: Vault) -> Unsealed {
        let vault = Arc::new(vault);
        self.0.store(Some(Arc::clone(&vault)));
        Unsealed(vault)
    }

    /// Closes the door. Whoever holds the returned vault last wipes its keys.
    pub(super) fn close(&self) -> Option<Arc<Vault>> {
        self.0.swap(None)
    }
}

impl Deref for Unsealed {
    type Target = Vault;
    fn deref(&self) -> &Vault {
        &self.0
    }
}
