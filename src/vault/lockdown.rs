//! The emergency: whatever was handed out until now is void, and only a person unseals.
//!
//! ```text
//! marker file, durable ─▶ one commit: "void until this moment" ─▶ sealed
//! ```
//!
//! One record voids every API key and every service's credential that was made before it, so there is no
//! moment at which half of them are good, and a kill leaves nothing half done: with the marker a start
//! stays sealed whatever could unseal it, and whoever unseals moves that moment to their own time before
//! anybody is let in. So what was handed out in the very moment of the lockdown is void too.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use crate::audit::{Action, Actor, Event, Outcome, Recorded};
use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::failpoint::{Failpoint, reached};
use crate::id::OrgId;
use crate::store::{Batch, Class, StoreKey};

use super::{Lifecycle, Places, Vault, VaultError};

const NO_ORG: OrgId = OrgId::from_bytes([0; 16]);

/// Until when everything is void; before all time where there was no lockdown.
#[derive(Debug)]
pub(super) struct VoidUntil(AtomicI64);

impl Default for VoidUntil {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

/// What the store remembers of the last lockdown.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lockdown {
    at: Timestamp,
}

impl Vault {
    /// Whether something that was handed out at `made` was made void by a lockdown since.
    #[must_use]
    pub fn is_void(&self, made: Timestamp) -> bool {
        made.millis() <= self.void_until.0.load(Ordering::Acquire)
    }

    /// The moment of what is handed out now: after the last lockdown, also where the clock was ahead at it.
    #[must_use]
    pub fn handed_out_now(&self) -> Timestamp {
        let void = self.void_until.0.load(Ordering::Acquire);
        let after = Timestamp::from_millis(void.saturating_add(1));
        self.now().max(after)
    }

    fn lockdown_place(&self) -> StoreKey {
        let name = self.system_index().hash(&[b"lockdown"]);
        StoreKey::new(Class::State, &[&name])
    }

    /// Makes everything void that was handed out until now, in one commit.
    ///
    /// # Errors
    /// When the store fails: then nothing is void.
    pub async fn void_what_was_handed_out(&self, recorded: &Recorded) -> Result<(), VaultError> {
        self.void_until(self.now(), recorded).await
    }

    /// `at` is a floor: a clock that was set back makes nothing good again.
    async fn void_until(&self, at: Timestamp, recorded: &Recorded) -> Result<(), VaultError> {
        let before = self.void_until.0.load(Ordering::Acquire);
        let at = Timestamp::from_millis(at.millis().max(before));
        let place = self.lockdown_place();
        let lockdown = Lockdown { at };
        let key = self.system_key();
        let sealed = self.seal_state(key, NO_ORG, Owner::SYSTEM, &place, &lockdown)?;
        let mut batch = Batch::new();
        batch.put(place, sealed);
        self.commit(batch, recorded).await?;
        self.void_until.0.fetch_max(at.millis(), Ordering::AcqRel);
        Ok(())
    }

    /// Reads what is void, and finishes a lockdown that was begun, before anybody is let in.
    pub(super) async fn begin_after_lockdown(&self, places: &Places) -> Result<(), VaultError> {
        let place = self.lockdown_place();
        if let Some(record) = self.store().get(&place).await? {
            let key = self.system_key();
            let found: Lockdown = self.open_state(key, NO_ORG, Owner::SYSTEM, &place, &record)?;
            self.void_until
                .0
                .store(found.at.millis(), Ordering::Release);
        }
        let Some(begun) = places.locked_down()? else {
            return Ok(());
        };
        // Whatever was handed out while the marker was written and the vault sealed, or by a clock that was
        // wrong, is void as well: nobody has been inside since.
        let begun = begun.map_or(self.now(), |begun| begun.max(self.now()));
        let event = Event::new(Action::VaultLockdown, Actor::System).code("finished");
        let recorded = self.journal().record(event).await?;
        self.void_until(begun, &recorded).await?;
        reached(Failpoint::LockdownFinished);
        recorded.outcome(Outcome::success());
        Ok(())
    }
}

impl Lifecycle {
    /// Locks a vault down that is sealed: whoever unseals it makes void what was handed out, before anybody is
    /// let in. False when somebody has opened it meanwhile.
    ///
    /// # Errors
    /// When the marker cannot be written.
    pub async fn lock_down_sealed(&self) -> Result<bool, VaultError> {
        let _turn = self.opening.lock().await;
        if !self.gate().is_sealed() {
            return Ok(false);
        }
        self.places().lock_down(self.clock.now())?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::custody::Unattended;
    use crate::vault::tests_rig::Rig;

    #[tokio::test]
    async fn a_vault_that_was_locked_down_while_it_was_sealed_is_opened_by_a_person_only() {
        let rig = Rig::new().await;
        let (lifecycle, before) = (rig.lifecycle.clone(), rig.vault.now());
        assert!(!lifecycle.lock_down_sealed().await.unwrap(), "it is open");
        assert!(lifecycle.places().locked_down().unwrap().is_none());
        drop(rig.vault);
        assert!(lifecycle.seal(Duration::from_secs(5)).await);
        assert!(lifecycle.lock_down_sealed().await.unwrap());
        // At a start, and for one who was away at it: this one was never open before.
        lifecycle
            .opened
            .store(false, std::sync::atomic::Ordering::Release);
        for opened in [
            lifecycle.unseal_unattended().await.unwrap(),
            lifecycle.unseal_later().await.unwrap(),
        ] {
            assert!(matches!(opened, Unattended::Waits(_)));
            assert!(lifecycle.gate().is_sealed());
        }
        let vault = lifecycle.unseal_by_custodians().await.unwrap();
        assert!(vault.is_void(before), "what was handed out before is void");
        assert!(lifecycle.places().locked_down().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_makes_nothing_good_again() {
        let rig = Rig::new().await;
        let made = rig.vault.now();
        let recorded = rig.recorded().await;
        rig.vault.void_what_was_handed_out(&recorded).await.unwrap();
        rig.clock.advance_millis(-3_600_000);
        rig.vault.void_what_was_handed_out(&recorded).await.unwrap();
        assert!(rig.vault.is_void(made));
        assert!(rig.vault.is_void(rig.vault.now()));
        assert!(!rig.vault.is_void(rig.vault.handed_out_now()));
        drop(recorded);
        let rig = rig.reopen().await.unwrap();
        assert!(rig.vault.is_void(made), "nor after a start");
    }
}
