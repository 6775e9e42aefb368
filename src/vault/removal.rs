//! Going back: older versions, deletion, restoring, destroying.

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::id::OrgId;
use crate::policy::{DeleteSecret, Denied, Permit, RevealSecret, UpdateSecret};

use super::draft::{ATTEMPTS, Condition, without_secret};
use super::pointer::{Pointer, ReadPointer, owner_prefix};
use super::write::may_show;
use super::{Found, Vault, VaultError};

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It can be restored until then.
    Until(Timestamp),
    /// No answer can return it any more.
    Destroyed,
}

impl Vault {
    /// Brings an older version's value back, as a new version. Metadata stays as it is, except that a
    /// value which could not be revealed stays unrevealable. `shown` is whether the caller might be shown
    /// it: only then may it take on other hosts, or another end, than it was set with.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when that version is not kept; [`VaultError::Denied`] or
    /// [`VaultError::Rule`] when hosts or expiry differ, and the caller could not be shown the value.
    pub async fn roll_back_secret(
        &self,
        permit: &Permit<UpdateSecret>,
        shown: &Result<Permit<RevealSecret>, Denied>,
        version: u64,
        condition: Condition<'_>,
        recorded: &Recorded,
    ) -> Result<Found, VaultError> {
        let (org, place) = self.org_and_place(permit)?;
        for _ in 0..ATTEMPTS {
            let found = self.find_secret(&org, place.owner, &place.name).await?;
            let found = found.ok_or(VaultError::NotFound)?;
            condition.check(Some(&found.read))?;
            let old = self
                .open_secret_version(&org, place.owner, &found.read.pointer, version)
                .await?;
            // Where a value may go, how long, and who may see it is policy of the secret and not of
            // one value: rolling a value back widens nothing, and narrows what the old one forbade.
            let mut info = found.info().clone();
            info.revealable &= old.metadata().revealable;
            if old.metadata().hosts != info.hosts || old.metadata().expires != info.expires {
                may_show(shown, place, info.revealable)?;
            }
            info.updated = self.now();
            let value = old.open(recorded)?;
            let mut pointer = found.read.pointer.clone();
            pointer.rotated = Some(self.now());
            let (batch, found) = self
                .with_version(&org, place, Some(&found.read), pointer, info, &value)
                .await?;
            if self.committed(batch, recorded).await? {
                return Ok(found);
            }
        }
        Err(VaultError::Stale)
    }

    /// Deletes a secret: it can be restored for a while, unless `destroy`.
    ///
    /// # Errors
    /// [`VaultError::NotFound`], [`VaultError::Stale`].
    pub async fn delete_secret(
        &self,
        permit: &Permit<DeleteSecret>,
        destroy: bool,
        condition: Condition<'_>,
        recorded: &Recorded,
    ) -> Result<Deleted, VaultError> {
        let (org, place) = self.org_and_place(permit)?;
        for _ in 0..ATTEMPTS {
            let read = self.read_pointer(&org, place.owner, &place.name).await?;
            let read = read.ok_or(VaultError::NotFound)?;
            if read.pointer.deleted.is_some() && !destroy {
                return Err(VaultError::NotFound);
            }
            condition.check(Some(&read))?;
            let now = self.now();
            let (batch, deleted) = if destroy {
                (without_secret(&org, &read), Deleted::Destroyed)
            } else {
                let mut pointer = read.pointer.clone();
                pointer.deleted = Some(now);
                let (batch, _) = self.with_pointer(&org, place, &read, pointer).await?;
                (
                    batch,
                    Deleted::Until(now.plus_seconds(self.retention_days * 86_400)),
                )
            };
            if self.committed(batch, recorded).await? {
                if deleted == Deleted::Destroyed {
                    self.gave_room(&owner_prefix(&org, place.owner)).await;
                }
                return Ok(deleted);
            }
        }
        Err(VaultError::Stale)
    }

    /// Restores a deleted secret.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is no deleted secret of that name, [`VaultError::Stale`].
    pub async fn restore_secret(
        &self,
        permit: &Permit<DeleteSecret>,
        condition: Condition<'_>,
        recorded: &Recorded,
    ) -> Result<Found, VaultError> {
        let (org, place) = self.org_and_place(permit)?;
        for _ in 0..ATTEMPTS {
            let read = self.read_pointer(&org, place.owner, &place.name).await?;
            let read = read.filter(|read| read.pointer.deleted.is_some());
            let read = read.ok_or(VaultError::NotFound)?;
            condition.check(Some(&read))?;
            let mut pointer = read.pointer.clone();
            pointer.deleted = None;
            let (batch, _) = self.with_pointer(&org, place, &read, pointer).await?;
            if self.committed(batch, recorded).await? {
                let found = self.find_secret(&org, place.owner, &place.name).await?;
                return found.ok_or(VaultError::NotFound);
            }
        }
        Err(VaultError::Stale)
    }

    /// Destroys one owner's deleted secrets whose time is over; answers how many.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub(crate) async fn purge_deleted(
        &self,
        org: OrgId,
        owner: Owner,
        recorded: &Recorded,
    ) -> Result<usize, VaultError> {
        let org = self.org(org)?;
        let mut purged = 0;
        for read in self.overdue(&org, owner).await? {
            if self
                .committed(without_secret(&org, &read), recorded)
                .await?
            {
                purged += 1;
            }
        }
        if purged > 0 {
            self.gave_room(&owner_prefix(&org, owner)).await;
        }
        Ok(purged)
    }

    /// Whether an owner has deleted secrets whose time is over.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub(crate) async fn has_overdue(&self, org: OrgId, owner: Owner) -> Result<bool, VaultError> {
        let org = self.org(org)?;
        Ok(!self.overdue(&org, owner).await?.is_empty())
    }

    async fn overdue(
        &self,
        org: &super::OrgKeys,
        owner: Owner,
    ) -> Result<Vec<ReadPointer>, VaultError> {
        let Some(key) = self.owner_key(org, owner).await? else {
            return Ok(Vec::new());
        };
        let limit = self.now().plus_seconds(-self.retention_days * 86_400);
        let (prefix, mut after, mut overdue) = (owner_prefix(org, owner), None, Vec::new());
        loop {
            let page = self.store.scan(&prefix, after.as_ref(), 256).await?;
            let Some((last, _)) = page.last() else {
                return Ok(overdue);
            };
            after = Some(last.clone());
            for (place, record) in page {
                let pointer: Pointer = self.open_state(&key, org.id(), owner, &place, &record)?;
                if pointer.deleted.is_some_and(|at| at <= limit) {
                    overdue.push(ReadPointer::new(place, pointer, &record));
                }
            }
        }
    }
}
