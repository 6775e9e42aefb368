//! What people lend for the next replacement of the root key: each the own key of the slot that they open.
//!
//! It is kept as long as shares wait for one another, and no longer than the vault is open: the passphrase or the
//! shares themselves are gone when the answer is there.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::clock::{Clock, Timestamp};
use crate::custody::{CustodyError, Lent, PATIENCE_MILLIS, Provider, SlotKind};
use crate::id::ObjectId;
use crate::secret::Secret;

use super::{Lifecycle, Opener, Unsealed, VaultError};

/// What was lent so far.
#[derive(Debug, Default)]
pub(super) struct Loans {
    keys: Vec<Arc<Lent>>,
    last: Timestamp,
}

impl Loans {
    /// Forgets what was lent too long ago.
    pub(super) fn forget_stale(&mut self, clock: &dyn Clock) {
        let waited = clock.now().millis().saturating_sub(self.last.millis());
        // A clock that was set back could keep it for long.
        if !(0..PATIENCE_MILLIS).contains(&waited) {
            self.keys = Vec::new();
        }
    }
}

impl Lifecycle {
    /// Takes the own key of slot `id` from whoever opens it, for the next replacement of the root key.
    ///
    /// # Errors
    /// What custody says of the opener; [`VaultError::Sealed`].
    pub fn lend_slot(&self, opener: &Opener, id: ObjectId) -> Result<(), VaultError> {
        let lent = Arc::new(self.ring().lend(opener.provider(), id)?);
        let mut loans = self.loans();
        loans.forget_stale(&*self.clock);
        loans.keys.retain(|there| there.slot() != id);
        loans.keys.push(lent);
        loans.last = self.clock.now();
        drop(loans);
        // Who seals forgets all of it after the gate is closed.
        if self.gate.is_sealed() {
            self.forget_loans();
            return Err(VaultError::Sealed);
        }
        Ok(())
    }

    /// Whether the key of slot `id` is lent.
    #[must_use]
    pub fn is_lent(&self, id: ObjectId) -> bool {
        self.lent().iter().any(|lent| lent.slot() == id)
    }

    /// What was lent, and what `words` open besides, when that is every slot that takes a person; nothing when
    /// the ring has the next root key already. It stays lent until the replacement is over.
    ///
    /// # Errors
    /// [`CustodyError::SlotAway`] for the first slot that takes a person, and that nobody has lent.
    pub async fn borrow(
        self: &Arc<Self>,
        vault: &Unsealed,
        words: Option<Secret>,
    ) -> Result<Vec<Arc<Lent>>, VaultError> {
        let ring = self.ring();
        if vault.is_root_turning() && vault.keyring.root.name() == ring.root() {
            return Ok(Vec::new());
        }
        let mut lent = self.lent();
        let opening = move || {
            let people = ring.slots().into_iter();
            for slot in people.filter(|slot| slot.kind.takes_a_person()) {
                if lent.iter().any(|lent| lent.slot() == slot.id) {
                    continue;
                }
                let words = words.as_ref().filter(|_| slot.kind == SlotKind::Passphrase);
                let words = words.ok_or(CustodyError::SlotAway(slot.id))?;
                match ring.lend(Provider::Passphrase(words), slot.id) {
                    Err(CustodyError::WrongPassphrase) => {
                        return Err(CustodyError::SlotAway(slot.id));
                    }
                    opened => lent.push(Arc::new(opened?)),
                }
            }
            Ok(lent)
        };
        // Argon2 takes a good part of a second of processor time.
        let opened = tokio::task::spawn_blocking(opening).await;
        Ok(opened.map_err(|_| VaultError::Form)??)
    }

    /// Forgets everything that was lent.
    pub(super) fn forget_loans(&self) {
        self.loans().keys = Vec::new();
    }

    pub(super) fn loans(&self) -> MutexGuard<'_, Loans> {
        self.loans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lent(&self) -> Vec<Arc<Lent>> {
        let mut loans = self.loans();
        loans.forget_stale(&*self.clock);
        loans.keys.clone()
    }
}
