//! Where the directory's records stand, and their form.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::crypto::{Digest, MacKey, Owner, Record};
use crate::id::{ApiKeyId, MemberId, OrgId, UserId};
use crate::policy::Scopes;
use crate::store::{Batch, Class, Expect, StoreKey};
use crate::vault::{OrgKeys, Vault, VaultError};
use crate::wire::{MemberStatus, OrgSettings, Role};

use super::DirectoryError;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrgRecord {
    pub(super) id: OrgId,
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) settings: OrgSettings,
    pub(super) created: Timestamp,
    /// Since when nothing is left of it but what is still to be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberRecord {
    pub(super) id: MemberId,
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) role: Role,
    pub(super) status: MemberStatus,
    pub(super) uid: Option<u32>,
    pub(super) joined: Timestamp,
    /// How often they became an admin or stopped being one.
    #[serde(default)]
    pub(super) term: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRecord {
    pub(super) id: ApiKeyId,
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) test: bool,
    pub(super) scopes: Scopes,
    pub(super) project: Option<String>,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
    /// When it ends by being revoked or replaced; a grace lies in the future.
    pub(super) revoked: Option<Timestamp>,
    pub(super) last_used: Option<Timestamp>,
}

/// Which key a text belongs to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyIndex {
    pub(super) org: OrgId,
    pub(super) id: ApiKeyId,
}

/// Which member a user id of the machine belongs to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalIndex {
    pub(super) org: OrgId,
    pub(super) user: UserId,
}

/// The first half of a hash: enough to tell lists apart.
pub(super) fn half(hash: &Digest) -> &[u8] {
    hash.get(..16).unwrap_or_default()
}

pub(super) fn org_place(org: &OrgKeys) -> StoreKey {
    StoreKey::new(
        Class::Organization,
        &[&org.index().hash(&[b"organization"])],
    )
}

pub(super) fn slug_place(index: &MacKey, slug: &str) -> StoreKey {
    StoreKey::new(
        Class::Organization,
        &[&index.hash(&[b"slug", slug.as_bytes()])],
    )
}

pub(super) fn members_prefix(org: &OrgKeys) -> StoreKey {
    StoreKey::new(Class::Member, &[half(&org.index().hash(&[b"members"]))])
}

pub(super) fn member_place(org: &OrgKeys, user: UserId) -> StoreKey {
    let list = org.index().hash(&[b"members"]);
    let one = org.index().hash(&[b"member", user.bytes()]);
    StoreKey::new(Class::Member, &[half(&list), &one])
}

pub(super) fn keys_prefix(org: &OrgKeys) -> StoreKey {
    StoreKey::new(Class::ApiKey, &[half(&org.index().hash(&[b"api-keys"]))])
}

pub(super) fn key_place(org: &OrgKeys, id: ApiKeyId) -> StoreKey {
    let list = org.index().hash(&[b"api-keys"]);
    let one = org.index().hash(&[b"api-key", id.bytes()]);
    StoreKey::new(Class::ApiKey, &[half(&list), &one])
}

pub(super) fn token_place(hash: &Digest) -> StoreKey {
    StoreKey::new(Class::ApiKeyIndex, &[hash])
}

pub(super) fn local_place(index: &MacKey, uid: u32) -> StoreKey {
    StoreKey::new(
        Class::LocalUser,
        &[&index.hash(&[b"uid", &uid.to_be_bytes()])],
    )
}

/// Every record of the organisation under `prefix`.
pub(super) async fn all<T: DeserializeOwned>(
    vault: &Vault,
    org: &OrgKeys,
    prefix: &StoreKey,
) -> Result<Vec<T>, DirectoryError> {
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = vault.store().scan(prefix, after.as_ref(), 256).await?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        after = Some(last.clone());
        for (place, record) in page {
            found.push(vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?);
        }
    }
}

/// No organisation: an index leads to one, and is sealed before it is known which.
const NONE: OrgId = OrgId::from_bytes([0; 16]);

/// Has `place`, where nothing stands yet, lead to `index`.
pub(super) fn put_index<T: Serialize>(
    vault: &Vault,
    place: StoreKey,
    index: &T,
    batch: &mut Batch,
) -> Result<(), VaultError> {
    let sealed = vault.seal_state(vault.system_key(), NONE, Owner::SYSTEM, &place, index)?;
    batch.expect(place.clone(), Expect::Absent);
    batch.put(place, sealed);
    Ok(())
}

/// Where `place` leads, if anywhere.
pub(super) async fn read_index<T: DeserializeOwned>(
    vault: &Vault,
    place: &StoreKey,
) -> Result<Option<T>, VaultError> {
    let Some(record) = vault.store().get(place).await? else {
        return Ok(None);
    };
    open_index(vault, place, &record).map(Some)
}

/// Where a record leads that stands at `place`.
pub(super) fn open_index<T: DeserializeOwned>(
    vault: &Vault,
    place: &StoreKey,
    record: &Record,
) -> Result<T, VaultError> {
    vault.open_state(vault.system_key(), NONE, Owner::SYSTEM, place, record)
}
