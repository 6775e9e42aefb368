//! How a refresh that brought tokens ends: one commit, or none.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::failpoint::Failpoint;
use crate::oauth::accounts::{Accounts, put_connection, put_state};
use crate::oauth::connection::{Connection, Health, Kept, MAIN, TokenState};
use crate::oauth::provider::{Bound, Provider};
use crate::oauth::token::{TokenReply, Tokens, missing_scopes};
use crate::oauth::tokens::{Times, TokenSet, info};
use crate::store::{Batch, StoreError};
use crate::vault::VaultError;

use super::attempt::{Sent, Subjects, vault_org};
use super::ending::Ended;
use super::plan::due;
use super::schedule::EVERY;

/// How long new tokens that the store refuses are offered to it again, in all and each time; where it has
/// failed and they are in the spool, it is of no use.
const OFFERED: Duration = Duration::from_secs(40);
const OFFER_EVERY: Duration = Duration::from_millis(500);

/// How often a state that somebody else has written to is read again at once, and after which time.
const TRIES: u32 = 20;
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Accounts {
    /// Keeps new tokens, or what can be kept of them. The state may have been changed meanwhile by who has
    /// no say in this (a 401 was noted, a client was set anew), and the connection by the refresh of another
    /// of its sets: as long as the fence is this refresh's, both are read again, and what is new is put into
    /// them. Another fence, or none: the connection was renewed or forgotten, and what came too late is
    /// revoked.
    pub(super) async fn keep(
        &self,
        about: &Subjects<'_>,
        sent: Sent,
        reply: TokenReply,
    ) -> Result<Ended, VaultError> {
        let mut connection = about.connection.clone();
        let (mut old, at, id) = (sent.state, sent.at, connection.value.id);
        let key = (id, old.value.set.clone());
        let said = Said::of(about, &key.1, &reply);
        let grant = Granted::of(about.provider, &reply.main, at);
        let tokens = TokenSet::renewed(reply.main, Some(sent.old), grant.previous_until.is_some());
        self.stop_at(Failpoint::RefreshP5, id).await;
        let (began, fence, mut tries) = (Instant::now(), old.value.fence, 0);
        let mut spooled = None;
        loop {
            let new = grant.state(&old.value);
            let changed = said.connection(&connection.value);
            let states = (&new, &old);
            let error = match self
                .commit(about, states, (changed, &connection), &tokens)
                .await
            {
                Ok(()) => break,
                Err(error) => error,
            };
            let moved = matches!(error, VaultError::Store(StoreError::Precondition));
            if moved {
                let current = about.roster.state(&key).zip(about.roster.connection(id));
                let Some(current) = current.filter(|(state, _)| state.value.fence == fence) else {
                    let about_it = (&*key.1, sent.client.as_deref());
                    self.give_up(about, about_it, tokens).await?;
                    self.unspool(about, spooled).await;
                    return Ok(Ended::Superseded);
                };
                (old, connection) = current;
                tries += 1;
            }
            let over = closed(&error) || began.elapsed() >= OFFERED;
            if spooled.is_none() && (over || !moved) {
                spooled = self.spool(about, (&new, &said), &tokens).await;
            }
            if over || (spooled.is_some() && has_failed(&error)) {
                self.meter.unstored();
                return Err(error);
            }
            let soon = moved && tries < TRIES;
            if !soon {
                tracing::warn!(%error, "new tokens could not be stored; trying again");
            }
            tokio::time::sleep(if soon { LOOK_AGAIN } else { OFFER_EVERY }).await;
        }
        self.unspool(about, spooled).await;
        if old.value.health == Health::ConfigError {
            let (provider, connection) = (about.provider.id(), &connection.value);
            self.refused
                .heal(connection.org, provider, &connection.client);
        }
        self.stop_at(Failpoint::RefreshP6, id).await;
        self.bring_forward(about, &grant.state(&old.value));
        self.stop_at(Failpoint::RefreshP7, id).await;
        Ok(Ended::Renewed)
    }

    /// The pass that began this did not count with the new tokens. Where they are due before the next one,
    /// it is brought forward; a pass looks at all, so it is not for others.
    fn bring_forward(&self, about: &Subjects<'_>, new: &TokenState) {
        let (now, file) = (about.vault.now(), &about.provider.spec().refresh);
        let next = due(new, file, now);
        if next.is_some_and(|at| at.millis_since(now) <= EVERY + EVERY / 5) {
            self.news.notify_one();
        }
    }

    async fn commit(
        &self,
        about: &Subjects<'_>,
        (new, old): (&TokenState, &Kept<TokenState>),
        (changed, before): (Option<Connection>, &Kept<Connection>),
        tokens: &TokenSet,
    ) -> Result<(), VaultError> {
        let org = vault_org(about)?;
        let mut batch = Batch::new();
        let kept = put_state(about.vault, &org, &mut batch, (new.clone(), Some(old))).await?;
        let connection = match changed {
            Some(changed) => {
                let change = (changed, Some(before));
                Some(put_connection(about.vault, &org, &mut batch, change).await?)
            }
            None => None,
        };
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

/// What an answer says of the connection itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// What the connection is bound to, where the answer captured something new.
    bound: Option<Bound>,
    /// The scopes that are left of the main set's, and which of those are missing that it needs.
    scopes: Option<(Vec<String>, Vec<String>)>,
}

impl Said {
    fn of(about: &Subjects<'_>, set: &str, reply: &TokenReply) -> Self {
        let bound = Some(&reply.bound).filter(|bound| **bound != about.connection.value.bound);
        let scopes = reply.main.scopes.as_ref().filter(|_| set == MAIN);
        let missing = || missing_scopes(about.provider, &reply.main);
        Self {
            bound: bound.cloned(),
            scopes: scopes.map(|scopes| (scopes.clone(), missing())),
        }
    }

    /// The connection as it is then, if that is another.
    pub(super) fn connection(&self, old: &Connection) -> Option<Connection> {
        let mut new = old.clone();
        if let Some(bound) = &self.bound {
            new.bound.clone_from(bound);
        }
        if let Some((scopes, missing)) = &self.scopes {
            new.scopes.clone_from(scopes);
            new.scopes.extend(further_scopes(old, scopes));
            new.missing.clone_from(missing);
        }
        (new != *old).then_some(new)
    }
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

/// Whether the store takes nothing more until it is opened anew.
const fn has_failed(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::Store(StoreError::Failed | StoreError::Full | StoreError::Io { .. })
    )
}

/// What an answer says of its tokens, without them.
struct Granted {
    at: Timestamp,
    times: Times,
    previous_until: Option<Timestamp>,
}

impl Granted {
    fn of(provider: &Provider, new: &Tokens, at: Timestamp) -> Self {
        let grace = i64::from(provider.spec().refresh.reuse_grace_s);
        let rotated = new.refresh.is_some() && grace > 0;
        Self {
            at,
            times: Times::of(new),
            previous_until: rotated.then(|| at.plus_seconds(grace)),
        }
    }

    /// The state that follows. What the answer does not say of the refresh token is as it was.
    fn state(&self, old: &TokenState) -> TokenState {
        let key = (old.connection, old.set.clone());
        let numbers = (old.version.saturating_add(1), old.fence);
        let new = self.times.state(key, numbers, self.at);
        TokenState {
            refresh_expires: new.refresh_expires.or(old.refresh_expires),
            refreshable: new.refreshable || old.refreshable,
            previous_until: self.previous_until,
            ..new
        }
    }
}
