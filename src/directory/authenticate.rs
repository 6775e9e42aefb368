//! Recognising a caller.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::{Recorded, Word};
use crate::clock::Timestamp;
use crate::crypto::{Digest, Owner};
use crate::id::{ApiKeyId, OrgId};
use crate::policy::{Principal, Scopes, Via};
use crate::store::Batch;
use crate::vault::{Unsealed, VaultError};
use crate::wire::MemberStatus;

use super::key_quota::KeyQuota;
use super::last_used::Used;
use super::memory::{Bearer, Epoch, Memory};
use super::place::{
    KeyIndex, KeyRecord, LocalIndex, key_place, local_place, read_index, token_place,
};
use super::refused::{Refused, Rejected};
use super::standing::Recognised;
use super::{DirectoryError, Token};

/// The directory: recognition's memory, and the turn-taking of changes. Its data is in the vault.
#[derive(Default)]
pub struct Directory {
    pub(super) quota: KeyQuota,
    pub(super) memory: Memory,
    used: Mutex<HashMap<Used, Arc<AtomicI64>>>,
    pub(super) changes: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Directory")
    }
}

impl Directory {
    /// A directory where a member may have `keys_per_member` API keys that are valid.
    #[must_use]
    pub fn new(keys_per_member: usize) -> Self {
        Self {
            quota: KeyQuota::of(keys_per_member),
            ..Self::default()
        }
    }

    /// Commits a change of one organisation. From before anybody can see it until everybody of that
    /// organisation is forgotten, they are recognised by what the store says: a list never knows more than
    /// recognition does.
    pub(super) async fn commit(
        &self,
        vault: &Unsealed,
        org: OrgId,
        batch: Batch,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let changing = self.memory.changing(org);
        let committed = vault.commit(batch, recorded).await;
        drop(changing);
        committed
    }

    /// Forgets everybody, at sealing.
    pub fn forget(&self) {
        self.memory.forget();
    }

    /// Recognises the bearer of an API key.
    ///
    /// # Errors
    /// When the store fails; a key that is refused is `Ok(Err(_))`.
    pub async fn by_key(
        &self,
        vault: &Unsealed,
        text: &[u8],
    ) -> Result<Result<Recognised, Refused>, DirectoryError> {
        let Some(hash) = Token::hash_of(text, vault.system_index()) else {
            return Ok(Err(Rejected::Malformed.into()));
        };
        let now = vault.now();
        let epoch = match self.memory.seen(&hash, now) {
            Ok(seen) => return Ok(Ok(seen)),
            Err(epoch) => epoch,
        };
        let bearer = self.look_up(vault, &hash, now).await?;
        Ok(bearer.map(|bearer| self.remember(epoch, hash, bearer, now)))
    }

    /// Keeps whom `mark` led to in `epoch`, unless that is over.
    pub(super) fn remember(
        &self,
        epoch: Epoch,
        mark: Digest,
        bearer: Bearer,
        now: Timestamp,
    ) -> Recognised {
        let used = self.used_by(&bearer.0);
        self.memory.keep_seen(epoch, (mark, bearer), used, now)
    }

    /// Where it is counted when the principal's credentials were last used: a service's own, and the key of
    /// the user that it brought.
    fn used_by(&self, principal: &Principal) -> Vec<Arc<AtomicI64>> {
        let org = principal.org();
        let (service, key) = match principal.via() {
            Via::Local { .. } => (None, None),
            Via::ApiKey(key) => (None, Some(key)),
            Via::Service(acting) => {
                let key = match acting.word {
                    Some(Word::ApiKey(key)) => Some(key),
                    Some(Word::Delegation(_)) | None => None,
                };
                let service = Used::Service(org, acting.id, acting.credential);
                (Some(service), key)
            }
        };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let all = service
            .into_iter()
            .chain(key.map(|key| Used::Key(org, key)));
        let all = all.map(|one| Arc::clone(used.entry(one).or_default()));
        all.collect()
    }

    async fn look_up(
        &self,
        vault: &Unsealed,
        hash: &Digest,
        now: Timestamp,
    ) -> Result<Result<Bearer, Refused>, DirectoryError> {
        match self.key_of(vault, hash).await? {
            Some(index) => self.bearer_of(vault, (index.org, index.id), now).await,
            None => Ok(Err(Rejected::Unknown.into())),
        }
    }

    /// Which key has this hash.
    pub(super) async fn key_of(
        &self,
        vault: &Unsealed,
        hash: &Digest,
    ) -> Result<Option<KeyIndex>, DirectoryError> {
        Ok(read_index(vault, &token_place(hash)).await?)
    }

    /// Who bears the key of this id, as the store says now.
    pub(super) async fn bearer_of(
        &self,
        vault: &Unsealed,
        (org, id): (OrgId, ApiKeyId),
        now: Timestamp,
    ) -> Result<Result<Bearer, Refused>, DirectoryError> {
        // One that was destroyed meanwhile has none.
        let Ok(org) = vault.org(org) else {
            return Ok(Err(Rejected::Unknown.into()));
        };
        let place = key_place(&org, id);
        let record = vault.store().get(&place).await?.ok_or(VaultError::Form)?;
        let key: KeyRecord =
            vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
        let refused = |why| Refused {
            why,
            key: Some((org.id(), key.id)),
            service: None,
        };
        if vault.is_void(key.created) || key.revoked.is_some_and(|end| end <= now) {
            return Ok(Err(refused(Rejected::Revoked)));
        }
        if key.expires.is_some_and(|end| end <= now) {
            return Ok(Err(refused(Rejected::Expired)));
        }
        let member = self.member(vault, org.id(), key.user).await?;
        let Some(member) = member.filter(|member| member.0.status == MemberStatus::Active) else {
            return Ok(Err(refused(Rejected::NotAMember)));
        };
        let ends = [key.revoked, key.expires].into_iter().flatten().min();
        let principal = Principal::recognised(
            org.id(),
            key.user,
            member.0.role,
            Via::ApiKey(key.id),
            Arc::new(key.scopes),
        );
        Ok(Ok((principal.in_term(member.0.term), ends)))
    }

    /// Recognises a user of the machine, over the Unix socket. `operator` is the user id that the
    /// broker runs as: it, and root, run this installation.
    ///
    /// # Errors
    /// When the store fails; a user id that is refused is `Ok(Err(_))`.
    pub async fn by_uid(
        &self,
        vault: &Unsealed,
        uid: u32,
        operator: u32,
    ) -> Result<Result<Recognised, Rejected>, DirectoryError> {
        let epoch = self.memory.epoch();
        let runs_this = uid == operator || uid == 0;
        // Root acts as the broker's own user does, unless it is somebody else by name.
        let candidates = [uid, if runs_this { operator } else { uid }];
        for candidate in candidates {
            let place = local_place(vault.system_index(), candidate);
            let Some(index) = read_index::<LocalIndex>(vault, &place).await? else {
                continue;
            };
            let member = self.member(vault, index.org, index.user).await?;
            let Some(member) = member.filter(|member| member.0.status == MemberStatus::Active)
            else {
                return Ok(Err(Rejected::NotAMember));
            };
            let scopes = Arc::new(Scopes::all());
            let via = Via::Local { uid };
            let found = Principal::recognised(index.org, index.user, member.0.role, via, scopes);
            let found = found.in_term(member.0.term);
            let found = if runs_this { found.operating() } else { found };
            return Ok(Ok(Recognised::at(epoch, (found, None))));
        }
        Ok(Err(Rejected::UnknownUid))
    }

    /// When a credential was last used, as far as it is not on disk yet.
    pub(super) fn used_at(&self, one: Used) -> Option<Timestamp> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let at = used.get(&one).map_or(0, |at| at.load(Ordering::Relaxed));
        (at != 0).then(|| Timestamp::from_millis(at))
    }

    /// When each credential was last used, as far as it is not on disk yet; empties the list.
    pub(super) fn take_used(&self) -> Vec<(Used, Timestamp)> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = used.iter().filter_map(|(key, at)| {
            let at = at.swap(0, Ordering::Relaxed);
            (at != 0).then_some((*key, Timestamp::from_millis(at)))
        });
        fresh.collect()
    }
}
