//! Reading every connection from the store, once after unsealing.

use super::kept::Kept;
use super::places;
use super::roster::Roster;
use crate::crypto::{Owner, Record};
use crate::id::ConnectionId;
use crate::store::{StoreError, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};

impl Roster {
    /// Reads everything there is.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub async fn load(vault: &Unsealed) -> Result<Self, VaultError> {
        let roster = Self::default();
        for id in vault.org_ids() {
            roster.load_org(vault, &*vault.org(id)?).await?;
        }
        Ok(roster)
    }

    async fn load_org(&self, vault: &Unsealed, org: &OrgKeys) -> Result<(), VaultError> {
        for (place, record) in pages(vault, &places::connections(org)).await? {
            let value = open(vault, org, &place, &record)?;
            self.put_connection(Kept::of(value, &record));
        }
        for (place, record) in pages(vault, &places::states(org)).await? {
            let value = open(vault, org, &place, &record)?;
            self.put_state(Kept::of(value, &record));
        }
        for (place, record) in pages(vault, &places::defaults(org)).await? {
            let chosen: ConnectionId = open(vault, org, &place, &record)?;
            self.note_default(chosen);
        }
        for (place, record) in pages(vault, &places::revocations(org)).await? {
            let value = open(vault, org, &place, &record)?;
            self.put_revocation(Kept::of(value, &record));
        }
        Ok(())
    }
}

/// Opens a record of the roster.
pub(super) fn open<T: serde::de::DeserializeOwned>(
    vault: &Unsealed,
    org: &OrgKeys,
    place: &StoreKey,
    record: &Record,
) -> Result<T, VaultError> {
    vault.open_state(org.kek(), org.id(), Owner::SYSTEM, place, record)
}

/// Every record below `prefix`.
pub(in crate::oauth) async fn pages(
    vault: &Unsealed,
    prefix: &StoreKey,
) -> Result<Vec<(StoreKey, Record)>, VaultError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = match vault.store().scan(prefix, after.as_ref(), 256).await {
            // In another order: it is begun again.
            Err(StoreError::Moved) => {
                (all, after) = (Vec::new(), None);
                continue;
            }
            page => page?,
        };
        let Some((last, _)) = page.last() else {
            return Ok(all);
        };
        after = Some(last.clone());
        all.extend(page);
    }
}
