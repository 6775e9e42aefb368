//! How a refresh that brought tokens ends: one commit, or none.

use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::oauth::accounts::{Accounts, put_connection, put_state};
use crate::oauth::connection::{Connection, Health, Kept, MAIN, TokenState};
use crate::oauth::provider::Provider;
use crate::oauth::token::{TokenReply, Tokens, missing_scopes};
use crate::oauth::tokens::{TokenSet, info};
use crate::store::{Batch, StoreError};
use crate::vault::VaultError;

use super::attempt::{Sent, Subjects, vault_org};
use super::ending::Ended;
use super::stops::Point;

/// How long new tokens that the store refuses are offered to it again, in all and each time.
const OFFERED: Duration = Duration::from_secs(40);
const OFFER_EVERY: Duration = Duration::from_millis(500);

/// How often a state is read again that somebody else has written to, and after which time.
const TRIES: u32 = 20;
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Accounts {
    /// Keeps new tokens, or what can be kept of them. The state may have been changed meanwhile by who has
    /// no say in this (a 401 was noted, a client was set anew): as long as the fence is this refresh's, it
    /// is written over. Another fence, or none: the connection was renewed or forgotten, and what came too
    /// late is revoked.
    pub(super) async fn keep(
        &self,
        about: &Subjects<'_>,
        sent: Sent,
        reply: TokenReply,
    ) -> Result<Ended, VaultError> {
        let connection = &*about.connection.value;
        let (mut old, at, id) = (sent.state, sent.at, connection.id);
        let key = (id, old.value.set.clone());
        let changed = changed_connection(about.provider, connection, &key.1, &reply);
        let grant = Granted::of(about.provider, &reply.main, at);
        let tokens = TokenSet::renewed(reply.main, Some(sent.old), grant.previous_until.is_some());
        self.stop_at(Point::P5, id).await;
        let (began, fence, mut tries) = (Instant::now(), old.value.fence, 0);
        loop {
            let new = grant.state(&old.value);
            let change = (&new, &old, changed.as_ref());
            let error = match self.commit(about, change, &tokens).await {
                Ok(()) => break,
                Err(error) => error,
            };
            let moved = matches!(error, VaultError::Store(StoreError::Precondition));
            let current = about.roster.state(&key);
            match current.filter(|current| current.value.fence == fence) {
                Some(current) if moved && tries < TRIES => (old, tries) = (current, tries + 1),
                _ if moved => {
                    let sets = [(key.1, tokens)];
                    let connection = connection.clone();
                    self.discard(about.vault, connection, &sets, about.recorded)
                        .await?;
                    return Ok(Ended::Superseded);
                }
                _ if closed(&error) || began.elapsed() >= OFFERED => return Err(error),
                _ => tracing::warn!(%error, "new tokens could not be stored; trying again"),
            }
            let pause = if moved { LOOK_AGAIN } else { OFFER_EVERY };
            tokio::time::sleep(pause).await;
        }
        if old.value.health == Health::ConfigError {
            let provider = about.provider.id();
            self.refused
                .heal(connection.org, provider, &connection.client);
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
        about.roster.update(kept, connection);
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
        new.scopes.extend(further_scopes(old, scopes));
        new.missing = missing_scopes(provider, &reply.main);
    }
    (new != *old).then_some(new)
}

/// The scopes of the further sets, of which the main set's answer does not speak. They begin with their
/// set's name.
fn further_scopes(old: &Connection, told: &[String]) -> Vec<String> {
    let of = |scope: &str, set: &str| scope.strip_prefix(set).is_some_and(|s| s.starts_with(':'));
    let further = |scope: &&String| {
        let mut sets = old.sets.iter().filter(|set| *set != MAIN);
        sets.any(|set| of(scope, set)) && !told.contains(*scope)
    };
    old.scopes.iter().filter(further).cloned().collect()
}

/// Whether nothing will be stored any more: the vault was sealed, or the broker ends.
const fn closed(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::Sealed | VaultError::Store(StoreError::Closed)
    )
}

/// What an answer says of its tokens, without them.
struct Granted {
    at: Timestamp,
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    not_before: Option<Timestamp>,
    refreshable: bool,
    previous_until: Option<Timestamp>,
}

impl Granted {
    fn of(provider: &Provider, new: &Tokens, at: Timestamp) -> Self {
        let grace = i64::from(provider.spec().refresh.reuse_grace_s);
        let rotated = new.refresh.is_some() && grace > 0;
        Self {
            at,
            expires: new.expires_at,
            refresh_expires: new.refresh_expires_at,
            not_before: new.not_before_refresh,
            refreshable: new.refresh.is_some(),
            previous_until: rotated.then(|| at.plus_seconds(grace)),
        }
    }

    fn state(&self, old: &TokenState) -> TokenState {
        TokenState {
            version: old.version.saturating_add(1),
            health: Health::Active,
            obtained: self.at,
            expires: self.expires,
            refresh_expires: self.refresh_expires.or(old.refresh_expires),
            refreshable: old.refreshable || self.refreshable,
            previous_until: self.previous_until,
            failures: 0,
            suspicious: 0,
            suspicious_since: None,
            doubted: None,
            next_attempt: self.not_before,
            failure: None,
            attempt: None,
            lost: false,
            access_refused: false,
            ..old.clone()
        }
    }
}
