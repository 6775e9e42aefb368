//! How many things one owner has: counted when somebody first makes one, and kept count of from then
//! on, so that making one more costs no scan however many there are.
//!
//! A count may be too high, by what was destroyed or did not come about. So it is taken anew before
//! anybody is refused, and then believed until something is destroyed: whoever is full cannot have
//! the broker count over and over.

use std::collections::HashMap;

use tokio::sync::Mutex;

use crate::crypto::Owner;
use crate::store::StoreKey;

use super::{Vault, VaultError};

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Secrets of one member.
    pub member_secrets: usize,
    /// Secrets that an organisation shares.
    pub shared_secrets: usize,
}

impl Quotas {
    pub(super) const fn secrets(self, owner: Owner) -> usize {
        if matches!(owner, Owner::ORG_SHARED) {
            self.shared_secrets
        } else {
            self.member_secrets
        }
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            member_secrets: 10_000,
            shared_secrets: 100_000,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Count {
    at_most: usize,
    /// Whether it was counted since anything was destroyed, and found full.
    full: bool,
}

/// The counts, by what the keys of the counted records begin with.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<StoreKey, Count>>);

impl Vault {
    /// Makes room for one more record under `prefix`, where there may be `limit` of `what`.
    ///
    /// # Errors
    /// [`VaultError::Quota`] when there is none; when the store fails.
    pub(crate) async fn make_room(
        &self,
        prefix: StoreKey,
        what: &'static str,
        limit: usize,
    ) -> Result<(), VaultError> {
        let mut counts = self.tally.0.lock().await;
        let count = match counts.get(&prefix) {
            Some(count) if count.full => limit,
            Some(count) if count.at_most < limit => count.at_most,
            _ => self.count_under(&prefix, limit).await?,
        };
        let full = count >= limit;
        let at_most = if full { count } else { count + 1 };
        counts.insert(prefix, Count { at_most, full });
        if full {
            return Err(VaultError::Quota { what, limit });
        }
        Ok(())
    }

    /// Takes note that something under `prefix` was destroyed.
    pub(crate) async fn gave_room(&self, prefix: &StoreKey) {
        if let Some(count) = self.tally.0.lock().await.get_mut(prefix) {
            count.full = false;
        }
    }

    /// How many records there are under `prefix`; what is beyond `limit` is not counted.
    async fn count_under(&self, prefix: &StoreKey, limit: usize) -> Result<usize, VaultError> {
        let (mut after, mut count) = (None, 0);
        while count < limit {
            let page = self.store.scan(prefix, after.as_ref(), 256).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            count += page.len();
        }
        Ok(count)
    }
}
