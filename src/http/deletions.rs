//! Organisations that are deleted, and people who are, everywhere: what they had goes, and the keys that it was
//! under.
//!
//! Tokens are given back to their providers before the keys go that they are under, or given up after a day. So
//! there are two answers: the key is destroyed, or it will be, by itself. Nobody is recognised meanwhile.

use axum::extract::{Path, State};
use axum::response::Response;

use crate::audit::{Action, Actor, Event, Outcome, Recorded, Target, TargetKind};
use crate::crypto::Owner;
use crate::id::{OrgId, UserId};
use crate::policy::{DeleteOrg, DeleteUser};
use crate::vault::{Extent, Unsealed};
use crate::wire;

use super::caller::Caller;
use super::{ApiError, App, reply};

/// Deletes an organisation (operator): from now on it has no members, its handles are cut, its accounts are
/// revoked at their providers, and its keys are destroyed.
#[utoipa::path(delete, path = "/v1/operator/organizations/{id}", tag = "operator",
    params(("id" = String, Path, description = "Its id, or its slug")),
    responses((status = 200, description = "Deleted", body = wire::Answer<wire::DeletedOrganization>)))]
pub(super) async fn delete_org(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<DeleteOrg>(()).await?;
    let (directory, vault) = (&app.directory, &caller.vault);
    let org = directory.org_to_delete(vault, &permit, &id).await?;
    let target = Target::new(TargetKind::Org).id(org.bytes());
    let event = caller.event(Action::OrgDelete).org(org).target(target);
    caller
        .audited(event, async |recorded| {
            let operator = app.operator_uid;
            let deleted = directory.delete_org(vault, &permit, org, operator, recorded);
            deleted.await
        })
        .await?;
    let gone = app.finish_deletion(vault, org).await;
    if let Err(error) = &gone {
        let code = error.code();
        tracing::warn!(code, "what a deleted organisation had is still there");
    }
    Ok(reply::data(wire::DeletedOrganization {
        success: true,
        id: org,
        level: wire::DeletionLevel::Logical,
        key_destroyed: gone.unwrap_or(false),
    }))
}

/// Removes somebody from every organisation (operator), and destroys what they had in each, with the keys that it
/// was under.
#[utoipa::path(delete, path = "/v1/operator/users/{id}", tag = "operator",
    params(("id" = String, Path, description = "The id of the user")),
    responses((status = 200, description = "Removed", body = wire::Answer<wire::DeletedUser>)))]
pub(super) async fn delete_user(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<DeleteUser>(()).await?;
    let user = UserId::parse(&id).map_err(|_| ApiError::not_found())?;
    let target = Target::new(TargetKind::User).id(user.bytes());
    let event = caller.event(Action::MemberRemove).target(target);
    let event = event.code("everywhere");
    let vault = &caller.vault;
    let orgs = caller
        .audited(event, async |recorded| {
            let directory = &app.directory;
            let deleted = directory.delete_user(vault, &permit, user, app.operator_uid, recorded);
            deleted.await
        })
        .await?;
    let mut key_destroyed = true;
    for org in &orgs {
        let gone = app.shred_who_left(vault, (*org, user)).await;
        if let Err(error) = &gone {
            let code = error.code();
            tracing::warn!(code, "what a removed member had is still there");
        }
        key_destroyed &= gone.unwrap_or(false);
    }
    Ok(reply::data(wire::DeletedUser {
        success: true,
        organizations: orgs,
        level: wire::DeletionLevel::Logical,
        key_destroyed,
    }))
}

impl App {
    /// Goes on with what is left of organisations that were deleted. What fails for one is tried again, and
    /// holds up no other.
    pub(super) async fn finish_deletions(&self, vault: &Unsealed) {
        for org in vault.org_ids() {
            let Ok(keys) = vault.org(org) else { continue };
            match self.directory.is_deleted(vault, &keys).await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::warn!(%error, "whether an organisation is deleted could not be read");
                    continue;
                }
            }
            if let Err(error) = self.finish_deletion(vault, org).await {
                let code = error.code();
                tracing::warn!(code, "what a deleted organisation had is still there");
            }
        }
    }

    /// Takes away what a deleted organisation has. Answers whether its key is destroyed: not while tokens are
    /// still to be given back.
    async fn finish_deletion(&self, vault: &Unsealed, org: OrgId) -> Result<bool, ApiError> {
        let mut all = true;
        for user in self.directory.departed(vault, org).await? {
            all &= self.shred_who_left(vault, (org, user)).await?;
        }
        let extent = if all {
            Extent::WithKey
        } else {
            Extent::AllButTokens
        };
        let event = Event::new(Action::KeyDestroy, Actor::System)
            .org(org)
            .target(Target::new(TargetKind::Org).id(org.bytes()))
            .store_generation(vault.store().generation())
            .code(if all { "with_key" } else { "all_but_tokens" });
        let recorded = vault.journal().record(event).await?;
        let shared = Owner::ORG_SHARED;
        let gone = match vault.shred_owner(org, shared, extent, &recorded).await {
            Ok(_) if all => self.forget_org(vault, org, &recorded).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        };
        recorded.outcome(match &gone {
            Ok(()) => Outcome::success(),
            Err(error) => Outcome::failed(error.code()),
        });
        gone.map(|()| all)
    }

    async fn forget_org(
        &self,
        vault: &Unsealed,
        org: OrgId,
        recorded: &Recorded,
    ) -> Result<(), ApiError> {
        let records = self.directory.forget_org(vault, org, recorded).await?;
        tracing::info!(%org, records, "an organisation is gone, and its key");
        Ok(())
    }

    /// Forgets the accounts of one who is no member any more, and destroys what they had. Answers whether their
    /// key is gone.
    async fn shred_who_left(
        &self,
        vault: &Unsealed,
        whose: (OrgId, UserId),
    ) -> Result<bool, ApiError> {
        let (org, user) = whose;
        let forgotten = self
            .accounts
            .forget_if_departed(vault, &self.directory, whose);
        forgotten.await?;
        if vault.has_key(org, Owner::user(user)).await? {
            let event = Event::new(Action::KeyDestroy, Actor::System);
            return Ok(self.shred_member(vault, whose, event).await?.key);
        }
        Ok(!self.accounts.still_has_tokens(vault, whose).await?)
    }
}
