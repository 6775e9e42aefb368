//! Replacing the journal's keys: the one that seals its frames, and the one that signs its checkpoints.
//!
//! ```text
//! drawn      both are written down, under the root key                  killed here: they take over at the next start
//! announced  the chain names the key that signs next, and the one in force signs that
//! begun      a segment under the next keys                              killed from here on: they are in force
//!            their first checkpoint
//! retired    of the key that signed before, its public half is left     done at the next start, where it was not
//! ```
//!
//! What the journal's last segment is under is in force, and nothing else says so: see
//! [`JournalKeys`](crate::audit::JournalKeys).

use crate::audit::{JournalKey, Recorded, Signer};
use crate::crypto::{Key, PublicKey, Record, SigningKey};
use crate::failpoint::{Failpoint, reached};
use crate::store::{Batch, Class, Expect, StoreKey};
use crate::vault::system::{SystemPlace, Which};
use crate::vault::{Vault, VaultError};

impl Vault {
    /// Replaces the keys of the journal while everybody is served. Answers the number of the new ones, and the
    /// key that verifies what they sign. One that was cut short is gone on with.
    ///
    /// # Errors
    /// When the store or the journal fails: it can be gone on with.
    pub async fn rotate_journal_keys(
        &self,
        recorded: &Recorded,
    ) -> Result<(u32, PublicKey), VaultError> {
        let _turn = self.rotations.changing.lock().await;
        let version = self.journal.key_version();
        let version = version.checked_add(1).ok_or(VaultError::Form)?;
        let next = match self.kept_journal_key(version).await? {
            Some(kept) => kept,
            None => self.draw_journal_key(version, recorded).await?,
        };
        self.hand_over(next).await?;
        self.retire_signers(recorded).await?;
        Ok((version, self.journal.public_key()))
    }

    /// Whether a replacement of the journal's keys was cut short.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_journal_turning(&self) -> Result<bool, VaultError> {
        let places = self.system_places().await?;
        let current = self.journal.key_version();
        let of = |which: Which| places.iter().filter(move |place| place.which == which);
        if of(Which::JournalSeal).any(|place| place.version > current) {
            return Ok(true);
        }
        let older = of(Which::JournalSign).filter(|place| place.version < current);
        for place in older {
            if self.signs(*place).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends a replacement that was cut short: the keys that were drawn take over, and the one before goes.
    ///
    /// # Errors
    /// As [`Vault::rotate_journal_keys`].
    pub async fn end_journal_rotation(&self, recorded: &Recorded) -> Result<(), VaultError> {
        let _turn = self.rotations.changing.lock().await;
        let version = self.journal.key_version().checked_add(1);
        let version = version.ok_or(VaultError::Form)?;
        if let Some(kept) = self.kept_journal_key(version).await? {
            self.hand_over(kept).await?;
        }
        self.retire_signers(recorded).await
    }

    async fn hand_over(&self, next: JournalKey) -> Result<(), VaultError> {
        let (journal, version) = (self.journal.clone(), next.version());
        let turned = tokio::task::spawn_blocking(move || journal.hand_over(next)).await;
        match turned.map_err(|_| VaultError::Form)? {
            // It may have been done, and only its end not have been heard of.
            Err(_) if self.journal.key_version() == version => Ok(()),
            turned => Ok(turned.map(drop)?),
        }
    }

    /// Draws the journal's next keys, and writes them down.
    pub(super) async fn draw_journal_key(
        &self,
        version: u32,
        recorded: &Recorded,
    ) -> Result<JournalKey, VaultError> {
        let mut batch = Batch::new();
        let mut draw = |which| {
            let place = SystemPlace::new(which, version);
            self.draw_system_key(place, &mut batch)
        };
        let (seal, sign) = (draw(Which::JournalSeal)?, draw(Which::JournalSign)?);
        self.commit(batch, recorded).await?;
        reached(Failpoint::AuditDrawn);
        let sign = Signer::Signs(SigningKey::from_seed(&sign)?);
        Ok(JournalKey::new(seal.sheltered(), sign))
    }

    /// The keys of that generation, where they were drawn.
    async fn kept_journal_key(&self, version: u32) -> Result<Option<JournalKey>, VaultError> {
        let seal = self.system_key_at(SystemPlace::new(Which::JournalSeal, version));
        let sign = self.system_key_at(SystemPlace::new(Which::JournalSign, version));
        let (Some(seal), Some(sign)) = (seal.await?, sign.await?) else {
            return Ok(None);
        };
        let sign = Signer::Signs(SigningKey::from_seed(&sign)?);
        Ok(Some(JournalKey::new(seal, sign)))
    }

    /// Destroys what signed before the keys that are in force.
    async fn retire_signers(&self, recorded: &Recorded) -> Result<(), VaultError> {
        reached(Failpoint::AuditRetires);
        let current = self.journal.key_version();
        for place in self.system_places().await? {
            let older = place.which == Which::JournalSign && place.version < current;
            if !older || !self.signs(place).await? {
                continue;
            }
            let Some(seed) = self.system_key_at(place).await? else {
                continue;
            };
            let public = SigningKey::from_seed(&seed)?.public();
            let root = self.keyring.root.active();
            let gone = place.seal_gone(self.id, &root, public, self.random())?;
            drop(root);
            let mut batch = Batch::new();
            batch.put(place.key(), gone);
            self.commit(batch, recorded).await?;
            reached(Failpoint::AuditRetired);
        }
        Ok(())
    }

    /// Whether a key that signs stands there, and not what is left of one.
    async fn signs(&self, place: SystemPlace) -> Result<bool, VaultError> {
        let Some(record) = self.store.get(&place.key()).await? else {
            return Ok(false);
        };
        Ok(place.holds_key(&record.reader().sealed()?))
    }

    /// A fresh key of the installation, which `batch` writes down where none stands.
    pub(super) fn draw_system_key(
        &self,
        place: SystemPlace,
        batch: &mut Batch,
    ) -> Result<Key, VaultError> {
        let key = Key::generate(place.name(), self.random())?;
        let root = self.keyring.root.active();
        batch.expect(place.key(), Expect::Absent);
        batch.put(
            place.key(),
            place.seal(self.id, &root, &key, self.random())?,
        );
        Ok(key)
    }

    /// Where keys of the installation stand.
    pub(super) async fn system_places(&self) -> Result<Vec<SystemPlace>, VaultError> {
        let found = self.system_records().await?;
        let places = found.iter().filter_map(|(place, _)| SystemPlace::of(place));
        Ok(places.collect())
    }

    /// Their records. There are two more for each replacement of the journal's keys, and they are all needed.
    pub(super) async fn system_records(&self) -> Result<Vec<(StoreKey, Record)>, VaultError> {
        let prefix = StoreKey::new(Class::SystemKey, &[]);
        let mut all: Vec<(StoreKey, Record)> = Vec::new();
        loop {
            let after = all.last().map(|(place, _)| place);
            let page = self.store.scan(&prefix, after, 256).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// A key of the installation, if it is there.
    pub(super) async fn system_key_at(
        &self,
        place: SystemPlace,
    ) -> Result<Option<Key>, VaultError> {
        let Some(record) = self.store.get(&place.key()).await? else {
            return Ok(None);
        };
        place.open(self.id, &self.keyring.root, &record).map(Some)
    }
}
