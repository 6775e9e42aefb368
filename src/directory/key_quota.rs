//! How many API keys a member has, and how many they made within a day: what ended is kept, so that
//! without the second count keys made and revoked in turn would fill the disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::id::{OrgId, UserId};
use crate::vault::{Counted, OrgKeys, Vault, VaultError};
use crate::wire::ApiKeyStatus;

use super::DirectoryError;
use super::key_records::{all_keys, ended};

/// How many times as many as may be valid may be made within a day.
const TURNOVER: usize = 10;
/// A day, in seconds.
const DAY: i64 = 86_400;

/// The most keys of one member, and how many each has at most. Keys end by themselves, so a count is
/// taken anew before anybody is refused, and then believed until the first of the counted keys ends or
/// one is revoked: whoever is full cannot have the broker count over and over.
#[derive(Debug)]
pub(super) struct KeyQuota {
    limit: usize,
    at_most: Mutex<HashMap<(OrgId, UserId), Count>>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    valid: usize,
    /// Made within the last day, whether or not they are valid.
    made: usize,
    /// Until when this is what was counted; `None` once a key was made or revoked since.
    exact_until: Option<Timestamp>,
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
        let full = |count: &Count| {
            let quota = |what, limit| Some(VaultError::Quota { what, limit });
            if count.valid >= limit {
                quota(Counted::Keys, limit)
            } else if count.made >= limit * TURNOVER {
                quota(Counted::KeysOfADay, limit * TURNOVER)
            } else {
                None
            }
        };
        let known = self.counts().get(&whose).copied();
        let holds = |count: &Count| {
            let exact = count.exact_until.is_some_and(|until| until > vault.now());
            exact || full(count).is_none()
        };
        let mut count = match known.filter(holds) {
            Some(count) => count,
            None => count(vault, org, user).await?,
        };
        let refused = full(&count);
        if refused.is_none() {
            count = Count {
                valid: count.valid + 1,
                made: count.made + 1,
                exact_until: None,
            };
        }
        self.counts().insert(whose, count);
        refused.map_or(Ok(()), |full| Err(full.into()))
    }

    /// Takes note that a key of `user` is being revoked.
    pub(super) fn gave_room(&self, org: OrgId, user: UserId) {
        if let Some(count) = self.counts().get_mut(&(org, user)) {
            count.exact_until = None;
        }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, HashMap<(OrgId, UserId), Count>> {
        self.at_most.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn count(vault: &Vault, org: &OrgKeys, user: UserId) -> Result<Count, DirectoryError> {
    let now = vault.now();
    let mut count = Count {
        valid: 0,
        made: 0,
        exact_until: Some(Timestamp::from_millis(i64::MAX)),
    };
    for key in all_keys(vault, org).await? {
        if key.user != user {
            continue;
        }
        let day = key.created.plus_seconds(DAY);
        let (valid, made) = (ended(&key, vault) == ApiKeyStatus::Active, day > now);
        count.valid += usize::from(valid);
        count.made += usize::from(made);
        let ends = [key.expires, key.revoked].into_iter().flatten();
        let ends = ends.filter(|_| valid).chain(made.then_some(day));
        count.exact_until = count.exact_until.into_iter().chain(ends).min();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::place::key_place;
    use super::super::{Directory, DirectoryError, First, MadeKey};
    use crate::policy::{self, CreateApiKey, RevokeApiKey, Scopes};
    use crate::vault::VaultError;
    use crate::vault::tests_rig::Rig;
    use crate::wire;

    fn full(made: Result<MadeKey, DirectoryError>) -> bool {
        let Err(DirectoryError::Vault(error)) = made else {
            return false;
        };
        matches!(error, VaultError::Quota { limit: 1, .. })
    }

    #[tokio::test]
    async fn whoever_is_full_is_counted_again_when_a_key_ended_and_not_before() {
        let (rig, directory) = (Rig::new().await, Directory::new(1));
        let (vault, recorded) = (&rig.vault, rig.recorded().await);
        let first = directory
            .ensure_first(vault, &First::of(7), &recorded)
            .await;
        assert!(first.unwrap());
        let me = directory.by_uid(vault, 7, 7).await.unwrap().unwrap();
        let me = me.principal();
        let permit = policy::check::<CreateApiKey>(me, Scopes::all()).unwrap();
        let request = r#"{"name": "ci", "expiresIn": "30d"}"#;
        let request: wire::CreateApiKey = serde_json::from_str(request).unwrap();
        let make = async || {
            let id = Directory::draw_key_id(vault).unwrap();
            directory
                .create_key(vault, &permit, id, &request, &recorded)
                .await
        };
        let key = make().await.unwrap().key.id;
        assert!(full(make().await));
        // Whoever counts comes upon a record that does not open.
        let place = key_place(&vault.org(me.org()).unwrap(), key);
        let kept = rig.raw(&place);
        rig.put_raw(&place, b"nothing");
        assert!(full(make().await), "counted again");
        rig.clock.advance_millis(31 * 86_400_000);
        assert!(!full(make().await), "the key is over, so it is counted");
        rig.clock.advance_millis(-30 * 86_400_000);
        rig.put_raw(&place, &kept);
        assert!(full(make().await));
        let permit = policy::check::<RevokeApiKey>(me, me.user()).unwrap();
        let revoked = directory.revoke_key(vault, &permit, key, &recorded).await;
        assert!(revoked.is_ok());
        assert!(make().await.is_ok(), "what was revoked counts no more");
    }
}
