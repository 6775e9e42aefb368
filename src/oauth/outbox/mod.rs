//! Tokens that are still to be revoked upstream (V1, V2).
//!
//! A connection is forgotten here at once; its tokens stay, sealed, only to be revoked. They are
//! tried at once, and again for a day while the provider cannot be reached; then they are wiped,
//! whatever came of it. Tokens that we got and did not keep (a connection was forgotten while it was
//! being refreshed, R17; an account could not be told, B14) go the same way.

mod call;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;

use super::accounts::Accounts;
use super::client;
use super::connection::{Connection, Kept, Revocation, Roster, TokenInfo, Upstream, places};
use super::event;
use super::tokens::TokenSet;
use crate::audit::{Action, Outcome, Recorded};
use crate::crypto::Owner;
use crate::id::ConnectionId;
use crate::store::{Batch, StoreError};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// For how long a revocation is tried, in milliseconds.
const TRIED: i64 = 24 * 60 * 60_000;

/// The first wait between two tries, in milliseconds; it doubles.
const WAIT: i64 = 60_000;

/// How many are tried at a time.
const AT_A_TIME: usize = 8;

/// The time between two looks when nothing waits, and the shortest, in milliseconds.
const IDLE: i64 = 5 * 60_000;
const SOON: i64 = 1_000;

pub(super) use call::{Round, none_alone, worse};

impl Accounts {
    /// Keeps `sets` only to have them revoked: tokens that belong to no connection.
    ///
    /// # Errors
    /// When the store fails: then they are lost, and live on upstream until they end.
    pub(super) async fn discard(
        &self,
        vault: &Unsealed,
        connection: Connection,
        sets: &[(String, TokenSet)],
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        self.discard_into(vault, &roster, (connection, sets), recorded)
            .await
    }

    /// The same for whoever has the roster.
    pub(super) async fn discard_into(
        &self,
        vault: &Unsealed,
        roster: &Roster,
        (connection, sets): (Connection, &[(String, TokenSet)]),
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let org = vault.org(connection.org)?;
        let mut batch = Batch::new();
        let unkept = Unkept { connection, sets };
        let kept = unkept.put(vault, &org, &mut batch, recorded).await?;
        vault.commit(batch, recorded).await?;
        roster.put_revocation(kept);
        Ok(())
    }

    /// Tries to revoke what waits under `id`. `None` when nothing does. Sealing cuts the try short, and it
    /// is made again after unsealing: nothing is lost by asking twice.
    ///
    /// # Errors
    /// When the vault is sealed meanwhile, or the journal or the store fails.
    pub async fn revoke(
        &self,
        vault: &Unsealed,
        id: ConnectionId,
    ) -> Result<Option<Upstream>, VaultError> {
        let roster = self.roster(vault).await?;
        let Some(kept) = roster.revocation(id) else {
            return Ok(None);
        };
        let event = event::about(vault, Action::OauthRevoke, &kept.value.connection);
        let recorded = vault.journal().record(event).await?;
        let call = Box::pin(self.call_revoke(vault, (&roster, &kept.value), &recorded));
        let round = match vault.while_open(call).await.flatten() {
            Ok(round) => round,
            // What does not open cannot be revoked, today or tomorrow.
            Err(
                error @ (VaultError::Form
                | VaultError::Crypto(_)
                | VaultError::Store(StoreError::Damaged { .. })),
            ) => {
                tracing::warn!(%error, "tokens that were to be revoked do not open");
                Round::Ended(Upstream::Failed)
            }
            Err(error) => return Err(error),
        };
        let ended = self
            .settle(vault, &roster, (&kept, round), &recorded)
            .await?;
        self.meter.revoked(ended.code());
        recorded.outcome(match ended {
            Upstream::Revoked => Outcome::success(),
            other => Outcome::failed(other.code()),
        });
        Ok(Some(ended))
    }

    /// Tries to revoke everything whose time has come, a few at a time; one that fails holds up no other.
    /// Answers how many were tried, and in how many milliseconds the next is due: one that could not be
    /// written down stands there as if it had not been tried, and is not looked at again at once.
    ///
    /// # Errors
    /// When the vault is sealed meanwhile, or the store fails.
    pub async fn revoke_due(&self, vault: &Unsealed) -> Result<(usize, i64), VaultError> {
        let roster = self.roster(vault).await?;
        let now = vault.now();
        let all = roster.revocations().into_iter();
        let due: Vec<_> = all
            .filter(|kept| now.millis_since(kept.value.next) >= 0)
            .map(|kept| kept.value.id)
            .collect();
        let (tried, failed) = (due.len(), AtomicBool::new(false));
        let sealed = AtomicBool::new(false);
        let each = futures_util::stream::iter(due).for_each_concurrent(AT_A_TIME, async |id| {
            if sealed.load(Ordering::Relaxed) {
                return;
            }
            match self.revoke(vault, id).await {
                Ok(_) => {}
                Err(VaultError::Sealed) => sealed.store(true, Ordering::Relaxed),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    tracing::warn!(%error, "a revocation could not be recorded or stored");
                }
            }
        });
        each.await;
        if sealed.into_inner() {
            return Err(VaultError::Sealed);
        }
        let now = vault.now();
        let left = roster.revocations().into_iter();
        let next = left.map(|kept| kept.value.next.millis_since(now)).min();
        let soonest = if failed.into_inner() { WAIT } else { SOON };
        Ok((tried, next.unwrap_or(IDLE).clamp(soonest, IDLE)))
    }

    /// Writes down what came of a round: it is over, or goes on later.
    async fn settle(
        &self,
        vault: &Unsealed,
        roster: &Roster,
        (kept, round): (&Kept<Revocation>, Round),
        recorded: &Recorded,
    ) -> Result<Upstream, VaultError> {
        let _changing = self.changes.lock().await;
        let old = &*kept.value;
        let org = vault.org(old.connection.org)?;
        let now = vault.now();
        let mut batch = Batch::new();
        let place = places::revocation(&org, old.id);
        let unchanged = kept.unchanged(vault, &org, &place).await?;
        batch.expect(place, unchanged);
        let ended = match round {
            Round::Ended(upstream) => upstream,
            Round::Again { .. } if now.millis_since(old.created) >= TRIED => Upstream::Failed,
            Round::Again { after } => {
                let wait = WAIT << old.tries.min(5);
                let next = now.plus_millis(after.unwrap_or(0).max(wait));
                let tries = old.tries.saturating_add(1);
                let new = Revocation {
                    tries,
                    next,
                    ..old.clone()
                };
                let kept = seal(vault, &org, &mut batch, new)?;
                vault.commit(batch, recorded).await?;
                roster.put_revocation(kept);
                self.unrevoked.notify_one();
                return Ok(Upstream::Pending);
            }
        };
        batch.delete(places::revocation(&org, old.id));
        for set in &old.connection.sets {
            batch.delete(places::value(&org, old.id, set));
        }
        roster.drop_revocation(old.id);
        let swept = self
            .sweep_client(vault, (&org, roster), &mut batch, &old.connection)
            .await;
        let committed = match swept {
            Ok(()) => vault.commit(batch, recorded).await,
            Err(error) => Err(error),
        };
        match committed {
            // Not met: somebody else tried at the same time, and was first.
            Ok(()) | Err(VaultError::Store(StoreError::Precondition)) => Ok(ended),
            Err(error) => {
                roster.put_revocation(kept.clone());
                Err(error)
            }
        }
    }

    /// Puts into `batch` that the client's credentials go when nothing needs them any more.
    pub(super) async fn sweep_client(
        &self,
        vault: &Unsealed,
        (org, roster): (&OrgKeys, &Roster),
        batch: &mut Batch,
        gone: &Connection,
    ) -> Result<(), VaultError> {
        if roster.needs_client(org.id(), (&gone.provider, &gone.client), Some(gone.id)) {
            return Ok(());
        }
        let shelf = client::ClientShelf::of(gone.client.owner, vault, org);
        let swept = shelf.sweep(batch, &gone.provider, &gone.client.client_id);
        match swept.await {
            Ok(()) => Ok(()),
            Err(client::ClientError::Vault(error)) => Err(error),
            Err(_) => Err(VaultError::Form),
        }
    }
}

/// Tokens that belong to no connection, and what the connection was, or would have been.
pub(super) struct Unkept<'a> {
    pub(super) connection: Connection,
    pub(super) sets: &'a [(String, TokenSet)],
}

impl Unkept<'_> {
    /// Puts them into `batch`, at a place of their own, and that they are to be revoked.
    pub(super) async fn put(
        self,
        vault: &Unsealed,
        org: &OrgKeys,
        batch: &mut Batch,
        recorded: &Recorded,
    ) -> Result<Kept<Revocation>, VaultError> {
        let id = ConnectionId::from_random(vault.random().bytes()?);
        let owner = Owner::user(self.connection.user);
        for (set, tokens) in self.sets {
            let info = TokenInfo {
                connection: id,
                set: set.clone(),
                version: 0,
            };
            tokens
                .put(vault, (org, owner), batch, &info, recorded)
                .await?;
        }
        let connection = Connection {
            id,
            sets: self.sets.iter().map(|(name, _)| name.clone()).collect(),
            ..self.connection
        };
        let revocation = begin(vault, connection);
        seal(vault, org, batch, revocation)
    }
}

/// Puts a revocation of `connection` into `batch`; its tokens stay where they are.
pub(super) fn put_revocation(
    vault: &Unsealed,
    org: &OrgKeys,
    batch: &mut Batch,
    connection: &Connection,
) -> Result<Kept<Revocation>, VaultError> {
    seal(vault, org, batch, begin(vault, connection.clone()))
}

fn begin(vault: &Unsealed, connection: Connection) -> Revocation {
    let now = vault.now();
    Revocation {
        id: connection.id,
        connection,
        unkept: None,
        created: now,
        tries: 0,
        next: now,
    }
}

fn seal(
    vault: &Unsealed,
    org: &OrgKeys,
    batch: &mut Batch,
    revocation: Revocation,
) -> Result<Kept<Revocation>, VaultError> {
    let place = places::revocation(org, revocation.id);
    Kept::put(vault, org, batch, place, revocation)
}
