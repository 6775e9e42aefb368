//! Small sealed records: JSON inside one padded box, bound to the place where they stand.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::Recorded;
use crate::crypto::{self, Context, Owner, Purpose, Record, Sealed, sha256};
use crate::id::{ObjectId, OrgId};
use crate::store::{Batch, JournalMark, StoreKey};

use super::generations::Generations;
use super::{Vault, VaultError};

impl Vault {
    /// The context of the record at `place`: its object is the place itself, so that a record put
    /// under another key does not open.
    pub(super) fn place_context(&self, org: OrgId, owner: Owner, place: &StoreKey) -> Context {
        let digest = sha256(place.as_bytes());
        let object = digest.first_chunk().map_or([0; 16], |half| *half);
        Context {
            org,
            owner,
            ..Context::system(self.id, ObjectId::from_bytes(object), 0)
        }
    }

    /// Seals `state` for `place`.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub(crate) fn seal_state<T: Serialize>(
        &self,
        key: &Generations,
        org: OrgId,
        owner: Owner,
        place: &StoreKey,
        state: &T,
    ) -> Result<Record, VaultError> {
        let sealed = self.seal_state_box(key, org, owner, place, state)?;
        Ok(Record::of(&sealed))
    }

    /// The same as a box, for a record that holds more.
    pub(super) fn seal_state_box<T: Serialize>(
        &self,
        key: &Generations,
        org: OrgId,
        owner: Owner,
        place: &StoreKey,
        state: &T,
    ) -> Result<Sealed, VaultError> {
        let text = serde_json::to_vec(state).map_err(|_| VaultError::Form)?;
        let (context, key) = (self.place_context(org, owner, place), key.active());
        let random = self.random();
        Ok(crypto::seal_padded(
            &key,
            Purpose::State,
            &context,
            &text,
            random,
        )?)
    }

    /// Opens what [`Vault::seal_state`] sealed for `place`.
    ///
    /// # Errors
    /// When the record was altered, moved, or has an unknown form.
    pub(crate) fn open_state<T: DeserializeOwned>(
        &self,
        key: &Generations,
        org: OrgId,
        owner: Owner,
        place: &StoreKey,
        record: &Record,
    ) -> Result<T, VaultError> {
        let mut reader = record.reader();
        let sealed = reader.sealed()?;
        reader.end()?;
        self.open_state_box(key, org, owner, place, &sealed)
    }

    /// The same of a box, of a record that holds more.
    pub(super) fn open_state_box<T: DeserializeOwned>(
        &self,
        key: &Generations,
        org: OrgId,
        owner: Owner,
        place: &StoreKey,
        sealed: &Sealed,
    ) -> Result<T, VaultError> {
        let context = self.place_context(org, owner, place);
        let text = key.open_padded(Purpose::State, &context, sealed)?;
        text.expose(|text| serde_json::from_slice(text))
            .map_err(|_| VaultError::Form)
    }

    /// Commits `batch`; the store remembers the journal as it stood when the change was recorded.
    ///
    /// # Errors
    /// When a precondition does not hold, or the store fails.
    pub(crate) async fn commit(&self, batch: Batch, recorded: &Recorded) -> Result<(), VaultError> {
        let head = recorded.head();
        self.store
            .commit(batch, JournalMark::new(head.seq, head.hash))
            .await?;
        Ok(())
    }

    /// Commits what is no change of anybody's making: when a key was last used. Everything else takes
    /// the proof that it was recorded first.
    ///
    /// # Errors
    /// When a precondition does not hold, or the store fails.
    pub(crate) async fn commit_bookkeeping(&self, batch: Batch) -> Result<(), VaultError> {
        self.store.commit(batch, self.store.journal_mark()).await?;
        Ok(())
    }
}
