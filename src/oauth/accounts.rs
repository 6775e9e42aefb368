//! Everything about connected accounts that outlives a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::connection::{Connection, Kept, Roster, TokenState, places};
use super::discovery::Discovered;
use super::errands::Errands;
use super::outbound::Outbound;
use super::provider::{Catalog, Provider};
#[cfg(test)]
use super::refresh::Stops;
use super::refresh::{Flights, Paces, Refused};
use crate::audit::Recorded;
use crate::name::ProviderId;
use crate::store::{Batch, Expect, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// Hears what happens to connections, for metrics. Nothing that is told names a person or an account.
pub trait Meter: Send + Sync + fmt::Debug {
    /// A refresh ended: `success`, or the class of its failure.
    fn refreshed(&self, provider: &ProviderId, class: &'static str, took: Duration);
    /// How long the access token still had when it was refreshed.
    fn refreshed_with_left(&self, left: Duration);
    /// A caller waited so long for a refresh.
    fn waited(&self, took: Duration);
    /// A refresh token was spent and its successor never arrived.
    fn rotation_lost(&self);
    /// A grant is over, for this reason.
    fn over(&self, provider: &ProviderId, reason: &'static str);
    /// A provider refuses a client.
    fn client_refused(&self, provider: &ProviderId);
    /// So many token hosts are left alone now, because they do not answer.
    fn breakers_open(&self, hosts: usize);
    /// A revocation was tried, and ended so.
    fn revoked(&self, outcome: &'static str);
    /// A flow came so far.
    fn step(&self, way: Way, step: Step);
    /// Tokens were granted, and the store did not take them.
    fn unstored(&self);
}

/// How an account is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a browser that comes back.
    Browser,
    /// By a code that is typed at the provider.
    Device,
}

impl Way {
    /// A stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Device => "device",
        }
    }
}

/// What happens to a flow after it was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its page was opened.
    Opened,
    /// The person agreed: on our page, or at the provider with a code.
    Agreed,
    /// The account is connected.
    Connected,
    /// It ended without a grant: somebody said no, or nobody said anything in time.
    Denied,
    /// There was a grant, and nothing came of it.
    Failed,
}

impl Step {
    /// A stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Agreed => "agreed",
            Self::Connected => "connected",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// How many accounts may be connected. Each takes memory, and is refreshed for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// By one member.
    pub member: usize,
    /// By all members of an organisation together.
    pub org: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            member: 100,
            org: 10_000,
        }
    }
}

/// What an [`Accounts`] is made of.
#[derive(Debug)]
pub struct AccountsParts {
    /// The providers.
    pub catalog: Catalog,
    /// The way to them.
    pub outbound: Outbound,
    /// Who counts.
    pub meter: Arc<dyn Meter>,
    /// How many accounts may be connected.
    pub caps: Caps,
}

/// The connected accounts of everybody, and what keeps them alive.
#[derive(Debug)]
pub struct Accounts {
    pub(super) catalog: Catalog,
    pub(super) outbound: Outbound,
    pub(super) meter: Arc<dyn Meter>,
    pub(super) caps: Caps,
    pub(super) flights: Flights,
    pub(super) errands: Errands,
    pub(super) refused: Refused,
    pub(super) paces: Paces,
    pub(super) discovered: Discovered,
    /// Changes that look before they write: adopting, forgetting, choosing.
    pub(super) changes: tokio::sync::Mutex<()>,
    /// Something is due sooner than the last pass knew.
    pub(super) news: tokio::sync::Notify,
    /// Something is to be revoked sooner than was known.
    pub(super) unrevoked: tokio::sync::Notify,
    #[cfg(test)]
    pub(super) stops: Option<Arc<dyn Stops>>,
    roster: ArcSwap<OnceCell<Arc<Roster>>>,
}

impl Accounts {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: AccountsParts) -> Self {
        Self {
            catalog: parts.catalog,
            outbound: parts.outbound,
            meter: parts.meter,
            caps: parts.caps,
            flights: Flights::default(),
            errands: Errands::default(),
            refused: Refused::default(),
            paces: Paces::default(),
            discovered: Discovered::default(),
            changes: tokio::sync::Mutex::default(),
            news: tokio::sync::Notify::new(),
            unrevoked: tokio::sync::Notify::new(),
            #[cfg(test)]
            stops: None,
            roster: ArcSwap::default(),
        }
    }

    /// The providers.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Every connection in memory; read from the store when this is the first to ask since unsealing.
    ///
    /// # Errors
    /// When a record was altered, or the store fails.
    pub async fn roster(&self, vault: &Unsealed) -> Result<Arc<Roster>, VaultError> {
        let cell = self.roster.load_full();
        let roster = cell.get_or_try_init(|| Box::pin(self.load(vault))).await?;
        Ok(Arc::clone(roster))
    }

    /// Reads the store, and takes in what it did not take before.
    async fn load(&self, vault: &Unsealed) -> Result<Arc<Roster>, VaultError> {
        let roster = Arc::new(Roster::load(vault).await?);
        // No refresh is under way before the roster is there.
        vault.sweep_spool().await?;
        self.empty_spool(vault, &roster).await;
        Ok(roster)
    }

    /// Every connection in memory, if that was read since unsealing.
    pub(super) fn known(&self) -> Option<Arc<Roster>> {
        self.roster.load().get().cloned()
    }

    /// Starts no refresh and redeems no code any more, and waits for what is under way, for `patience` at
    /// most: at sealing and at the end, an answer that nobody takes may cost its grant.
    pub async fn close(&self, patience: Duration) {
        self.flights.close();
        self.errands.close();
        let errands = tokio::time::timeout(patience, self.errands.ended());
        let ((), in_time) = tokio::join!(self.flights.landed(patience), errands);
        if in_time.is_err() {
            tracing::warn!(
                "accounts were still being connected when there was no more time for it"
            );
        }
    }

    /// Forgets what is in memory, at sealing.
    pub fn forget(&self) {
        self.flights.open();
        self.errands.open();
        self.roster.store(Arc::default());
        self.discovered.forget();
        self.refused.forget();
    }

    /// Ends when a pass is wanted before its time: an account was connected, or a refresh ended.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Ends when there is something to revoke before it was looked for.
    pub async fn unrevoked(&self) {
        self.unrevoked.notified().await;
    }

    /// Asks for both.
    pub fn wake(&self) {
        self.news.notify_one();
        self.unrevoked.notify_one();
    }

    /// For changes that look before they write: clients, and what needs them.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// The provider of a connection.
    pub(super) fn provider(&self, id: &ProviderId) -> Option<Arc<Provider>> {
        self.catalog.get(id).cloned()
    }
}

/// Puts a state into `batch`, in place of the one that was read; what the roster is told once that is
/// committed.
pub(super) async fn put_state(
    vault: &Unsealed,
    org: &OrgKeys,
    batch: &mut Batch,
    (new, old): (TokenState, Option<&Kept<TokenState>>),
) -> Result<Kept<TokenState>, VaultError> {
    let place = places::state(org, new.connection, &new.set);
    batch.expect(place.clone(), in_place_of(old, (vault, org, &place)).await?);
    Kept::put(vault, org, batch, place, new)
}

/// Puts a connection into `batch`, as [`put_state`] does.
pub(super) async fn put_connection(
    vault: &Unsealed,
    org: &OrgKeys,
    batch: &mut Batch,
    (new, old): (Connection, Option<&Kept<Connection>>),
) -> Result<Kept<Connection>, VaultError> {
    let place = places::connection(org, new.id);
    batch.expect(place.clone(), in_place_of(old, (vault, org, &place)).await?);
    Kept::put(vault, org, batch, place, new)
}

/// What must stand where something is written: what was read, or nothing.
async fn in_place_of<T: DeserializeOwned + PartialEq>(
    old: Option<&Kept<T>>,
    (vault, org, place): (&Unsealed, &OrgKeys, &StoreKey),
) -> Result<Expect, VaultError> {
    match old {
        Some(old) => old.unchanged(vault, org, place).await,
        None => Ok(Expect::Absent),
    }
}

/// Writes a new state alone. The roster knows it afterwards.
///
/// # Errors
/// [`crate::store::StoreError::Precondition`] inside when somebody else was faster.
pub(super) async fn write_state(
    vault: &Unsealed,
    roster: &Roster,
    (new, old): (TokenState, &Kept<TokenState>),
    recorded: &Recorded,
) -> Result<Kept<TokenState>, VaultError> {
    let connection = roster.connection(new.connection);
    let connection = connection.ok_or(VaultError::NotFound)?;
    let org = vault.org(connection.value.org)?;
    let mut batch = Batch::new();
    let kept = put_state(vault, &org, &mut batch, (new, Some(old))).await?;
    vault.commit(batch, recorded).await?;
    roster.update(kept.clone(), None);
    Ok(kept)
}
