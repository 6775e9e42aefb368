//! Tokens that were granted and are not kept: every one of them is revoked (B14).
//!
//! The way is the outbox, which needs the store. Where the store fails, or the vault was sealed
//! meanwhile, the provider is asked at once, from memory, and one time only: a person waits for the answer,
//! and is told to look at the provider where that does not go well. What a refresh brings behind everybody's
//! back goes through the [spool](super::refresh) first.

use std::time::Duration;

use super::accounts::Accounts;
use super::client::Client;
use super::connection::{self, Connection, MAIN, Upstream};
use super::flow::Failure;
use super::outbox::{Round, none_alone, worse};
use super::provider::{Bound, Provider};
use super::redeem::{Asked, internal};
use super::token::{Endpoints, Standing, TokenReply, Tokens, Via, revoke_requests, revokes_alone};
use super::tokens::TokenSet;
use crate::clock::Timestamp;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::vault::{Unsealed, VaultError};

/// How long a provider is waited for that is asked to revoke what could not be stored.
const WITHIN: Duration = Duration::from_secs(15);

/// What was granted, is in memory, and nowhere else.
#[derive(Debug)]
pub struct Unstored {
    /// Why the store does not have it.
    pub(super) error: VaultError,
    /// The connection that it would have been of.
    pub(super) connection: Connection,
    /// The tokens.
    pub(super) sets: Vec<(String, TokenSet)>,
}

/// At whom, and with which client, tokens are given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Giver<'a> {
    pub(super) vault: &'a Unsealed,
    pub(super) provider: &'a Provider,
    pub(super) client: &'a Client,
    pub(super) endpoints: Option<&'a Endpoints>,
}

impl<'a> Giver<'a> {
    pub(super) fn via<'v>(&self, bound: &'v Bound) -> Via<'v>
    where
        'a: 'v,
    {
        let asked = (self.endpoints, self.vault.now());
        self.client.via(self.provider, bound, asked)
    }
}

/// Whose tokens they would have been, and what was asked for.
type Whose<'a> = (OrgId, UserId, &'a [String]);

impl Accounts {
    /// Has a whole answer revoked that belongs to no connection.
    pub(super) async fn revoke_reply(
        &self,
        asked: &Asked<'_>,
        reply: TokenReply,
        sent: Timestamp,
    ) -> Result<(), Failure> {
        let mut sets = vec![(MAIN.to_owned(), reply.main)];
        sets.extend(reply.secondary);
        self.revoke_unkept(asked, reply.bound, sets, sent).await
    }

    /// Has tokens revoked that belong to no connection.
    pub(super) async fn revoke_unkept(
        &self,
        asked: &Asked<'_>,
        bound: Bound,
        sets: Vec<(String, Tokens)>,
        sent: Timestamp,
    ) -> Result<(), Failure> {
        let (giver, whose) = (asked.giver(), (asked.org, asked.user, asked.scopes));
        let (connection, sets) = nobodys(&giver, whose, bound, sets, sent);
        let queued = self.discard(asked.vault, connection.clone(), &sets, asked.recorded);
        let Err(error) = queued.await else {
            return Ok(());
        };
        let unstored = Unstored {
            error,
            connection,
            sets,
        };
        Err(self.take_back(&giver, unstored).await)
    }

    /// Has a whole answer revoked at once, without the outbox: what became of it could not be recorded.
    pub(super) async fn revoke_unrecorded(
        &self,
        giver: &Giver<'_>,
        whose: Whose<'_>,
        reply: TokenReply,
        (error, sent): (VaultError, Timestamp),
    ) -> Failure {
        let mut sets = vec![(MAIN.to_owned(), reply.main)];
        sets.extend(reply.secondary);
        let (connection, sets) = nobodys(giver, whose, reply.bound, sets, sent);
        let unstored = Unstored {
            error,
            connection,
            sets,
        };
        self.take_back(giver, unstored).await
    }

    /// Has revoked at once what the store did not take; what the person is told.
    pub(super) async fn take_back(&self, giver: &Giver<'_>, unstored: Unstored) -> Failure {
        let failure = internal(&unstored.error);
        if unstored.sets.is_empty() {
            return failure;
        }
        self.meter.unstored();
        let asking = self.revoke_now(giver, &unstored.connection, &unstored.sets);
        let ended = tokio::time::timeout(WITHIN, asking).await;
        let ended = ended.unwrap_or(Upstream::Failed);
        self.meter.revoked(ended.code());
        tracing::warn!(
            provider = %giver.provider.id(),
            upstream = ended.code(),
            "what was granted could not be stored, and was given back"
        );
        if ended == Upstream::Revoked {
            failure
        } else {
            Failure::Unkept
        }
    }

    async fn revoke_now(
        &self,
        giver: &Giver<'_>,
        connection: &Connection,
        sets: &[(String, TokenSet)],
    ) -> Upstream {
        // Where it is not known who else lives on the grant, somebody may.
        let family = self.catalog.family(&connection.provider);
        let alone = self.known().is_some_and(|roster| {
            let there = roster.connection(connection.id).is_some();
            !there && !roster.shares_grant(connection, &family)
        });
        let standing = if alone {
            Standing::Last
        } else {
            Standing::Shared
        };
        if standing == Standing::Shared && !revokes_alone(giver.provider) {
            return none_alone(giver.provider);
        }
        let via = giver.via(&connection.bound);
        let mut ended = None;
        for (_, tokens) in sets {
            let end = match revoke_requests(&via, &tokens.held(), standing) {
                Ok(requests) => self.send_all(connection, &via, requests, giver.vault).await,
                Err(_) => Round::Ended(Upstream::Failed),
            };
            let end = match end {
                Round::Ended(end) => end,
                Round::Again { .. } => Upstream::Failed,
            };
            ended = Some(worse(ended, end));
        }
        ended.unwrap_or(Upstream::Unsupported)
    }
}

/// Tokens of which it is not known whose account they are of.
fn nobodys(
    giver: &Giver<'_>,
    (org, user, scopes): Whose<'_>,
    bound: Bound,
    sets: Vec<(String, Tokens)>,
    sent: Timestamp,
) -> (Connection, Vec<(String, TokenSet)>) {
    let connection = Connection {
        id: ConnectionId::from_bytes([0; 16]),
        org,
        user,
        provider: giver.provider.id().clone(),
        client: giver.client.reference.clone(),
        bound,
        account: connection::Account {
            id: String::new(),
            label: None,
            email: None,
        },
        resources: Vec::new(),
        scopes: Vec::new(),
        asked: scopes.to_vec(),
        missing: Vec::new(),
        sets: Vec::new(),
        subject: None,
        created: sent,
        authorized: sent,
    };
    let sets = sets
        .into_iter()
        .map(|(name, tokens)| (name, TokenSet::renewed(tokens, None, false)))
        .collect();
    (connection, sets)
}
