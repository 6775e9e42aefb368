//! When credentials were last used: known in memory at once, on disk within a minute.

use crate::clock::Timestamp;
use crate::id::{ApiKeyId, OrgId, ServiceCredentialId, ServiceId};
use crate::store::{Batch, Expect};
use crate::vault::Unsealed;

use super::key_records::{put_key, read_key};
use super::place::key_place;
use super::service_records::{put_service, read_service, service_place};
use super::{Directory, DirectoryError};

/// A credential whose uses are noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Used {
    /// A user's key.
    Key(OrgId, ApiKeyId),
    /// A key or certificate of a service.
    Service(OrgId, ServiceId, ServiceCredentialId),
}

impl Directory {
    /// Writes down when credentials were last used. Called every minute, so that no request waits for it.
    /// One whose record cannot be written does not keep the others from it.
    ///
    /// # Errors
    /// The first failure of the store, after each had its turn.
    pub async fn write_last_used(&self, vault: &Unsealed) -> Result<(), DirectoryError> {
        let mut first = Ok(());
        for (used, at) in self.take_used() {
            let written = match used {
                Used::Key(org, id) => self.write_used(vault, org, id, at).await,
                Used::Service(org, id, credential) => {
                    self.write_served(vault, org, (id, credential), at).await
                }
            };
            first = first.and(written);
        }
        first
    }

    async fn write_served(
        &self,
        vault: &Unsealed,
        org: OrgId,
        (id, credential): (ServiceId, ServiceCredentialId),
        at: Timestamp,
    ) -> Result<(), DirectoryError> {
        let _turn = self.changes.lock().await;
        let org = vault.org(org)?;
        let (mut record, digest) = match read_service(vault, &org, id).await {
            Ok(found) => found,
            // Removed since: nobody asks any more.
            Err(DirectoryError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        for one in &mut record.credentials {
            if one.id == credential {
                one.last_used = one.last_used.max(Some(at));
            }
        }
        let mut batch = Batch::new();
        batch.expect(service_place(&org, id), Expect::Exactly(digest));
        put_service(vault, &org, &record, &mut batch)?;
        Ok(vault.commit_bookkeeping(batch).await?)
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
