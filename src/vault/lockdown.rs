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
use crate::id::OrgId;
use crate::store::{Batch, Class, StoreKey};

use super::{Places, Vault, VaultError};

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
        recorded.outcome(Outcome::success());
        Ok(())
    }
}
