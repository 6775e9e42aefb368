//! Those who left: their accounts are forgotten and revoked.

use super::accounts::Accounts;
use crate::audit::{Action, Actor, Event, Outcome, Target, TargetKind};
use crate::directory::{Directory, DirectoryError};
use crate::id::{OrgId, UserId};
use crate::oauth::refresh::has_spooled;
use crate::vault::{Unsealed, VaultError};

impl Accounts {
    /// Forgets the accounts of those who are no members any more, and has them revoked. What fails for one
    /// is tried again in a minute, and holds up no other.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_departed(
        &self,
        vault: &Unsealed,
        directory: &Directory,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        for whose in roster.holders() {
            if let Err(error) = self.forget_if_departed(vault, directory, whose).await {
                tracing::warn!(%error, "accounts of a removed member are still there");
            }
        }
        Ok(())
    }

    /// Whether tokens of somebody's are still to be used: to be given back to their providers.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn still_has_tokens(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
    ) -> Result<bool, VaultError> {
        let roster = self.roster(vault).await?;
        let to_revoke = roster.revocations().into_iter().any(|kept| {
            let connection = &kept.value.connection;
            connection.org == org && connection.user == user
        });
        let has_some = to_revoke || !roster.of_member(org, user, None).is_empty();
        Ok(has_some || has_spooled(vault, (org, user)).await?)
    }

    /// Forgets the accounts of one who is no member any more.
    ///
    /// # Errors
    /// When the store or the journal fails.
    pub async fn forget_if_departed(
        &self,
        vault: &Unsealed,
        directory: &Directory,
        (org, user): (OrgId, UserId),
    ) -> Result<(), DirectoryError> {
        if directory.is_member(vault, org, user).await? {
            return Ok(());
        }
        let roster = self.roster(vault).await?;
        if roster.of_member(org, user, None).is_empty() {
            return Ok(());
        }
        let target = Target::new(TargetKind::User).id(user.bytes());
        let event = Event::new(Action::OauthDisconnect, Actor::System)
            .org(org)
            .on_behalf_of(user)
            .target(target)
            .code("member_removed")
            .store_generation(vault.store().generation());
        let recorded = vault.journal().record(event).await;
        let recorded = recorded.map_err(VaultError::from)?;
        let gone = self.forget_member(vault, (org, user), &recorded).await;
        recorded.outcome(match &gone {
            Ok(_) => Outcome::success(),
            Err(_) => Outcome::failed("not_stored"),
        });
        gone?;
        self.wake();
        Ok(())
    }
}
