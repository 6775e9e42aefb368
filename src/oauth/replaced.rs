//! What becomes of the tokens of a connection that is renewed.

use super::accounts::Accounts;
use super::adopt::Granted;
use super::connection::{Connection, Kept, Revocation, Roster};
use super::outbox::Unkept;
use super::provider::Provider;
use super::token::revokes_alone;
use super::tokens::{self, TokenSet};
use crate::audit::Recorded;
use crate::crypto::Owner;
use crate::store::Batch;
use crate::vault::{OrgKeys, Unsealed, VaultError};

impl Accounts {
    /// Puts into `batch` that the old tokens of a renewed connection are to be revoked, where that may be.
    pub(super) async fn queue_replaced(
        &self,
        vault: &Unsealed,
        about: (&OrgKeys, &Roster, &Provider),
        (old, new): (&Connection, &Granted),
        batch: &mut Batch,
        recorded: &Recorded,
    ) -> Result<Option<Kept<Revocation>>, VaultError> {
        let sets = self.replaced(vault, about, (old, new), recorded).await?;
        if sets.is_empty() {
            return Ok(None);
        }
        let unkept = Unkept {
            connection: old.clone(),
            sets: &sets,
        };
        let (org, ..) = about;
        unkept.put(vault, org, batch, recorded).await.map(Some)
    }

    /// The old tokens of a connection that is renewed, where revoking them cannot end the new grant: they
    /// are another client's, or the provider's file says that each ends alone. Of all others the provider
    /// may think as one grant with the new ones; they are dropped here, and end there with the account's last
    /// connection, or by themselves.
    async fn replaced(
        &self,
        vault: &Unsealed,
        (org, roster, provider): (&OrgKeys, &Roster, &Provider),
        (old, new): (&Connection, &Granted),
        recorded: &Recorded,
    ) -> Result<Vec<(String, TokenSet)>, VaultError> {
        let mut replaced = Vec::new();
        let same_client = old.client.client_id == new.connection.client.client_id;
        if same_client && !revokes_alone(provider) {
            return Ok(replaced);
        }
        for set in &old.sets {
            let state = roster.state(&(old.id, set.clone()));
            if state.is_none_or(|state| state.value.is_revoked()) {
                continue;
            }
            let whose = (org, Owner::user(old.user));
            let opened = match tokens::find(vault, whose, old.id, set).await {
                Ok(Some(sealed)) => sealed.open(recorded),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match opened {
                // Some providers give the same token again.
                Ok(tokens) if new.sets.iter().any(|(_, new)| new.shares_with(&tokens)) => {}
                Ok(tokens) => replaced.push((set.clone(), tokens)),
                Err(error @ (VaultError::Form | VaultError::Crypto(_))) => {
                    tracing::warn!(%error, "old tokens of a renewed connection do not open");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(replaced)
    }
}
