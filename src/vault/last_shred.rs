//! What the store remembers of the last time that the whole vault was shredded.
//!
//! A copy of the ring from before opens with the slots of that day, and with nothing else. So what was destroyed
//! before is out of reach of everybody who opens the ring of today as soon as none of those slots is left: no
//! second shredding is needed for that. Of what was destroyed since, the slots of today open copies that were made
//! in between.

use serde::{Deserialize, Serialize};

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::id::{ObjectId, OrgId};
use crate::store::{Batch, Class, StoreKey};

use super::{Lifecycle, Unsealed, Vault, VaultError};

const NO_ORG: OrgId = OrgId::from_bytes([0; 16]);

/// The last shredding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastShred {
    /// When it began: it goes for what was destroyed before.
    pub began: Timestamp,
    /// The slots that opened the ring until then, and that are still there.
    pub kept: Vec<ObjectId>,
    /// Whatever was destroyed before this opens with no slot that there is, neither in this one nor by one before.
    pub gone_before: Option<Timestamp>,
}

impl LastShred {
    /// Whether no slot is left that opens a ring of before.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.kept.is_empty()
    }

    /// The same with these slots in the ring.
    fn beside(mut self, slots: &[ObjectId]) -> Self {
        self.kept.retain(|kept| slots.contains(kept));
        if self.is_whole() {
            self.gone_before = Some(self.began);
        }
        self
    }
}

impl Vault {
    fn last_shred_place(&self) -> StoreKey {
        let name = self.system_index().hash(&[b"shred"]);
        StoreKey::new(Class::State, &[&name])
    }
}

impl Lifecycle {
    /// The last shredding that has come to its end, if there was one; what is left of its slots is looked up in
    /// the ring.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub async fn last_shred(&self, vault: &Unsealed) -> Result<Option<LastShred>, VaultError> {
        let place = vault.last_shred_place();
        let Some(record) = vault.store().get(&place).await? else {
            return Ok(None);
        };
        let key = vault.system_key();
        let found: LastShred = vault.open_state(key, NO_ORG, Owner::SYSTEM, &place, &record)?;
        Ok(Some(found.beside(&self.slot_ids())))
    }

    /// Writes one down that has come to its end: it began at `began`, and the slots `kept` were given no other key.
    ///
    /// # Errors
    /// As [`last_shred`](Self::last_shred).
    pub async fn remember_shred(
        &self,
        vault: &Unsealed,
        began: Timestamp,
        kept: Vec<ObjectId>,
        recorded: &Recorded,
    ) -> Result<LastShred, VaultError> {
        let before = self.last_shred(vault).await?;
        let shred = LastShred {
            began,
            kept,
            gone_before: before.and_then(|before| before.gone_before),
        };
        let shred = shred.beside(&self.slot_ids());
        let (place, key) = (vault.last_shred_place(), vault.system_key());
        let sealed = vault.seal_state(key, NO_ORG, Owner::SYSTEM, &place, &shred)?;
        let mut batch = Batch::new();
        batch.put(place, sealed);
        vault.commit(batch, recorded).await?;
        Ok(shred)
    }

    fn slot_ids(&self) -> Vec<ObjectId> {
        self.slots().into_iter().map(|slot| slot.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::LastShred;
    use crate::clock::Timestamp;
    use crate::id::ObjectId;
    use crate::secret::Secret;
    use crate::vault::Opener;
    use crate::vault::tests_rig::Rig;

    const fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes([number; 16])
    }

    #[test]
    fn it_is_whole_when_the_last_slot_of_that_day_is_gone_and_says_since_when() {
        let shred = LastShred {
            began: Timestamp::from_millis(7),
            kept: vec![id(1), id(2)],
            gone_before: Some(Timestamp::from_millis(3)),
        };
        let one = shred.clone().beside(&[id(2), id(3)]);
        assert_eq!((one.kept.as_slice(), one.is_whole()), (&[id(2)][..], false));
        assert_eq!(one.gone_before, Some(Timestamp::from_millis(3)));
        let none = shred.beside(&[id(3)]);
        assert!(none.is_whole());
        assert_eq!(none.gone_before, Some(Timestamp::from_millis(7)));
    }

    #[tokio::test]
    async fn it_is_remembered_over_a_start_and_under_another_key_of_the_installation() {
        let rig = Rig::new().await;
        let words = Opener::Passphrase(Secret::copy_of(b"correct horse battery staple"));
        let slot = rig.lifecycle.add_slot(&rig.vault, &words, "safe").unwrap();
        let last = rig.lifecycle.last_shred(&rig.vault).await.unwrap();
        assert_eq!(last, None);
        let (began, recorded) = (rig.vault.now(), rig.recorded().await);
        let remember = rig
            .lifecycle
            .remember_shred(&rig.vault, began, vec![slot], &recorded);
        assert!(!remember.await.unwrap().is_whole());
        rig.vault.rotate_state_key(&recorded).await.unwrap();
        drop(recorded);
        let rig = rig.reopen().await.unwrap();
        let last = rig.lifecycle.last_shred(&rig.vault).await.unwrap();
        assert_eq!(last.unwrap().kept, [slot]);
        rig.lifecycle.remove_slot(&rig.vault, slot).unwrap();
        let last = rig.lifecycle.last_shred(&rig.vault).await.unwrap().unwrap();
        assert!(last.is_whole());
        assert_eq!(last.gone_before, Some(began));
        // One that leaves a slot behind takes nothing of that back.
        let recorded = rig.recorded().await;
        let file = rig.lifecycle.slots()[0].id;
        rig.clock.advance_millis(5);
        let (later, kept) = (rig.vault.now(), vec![file]);
        let next = rig
            .lifecycle
            .remember_shred(&rig.vault, later, kept, &recorded);
        let next = next.await.unwrap();
        assert_eq!((next.is_whole(), next.gone_before), (false, Some(began)));
    }
}
