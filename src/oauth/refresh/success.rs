//! How a refresh that brought tokens ends: one commit, or none.

use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::oauth::accounts::{Accounts, Point, put_connection, put_state};
use crate::oauth::connection::{Connection, Health, Kept, MAIN, TokenState};
use crate::oauth::provider::Provider;
use crate::oauth::token::{TokenReply, Tokens, missing_scopes};
use crate::oauth::tokens::{TokenSet, info};
use crate::store::{Batch, StoreError};
use crate::vault::VaultError;

use super::attempt::{Sent, Subjects, vault_org};
use super::ending::Ended;

/// How long new tokens that the store refuses are offered to it again, in all and each time.
const OFFERED: Duration = Duration::from_secs(40);
const OFFER_EVERY: Duration = Duration::from_millis(500);

impl Accounts {
    /// Keeps new tokens, or what can be kept of them.
    pub(super) async fn keep(
        &self,
        about: &Subjects<'_>,
        sent: Sent,
        reply: TokenReply,
    ) -> Result<Ended, VaultError> {
        let id = about.connection.value.id;
        let (old_state, at) = (sent.state, sent.at);
        let new = renewed_state(about.provider, &old_state.value, &reply.main, at);
        let changed = changed_connection(about.provider, &about.connection.value, &new.set, &reply);
        let keep_previous = new.previous_until.is_some();
        let tokens = TokenSet::renewed(reply.main, Some(sent.old), keep_previous);
        self.stop_at(Point::P5, id).await;
        let began = Instant::now();
        loop {
            let change = (&new, &old_state, changed.as_ref());
            match self.commit(about, change, &tokens).await {
                Ok(()) => break,
                Err(VaultError::Store(StoreError::Precondition)) => {
                    let connection = (*about.connection.value).clone();
                    let sets = [(new.set.clone(), tokens)];
                    self.discard(about.vault, connection, &sets, about.recorded)
                        .await?;
                    return Ok(Ended::Superseded);
                }
                Err(error) if began.elapsed() >= OFFERED => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "new tokens could not be stored; trying again");
                    tokio::time::sleep(OFFER_EVERY).await;
                }
            }
        }
        self.stop_at(Point::P6, id).await;
        self.stop_at(Point::P7, id).await;
        Ok(Ended::Renewed)
    }

    async fn commit(
        &self,
        about: &Subjects<'_>,
        (new, old, changed): (&TokenState, &Kept<TokenState>, Option<&Connection>),
        tokens: &TokenSet,
    ) -> Result<(), VaultError> {
        let org = vault_org(about)?;
        let mut batch = Batch::new();
        let kept = put_state(about.vault, &org, &mut batch, (new.clone(), Some(old)))?;
        let connection = changed.map(|changed| {
            let change = (changed.clone(), Some(&about.connection));
            put_connection(about.vault, &org, &mut batch, change)
        });
        let connection = connection.transpose()?;
        let owner = Owner::user(about.connection.value.user);
        tokens
            .put(
                about.vault,
                (&org, owner),
                &mut batch,
                &info(new),
                about.recorded,
            )
            .await?;
        about.vault.commit(batch, about.recorded).await?;
        about.roster.put_state(kept);
        if let Some(connection) = connection {
            about.roster.put_connection(connection);
        }
        Ok(())
    }
}

/// What the answer changes of the connection itself: captured values, and the scopes that are left.
fn changed_connection(
    provider: &Provider,
    old: &Connection,
    set: &str,
    reply: &TokenReply,
) -> Option<Connection> {
    let mut new = Connection {
        bound: reply.bound.clone(),
        ..old.clone()
    };
    if let Some(scopes) = reply.main.scopes.as_ref().filter(|_| set == MAIN) {
        new.scopes.clone_from(scopes);
        new.missing = missing_scopes(provider, &reply.main);
    }
    (new != *old).then_some(new)
}

fn renewed_state(
    provider: &Provider,
    old: &TokenState,
    new: &Tokens,
    sent: Timestamp,
) -> TokenState {
    let grace = i64::from(provider.spec().refresh.reuse_grace_s);
    let rotated = new.refresh.is_some() && grace > 0;
    TokenState {
        version: old.version.saturating_add(1),
        health: Health::Active,
        obtained: sent,
        expires: new.expires_at,
        refresh_expires: new.refresh_expires_at.or(old.refresh_expires),
        refreshable: old.refreshable || new.refresh.is_some(),
        previous_until: rotated.then(|| sent.plus_seconds(grace)),
        failures: 0,
        suspicious: 0,
        suspicious_since: None,
        doubted: None,
        next_attempt: new.not_before_refresh,
        failure: None,
        attempt: None,
        lost: false,
        access_refused: false,
        ..old.clone()
    }
}
