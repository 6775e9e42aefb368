//! API keys: made, shown once, changed, replaced, revoked.

use std::sync::Arc;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::id::{ApiKeyId, OrgId, UserId};
use crate::policy::{
    Action, CreateApiKey, ListApiKeys, Permit, ReadApiKey, RevokeApiKey, RotateApiKey, Scopes,
    UpdateApiKey,
};
use crate::secret::Secret;
use crate::store::{Batch, Expect};
use crate::vault::{OrgKeys, Unsealed, Vault, parse_expiry};
use crate::wire::{self, ApiKeyStatus};

use super::key_records::{all_keys, capped, check_project, ended, put_key, read_key};
use super::last_used::Used;
use super::organizations::check_name;
use super::place::{KeyIndex, KeyRecord, key_place, put_index, token_place};
use super::token::Kind;
use super::{Directory, DirectoryError, Token};

/// The longest grace of a replaced key, in seconds (7 days).
const MAX_GRACE: u32 = 604_800;

/// A key that was just made, with its text.
#[derive(Debug)]
pub struct MadeKey {
    /// The key.
    pub key: wire::ApiKey,
    /// Its text, to be shown once.
    pub text: Secret,
}

/// What a new key is to be.
struct Wanted {
    id: ApiKeyId,
    user: UserId,
    name: String,
    test: bool,
    scopes: Scopes,
    project: Option<String>,
    expires: Option<Timestamp>,
}

impl Directory {
    /// Makes a key for the caller. It does not outlive the key that makes it.
    ///
    /// # Errors
    /// [`DirectoryError::Rule`] for a bad name, expiry or project; [`VaultError::Quota`](crate::vault::VaultError::Quota).
    pub async fn create_key(
        &self,
        vault: &Unsealed,
        permit: &Permit<CreateApiKey>,
        id: ApiKeyId,
        request: &wire::CreateApiKey,
        recorded: &Recorded,
    ) -> Result<MadeKey, DirectoryError> {
        check_name(&request.name)?;
        check_project(request.project_id.as_deref())?;
        let now = vault.now();
        let expires = match &request.expires_in {
            Some(text) => parse_expiry(text, now)?,
            None => None,
        };
        let _turn = self.turn(vault, permit).await?;
        let caller = permit.principal();
        let org = vault.org(caller.org())?;
        self.quota
            .make_room(vault, &org, caller.user(), true)
            .await?;
        let parent = self.end_of(vault, caller).await?;
        let wanted = Wanted {
            id,
            user: caller.user(),
            name: request.name.clone(),
            test: request.is_test.unwrap_or(false),
            scopes: permit.object().clone(),
            project: request.project_id.clone(),
            expires: capped(expires, parent),
        };
        self.make_key(vault, caller.org(), wanted, Batch::new(), recorded)
            .await
    }

    /// Makes the first key of `user`, who was just added to `org`; who added them must be allowed to
    /// hand out its scopes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create_first_key(
        &self,
        vault: &Unsealed,
        permit: &Permit<CreateApiKey>,
        id: ApiKeyId,
        (org, user): (OrgId, UserId),
        recorded: &Recorded,
    ) -> Result<MadeKey, DirectoryError> {
        let _turn = self.turn(vault, permit).await?;
        let parent = self.end_of(vault, permit.principal()).await?;
        let wanted = Wanted {
            id,
            user,
            name: "first key".to_owned(),
            test: false,
            scopes: permit.object().clone(),
            project: None,
            expires: capped(parse_expiry("90d", vault.now())?, parent),
        };
        self.make_key(vault, org, wanted, Batch::new(), recorded)
            .await
    }

    async fn make_key(
        &self,
        vault: &Unsealed,
        org: OrgId,
        wanted: Wanted,
        mut batch: Batch,
        recorded: &Recorded,
    ) -> Result<MadeKey, DirectoryError> {
        let org = vault.org(org)?;
        let kind = if wanted.test { Kind::Test } else { Kind::Live };
        let token = Token::generate(kind, vault.random())?;
        let record = KeyRecord {
            id: wanted.id,
            user: wanted.user,
            name: wanted.name,
            prefix: token.prefix(),
            test: wanted.test,
            scopes: wanted.scopes,
            project: wanted.project,
            created: vault.handed_out_now(),
            expires: wanted.expires,
            revoked: None,
            last_used: None,
        };
        put_key(vault, &org, &record, &mut batch)?;
        let place = token_place(&token.hash(vault.system_index()));
        let index = KeyIndex {
            org: org.id(),
            id: record.id,
        };
        put_index(vault, place, &index, &mut batch)?;
        self.commit(vault, org.id(), batch, recorded).await?;
        let key = self.show(vault, &org, record).await?;
        Ok(MadeKey {
            key,
            text: token.into_secret(),
        })
    }

    /// Reads one key. Whose it is must be known before a permit can be asked for.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`].
    pub async fn key_owner(
        &self,
        vault: &Unsealed,
        org: OrgId,
        id: ApiKeyId,
    ) -> Result<(UserId, Scopes), DirectoryError> {
        let org = vault.org(org)?;
        let (record, _) = read_key(vault, &org, id).await?;
        Ok((record.user, record.scopes))
    }

    /// One key's metadata.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`].
    pub async fn key(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReadApiKey>,
        id: ApiKeyId,
    ) -> Result<wire::ApiKey, DirectoryError> {
        let org = vault.org(permit.principal().org())?;
        let (record, _) = read_key(vault, &org, id).await?;
        if record.user != *permit.object() {
            return Err(DirectoryError::NotFound);
        }
        self.show(vault, &org, record).await
    }

    /// The caller's keys, or every member's, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keys(
        &self,
        vault: &Unsealed,
        permit: &Permit<ListApiKeys>,
    ) -> Result<Vec<wire::ApiKey>, DirectoryError> {
        let org = vault.org(permit.principal().org())?;
        let own = permit.principal().user();
        let mut keys = Vec::new();
        for record in all_keys(vault, &org).await? {
            if *permit.object() || record.user == own {
                keys.push(self.show(vault, &org, record).await?);
            }
        }
        keys.sort_by_key(|key| std::cmp::Reverse((key.created_at, key.id)));
        Ok(keys)
    }

    /// Changes a key's name, scopes or project.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], [`DirectoryError::Rule`].
    pub async fn update_key(
        &self,
        vault: &Unsealed,
        permit: &Permit<UpdateApiKey>,
        id: ApiKeyId,
        change: &wire::UpdateApiKey,
        recorded: &Recorded,
    ) -> Result<wire::ApiKey, DirectoryError> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        check_project(change.project_id.as_ref().and_then(Option::as_deref))?;
        let (owner, scopes) = permit.object();
        self.change_key(vault, permit, *owner, id, recorded, |record| {
            if let Some(name) = &change.name {
                record.name.clone_from(name);
            }
            if let Some(project) = &change.project_id {
                record.project.clone_from(project);
            }
            if let Some(scopes) = scopes {
                record.scopes.clone_from(scopes);
            }
        })
        .await
    }

    /// Revokes a key, at once.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] when there is none, or it was revoked before.
    pub async fn revoke_key(
        &self,
        vault: &Unsealed,
        permit: &Permit<RevokeApiKey>,
        id: ApiKeyId,
        recorded: &Recorded,
    ) -> Result<wire::ApiKey, DirectoryError> {
        let now = vault.now();
        let owner = *permit.object();
        let org = permit.principal().org();
        self.change_key(vault, permit, owner, id, recorded, |record| {
            record.revoked = Some(record.revoked.map_or(now, |end| end.min(now)));
            // Within the turn: nobody counts between this and the change.
            self.quota.gave_room(org, owner);
        })
        .await
    }

    /// Replaces key `id` by `new` of the same scopes and life, which does not outlive the key that
    /// asks for it; the old one works for the grace.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], [`DirectoryError::Rule`].
    pub async fn rotate_key(
        &self,
        vault: &Unsealed,
        permit: &Permit<RotateApiKey>,
        (id, new): (ApiKeyId, ApiKeyId),
        request: &wire::RotateApiKey,
        recorded: &Recorded,
    ) -> Result<MadeKey, DirectoryError> {
        let grace = request.grace_seconds.unwrap_or(0);
        if grace > MAX_GRACE {
            return Err(DirectoryError::Rule(
                "a grace is at most 604,800 seconds (7 days)",
            ));
        }
        if let Some(name) = &request.name {
            check_name(name)?;
        }
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(permit.principal().org())?;
        let (mut old, digest) = read_key(vault, &org, id).await?;
        let now = vault.now();
        // The permit was given for these scopes; a key that was widened since needs another.
        let (owner, scopes) = permit.object();
        let changed = old.user != *owner || old.scopes != *scopes;
        if changed || ended(&old, vault) != ApiKeyStatus::Active {
            return Err(DirectoryError::NotFound);
        }
        // A key whose life was a span gets the same span again, not the rest of the old one.
        let expires = old
            .expires
            .map(|end| now.plus_millis(end.millis_since(old.created)));
        let end = now.plus_seconds(i64::from(grace));
        self.quota.make_room(vault, &org, old.user, false).await?;
        let parent = self.end_of(vault, permit.principal()).await?;
        let wanted = Wanted {
            id: new,
            user: old.user,
            name: request.name.clone().unwrap_or_else(|| old.name.clone()),
            test: old.test,
            scopes: old.scopes.clone(),
            project: old.project.clone(),
            expires: capped(expires, parent),
        };
        old.revoked = Some(old.revoked.map_or(end, |earlier| earlier.min(end)));
        let mut batch = Batch::new();
        batch.expect(key_place(&org, id), Expect::Exactly(digest));
        put_key(vault, &org, &old, &mut batch)?;
        self.make_key(vault, org.id(), wanted, batch, recorded)
            .await
    }

    async fn change_key<A: Action>(
        &self,
        vault: &Unsealed,
        permit: &Permit<A>,
        owner: UserId,
        id: ApiKeyId,
        recorded: &Recorded,
        change: impl FnOnce(&mut KeyRecord),
    ) -> Result<wire::ApiKey, DirectoryError> {
        let _turn = self.turn(vault, permit).await?;
        let org = vault.org(permit.principal().org())?;
        let (mut record, digest) = read_key(vault, &org, id).await?;
        if record.user != owner || ended(&record, vault) == ApiKeyStatus::Revoked {
            return Err(DirectoryError::NotFound);
        }
        change(&mut record);
        let mut batch = Batch::new();
        batch.expect(key_place(&org, id), Expect::Exactly(digest));
        put_key(vault, &org, &record, &mut batch)?;
        self.commit(vault, org.id(), batch, recorded).await?;
        self.show(vault, &org, record).await
    }

    async fn show(
        &self,
        vault: &Vault,
        org: &Arc<OrgKeys>,
        record: KeyRecord,
    ) -> Result<wire::ApiKey, DirectoryError> {
        let owner = self.member(vault, org.id(), record.user).await?;
        let status = ended(&record, vault);
        let last_used = self
            .used_at(Used::Key(org.id(), record.id))
            .max(record.last_used);
        Ok(wire::ApiKey {
            id: record.id,
            name: record.name,
            key_prefix: record.prefix,
            scopes: record.scopes.to_strings(),
            project_id: record.project,
            expires_at: record.expires,
            last_used_at: last_used,
            revoked_at: record.revoked,
            created_at: record.created,
            status,
            owner_user_id: record.user,
            owner_display_name: owner
                .as_ref()
                .map(|m| m.name().to_owned())
                .unwrap_or_default(),
            owner_email: owner.and_then(|m| m.email().map(str::to_owned)),
        })
    }
}
