//! Sealing one record anew: the same content, in the same context, under the active generation.

use crate::crypto::{self, CryptoError, Owner, Purpose, Record};
use crate::id::OrgId;
use crate::store::StoreKey;
use crate::vault::generations::Generations;
use crate::vault::key_record::Line;
use crate::vault::pointer::Pointer;
use crate::vault::value::VersionPlace;
use crate::vault::{OrgKeys, Vault, VaultError};

/// What became of a record.
#[derive(Debug)]
pub(super) enum Rewrapped {
    /// It was under the active generation, or under none of this key's.
    Nothing,
    /// It is to be replaced by this one.
    By(Record),
    /// An older generation sealed it, and it does not open.
    Stuck,
}

impl Vault {
    /// A small sealed record, which belongs to one of `owners`. The one that fits is put first.
    pub(super) fn rewrap_state(
        &self,
        (keys, org): (&Generations, OrgId),
        owners: &mut [Owner],
        place: &StoreKey,
        record: &Record,
    ) -> Result<Rewrapped, VaultError> {
        let Some(name) = record.key().filter(|name| keys.is_older(*name)) else {
            return Ok(Rewrapped::Nothing);
        };
        let key = keys.opener(name).ok_or(VaultError::Form)?;
        let mut reader = record.reader();
        let sealed = reader.sealed()?;
        if reader.end().is_err() || !sealed.is_of(Purpose::State) {
            return Ok(Rewrapped::Stuck);
        }
        for at in 0..owners.len() {
            let Some(owner) = owners.get(at).copied() else {
                break;
            };
            let context = self.place_context(org, owner, place);
            match crypto::open_padded(&key, Purpose::State, &context, &sealed) {
                Ok(text) => {
                    owners.swap(0, at);
                    let (active, random) = (keys.active(), self.random());
                    let sealed = text.expose(|text| {
                        crypto::seal_padded(&active, Purpose::State, &context, text, random)
                    });
                    return Ok(Rewrapped::By(Record::of(&sealed?)));
                }
                Err(CryptoError::Open) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Rewrapped::Stuck)
    }

    /// A pointer, and what it says: whoever rewraps it goes on to the versions that it names.
    pub(super) fn rewrap_pointer(
        &self,
        (keys, org, owner): (&Generations, OrgId, Owner),
        place: &StoreKey,
        record: &Record,
    ) -> Result<(Pointer, Rewrapped), VaultError> {
        let mut reader = record.reader();
        let sealed = reader.sealed()?;
        reader.end()?;
        let context = self.place_context(org, owner, place);
        let text = keys.open_padded(Purpose::State, &context, &sealed)?;
        let pointer = text.expose(|text| serde_json::from_slice(text));
        let pointer = pointer.map_err(|_| VaultError::Form)?;
        if !record.key().is_some_and(|name| keys.is_older(name)) {
            return Ok((pointer, Rewrapped::Nothing));
        }
        let (active, random) = (keys.active(), self.random());
        let sealed = text
            .expose(|text| crypto::seal_padded(&active, Purpose::State, &context, text, random));
        Ok((pointer, Rewrapped::By(Record::of(&sealed?))))
    }

    /// A version: its data key is wrapped anew, and its payload stays.
    pub(super) fn rewrap_version(
        &self,
        keys: &Generations,
        place: &VersionPlace,
        record: &Record,
    ) -> Result<Rewrapped, VaultError> {
        let Some(name) = record.key().filter(|name| keys.is_older(*name)) else {
            return Ok(Rewrapped::Nothing);
        };
        let key = keys.opener(name).ok_or(VaultError::Form)?;
        let mut reader = record.reader();
        let (wrapped, commitment) = (reader.sealed()?, reader.commitment()?);
        let context = place.context(commitment, [0; 32]);
        let data_key = match crypto::open(&key, Purpose::DataKey, &context, &wrapped) {
            Ok(data_key) => data_key,
            Err(CryptoError::Open) => return Ok(Rewrapped::Stuck),
            Err(error) => return Err(error.into()),
        };
        let (active, random) = (keys.active(), self.random());
        let wrapped = data_key
            .expose(|bytes| crypto::seal(&active, Purpose::DataKey, &context, bytes, random));
        // What stands under the data key is not touched.
        Ok(Rewrapped::By(record.with_first_box(&wrapped?)?))
    }

    /// An owner's key record, all of whose boxes are the organisation's.
    pub(super) fn rewrap_owner_key(
        &self,
        org: &OrgKeys,
        owner: Option<Owner>,
        place: &StoreKey,
        record: &Record,
    ) -> Result<Rewrapped, VaultError> {
        let older = record.key().is_some_and(|name| org.kek().is_older(name));
        if !older {
            return Ok(Rewrapped::Nothing);
        }
        let Some(owner) = owner else {
            return Ok(Rewrapped::Stuck);
        };
        let mut sealeds = self.read_owner_record(org, owner, place, record)?;
        let versions: Vec<_> = sealeds.line.versions().collect();
        for (version, sealed) in versions.into_iter().zip(&mut sealeds.keys) {
            let key = self.open_owner_key(org, owner, version, sealed)?;
            *sealed = self.seal_owner_key(org, owner, &key)?;
        }
        let record = match sealeds.keys.as_slice() {
            [only] if sealeds.line == Line::first() => Record::of(only),
            _ => self.write_owner_record(org, owner, place, &sealeds)?,
        };
        Ok(Rewrapped::By(record))
    }
}
