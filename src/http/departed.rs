//! Those who left: what they had is destroyed, and the key that it was under.

use crate::audit::{Action, Event, Outcome, Target, TargetKind};
use crate::crypto::Owner;
use crate::id::{OrgId, UserId};
use crate::vault::{Extent, Shredded, Unsealed};

use super::{ApiError, App};

impl App {
    /// Destroys what somebody had who was removed from an organisation. Tokens that are still to be given
    /// back to their providers stay for that, and the key with them: then [`App::shred_departed`] does the
    /// rest.
    pub(super) async fn shred_member(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
        event: Event,
    ) -> Result<Shredded, ApiError> {
        let tokens = self.accounts.still_has_tokens(vault, (org, user)).await?;
        let extent = if tokens {
            Extent::AllButTokens
        } else {
            Extent::WithKey
        };
        let event = event
            .org(org)
            .target(Target::new(TargetKind::User).id(user.bytes()))
            .store_generation(vault.store().generation())
            .code(if tokens { "all_but_tokens" } else { "with_key" });
        let recorded = vault.journal().record(event).await?;
        let owner = Owner::user(user);
        match vault.shred_owner(org, owner, extent, &recorded).await {
            Ok(gone) => {
                recorded.outcome(Outcome::success());
                Ok(gone)
            }
            Err(error) => {
                let error = ApiError::from(error);
                recorded.outcome(Outcome::failed(error.code()));
                Err(error)
            }
        }
    }

    /// Destroys what is left of those who were removed. What fails for one is tried again, and holds up no other.
    pub(super) async fn shred_departed(&self, vault: &Unsealed) {
        for org in vault.org_ids() {
            let departed = match self.directory.departed(vault, org).await {
                Ok(departed) => departed,
                Err(error) => {
                    tracing::warn!(%error, "who was removed could not be read");
                    continue;
                }
            };
            for user in departed {
                if let Err(error) = self.shred_if_due(vault, (org, user)).await {
                    let code = error.code();
                    tracing::warn!(code, "what a removed member had is still there");
                }
            }
        }
    }

    async fn shred_if_due(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
    ) -> Result<(), ApiError> {
        let has_key = vault.has_key(org, Owner::user(user)).await?;
        if !has_key || self.accounts.still_has_tokens(vault, (org, user)).await? {
            return Ok(());
        }
        let event = Event::new(Action::KeyDestroy, crate::audit::Actor::System);
        self.shred_member(vault, (org, user), event).await.map(drop)
    }
}
