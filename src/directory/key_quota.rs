//! How many API keys a member has.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::id::{OrgId, UserId};
use crate::vault::{OrgKeys, Vault, VaultError};
use crate::wire::ApiKeyStatus;

use super::DirectoryError;
use super::key_records::{all_keys, ended};

/// The most keys of one member, and how many each has at most: keys end by themselves, so a count is
/// taken anew before anybody is refused.
#[derive(Debug)]
pub(super) struct KeyQuota {
    limit: usize,
    at_most: Mutex<HashMap<(OrgId, UserId), usize>>,
}

impl Default for KeyQuota {
    fn default() -> Self {
        Self::of(1_000)
    }
}

impl KeyQuota {
    pub(super) fn of(limit: usize) -> Self {
        Self {
            limit,
            at_most: Mutex::default(),
        }
    }

    /// Makes room for one more key of `user`, which is new or replaces another. What is replaced may be
    /// valid for some days more, so that twice as many leave room for a replacement. Whoever calls has
    /// the turn of changes.
    ///
    /// # Errors
    /// [`VaultError::Quota`] when there is none; when the store fails.
    pub(super) async fn make_room(
        &self,
        vault: &Vault,
        org: &OrgKeys,
        user: UserId,
        is_new: bool,
    ) -> Result<(), DirectoryError> {
        let whose = (org.id(), user);
        let limit = if is_new { self.limit } else { self.limit * 2 };
        let known = self.counts().get(&whose).copied();
        let count = match known {
            Some(count) if count < limit => count,
            _ => count(vault, org, user).await?,
        };
        if count >= limit {
            return Err(DirectoryError::Vault(VaultError::Quota {
                what: "valid API keys of this member",
                limit,
            }));
        }
        self.counts().insert(whose, count + 1);
        Ok(())
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, HashMap<(OrgId, UserId), usize>> {
        self.at_most.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn count(vault: &Vault, org: &OrgKeys, user: UserId) -> Result<usize, DirectoryError> {
    let now = vault.now();
    let keys = all_keys(vault, org).await?;
    let valid = keys
        .iter()
        .filter(|(key, _)| key.user == user && ended(key, now) == ApiKeyStatus::Active);
    Ok(valid.count())
}
