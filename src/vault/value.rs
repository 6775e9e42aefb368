//! One sealed version: a data key, metadata and a value, each in a box, bound to one another.
//!
//! ```text
//! [box: data key, under the owner's key][commitment of the data key]
//! [box: metadata, under the data key][box: value, under the data key]
//! ```
//!
//! The digest of the metadata is in the value's context: whoever can write the database cannot point
//! a credential at another host. Metadata opens without the value, so a list touches no value.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{self, Context, Key, KeyRef, Owner, Purpose, Random, Record, Sealed, sha256};
use crate::id::{ObjectId, OrgId, StoreId};
use crate::secret::Secret;

use super::VaultError;

/// Which version of which object, of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionPlace {
    /// The store.
    pub store: StoreId,
    /// The organisation.
    pub org: OrgId,
    /// The owner.
    pub owner: Owner,
    /// The object.
    pub object: ObjectId,
    /// Its version.
    pub version: u64,
    /// When the version was made.
    pub created: Timestamp,
}

impl VersionPlace {
    fn context(&self, data_key: crypto::Commitment, metadata: [u8; 32]) -> Context {
        Context {
            store: self.store,
            org: self.org,
            owner: self.owner,
            object: self.object,
            version: self.version,
            data_key,
            metadata,
            created: self.created,
        }
    }

    fn data_key_name(&self) -> KeyRef {
        KeyRef {
            id: self.object,
            version: u32::try_from(self.version).unwrap_or(u32::MAX),
        }
    }
}

/// A version whose metadata is open and whose value is not.
#[derive(Debug)]
pub struct StoredValue<M> {
    metadata: M,
    data_key: Key,
    context: Context,
    value: Sealed,
}

/// Seals `value` with `metadata` as the version at `place`.
pub(super) fn seal_version<M: Serialize>(
    owner_key: &Key,
    place: &VersionPlace,
    metadata: &M,
    value: &Secret,
    random: &dyn Random,
) -> Result<Record, VaultError> {
    let data_key = Key::generate(place.data_key_name(), random)?;
    let commitment = data_key.commitment();
    let text = serde_json::to_vec(metadata).map_err(|_| VaultError::Form)?;
    let context = place.context(commitment, [0; 32]);
    let wrapped = data_key
        .expose(|bytes| crypto::seal(owner_key, Purpose::DataKey, &context, bytes, random))?;
    let described = crypto::seal_padded(&data_key, Purpose::Metadata, &context, &text, random)?;
    let context = place.context(commitment, sha256(&text));
    let sealed = value
        .expose(|bytes| crypto::seal_padded(&data_key, Purpose::Value, &context, bytes, random))?;
    Ok(Record::of(&wrapped)
        .with_commitment(commitment)
        .with_box(&described)
        .with_box(&sealed))
}

/// Opens the data key and the metadata of the version at `place`.
pub(super) fn open_version<M: DeserializeOwned>(
    owner_key: &Key,
    place: &VersionPlace,
    record: &Record,
) -> Result<StoredValue<M>, VaultError> {
    let mut reader = record.reader();
    let wrapped = reader.sealed()?;
    let commitment = reader.commitment()?;
    let described = reader.sealed()?;
    let value = reader.sealed()?;
    reader.end()?;
    let context = place.context(commitment, [0; 32]);
    let data_key = crypto::open(owner_key, Purpose::DataKey, &context, &wrapped)?;
    let data_key = Key::from_secret(place.data_key_name(), &data_key)?;
    let text = crypto::open_padded(&data_key, Purpose::Metadata, &context, &described)?;
    let (metadata, digest) = text.expose(|text| {
        (
            serde_json::from_slice(text).map_err(|_| VaultError::Form),
            sha256(text),
        )
    });
    let context = place.context(commitment, digest);
    Ok(StoredValue {
        metadata: metadata?,
        data_key,
        context,
        value,
    })
}

impl<M> StoredValue<M> {
    /// What stands beside the value.
    #[must_use]
    pub const fn metadata(&self) -> &M {
        &self.metadata
    }

    /// Opens the value. That the use is on disk in the journal is proved by `recorded`.
    ///
    /// # Errors
    /// When the record was altered.
    pub fn open(&self, _recorded: &Recorded) -> Result<Secret, VaultError> {
        Ok(crypto::open_padded(
            &self.data_key,
            Purpose::Value,
            &self.context,
            &self.value,
        )?)
    }
}
