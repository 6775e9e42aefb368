//! Keeping what was granted (B13, B14).
//!
//! A member's second authorisation of the same account renews the connection that is there; of another
//! account it makes another. Where one connection was to be renewed and another account came back,
//! nothing is kept: what was just granted is revoked.

use super::accounts::{Accounts, put_connection, put_state};
use super::attempts::put_end;
use super::client::ClientRef;
use super::connection::{Account, Connection, Kept, Resource, Roster, Subject, TokenState, places};
use super::flow::FlowKey;
use super::provider::{Bound, Provider};
use super::token::Tokens;
use super::tokens::{Times, TokenSet, info};
use super::unkept::Unstored;
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::store::{Batch, StoreError};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// How often a grant is written again, when a refresh of the old tokens ended in between or the store
/// failed, and after which time: the code that it came from is spent.
const TRIES: u32 = 20;
const AGAIN: std::time::Duration = std::time::Duration::from_millis(250);

/// What a flow brought home.
#[derive(Debug)]
pub struct Grant {
    /// The organisation.
    pub org: OrgId,
    /// Whose it becomes.
    pub user: UserId,
    /// The client that asked.
    pub client: ClientRef,
    /// The scopes that were asked for.
    pub asked: Vec<String>,
    /// Whose account it is.
    pub account: Account,
    /// What there is inside it.
    pub resources: Vec<Resource>,
    /// Whom the ID token spoke of.
    pub subject: Option<Subject>,
    /// What is missing of the scopes that the provider's file requires.
    pub missing: Vec<String>,
    /// The connection that was to be renewed.
    pub replaces: Option<ConnectionId>,
    /// The device flow of which nothing stays once the grant is kept.
    pub ends: Option<FlowKey>,
    /// When the tokens were asked for.
    pub sent: Timestamp,
    /// Parameters, and what was captured on the way.
    pub bound: Bound,
    /// The scopes that were granted, where the provider says.
    pub scopes: Option<Vec<String>>,
    /// The tokens by set, the main one first.
    pub sets: Vec<(String, Tokens)>,
}

/// A connection that was made or renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Which.
    pub connection: ConnectionId,
    /// Whether it was there before.
    pub renewed: bool,
}

/// Why a grant was not kept.
#[derive(Debug, thiserror::Error)]
pub enum AdoptFault {
    /// It is of another account than the one that was to be renewed.
    #[error("another account was authorised than the one that was to be renewed")]
    Mismatch,
    /// The connection that was to be renewed is gone.
    #[error("the connection that was to be renewed is gone")]
    Gone,
    /// The member, or the organisation, has as many connections as it may.
    #[error("as many accounts are connected as may be")]
    Full,
    /// The store did not take it, nor that it is to be revoked.
    #[error("what was granted could not be stored: {}", .0.error)]
    Unstored(Box<Unstored>),
}

impl Accounts {
    /// Keeps a grant: a new connection, or a renewed one. It was recorded.
    ///
    /// # Errors
    /// [`AdoptFault`]; what was granted is then in the outbox, to be revoked. Where the store fails it is in
    /// the fault, for whoever can revoke it without.
    pub async fn adopt(
        &self,
        vault: &Unsealed,
        provider: &Provider,
        grant: Grant,
        recorded: &Recorded,
    ) -> Result<Adopted, AdoptFault> {
        let replaces = grant.replaces;
        let mut granted = granted(provider, grant, vault.now());
        let about = (provider, replaces);
        let adopted = self.try_adopt(vault, about, &mut granted, recorded).await;
        adopted.unwrap_or_else(|error| {
            Err(AdoptFault::Unstored(Box::new(Unstored {
                error,
                connection: granted.connection,
                sets: granted.sets,
            })))
        })
    }

    async fn try_adopt(
        &self,
        vault: &Unsealed,
        (provider, replaces): (&Provider, Option<ConnectionId>),
        granted: &mut Granted,
        recorded: &Recorded,
    ) -> Result<Result<Adopted, AdoptFault>, VaultError> {
        let roster = self.roster(vault).await?;
        let _changing = self.changes.lock().await;
        let new = &mut granted.connection;
        let holder = (new.org, new.user, &new.provider);
        let there = roster.of_account(holder, (&new.account.id, &new.bound));
        let full = || {
            let (own, all) = roster.counts(new.org, new.user);
            own >= self.caps.member || all >= self.caps.org
        };
        let fault = misfit(&roster, replaces, there.as_ref());
        let fault = fault.or_else(|| (there.is_none() && full()).then_some(AdoptFault::Full));
        if let Some(fault) = fault {
            let connection = new.clone();
            self.discard(vault, connection, &granted.sets, recorded)
                .await?;
            return Ok(Err(fault));
        }
        match &there {
            Some(there) => (new.id, new.created) = (there.value.id, there.value.created),
            None => new.id = ConnectionId::from_random(vault.random().bytes()?),
        }
        let id = new.id;
        let mut tries = 0;
        loop {
            let written = self
                .write_grant(vault, (&roster, provider), granted, recorded)
                .await;
            match written {
                Ok(()) => break,
                Err(VaultError::Store(StoreError::Closed) | VaultError::Sealed) => {
                    return Err(VaultError::Sealed);
                }
                Err(error) if tries >= TRIES => return Err(error),
                Err(error) => {
                    tries += 1;
                    tracing::warn!(%error, "a grant could not be stored; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        self.news.notify_one();
        Ok(Ok(Adopted {
            connection: id,
            renewed: there.is_some(),
        }))
    }

    /// One commit: the connection, the states and values of its sets, its place as the default.
    async fn write_grant(
        &self,
        vault: &Unsealed,
        (roster, provider): (&Roster, &Provider),
        granted: &Granted,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let connection = &granted.connection;
        let org = vault.org(connection.org)?;
        let old = roster.connection(connection.id);
        let mut batch = Batch::new();
        if let Some(flow) = granted.ends {
            put_end(&org, &mut batch, flow);
        }
        let change = (connection.clone(), old.as_ref());
        let new = put_connection(vault, &org, &mut batch, change).await?;
        let mut states = Vec::new();
        for ((set, tokens), times) in granted.sets.iter().zip(&granted.times) {
            let key = (connection.id, set.clone());
            let before = roster.state(&key);
            let state = times.state(key, numbers(before.as_ref()), connection.authorized);
            let place = info(&state);
            let change = (state, before.as_ref());
            states.push(put_state(vault, &org, &mut batch, change).await?);
            let whose = (&*org, Owner::user(connection.user));
            tokens
                .put(vault, whose, &mut batch, &place, recorded)
                .await?;
        }
        drop_gone_sets(&org, &mut batch, old.as_ref(), &new);
        let revocation = match &old {
            Some(old) => {
                let about = (&*org, roster, provider);
                let change = (&*old.value, granted);
                self.queue_replaced(vault, about, change, &mut batch, recorded)
                    .await?
            }
            None => None,
        };
        let first = is_first(roster, connection);
        if first {
            put_default(vault, &org, &mut batch, connection)?;
        }
        // The credentials of the client before go with the last that needs them: with what is to be
        // revoked, where something is.
        let other_client = |old: &&Kept<Connection>| old.value.client != connection.client;
        if let Some(old) = old.as_ref().filter(other_client)
            && revocation.is_none()
        {
            self.sweep_client(vault, (&org, roster), &mut batch, &old.value)
                .await?;
        }
        vault.commit(batch, recorded).await?;
        roster.renew(new, states, first);
        if let Some(revocation) = revocation {
            roster.put_revocation(revocation);
            self.unrevoked.notify_one();
        }
        Ok(())
    }
}

/// Why a grant does not fit the connection that it was to renew.
fn misfit(
    roster: &Roster,
    replaces: Option<ConnectionId>,
    there: Option<&Kept<Connection>>,
) -> Option<AdoptFault> {
    let id = replaces?;
    if roster.connection(id).is_none() {
        return Some(AdoptFault::Gone);
    }
    let same = there.is_some_and(|there| there.value.id == id);
    (!same).then_some(AdoptFault::Mismatch)
}

/// A member's first connection to a provider is the default.
fn is_first(roster: &Roster, new: &Connection) -> bool {
    let others = roster.of_member(new.org, new.user, Some(&new.provider));
    others.iter().all(|other| other.id == new.id)
}

/// Puts into `batch` that `connection` is the default of whom it belongs to.
pub(super) fn put_default(
    vault: &Unsealed,
    org: &OrgKeys,
    batch: &mut Batch,
    connection: &Connection,
) -> Result<(), VaultError> {
    let place = places::default(org, connection.user, &connection.provider);
    Kept::put(vault, org, batch, place, connection.id).map(drop)
}

/// A grant as it is written: what is known of the connection, and the tokens with their times.
pub(super) struct Granted {
    pub(super) connection: Connection,
    pub(super) sets: Vec<(String, TokenSet)>,
    times: Vec<Times>,
    ends: Option<FlowKey>,
}

fn split((set, tokens): (String, Tokens)) -> ((String, TokenSet), Times) {
    let times = Times::of(&tokens);
    ((set, TokenSet::renewed(tokens, None, false)), times)
}

/// Its id, and when it was made, are of the connection that is there; else it gets one.
fn granted(provider: &Provider, grant: Grant, now: Timestamp) -> Granted {
    // An answer that says nothing grants what was asked for (RFC 6749, 5.1).
    let scopes = grant.scopes.unwrap_or_else(|| grant.asked.clone());
    let connection = Connection {
        id: ConnectionId::from_bytes([0; 16]),
        org: grant.org,
        user: grant.user,
        provider: provider.id().clone(),
        client: grant.client,
        bound: grant.bound,
        account: grant.account,
        resources: grant.resources,
        scopes,
        asked: grant.asked,
        missing: grant.missing,
        sets: grant.sets.iter().map(|(name, _)| name.clone()).collect(),
        subject: grant.subject,
        created: now,
        authorized: grant.sent,
    };
    let (sets, times) = grant.sets.into_iter().map(split).unzip();
    Granted {
        connection,
        sets,
        times,
        ends: grant.ends,
    }
}

/// Version and fence of tokens that were just granted. Whatever was under way for the ones before finds
/// another fence, and changes nothing.
fn numbers(before: Option<&Kept<TokenState>>) -> (u64, u64) {
    before.map_or((1, 0), |before| {
        let before = &before.value;
        (
            before.version.saturating_add(1),
            before.fence.saturating_add(1),
        )
    })
}

/// Sets that the renewed grant does not have any more.
fn drop_gone_sets(
    org: &OrgKeys,
    batch: &mut Batch,
    old: Option<&Kept<Connection>>,
    new: &Kept<Connection>,
) {
    let before = old.into_iter().flat_map(|old| &old.value.sets);
    for set in before.filter(|set| !new.value.sets.contains(set)) {
        batch.delete(places::state(org, new.value.id, set));
        batch.delete(places::value(org, new.value.id, set));
    }
}
