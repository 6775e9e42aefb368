//! The pass that keeps tokens alive while nobody uses them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::{Action, Actor, Event, Outcome, Recorded, Target, TargetKind};
use crate::clock::Timestamp;
use crate::crypto::Random;
use crate::id::OrgId;
use crate::name::ProviderId;
use crate::oauth::accounts::{Accounts, put_state, write_state};
use crate::oauth::client::{ClientRef, ClientShelf};
use crate::oauth::connection::{Connection, Health, Kept, Roster, SetKey, TokenState, places};
use crate::oauth::event;
use crate::store::Batch;
use crate::vault::{Lifecycle, Unsealed, VaultError};

use super::attempt::door;
use super::pace::{OVERALL, PER_HOST};
use super::plan::due;
use super::spool::keep_room;

/// The time between two passes, in milliseconds, give or take a fifth.
pub(super) const EVERY: i64 = 5 * 60_000;

/// A pass that found more than it could start comes again after so many milliseconds.
const SOON: i64 = 1_000;

/// Over which time the refreshes after a change of client are spread, in milliseconds.
const SPREAD: i64 = 60 * 60_000;

/// Tokens of a grant that is over are kept so long, in milliseconds.
const KEPT_REVOKED: i64 = 30 * 24 * 60 * 60_000;

/// What a pass did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Refreshes that it started.
    pub refreshed: usize,
    /// Milliseconds until the next.
    pub next: i64,
}

impl Accounts {
    /// Keeps tokens alive, pass after pass. Between two of them it waits as long as `rest` does with what
    /// the pass said, in milliseconds, or until there is news; `rest` answers whether to go on.
    pub async fn keep_alive<F, R>(self: &Arc<Self>, lifecycle: &Lifecycle, rest: F)
    where
        F: Fn(Result<i64, VaultError>) -> R,
        R: Future<Output = bool>,
    {
        loop {
            let wait = match lifecycle.gate().unsealed() {
                Ok(vault) => self.pass(&vault).await.map(|pass| pass.next),
                Err(sealed) => Err(sealed),
            };
            let go_on = tokio::select! {
                biased;
                () = self.news() => true,
                go_on = rest(wait) => go_on,
            };
            if !go_on {
                return;
            }
        }
    }

    /// Looks for what is due, and starts as much of it as hosts may be asked at a time: what ends first
    /// comes first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pass(self: &Arc<Self>, vault: &Unsealed) -> Result<Pass, VaultError> {
        let now = vault.now();
        if let Err(error) = self.mend(vault).await {
            tracing::warn!(%error, "it could not be looked whether clients were set anew");
        }
        let roster = self.roster(vault).await?;
        self.empty_spool(vault, &roster).await;
        if !roster.holders().is_empty() {
            keep_room(vault).await;
        }
        let (keys, soonest) = self.due_now(vault, now).await?;
        let refreshed = keys.len();
        for key in keys {
            drop(self.start(vault, &key));
        }
        if let Err(error) = self.wipe_outlived(vault, now).await {
            tracing::warn!(%error, "it could not be looked for tokens that are long over");
        }
        self.meter.breakers_open(self.paces.open_breakers(now));
        let regular = regular(vault.random())?;
        let soonest = soonest.map(|at| at.millis_since(now).max(SOON));
        let next = match soonest {
            // What waits, waits for a little more each time, so that brokers do not come in step.
            Some(wait) => wait
                .saturating_add(jitter(vault.random(), wait)?)
                .min(regular),
            None => regular,
        };
        Ok(Pass { refreshed, next })
    }

    /// The sets that a pass refreshes now, and when the next one is due after these.
    pub(super) async fn due_now(
        &self,
        vault: &Unsealed,
        now: Timestamp,
    ) -> Result<(Vec<SetKey>, Option<Timestamp>), VaultError> {
        let roster = self.roster(vault).await?;
        let mut ready = Vec::new();
        let mut later = Vec::new();
        for (connection, state) in roster.sets() {
            let Some(provider) = self.provider(&connection.value.provider) else {
                continue;
            };
            let Some(at) = due(&state.value, &provider.spec().refresh, now) else {
                continue;
            };
            if now.millis_since(at) < 0 {
                later.push(at);
                continue;
            }
            let host = door(&provider, &connection.value);
            let left = state.value.left(now).unwrap_or(i64::MAX);
            let key = (state.value.connection, state.value.set.clone());
            ready.push((left, host, key));
        }
        ready.sort();
        let mut by_host: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
        let mut keys = Vec::new();
        for (_, host, key) in ready {
            if let Some(until) = self.paces.resting(&host, now) {
                later.push(until);
                continue;
            }
            let started = by_host.entry(host).or_default();
            let room = keys.len() < usize::try_from(OVERALL).unwrap_or(usize::MAX);
            if self.flights.has(&key) || *started >= PER_HOST || !room {
                later.push(now.plus_millis(SOON));
                continue;
            }
            *started = started.saturating_add(1);
            keys.push(key);
        }
        Ok((keys, later.into_iter().min()))
    }

    /// Wipes the tokens of grants that are over for a month. Until then they are kept for a look at what
    /// happened; the connection stays, to be made again or forgotten. One that fails holds up no other.
    async fn wipe_outlived(&self, vault: &Unsealed, now: Timestamp) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        for (connection, state) in roster.sets() {
            let ended = state.value.failure.as_ref().map(|failure| failure.at);
            let outlived = ended.is_some_and(|at| now.millis_since(at) > KEPT_REVOKED);
            if !state.value.is_revoked() || !outlived {
                continue;
            }
            if let Err(error) = wipe(vault, &roster, (&connection.value, &state)).await {
                tracing::warn!(%error, "tokens that are long over could not be wiped");
            }
        }
        Ok(())
    }

    /// Looks once after unsealing for clients that were set anew after a provider had refused them: the broker
    /// may have ended between that and [`Accounts::client_changed`].
    async fn mend(&self, vault: &Unsealed) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        if roster.was_mended() {
            return Ok(());
        }
        let mut refused: BTreeMap<_, Timestamp> = BTreeMap::new();
        for (connection, state) in roster.sets() {
            let failed = state.value.failure.as_ref().map(|failure| failure.at);
            if state.value.health != Health::ConfigError {
                continue;
            }
            let connection = &connection.value;
            let client = (connection.provider.clone(), connection.client.clone());
            let last = refused.entry((connection.org, client)).or_default();
            *last = failed.map_or(*last, |at| at.max(*last));
        }
        for ((org, (provider, client)), failed) in refused {
            let keys = vault.org(org)?;
            let shelf = ClientShelf::of(client.owner, vault, &keys);
            let set = shelf.set_at(&provider, &client.client_id).await?;
            if set.is_none_or(|set| set.millis_since(failed) < 0) {
                continue;
            }
            let target = Target::new(TargetKind::Client).name(&provider);
            let event = Event::new(Action::OauthClientSet, Actor::System)
                .org(org)
                .target(target)
                .code("set_before");
            let recorded = vault.journal().record(event).await?;
            self.client_changed(vault, (org, &provider, &client), &recorded)
                .await?;
            recorded.outcome(Outcome::success());
        }
        roster.mended();
        Ok(())
    }

    /// A client was set anew: what failed for its sake is tried again, spread over an hour (R11).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn client_changed(
        &self,
        vault: &Unsealed,
        (org, provider, client): (OrgId, &ProviderId, &ClientRef),
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        let now = vault.now();
        self.refused.heal(org, provider, client);
        for state in roster.states_of_client(org, (provider, client)) {
            if state.value.health != Health::ConfigError {
                continue;
            }
            let chance = u32::from_be_bytes(vault.random().bytes()?);
            let wait = i64::from(chance).saturating_mul(SPREAD) / i64::from(u32::MAX);
            // One whose access token is over cannot wait for its turn.
            let usable = state.value.left(now).is_none_or(|left| left > SPREAD);
            let new = TokenState {
                health: Health::Active,
                failures: 0,
                failure: None,
                next_attempt: usable.then(|| now.plus_millis(wait)),
                ..(*state.value).clone()
            };
            match write_state(vault, &roster, (new, &state), recorded).await {
                Ok(_) | Err(VaultError::Store(crate::store::StoreError::Precondition)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Wipes the tokens of a set, and writes down that they are gone.
async fn wipe(
    vault: &Unsealed,
    roster: &Roster,
    (connection, state): (&Connection, &Kept<TokenState>),
) -> Result<(), VaultError> {
    let event = event::about(vault, Action::OauthRevoke, connection).code("wiped");
    let recorded = vault.journal().record(event).await?;
    let org = vault.org(connection.org)?;
    // Without a failure it is not looked at again.
    let new = TokenState {
        refreshable: false,
        failure: None,
        ..(*state.value).clone()
    };
    let mut batch = Batch::new();
    let kept = put_state(vault, &org, &mut batch, (new, Some(state))).await?;
    batch.delete(places::value(&org, connection.id, &state.value.set));
    vault.commit(batch, &recorded).await?;
    roster.update(kept, None);
    recorded.outcome(Outcome::success());
    Ok(())
}

/// Up to a fifth of a wait.
fn jitter(random: &dyn Random, wait: i64) -> Result<i64, VaultError> {
    let chance = i64::from(u16::from_be_bytes(random.bytes()?));
    Ok((wait / 5).saturating_mul(chance) / i64::from(u16::MAX))
}

/// Five minutes, give or take a fifth, so that brokers that started together do not ask together.
fn regular(random: &dyn Random) -> Result<i64, VaultError> {
    let chance = i64::from(u16::from_be_bytes(random.bytes()?));
    let spread = EVERY * 2 / 5;
    Ok(EVERY - spread / 2 + spread * chance / i64::from(u16::MAX))
}
