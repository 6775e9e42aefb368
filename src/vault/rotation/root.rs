//! Replacing the root key.
//!
//! ```text
//! who opens a slot is asked            nothing is begun that could not be ended
//! ring's root ──seals──▶ the next      a record in the store: from here on the next one seals
//! next root ──seals──▶ everything      the installation's keys and the organisations', until a scan finds none of the old one
//! ring ◀── the next under every slot   in one rename: the old one is nowhere
//! the record goes
//! ```
//!
//! Whoever opens the ring, before the rename or after it, gets at every key: before it by the record, which
//! the ring's root opens. A record that another root sealed was left by a kill after the rename. It says nothing
//! any more to whoever has the ring of today, and opens the store of today for whoever kept the one before: so it
//! goes as soon as it is found.
//!
//! A slot is sealed anew by its own key, so whoever has it must be there: the key file and the custodians of the
//! settings. Of a slot that takes people, and of one whose key file lies elsewhere, that key is lent before.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Recorded;
use crate::crypto::{self, Key, KeyRef, Purpose, Record};
use crate::custody::{Lent, Resealed, Ring};
use crate::failpoint::{Failpoint, reached};
use crate::store::{Batch, Class, StoreKey};
use crate::vault::key_record::boxes;
use crate::vault::system::{SystemPlace, next_root_context, next_root_place};
use crate::vault::{Lifecycle, Unsealed, Vault, VaultError};

/// How many records are sealed anew in one commit.
const RECORDS: usize = 128;
/// How often it may be found that an organisation's keys were changed meanwhile.
const ROUNDS: usize = 16;
/// How often it is looked whether the old root key is drained.
const DRAIN: Duration = Duration::from_millis(2);

impl Lifecycle {
    /// Replaces the root key while everybody is served, or ends a replacement that was cut short. Answers the
    /// number of the new one. `lent` is what was [borrowed](Self::borrow) for it.
    ///
    /// # Errors
    /// [`CustodyError::SlotAway`](crate::custody::CustodyError::SlotAway) and what else custody says of whoever
    /// does not open their slot: nothing was begun. When the store fails: it can be gone on with.
    pub async fn rotate_root(
        self: &Arc<Self>,
        vault: &Unsealed,
        lent: Vec<Arc<Lent>>,
        recorded: &Recorded,
    ) -> Result<u32, VaultError> {
        let _turn = vault.rotations.changing.lock().await;
        let (ring, root) = (self.settled_ring().await?, &vault.keyring.root);
        let old = root.opener(ring.root()).ok_or(VaultError::Form)?;
        let drawn = !root.is_turning();
        if !drawn && old.name() == root.name() {
            // The ring has it: only the end was not written down.
            return vault.end_of_root(recorded).await;
        }
        let new = if drawn {
            let KeyRef { id, version } = old.name();
            let version = version.checked_add(1).ok_or(VaultError::Form)?;
            Arc::new(Key::generate(KeyRef { id, version }, vault.random())?.sheltered())
        } else {
            root.opener(root.name()).ok_or(VaultError::Form)?
        };
        let keys = (Arc::clone(&old), Arc::clone(&new));
        let resealed = self.resealed(ring, keys, lent).await?;
        if drawn {
            vault.keep_next_root(&old, &new, recorded).await?;
            root.turn_to(Arc::clone(&new));
        }
        while !root.is_drained() {
            tokio::time::sleep(DRAIN).await;
        }
        vault.rewrap_under_root(old.name(), recorded).await?;
        reached(Failpoint::RootPlaces);
        let this = Arc::clone(self);
        let placing = move || this.change_ring(|ring| Ok(ring.give_way_to(resealed)?));
        let placed = tokio::task::spawn_blocking(placing);
        placed.await.map_err(|_| VaultError::Form)??;
        reached(Failpoint::RootPlaced);
        let version = vault.end_of_root(recorded).await?;
        self.forget_loans();
        Ok(version)
    }

    /// Whether everybody is there who opens a slot, or has lent its key: what takes long and ends with another root
    /// key is not begun without.
    ///
    /// # Errors
    /// As [`rotate_root`](Self::rotate_root).
    pub async fn try_root(
        self: &Arc<Self>,
        vault: &Unsealed,
        lent: &[Arc<Lent>],
    ) -> Result<(), VaultError> {
        let (ring, root) = (self.ring(), &vault.keyring.root);
        let old = root.opener(ring.root()).ok_or(VaultError::Form)?;
        let KeyRef { id, version } = old.name();
        let version = version.saturating_add(1);
        let other = Arc::new(Key::generate(KeyRef { id, version }, vault.random())?);
        let resealed = self.resealed(ring, (old, other), lent.to_vec());
        resealed.await.map(drop)
    }

    /// The ring with `new` in every slot; nothing is written.
    async fn resealed(
        self: &Arc<Self>,
        ring: Ring,
        (old, new): (Arc<Key>, Arc<Key>),
        lent: Vec<Arc<Lent>>,
    ) -> Result<Resealed, VaultError> {
        let this = Arc::clone(self);
        let resealed = tokio::task::spawn_blocking(move || {
            ring.reseal((&old, &new), this.custodians(), &lent, &*this.random)
        });
        Ok(resealed.await.map_err(|_| VaultError::Form)??)
    }

    /// The ring, durably. It may have been read after its change of name, which a power cut may still take back: then
    /// what is written down of the next root key is what leads from the key of the old ring to everything, and must
    /// be neither replaced nor removed.
    async fn settled_ring(&self) -> Result<Ring, VaultError> {
        let ring = self.ring();
        let settled = tokio::task::spawn_blocking(move || ring.settle().map(|()| ring)).await;
        Ok(settled.map_err(|_| VaultError::Form)??)
    }

    /// Whether it is still written down, under the one before, which root key comes next, although the ring has it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_stale_root(&self, vault: &Unsealed) -> Result<bool, VaultError> {
        let Some(record) = vault.store.get(&next_root_place()).await? else {
            return Ok(false);
        };
        let ring = self.held_ring().root();
        Ok(ring == vault.keyring.root.name() && record.key() != Some(ring))
    }

    /// Ends a replacement of the root key of which only the end was not written down. Nobody who opens a slot is
    /// needed for that. Nothing where somebody else has done so.
    ///
    /// # Errors
    /// When the store fails, or the ring cannot be made durable: it can be done again.
    pub async fn forget_stale_root(
        &self,
        vault: &Unsealed,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let _turn = vault.rotations.changing.lock().await;
        if !self.has_stale_root(vault).await? {
            return Ok(());
        }
        self.settled_ring().await?;
        vault.end_of_root(recorded).await?;
        Ok(())
    }
}

impl Vault {
    /// Whether a replacement of the root key is not over.
    #[must_use]
    pub fn is_root_turning(&self) -> bool {
        self.keyring.root.is_turning()
    }

    /// The next root key is in the ring: what was written down of it goes, and so does the one before. Answers its
    /// number.
    async fn end_of_root(&self, recorded: &Recorded) -> Result<u32, VaultError> {
        let mut batch = Batch::new();
        batch.delete(next_root_place());
        self.commit(batch, recorded).await?;
        reached(Failpoint::RootEnds);
        self.keyring.root.retire();
        Ok(self.keyring.root.name().version)
    }

    /// Writes the next root key down, under the one of the ring.
    pub(super) async fn keep_next_root(
        &self,
        old: &Key,
        new: &Key,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let context = next_root_context(self.id, new.name().version);
        let random = self.random();
        let sealed = new.expose(|new| crypto::seal(old, Purpose::OrgKey, &context, new, random))?;
        let mut batch = Batch::new();
        batch.put(next_root_place(), Record::of(&sealed));
        self.commit(batch, recorded).await?;
        reached(Failpoint::RootDrawn);
        Ok(())
    }

    /// Seals what the old root key sealed anew, until a scan finds nothing of it.
    async fn rewrap_under_root(&self, old: KeyRef, recorded: &Recorded) -> Result<(), VaultError> {
        for _ in 0..ROUNDS {
            let mut batch = Batch::new();
            let mut count = 0;
            for (place, record) in self.under_root(old).await? {
                batch.rewrap(place.0, place.1, record);
                count += 1;
                if count == RECORDS {
                    self.commit(std::mem::take(&mut batch), recorded).await?;
                    count = 0;
                }
            }
            if !batch.is_empty() {
                self.commit(batch, recorded).await?;
            }
            reached(Failpoint::RootSealed);
            if self.left_under_root(old).await? == 0 {
                return Ok(());
            }
        }
        Err(VaultError::Stuck(self.left_under_root(old).await?))
    }

    /// The records that the old root key sealed, each with what takes its place.
    async fn under_root(
        &self,
        old: KeyRef,
    ) -> Result<Vec<((StoreKey, Record), Record)>, VaultError> {
        let (root, random) = (&self.keyring.root, self.random());
        let mut found = Vec::new();
        for (place, record) in self.system_records().await? {
            if let Some(at) = SystemPlace::of(&place)
                && record.key() == Some(old)
            {
                let new = at.renew(self.id, root, &record, random)?;
                found.push(((place, record), new));
            }
        }
        for org in self.org_ids() {
            let place = self.org_key_place(org);
            let Some(record) = self.store.get(&place).await? else {
                continue;
            };
            let mut parts = self.read_org_record(&place, &record)?;
            let sealeds = &mut parts.sealeds;
            if sealeds.keys.iter().all(|key| key.key() != Some(old)) {
                continue;
            }
            self.renew_under_root(org, sealeds)?;
            let new = self.write_org_record(&place, &parts)?;
            found.push(((place, record), new));
        }
        Ok(found)
    }

    /// How many boxes of keys the old root key sealed.
    async fn left_under_root(&self, old: KeyRef) -> Result<u64, VaultError> {
        let mut left = 0;
        for class in [Class::SystemKey, Class::OrgKey] {
            let (prefix, mut after) = (StoreKey::new(class, &[]), None);
            loop {
                let page = self.store.scan(&prefix, after.as_ref(), 256).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                for (place, record) in page {
                    let next = place == next_root_place();
                    let old = boxes(&record)?
                        .iter()
                        .any(|sealed| sealed.key() == Some(old));
                    left += u64::from(old && !next);
                }
            }
        }
        Ok(left)
    }
}
