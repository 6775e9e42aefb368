//! Replacing the key that seals what belongs to no organisation: which organisations there are, where the hashes of
//! API keys lead, who is a user of the machine, the installation's own OAuth clients.
//!
//! The phases are those of an organisation's key, without the paper: there are few such records, in a walk through
//! all, and all of it is done again after a kill. That there are two generations says that it is not over.
//!
//! ```text
//! drawn    the next one is written down: whoever unseals from here on seals with it, and opens with both
//! rewrap   what the old one sealed is sealed anew, until a walk finds nothing
//! retired  the old one is destroyed
//! ```

use std::time::Duration;

use crate::audit::Recorded;
use crate::crypto::{Key, Owner, Record};
use crate::failpoint::{Failpoint, reached};
use crate::id::OrgId;
use crate::store::{Batch, Class, StoreKey};
use crate::vault::system::{SystemPlace, Which};
use crate::vault::{Vault, VaultError};

use super::rewrap::Rewrapped;

/// What belongs to no organisation.
const NO_ORG: OrgId = OrgId::from_bytes([0; 16]);
/// How many records are looked at, and sealed anew, at once.
const PAGE: usize = 128;
/// How often a walk may find something left.
const ROUNDS: u32 = 4;
/// How often it is looked whether the old key is drained.
const DRAIN: Duration = Duration::from_millis(2);

impl Vault {
    /// Replaces the key that seals what belongs to no organisation, while everybody is served. Answers the number
    /// of the new one. One that was cut short is gone on with.
    ///
    /// # Errors
    /// [`VaultError::Stuck`] when something does not open: both keys stay. When the store fails: it can be gone on
    /// with.
    pub async fn rotate_state_key(&self, recorded: &Recorded) -> Result<u32, VaultError> {
        let _turn = self.rotations.changing.lock().await;
        let keys = self.system_key();
        if !keys.is_turning() {
            let version = keys.name().version.checked_add(1).ok_or(VaultError::Form)?;
            keys.turn_to(self.draw_state_key(version, recorded).await?);
        }
        self.replace_state_key(recorded).await
    }

    /// Ends a replacement that was cut short; nothing where somebody else has done so.
    ///
    /// # Errors
    /// As [`Vault::rotate_state_key`].
    pub async fn end_state_rotation(&self, recorded: &Recorded) -> Result<(), VaultError> {
        let _turn = self.rotations.changing.lock().await;
        if !self.is_state_turning() {
            return Ok(());
        }
        self.replace_state_key(recorded).await.map(drop)
    }

    /// Seals anew what the keys before have sealed, and destroys those.
    async fn replace_state_key(&self, recorded: &Recorded) -> Result<u32, VaultError> {
        let keys = self.system_key();
        while !keys.is_drained() {
            tokio::time::sleep(DRAIN).await;
        }
        let mut left = 1;
        for _ in 0..ROUNDS {
            left = self.rewrap_states(recorded).await?;
            if left == 0 {
                break;
            }
        }
        if left > 0 {
            return Err(VaultError::Stuck(left));
        }
        let mut batch = Batch::new();
        for place in self.system_places().await? {
            if place.which == Which::State && place.version < keys.name().version {
                batch.delete(place.key());
            }
        }
        reached(Failpoint::StateSealed);
        self.commit(batch, recorded).await?;
        reached(Failpoint::StateRetired);
        keys.retire();
        Ok(keys.name().version)
    }

    /// Whether a replacement of that key is not over.
    #[must_use]
    pub fn is_state_turning(&self) -> bool {
        self.system_key().is_turning()
    }

    pub(super) async fn draw_state_key(
        &self,
        version: u32,
        recorded: &Recorded,
    ) -> Result<Key, VaultError> {
        let mut batch = Batch::new();
        let key = self.draw_system_key(SystemPlace::new(Which::State, version), &mut batch)?;
        self.commit(batch, recorded).await?;
        reached(Failpoint::StateDrawn);
        Ok(key)
    }

    /// Walks through everything once. Answers how many records an old key had sealed.
    async fn rewrap_states(&self, recorded: &Recorded) -> Result<u64, VaultError> {
        let mut left = 0_u64;
        let all = Class::ALL.iter().copied();
        for class in all.filter(|class| *class != Class::SystemKey) {
            let (prefix, mut after) = (StoreKey::new(class, &[]), None);
            loop {
                let page = self.store.scan(&prefix, after.as_ref(), PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                let mut batch = Batch::new();
                for (place, record) in page {
                    match self.rewrap_of_installation(class, &place, &record)? {
                        Rewrapped::Nothing => continue,
                        Rewrapped::By(new) => batch.rewrap(place, record, new),
                        Rewrapped::Stuck => {}
                    }
                    left = left.saturating_add(1);
                }
                if !batch.is_empty() {
                    self.commit(batch, recorded).await?;
                }
            }
        }
        Ok(left)
    }

    fn rewrap_of_installation(
        &self,
        class: Class,
        place: &StoreKey,
        record: &Record,
    ) -> Result<Rewrapped, VaultError> {
        let keys = self.system_key();
        if !record.key().is_some_and(|name| keys.is_older(name)) {
            return Ok(Rewrapped::Nothing);
        }
        match class {
            Class::OrgKey => {
                let parts = self.read_org_record(place, record)?;
                self.write_org_record(place, &parts).map(Rewrapped::By)
            }
            Class::Client => {
                let at = self.credential_place(NO_ORG, Owner::SYSTEM, place);
                self.rewrap_version(keys, &at, record)
            }
            _ => {
                // What belongs to none; or a rotation of one's keys.
                for org in std::iter::once(NO_ORG).chain(self.org_ids()) {
                    let owners = &mut [Owner::SYSTEM];
                    match self.rewrap_state((keys, org), owners, place, record)? {
                        Rewrapped::Stuck => {}
                        rewrapped => return Ok(rewrapped),
                    }
                }
                Ok(Rewrapped::Stuck)
            }
        }
    }
}
