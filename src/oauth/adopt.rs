//! Keeping what was granted (B13, B14).
//!
//! A member's second authorisation of the same account renews the connection that is there; of another
//! account it makes another. Where one connection was to be renewed and another account came back,
//! nothing is kept: what was just granted is revoked.

use super::accounts::{Accounts, put_connection, put_state};
use super::client::ClientRef;
use super::connection::{Account, Connection, Health, Kept, Roster, Subject, TokenState, places};
use super::provider::{Bound, Provider};
use super::token::Tokens;
use super::tokens::{TokenSet, info};
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::store::Batch;
use crate::vault::{OrgKeys, Unsealed, VaultError};

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
    /// Whom the ID token spoke of.
    pub subject: Option<Subject>,
    /// What is missing of the scopes that the provider's file requires.
    pub missing: Vec<String>,
    /// The connection that was to be renewed.
    pub replaces: Option<ConnectionId>,
    /// When the tokens were asked for.
    pub sent: Timestamp,
    /// Parameters, and what was captured on the way.
    pub bound: Bound,
    /// The scopes that were granted, where the provider says.
    pub scopes: Option<Vec<String>>,
    /// The tokens by set, the main one first. A signed payload brings none.
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
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Accounts {
    /// Keeps a grant: a new connection, or a renewed one. It was recorded.
    ///
    /// # Errors
    /// [`AdoptFault`]; what was granted is then in the outbox, to be revoked.
    pub async fn adopt(
        &self,
        vault: &Unsealed,
        provider: &Provider,
        grant: Grant,
        recorded: &Recorded,
    ) -> Result<Adopted, AdoptFault> {
        let roster = self.roster(vault).await?;
        let org = vault.org(grant.org)?;
        let _changing = self.changes.lock().await;
        let holder = (grant.org, grant.user, provider.id());
        let there = roster.of_account(holder, &grant.account.id);
        let expected = grant.replaces.map(|id| (id, roster.connection(id)));
        let fault = match (&expected, &there) {
            (None, _) => None,
            (Some((_, None)), _) => Some(AdoptFault::Gone),
            (Some((id, Some(_))), Some(there)) if there.value.id == *id => None,
            (Some(_), _) => Some(AdoptFault::Mismatch),
        };
        let id = match &there {
            Some(there) => there.value.id,
            None => ConnectionId::from_random(vault.random().bytes().map_err(VaultError::from)?),
        };
        let old = there.as_ref();
        let (connection, sets) = connection_of(provider, grant, (id, old), vault.now());
        if let Some(fault) = fault {
            let sets: Vec<_> = sets
                .into_iter()
                .map(|(name, tokens)| (name, TokenSet::renewed(tokens, None, false)))
                .collect();
            self.discard(vault, connection, &sets, recorded).await?;
            return Err(fault);
        }
        let sent = connection.authorized;
        let mut batch = Batch::new();
        let new = put_connection(vault, &org, &mut batch, (connection, old))?;
        let mut states = Vec::new();
        for (set, tokens) in sets {
            let key = (id, set);
            let before = roster.state(&key);
            let state = state_of(key, &tokens, sent, before.as_ref().map(|kept| &*kept.value));
            let place = info(&state);
            states.push(put_state(
                vault,
                &org,
                &mut batch,
                (state, before.as_ref()),
            )?);
            let owner = Owner::user(new.value.user);
            TokenSet::renewed(tokens, None, false)
                .put(vault, (&org, owner), &mut batch, &place, recorded)
                .await?;
        }
        drop_gone_sets(&org, &mut batch, old, &new);
        let first = self.choose_first(vault, (&org, &roster), &mut batch, &new.value)?;
        if let Some(old) = old.filter(|old| old.value.client != new.value.client) {
            self.sweep_client(vault, (&org, &roster), &mut batch, &old.value)
                .await?;
        }
        vault.commit(batch, recorded).await?;
        if old.is_some() {
            // Sets that are gone go from the roster, too; a default stays one.
            let was = roster.default_of(new.value.org, new.value.user, &new.value.provider);
            roster.drop_connection(id);
            roster.put_connection(new);
            was.into_iter().for_each(|was| roster.note_default(was));
        } else {
            roster.put_connection(new);
        }
        states.into_iter().for_each(|state| roster.put_state(state));
        if first {
            roster.note_default(id);
        }
        Ok(Adopted {
            connection: id,
            renewed: there.is_some(),
        })
    }

    /// A member's first connection to a provider is the default. Whether this one is.
    fn choose_first(
        &self,
        vault: &Unsealed,
        (org, roster): (&OrgKeys, &Roster),
        batch: &mut Batch,
        new: &Connection,
    ) -> Result<bool, VaultError> {
        let others = roster.of_member(new.org, new.user, Some(&new.provider));
        let first = others.iter().all(|other| other.id == new.id);
        if first {
            put_default(vault, org, batch, new)?;
        }
        Ok(first)
    }
}

/// Puts into `batch` that `connection` is the default of whom it belongs to.
pub(super) fn put_default(
    vault: &Unsealed,
    org: &OrgKeys,
    batch: &mut Batch,
    connection: &Connection,
) -> Result<(), VaultError> {
    let place = places::default(org, connection.user, &connection.provider);
    let id = connection.id;
    let record = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, &place, &id)?;
    batch.put(place, record);
    Ok(())
}

type Sets = Vec<(String, Tokens)>;

fn connection_of(
    provider: &Provider,
    grant: Grant,
    (id, old): (ConnectionId, Option<&Kept<Connection>>),
    now: Timestamp,
) -> (Connection, Sets) {
    // An answer that says nothing grants what was asked for (RFC 6749, 5.1).
    let scopes = grant.scopes.unwrap_or_else(|| grant.asked.clone());
    let connection = Connection {
        id,
        org: grant.org,
        user: grant.user,
        provider: provider.id().clone(),
        client: grant.client,
        bound: grant.bound,
        account: grant.account,
        scopes,
        asked: grant.asked,
        missing: grant.missing,
        sets: grant.sets.iter().map(|(name, _)| name.clone()).collect(),
        subject: grant.subject,
        created: old.map_or(now, |old| old.value.created),
        authorized: grant.sent,
    };
    (connection, grant.sets)
}

/// The state of tokens that were just granted. Whatever was under way for the ones before finds another
/// fence, and changes nothing.
fn state_of(
    (connection, set): (ConnectionId, String),
    tokens: &Tokens,
    sent: Timestamp,
    before: Option<&TokenState>,
) -> TokenState {
    TokenState {
        connection,
        set,
        version: before.map_or(1, |before| before.version.saturating_add(1)),
        fence: before.map_or(0, |before| before.fence.saturating_add(1)),
        health: Health::Active,
        obtained: sent,
        expires: tokens.expires_at,
        refresh_expires: tokens.refresh_expires_at,
        refreshable: tokens.refresh.is_some(),
        previous_until: None,
        failures: 0,
        suspicious: 0,
        suspicious_since: None,
        doubted: None,
        next_attempt: tokens.not_before_refresh,
        failure: None,
        attempt: None,
        lost: false,
        access_refused: false,
    }
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
