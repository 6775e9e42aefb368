//! Taking away what is left of an organisation, and then its key.
//!
//! By then its owners have nothing any more ([`Vault::shred_owner`]). What is left is under the organisation's
//! key, and is found by that: every record says which key sealed it, so that nothing has to be remembered here
//! of a kind of record that comes to be. The key goes last, in one commit with the record that says that the
//! organisation is deleted: as long as that is there, there may be something to go on with.

use crate::audit::Recorded;
use crate::crypto::Record;
use crate::failpoint::{Failpoint, reached};
use crate::id::OrgId;
use crate::store::{Batch, Class, StoreKey};

use super::rotation::lists;
use super::{Vault, VaultError};

/// How many records go in one commit.
const PAGE: usize = 256;

impl Vault {
    /// Whether the installation's own key sealed a record, and no organisation's.
    pub(crate) fn is_of_installation(&self, record: &Record) -> bool {
        let name = record.key();
        name.is_some_and(|name| name.id == self.system_key().name().id)
    }

    /// Destroys the records that an organisation's key sealed, and the key with the record at `last`. Answers how
    /// many went. Can be done again after a kill.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn shred_org(
        &self,
        org: OrgId,
        last: StoreKey,
        recorded: &Recorded,
    ) -> Result<u64, VaultError> {
        let _turn = self.end_rotation_of(org).await;
        let keys = StoreKey::new(Class::OwnerKey, &[]);
        let mut gone = 0;
        for list in lists().chain([keys]) {
            gone += self.shred_list(org, &list, &last, recorded).await?;
        }
        reached(Failpoint::OrgShredded);
        let mut batch = Batch::new();
        for place in [last, self.org_key_place(org), self.job_place(org)] {
            batch.delete(place);
            gone += 1;
        }
        self.commit(batch, recorded).await?;
        reached(Failpoint::OrgKeyDestroyed);
        self.keyring.forget_org(org);
        self.forget_rotation_of(org);
        Ok(gone)
    }

    async fn shred_list(
        &self,
        org: OrgId,
        list: &StoreKey,
        last: &StoreKey,
        recorded: &Recorded,
    ) -> Result<u64, VaultError> {
        let (mut after, mut gone) = (None, 0);
        loop {
            let page = self.store.scan(list, after.as_ref(), PAGE).await?;
            let Some((end, _)) = page.last() else {
                return Ok(gone);
            };
            after = Some(end.clone());
            let mut batch = Batch::new();
            for (place, record) in page {
                let name = record.key();
                let theirs = name.is_some_and(|name| name.id.bytes() == org.bytes());
                if theirs && place != *last {
                    batch.delete(place);
                    gone += 1;
                }
            }
            if !batch.is_empty() {
                self.commit(batch, recorded).await?;
            }
        }
    }
}
