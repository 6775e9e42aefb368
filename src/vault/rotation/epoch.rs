//! How long the root key has been the ring's, and whether the settings want another by now.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audit::{Action, Actor, Event, Outcome};
use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::id::OrgId;
use crate::store::{Batch, Class, StoreKey};
use crate::vault::{Lifecycle, Unsealed, VaultError};

const NO_ORG: OrgId = OrgId::from_bytes([0; 16]);
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// When a generation of the root key was first seen.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    version: u32,
    seen: Timestamp,
}

impl Lifecycle {
    /// The same with a root key that is to be replaced after so many days; never after none.
    #[must_use]
    pub const fn with_root_days(mut self, root_days: u32) -> Self {
        self.root_days = root_days;
        self
    }

    /// Replaces the root key where it is time, recorded as the broker's own work. Answers the number of the new one;
    /// nothing where it is not time, or where a slot takes a person, whom the log asks for.
    ///
    /// # Errors
    /// As [`rotate_root`](Self::rotate_root): it is tried again at the next look.
    pub async fn rotate_root_when_due(
        self: &Arc<Self>,
        vault: &Unsealed,
    ) -> Result<Option<u32>, VaultError> {
        if !self.is_root_due(vault).await? {
            return Ok(None);
        }
        let slots = self.slots();
        if slots.iter().any(|slot| slot.kind.takes_a_person()) {
            tracing::warn!(
                "it is time for another root key, and a slot takes a person: runtools-broker key rotate root"
            );
            return Ok(None);
        }
        let event = Event::new(Action::KeyRotate, Actor::System).code("root");
        let recorded = vault.journal().record(event).await?;
        let rotated = self.rotate_root(vault, Vec::new(), &recorded).await;
        recorded.outcome(match &rotated {
            Ok(_) => Outcome::success(),
            Err(error) => Outcome::failed(code_of(error)),
        });
        rotated.map(Some)
    }

    /// Whether it is time for another root key. The first look at one only notes the time: whoever replaces it by hand
    /// begins anew.
    async fn is_root_due(&self, vault: &Unsealed) -> Result<bool, VaultError> {
        if self.root_days == 0 {
            return Ok(false);
        }
        let name = vault.system_index().hash(&[b"root-epoch"]);
        let place = StoreKey::new(Class::State, &[&name]);
        let (key, now) = (vault.system_key(), vault.now());
        let version = self.root_generation();
        if let Some(record) = vault.store().get(&place).await? {
            let epoch: Epoch = vault.open_state(key, NO_ORG, Owner::SYSTEM, &place, &record)?;
            // One that was seen by a clock that was ahead is seen again.
            if epoch.version == version && epoch.seen <= now {
                let age = now.millis().saturating_sub(epoch.seen.millis());
                return Ok(age >= i64::from(self.root_days).saturating_mul(DAY_MILLIS));
            }
        }
        let epoch = Epoch { version, seen: now };
        let sealed = vault.seal_state(key, NO_ORG, Owner::SYSTEM, &place, &epoch)?;
        let mut batch = Batch::new();
        batch.put(place, sealed);
        vault.commit_bookkeeping(batch).await?;
        Ok(false)
    }
}

/// What the journal calls the reason.
const fn code_of(error: &VaultError) -> &'static str {
    match error {
        VaultError::Custody(error) => error.code(),
        _ => "store_unavailable",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::DAY_MILLIS;
    use crate::secret::Secret;
    use crate::vault::Opener;
    use crate::vault::tests_rig::{Rig, loaded};

    /// The same vault under settings that want another root key every week.
    async fn weekly() -> Rig {
        let Rig {
            lifecycle,
            engine,
            clock,
            vault,
            folder,
        } = Rig::new().await;
        drop(vault);
        assert!(lifecycle.seal(std::time::Duration::from_secs(5)).await);
        let shared = Arc::<crate::store::MemoryEngine>::clone(&engine);
        let places = lifecycle.places().clone();
        let lifecycle = loaded(places, shared, Arc::new(clock.clone()));
        let lifecycle = Arc::new(lifecycle.unwrap().with_root_days(7));
        let vault = lifecycle.unseal_unattended().await.unwrap();
        Rig {
            vault: vault.opened().unwrap(),
            lifecycle,
            engine,
            clock,
            folder,
        }
    }

    async fn looked(rig: &Rig) -> Option<u32> {
        let looked = rig.lifecycle.rotate_root_when_due(&rig.vault);
        looked.await.unwrap()
    }

    #[tokio::test]
    async fn a_root_key_is_replaced_a_week_after_it_was_first_seen_and_each_one_begins_anew() {
        let mut rig = weekly().await;
        for version in 2..4 {
            assert_eq!(looked(&rig).await, None, "it is noted");
            rig.clock.advance_millis(7 * DAY_MILLIS - 1);
            assert_eq!(looked(&rig).await, None);
            // A start changes nothing of it.
            rig = rig.reopen().await.unwrap();
            assert_eq!(looked(&rig).await, None);
            rig.clock.advance_millis(1);
            assert_eq!(looked(&rig).await, Some(version));
            assert_eq!(rig.lifecycle.root_generation(), version);
        }
    }

    #[tokio::test]
    async fn a_ring_that_takes_a_person_waits_for_one() {
        let rig = weekly().await;
        let words = Opener::Passphrase(Secret::copy_of(b"correct horse battery staple"));
        let slot = rig.lifecycle.add_slot(&rig.vault, &words, "safe").unwrap();
        assert_eq!(looked(&rig).await, None);
        rig.clock.advance_millis(30 * DAY_MILLIS);
        for _ in 0..2 {
            assert_eq!(looked(&rig).await, None);
        }
        rig.lifecycle.remove_slot(&rig.vault, slot).unwrap();
        assert_eq!(looked(&rig).await, Some(2));
    }

    #[tokio::test]
    async fn without_a_setting_none_is_ever_replaced_and_nothing_is_noted() {
        let rig = Rig::new().await;
        let before = rig.vault.store().generation();
        rig.clock.advance_millis(1000 * DAY_MILLIS);
        assert_eq!(looked(&rig).await, None);
        assert_eq!(rig.vault.store().generation(), before);
    }
}
