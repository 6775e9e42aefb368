//! Taking back the word of an admin who is one no more.

use super::hub::{Hub, HubError, Tool, ToolRecord, prefix};
use crate::audit::Recorded;
use crate::crypto::{Owner, Record, sha256};
use crate::id::{OrgId, UserId};
use crate::policy::Principal;
use crate::store::{Batch, Expect, StoreError, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// How often a tool is read again that changes at the same time.
const TRIES: usize = 8;

impl Tool {
    /// The tool as it is for `principal` now. A private tool has one user, its maker: an admin's word for
    /// it counts while they are one, whatever its record still says.
    pub(super) fn seen_by(mut self, principal: &Principal) -> Self {
        if let Some(custom) = &mut self.custom {
            custom.vouched &= custom.shared || principal.is_admin();
        }
        self
    }
}

impl Hub {
    /// Nobody vouches any longer for the private tools of `user`, who is demoted or removed. Doing it
    /// again changes nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn withdraw(
        &self,
        vault: &Unsealed,
        org: OrgId,
        user: UserId,
        recorded: &Recorded,
    ) -> Result<(), HubError> {
        let org = vault.org(org)?;
        let owner = Owner::user(user);
        let (prefix, mut after) = (prefix(&org, owner), None);
        loop {
            let page = vault.store().scan(&prefix, after.as_ref(), 64).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (place, _) in page {
                withdraw_one(vault, &org, owner, &place, recorded).await?;
            }
        }
    }
}

async fn withdraw_one(
    vault: &Unsealed,
    org: &OrgKeys,
    owner: Owner,
    place: &StoreKey,
    recorded: &Recorded,
) -> Result<(), HubError> {
    for _ in 0..TRIES {
        let Some(old) = vault.store().get(place).await? else {
            return Ok(());
        };
        let Some(new) = unvouched(vault, org, owner, place, &old)? else {
            return Ok(());
        };
        let mut batch = Batch::new();
        batch.expect(place.clone(), Expect::Exactly(sha256(old.as_bytes())));
        batch.put(place.clone(), new);
        match vault.commit(batch, recorded).await {
            Err(VaultError::Store(StoreError::Precondition)) => {}
            ended => return Ok(ended?),
        }
    }
    Err(StoreError::Precondition.into())
}

/// The same tool without anybody's word for it; `None` when it has none.
fn unvouched(
    vault: &Unsealed,
    org: &OrgKeys,
    owner: Owner,
    place: &StoreKey,
    old: &Record,
) -> Result<Option<Record>, HubError> {
    let mut kept: ToolRecord = vault.open_state(org.kek(), org.id(), owner, place, old)?;
    if !kept.vouched {
        return Ok(None);
    }
    kept.vouched = false;
    let sealed = vault.seal_state(org.kek(), org.id(), owner, place, &kept)?;
    Ok(Some(sealed))
}
