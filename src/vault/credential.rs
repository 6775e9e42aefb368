//! Values that stand alone: stored credentials of an installed tool. As a secret's version, but with
//! one version that is replaced in place, found by the place itself.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Digest, Owner, sha256};
use crate::id::ObjectId;
use crate::secret::Secret;
use crate::store::{Batch, StoreKey};

use super::value::{StoredValue, VersionPlace, open_version, seal_version};
use super::{OrgKeys, Vault, VaultError, check_value};

impl Vault {
    /// A credential's object is its place: put under another key, it does not open.
    fn credential_place(&self, org: &OrgKeys, owner: Owner, place: &StoreKey) -> VersionPlace {
        let digest = sha256(place.as_bytes());
        let object = digest.first_chunk().map_or([0; 16], |half| *half);
        VersionPlace {
            store: self.id,
            org: org.id(),
            owner,
            object: ObjectId::from_bytes(object),
            version: 1,
            created: Timestamp::from_millis(0),
        }
    }

    /// Puts a sealed credential into `batch`.
    ///
    /// # Errors
    /// [`VaultError::Rule`] for a bad value.
    pub(crate) async fn put_credential<M: Serialize + Clone>(
        &self,
        batch: &mut Batch,
        (org, owner, place): (&OrgKeys, Owner, StoreKey),
        metadata: &M,
        value: &Secret,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        check_value(value)?;
        let key = self.owner_key_or_new(org, owner, recorded).await?;
        let at = self.credential_place(org, owner, &place);
        let (record, _) = seal_version(&key, &at, metadata.clone(), value, self.random())?;
        batch.put(place, record);
        Ok(())
    }

    /// The credential at `place`, if there is one, with the digest of its record.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub(crate) async fn credential<M: DeserializeOwned>(
        &self,
        org: &OrgKeys,
        owner: Owner,
        place: &StoreKey,
    ) -> Result<Option<(StoredValue<M>, Digest)>, VaultError> {
        let Some(record) = self.store.get(place).await? else {
            return Ok(None);
        };
        let key = self.owner_key(org, owner).await?.ok_or(VaultError::Form)?;
        let at = self.credential_place(org, owner, place);
        Ok(Some((
            open_version(&key, &at, &record)?,
            sha256(record.as_bytes()),
        )))
    }
}
