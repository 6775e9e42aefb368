//! The records of API keys.

use crate::clock::Timestamp;
use crate::crypto::{Digest, Owner, sha256};
use crate::id::ApiKeyId;
use crate::policy::{Principal, Via};
use crate::store::Batch;
use crate::vault::{OrgKeys, Unsealed, Vault};
use crate::wire::ApiKeyStatus;

use super::place::{KeyRecord, all, key_place, keys_prefix};
use super::{Directory, DirectoryError};

pub(super) fn ended(record: &KeyRecord, vault: &Vault) -> ApiKeyStatus {
    let now = vault.now();
    if vault.is_void(record.created) || record.revoked.is_some_and(|end| end <= now) {
        ApiKeyStatus::Revoked
    } else if record.expires.is_some_and(|end| end <= now) {
        ApiKeyStatus::Expired
    } else {
        ApiKeyStatus::Active
    }
}

/// The end of a new key whose maker ends at `parent`: never later than that.
pub(super) fn capped(wanted: Option<Timestamp>, parent: Option<Timestamp>) -> Option<Timestamp> {
    [wanted, parent].into_iter().flatten().min()
}

impl Directory {
    /// Draws the id of a key that is to be made, so that it can be recorded before it is.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn draw_key_id(vault: &Unsealed) -> Result<ApiKeyId, DirectoryError> {
        Ok(ApiKeyId::from_random(vault.random().bytes()?))
    }

    /// When the caller's own key ends; `None` for one that does not, and for a local user.
    pub(super) async fn end_of(
        &self,
        vault: &Unsealed,
        caller: &Principal,
    ) -> Result<Option<Timestamp>, DirectoryError> {
        let Via::ApiKey(id) = caller.via() else {
            return Ok(None);
        };
        let org = vault.org(caller.org())?;
        let (key, _) = read_key(vault, &org, id).await?;
        Ok(capped(key.expires, key.revoked))
    }
}

pub(super) fn check_project(project: Option<&str>) -> Result<(), DirectoryError> {
    let sound = project.is_none_or(|id| crate::id::ObjectId::parse(id).is_ok());
    if sound {
        Ok(())
    } else {
        Err(DirectoryError::Rule("a project is named by its id, a UUID"))
    }
}

pub(super) async fn read_key(
    vault: &Vault,
    org: &OrgKeys,
    id: ApiKeyId,
) -> Result<(KeyRecord, Digest), DirectoryError> {
    let place = key_place(org, id);
    let record = vault
        .store()
        .get(&place)
        .await?
        .ok_or(DirectoryError::NotFound)?;
    let key = vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
    Ok((key, sha256(record.as_bytes())))
}

/// Every key of the organisation, those included that ended.
pub(super) async fn all_keys(
    vault: &Vault,
    org: &OrgKeys,
) -> Result<Vec<KeyRecord>, DirectoryError> {
    all(vault, org, &keys_prefix(org)).await
}

pub(super) fn put_key(
    vault: &Vault,
    org: &OrgKeys,
    record: &KeyRecord,
    batch: &mut Batch,
) -> Result<(), DirectoryError> {
    let place = key_place(org, record.id);
    let sealed = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, record)?;
    batch.put(place, sealed);
    Ok(())
}
