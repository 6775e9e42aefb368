//! Unsealing without a person who knows anything: by the key file, or by whoever holds a key for the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::crypto::Key;
use crate::custody::{CustodyError, SlotKind, Unattended};

use super::{Lifecycle, Unsealed, VaultError};

impl Lifecycle {
    /// Unseals for a start that nobody attends. Where only a person would do, after a lockdown, and while
    /// those who hold a key do not give it, the vault stays sealed.
    ///
    /// # Errors
    /// As [`Lifecycle::unseal`].
    pub async fn unseal_unattended(self: &Arc<Self>) -> Result<Unattended<Unsealed>, VaultError> {
        match self.ask().await? {
            Unattended::Opened(root) => self.unseal_alone(root).await,
            Unattended::Waits(why) => Ok(Unattended::Waits(why)),
        }
    }

    /// The same for a start at which nobody unsealed it. Once somebody did, nothing is done: they may have
    /// sealed it again, and that is theirs to undo.
    ///
    /// # Errors
    /// As [`Lifecycle::unseal`].
    pub async fn unseal_later(self: &Arc<Self>) -> Result<Unattended<Unsealed>, VaultError> {
        match self.ask().await? {
            Unattended::Opened(root) if !self.was_open() => self.unseal_alone(root).await,
            Unattended::Opened(_) => Ok(Unattended::Waits(Vec::new())),
            Unattended::Waits(why) => Ok(Unattended::Waits(why)),
        }
    }

    /// Unseals because a person asks for it.
    ///
    /// # Errors
    /// As [`Lifecycle::unseal`]; why the first of them did not open it.
    pub async fn unseal_by_custodians(self: &Arc<Self>) -> Result<Unsealed, VaultError> {
        match self.ask().await? {
            Unattended::Opened(root) => self.unseal_with(root).await,
            Unattended::Waits(lost) => {
                let nobody = CustodyError::NoSlotOfKind(SlotKind::KeyFile);
                Err(lost.into_iter().next().unwrap_or(nobody).into())
            }
        }
    }

    /// Whether it was open at any time since the start.
    #[must_use]
    pub fn was_open(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    /// A program may take ten seconds, so nothing waits for this but who asked.
    async fn ask(self: &Arc<Self>) -> Result<Unattended<Key>, VaultError> {
        let this = Arc::clone(self);
        let asking = move || this.ring().open_unattended(this.custodians());
        let asked = tokio::task::spawn_blocking(asking).await;
        Ok(asked.map_err(|_| VaultError::Form)??)
    }
}
