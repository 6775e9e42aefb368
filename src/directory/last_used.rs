//! When keys were last used: known in memory at once, on disk within a minute.

use crate::clock::Timestamp;
use crate::id::{ApiKeyId, OrgId};
use crate::store::{Batch, Expect};
use crate::vault::Unsealed;

use super::key_records::{put_key, read_key};
use super::place::key_place;
use super::{Directory, DirectoryError};

impl Directory {
    /// Writes down when keys were last used. Called every minute, so that no request waits for it. One
    /// key whose record cannot be written does not keep the others from it.
    ///
    /// # Errors
    /// The first failure of the store, after every key had its turn.
    pub async fn write_last_used(&self, vault: &Unsealed) -> Result<(), DirectoryError> {
        let mut first = Ok(());
        for ((org, id), at) in self.take_used() {
            let written = self.write_used(vault, org, id, at).await;
            first = first.and(written);
        }
        first
    }

    async fn write_used(
        &self,
        vault: &Unsealed,
        org: OrgId,
        id: ApiKeyId,
        at: Timestamp,
    ) -> Result<(), DirectoryError> {
        let _turn = self.changes.lock().await;
        let org = vault.org(org)?;
        let (mut record, digest) = read_key(vault, &org, id).await?;
        record.last_used = record.last_used.max(Some(at));
        let mut batch = Batch::new();
        batch.expect(key_place(&org, id), Expect::Exactly(digest));
        put_key(vault, &org, &record, &mut batch)?;
        Ok(vault.commit_bookkeeping(batch).await?)
    }
}
