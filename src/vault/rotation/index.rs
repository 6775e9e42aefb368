//! Replacing the key that names in the database are under.
//!
//! ```text
//! drawn    the next veil's key is written down                      killed here: it is removed at the next start
//! copied   every record into fresh files, in which it stands under  killed here: the copy is gone on with
//!          another name; everybody is served meanwhile
//! turned   the copy is the store, in one rename                     killed here or later: the key before is removed
//! retired  the key before is destroyed, and its files removed         at the next start
//! ```
//!
//! Names are keyed hashes, which nobody can move under another key without knowing what was hashed. So another
//! key lies over them, a [`Veil`](crate::crypto::Veil), and that is the one that is replaced, for all
//! organisations at once: to replace it for one alone would show on disk which records are that one's. Whoever
//! knows the keys of the hashes, and every veil before, finds nothing by a name that they guess.
//!
//! No record is ever under two names, or under one that cannot be found: the store is in one folder or in the
//! other, whole, and the copy becomes the store only when count and digest of what is in it, read back from
//! disk, are the store's (see [`Store::rewrite`](crate::store::Store::rewrite)).

use std::sync::Arc;

use crate::audit::Recorded;
use crate::crypto::Key;
use crate::failpoint::{Failpoint, reached};
use crate::store::{Batch, Progress, Rewritten};
use crate::vault::system::{SystemPlace, Which};
use crate::vault::{Vault, VaultError};

impl Vault {
    /// Has every name in the database stand under another key, while everybody is served. One that was cut
    /// short is gone on with.
    ///
    /// # Errors
    /// What [`Store::rewrite`](crate::store::Store::rewrite) reports: the store is then where it was, and it can be
    /// gone on with.
    pub async fn rotate_index_key(
        &self,
        progress: Arc<Progress>,
        recorded: &Recorded,
    ) -> Result<Rewritten, VaultError> {
        let _turn = self.rotations.veiling.lock().await;
        let (_, begun) = self.store.veils()?;
        let kept = match begun {
            Some(version) => {
                let place = SystemPlace::new(Which::Veil, version);
                self.system_key_at(place).await?
            }
            None => None,
        };
        let key = match kept {
            Some(kept) => kept,
            None => self.draw_veil(recorded).await?,
        };
        let store = self.store.clone();
        let turning = move || store.rewrite_under(&key, &progress);
        let turned = tokio::task::spawn_blocking(turning).await;
        let turned = turned.map_err(|_| VaultError::Form)??;
        reached(Failpoint::IndexTurned);
        self.retire_stale(recorded).await?;
        Ok(turned)
    }

    /// Whether a replacement of that key was cut short before the copy was the store.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_index_turning(&self) -> Result<bool, VaultError> {
        // A store in memory has no names on disk.
        let on_disk = self.store.engine_kind().is_some();
        Ok(on_disk && self.store.veils()?.1.is_some())
    }

    /// Whether a key is there that no name is under.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_stale_veils(&self) -> Result<bool, VaultError> {
        // One that was drawn just now is under no name yet.
        let Ok(_turn) = self.rotations.veiling.try_lock() else {
            return Ok(false);
        };
        Ok(!self.stale_veils().await?.is_empty())
    }

    /// Destroys the keys that no name is under, once no replacement is under way.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retire_veils(&self, recorded: &Recorded) -> Result<(), VaultError> {
        let _turn = self.rotations.veiling.lock().await;
        self.retire_stale(recorded).await
    }

    async fn retire_stale(&self, recorded: &Recorded) -> Result<(), VaultError> {
        let stale = self.stale_veils().await?;
        if stale.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for place in stale {
            batch.delete(place.key());
        }
        self.commit(batch, recorded).await?;
        reached(Failpoint::IndexRetired);
        Ok(())
    }

    async fn stale_veils(&self) -> Result<Vec<SystemPlace>, VaultError> {
        if self.store.engine_kind().is_none() {
            return Ok(Vec::new());
        }
        let (live, begun) = self.store.veils()?;
        let mut places = self.system_places().await?;
        places.retain(|place| {
            let used = [live, begun].contains(&Some(place.version));
            place.which == Which::Veil && !used
        });
        Ok(places)
    }

    async fn draw_veil(&self, recorded: &Recorded) -> Result<Key, VaultError> {
        let (live, _) = self.store.veils()?;
        let places = self.system_places().await?;
        let veils = places.iter().filter(|place| place.which == Which::Veil);
        let last = veils.map(|place| place.version).chain(live).max();
        let version = last.unwrap_or(0).checked_add(1).ok_or(VaultError::Form)?;
        let mut batch = Batch::new();
        let key = self.draw_system_key(SystemPlace::new(Which::Veil, version), &mut batch)?;
        self.commit(batch, recorded).await?;
        reached(Failpoint::IndexDrawn);
        Ok(key)
    }
}
