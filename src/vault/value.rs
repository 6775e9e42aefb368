//! One sealed version: a data key, metadata and a value, each in a box, bound to one another.
//!
//! ```text
//! [box: data key, under the owner's key][commitment of the data key]
//! [box: metadata, under the data key][box: value, under the data key]
//! ```
//!
//! The digest of the metadata is in the value's context: whoever can write the database cannot point
//! a credential at another host. Metadata opens without the value, so a list touches no value.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{
    self, Context, CryptoError, Digest, Key, KeyRef, Owner, Purpose, Random, Record, Sealed, sha256,
};
use crate::failpoint::{Failpoint, reached};
use crate::id::{ObjectId, OrgId, StoreId};
use crate::secret::Secret;
use crate::store::Read;

use super::VaultError;
use super::generations::Generations;

/// Which version of which object, of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// An object's id is random, so it and the version tell places apart as well as all parts would.
impl Hash for VersionPlace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.hash(state);
        self.version.hash(state);
    }
}

impl VersionPlace {
    pub(super) fn context(&self, data_key: crypto::Commitment, metadata: [u8; 32]) -> Context {
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
    metadata: Arc<M>,
    value: Value,
}

/// The value, sealed.
#[derive(Debug)]
enum Value {
    /// With the open key of its version: the metadata had to be opened, or was sealed just now.
    Unwrapped {
        data_key: Key,
        context: Context,
        sealed: Sealed,
    },
    /// In the record that it stands in, of which nothing was opened.
    Untouched {
        owner_key: Arc<Key>,
        place: VersionPlace,
        record: Arc<Read>,
        /// Of the metadata's plaintext.
        metadata: Digest,
    },
}

/// A version's parts, none of them open.
struct Parts {
    wrapped: Sealed,
    commitment: crypto::Commitment,
    described: Sealed,
    value: Sealed,
}

impl Parts {
    fn of(record: &Record) -> Result<Self, VaultError> {
        let mut reader = record.reader();
        let parts = Self {
            wrapped: reader.sealed()?,
            commitment: reader.commitment()?,
            described: reader.sealed()?,
            value: reader.sealed()?,
        };
        reader.end()?;
        Ok(parts)
    }

    /// The record of these parts.
    fn to_record(&self) -> Record {
        Record::of(&self.wrapped)
            .with_commitment(self.commitment)
            .with_box(&self.described)
            .with_box(&self.value)
    }
}

/// Seals `value` with `metadata` as the version at `place`; the record, and the same as if it had been
/// read back.
pub(super) fn seal_version<M: Serialize>(
    owner_key: &Generations,
    place: &VersionPlace,
    metadata: M,
    value: &Secret,
    random: &dyn Random,
) -> Result<(Record, StoredValue<M>), VaultError> {
    let data_key = Key::generate(place.data_key_name(), random)?;
    let commitment = data_key.commitment();
    let text = serde_json::to_vec(&metadata).map_err(|_| VaultError::Form)?;
    let context = place.context(commitment, [0; 32]);
    let owner_key = owner_key.active();
    let wrapped = data_key
        .expose(|bytes| crypto::seal(&owner_key, Purpose::DataKey, &context, bytes, random))?;
    let described = crypto::seal_padded(&data_key, Purpose::Metadata, &context, &text, random)?;
    let context = place.context(commitment, sha256(&text));
    let sealed = value
        .expose(|bytes| crypto::seal_padded(&data_key, Purpose::Value, &context, bytes, random))?;
    let parts = Parts {
        wrapped,
        commitment,
        described,
        value: sealed,
    };
    let record = parts.to_record();
    let stored = StoredValue {
        metadata: Arc::new(metadata),
        value: Value::Unwrapped {
            data_key,
            context,
            sealed: parts.value,
        },
    };
    Ok((record, stored))
}

fn unwrap(
    owner_key: &Key,
    place: &VersionPlace,
    commitment: crypto::Commitment,
    wrapped: &Sealed,
) -> Result<Key, VaultError> {
    let context = place.context(commitment, [0; 32]);
    let data_key = crypto::open(owner_key, Purpose::DataKey, &context, wrapped)?;
    Ok(Key::from_secret(place.data_key_name(), &data_key)?)
}

/// Opens the data key and the metadata of the version at `place`.
pub(super) fn open_version<M: DeserializeOwned>(
    owner_key: &Generations,
    place: &VersionPlace,
    record: &Record,
) -> Result<StoredValue<M>, VaultError> {
    let parts = Parts::of(record)?;
    let data_key = unwrap(
        &*wrapped_by(owner_key, record)?,
        place,
        parts.commitment,
        &parts.wrapped,
    )?;
    let context = place.context(parts.commitment, [0; 32]);
    let text = crypto::open_padded(&data_key, Purpose::Metadata, &context, &parts.described)?;
    let (metadata, digest) = text.expose(|text| {
        (
            serde_json::from_slice(text).map_err(|_| VaultError::Form),
            sha256(text),
        )
    });
    Ok(StoredValue {
        metadata: Arc::new(metadata?),
        value: Value::Unwrapped {
            data_key,
            context: place.context(parts.commitment, digest),
            sealed: parts.value,
        },
    })
}

/// The generation that a version's data key is wrapped under.
fn wrapped_by(owner_key: &Generations, record: &Record) -> Result<Arc<Key>, CryptoError> {
    let name = record.key().ok_or(CryptoError::Form)?;
    owner_key.opener(name).ok_or(CryptoError::Open)
}

/// Whether one of these generations wraps the data key of the version at `place`.
pub(super) fn is_wrapped_by(
    owner_key: &Generations,
    place: &VersionPlace,
    record: &Record,
) -> bool {
    let opened = Parts::of(record).and_then(|parts| {
        let by = wrapped_by(owner_key, record)?;
        unwrap(&by, place, parts.commitment, &parts.wrapped)
    });
    opened.is_ok()
}

/// The same version once more: what [`StoredValue::described`] said of this very record is taken for
/// its metadata, and nothing is opened.
///
/// # Errors
/// When there is no key any more that it is wrapped under.
pub(super) fn recall_version<M>(
    owner_key: &Generations,
    place: &VersionPlace,
    record: Arc<Read>,
    (described, metadata): (Arc<M>, Digest),
) -> Result<StoredValue<M>, VaultError> {
    Ok(StoredValue {
        metadata: described,
        value: Value::Untouched {
            // The very key: it may be a while until the value is opened, and the generation be gone by then.
            owner_key: wrapped_by(owner_key, &record)?,
            place: *place,
            record,
            metadata,
        },
    })
}

impl<M> StoredValue<M> {
    /// What stands beside the value.
    #[must_use]
    pub fn metadata(&self) -> &M {
        &self.metadata
    }

    /// The metadata with the digest of its plaintext, for [`recall_version`].
    pub(super) fn described(&self) -> (Arc<M>, Digest) {
        let digest = match &self.value {
            Value::Unwrapped { context, .. } => context.metadata,
            Value::Untouched { metadata, .. } => *metadata,
        };
        (Arc::clone(&self.metadata), digest)
    }

    /// Opens the value. That the use is on disk in the journal is proved by `recorded`.
    ///
    /// # Errors
    /// When the record was altered.
    pub fn open(&self, _recorded: &Recorded) -> Result<Secret, VaultError> {
        let opened = match &self.value {
            Value::Unwrapped {
                data_key,
                context,
                sealed,
            } => crypto::open_padded(data_key, Purpose::Value, context, sealed)?,
            Value::Untouched {
                owner_key,
                place,
                record,
                metadata,
            } => {
                let parts = Parts::of(record)?;
                let data_key = unwrap(owner_key, place, parts.commitment, &parts.wrapped)?;
                let context = place.context(parts.commitment, *metadata);
                crypto::open_padded(&data_key, Purpose::Value, &context, &parts.value)?
            }
        };
        reached(Failpoint::ValueOpened);
        Ok(opened)
    }
}
