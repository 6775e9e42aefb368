//! Every connection in memory, without its tokens.
//!
//! One process owns the store, so what was read once and is kept in step with each commit stays true.
//! It is read when it is first needed after unsealing, and forgotten at sealing. Looking for a
//! member's account, or for what is due, touches no disk; only tokens are read from it each time.
//!
//! Beside each record stands its digest: a write expects exactly that record, so whoever decided on an
//! older one changes nothing.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::index::Index;
use super::kept::Kept;
use super::record::{Connection, Health, TokenState};
use super::revocation::Revocation;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::oauth::client::ClientRef;
use crate::oauth::provider::Bound;

/// A token set, by its connection and name.
pub type SetKey = (ConnectionId, String);

/// A member's accounts at a provider.
type Holder = (OrgId, UserId, ProviderId);

#[derive(Debug, Default)]
struct Tables {
    connections: HashMap<ConnectionId, Kept<Connection>>,
    states: HashMap<SetKey, Kept<TokenState>>,
    held: HashMap<(OrgId, UserId), BTreeMap<ProviderId, Vec<ConnectionId>>>,
    defaults: HashMap<Holder, ConnectionId>,
    revocations: HashMap<ConnectionId, Kept<Revocation>>,
    index: Index,
    revoking: Index,
    mended: bool,
}

impl Tables {
    /// Whether some set of a connection has a grant that is not over.
    fn lives(&self, id: ConnectionId) -> bool {
        let sets = self.connections.get(&id).map(|kept| &kept.value.sets);
        sets.into_iter().flatten().any(|set| {
            let state = self.states.get(&(id, set.clone()));
            state.is_some_and(|state| !state.value.is_revoked())
        })
    }

    /// Takes a connection in, in place of the one of its id.
    fn put_connection(&mut self, kept: Kept<Connection>) {
        if let Some(old) = self.connections.remove(&kept.value.id) {
            self.index.remove(&old.value);
        }
        self.index.add(&kept.value);
        self.connections.insert(kept.value.id, kept);
    }

    /// The same, and it is its member's.
    fn add_connection(&mut self, kept: Kept<Connection>) {
        let connection = &kept.value;
        let member = (connection.org, connection.user);
        let held = self.held.entry(member).or_default();
        let ids = held.entry(connection.provider.clone()).or_default();
        if !ids.contains(&connection.id) {
            ids.push(connection.id);
        }
        self.put_connection(kept);
    }

    fn put_state(&mut self, kept: Kept<TokenState>) {
        let key = (kept.value.connection, kept.value.set.clone());
        self.states.insert(key, kept);
    }

    fn note_default(&mut self, id: ConnectionId) {
        if let Some(kept) = self.connections.get(&id) {
            self.defaults.insert(holder(&kept.value), id);
        }
    }

    fn drop_connection(&mut self, id: ConnectionId) {
        let Some(kept) = self.connections.remove(&id) else {
            return;
        };
        self.index.remove(&kept.value);
        for set in &kept.value.sets {
            self.states.remove(&(id, set.clone()));
        }
        let holder = holder(&kept.value);
        if self.defaults.get(&holder) == Some(&id) {
            self.defaults.remove(&holder);
        }
        if let Entry::Occupied(mut member) = self.held.entry((kept.value.org, kept.value.user)) {
            let held = member.get_mut();
            if let Some(ids) = held.get_mut(&kept.value.provider) {
                ids.retain(|other| *other != id);
            }
            held.retain(|_, ids| !ids.is_empty());
            if held.is_empty() {
                member.remove();
            }
        }
    }

    fn take_revocation(&mut self, id: ConnectionId) {
        if let Some(old) = self.revocations.remove(&id) {
            self.revoking.remove(&old.value.connection);
        }
    }
}

/// Every connection of every organisation.
#[derive(Debug, Default)]
pub struct Roster(Mutex<Tables>);

impl Roster {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Kept<Connection>> {
        self.lock().connections.get(&id).cloned()
    }

    /// The state of a token set.
    #[must_use]
    pub fn state(&self, key: &SetKey) -> Option<Kept<TokenState>> {
        self.lock().states.get(key).cloned()
    }

    /// Every token set, with its connection.
    #[must_use]
    pub fn sets(&self) -> Vec<(Kept<Connection>, Kept<TokenState>)> {
        let tables = self.lock();
        let sets = tables.states.values().filter_map(|state| {
            let connection = tables.connections.get(&state.value.connection)?;
            Some((connection.clone(), state.clone()))
        });
        sets.collect()
    }

    /// The states of a connection's token sets, the main one first.
    #[must_use]
    pub fn states_of(&self, connection: &Connection) -> Vec<Kept<TokenState>> {
        let tables = self.lock();
        let sets = connection.sets.iter();
        sets.filter_map(|set| tables.states.get(&(connection.id, set.clone())).cloned())
            .collect()
    }

    /// A member's connections; with a provider, only those to it. The oldest first.
    #[must_use]
    pub fn of_member(
        &self,
        org: OrgId,
        user: UserId,
        provider: Option<&ProviderId>,
    ) -> Vec<Arc<Connection>> {
        let tables = self.lock();
        let held = tables.held.get(&(org, user));
        let held = held.into_iter().flatten();
        let held = held.filter(|(id, _)| provider.is_none_or(|wanted| wanted == *id));
        let ids = held.flat_map(|(_, ids)| ids);
        let found = ids.filter_map(|id| tables.connections.get(id));
        oldest_first(found.map(|kept| Arc::clone(&kept.value)).collect())
    }

    /// Every connection of an organisation. The oldest first.
    #[must_use]
    pub fn of_org(&self, org: OrgId) -> Vec<Arc<Connection>> {
        let tables = self.lock();
        let ids = tables.index.of_org(org);
        let found = ids.filter_map(|id| tables.connections.get(&id));
        oldest_first(found.map(|kept| Arc::clone(&kept.value)).collect())
    }

    /// The connection of a member to one account, if there is one. An account is told by its id *and* by what
    /// the provider was told of where it is: number 5 at one host is not number 5 at another.
    #[must_use]
    pub fn of_account(
        &self,
        (org, user, provider): (OrgId, UserId, &ProviderId),
        (account, bound): (&str, &Bound),
    ) -> Option<Kept<Connection>> {
        let tables = self.lock();
        let ids = tables.held.get(&(org, user))?.get(provider)?;
        let mut found = ids.iter().filter_map(|id| tables.connections.get(id));
        let same = |kept: &&Kept<Connection>| {
            kept.value.account.id == account && kept.value.bound.params() == bound.params()
        };
        found.find(same).cloned()
    }

    /// The member's default connection to a provider.
    #[must_use]
    pub fn default_of(
        &self,
        org: OrgId,
        user: UserId,
        provider: &ProviderId,
    ) -> Option<ConnectionId> {
        let holder = (org, user, provider.clone());
        self.lock().defaults.get(&holder).copied()
    }

    /// Whether another connection, or a revocation, needs this client of an organisation; for one of the
    /// installation, those of all of them count.
    #[must_use]
    pub fn needs_client(
        &self,
        org: OrgId,
        about: (&ProviderId, &ClientRef),
        but: Option<ConnectionId>,
    ) -> bool {
        let tables = self.lock();
        tables.index.uses_client(org, about, but) || tables.revoking.uses_client(org, about, but)
    }

    /// The states of all that a client made, of `org` where it is an organisation's own.
    #[must_use]
    pub fn states_of_client(
        &self,
        org: OrgId,
        (provider, client): (&ProviderId, &ClientRef),
    ) -> Vec<Kept<TokenState>> {
        let tables = self.lock();
        let ids = tables.index.of_client(org, provider, client);
        let made = ids.filter_map(|id| tables.connections.get(&id));
        let sets = made.flat_map(|kept| kept.value.sets.iter().map(|set| (kept.value.id, set)));
        sets.filter_map(|(id, set)| tables.states.get(&(id, set.clone())).cloned())
            .collect()
    }

    /// Whether some connection is known to wait for this client to be mended.
    #[must_use]
    pub fn client_is_refused(&self, org: OrgId, about: (&ProviderId, &ClientRef)) -> bool {
        let states = self.states_of_client(org, about);
        let mut all = states.iter();
        all.any(|state| state.value.health == Health::ConfigError)
    }

    /// Whether another connection, of anybody, lives on the grant of this account by this client: what ends
    /// the whole grant would end that one. Of an account that could not be told, any may be the one. One whose
    /// own grant is over lives on none, and would never end it. `family` are the providers that are the same one
    /// upstream, from [`Catalog::family`](crate::oauth::provider::Catalog::family).
    #[must_use]
    pub fn shares_grant(&self, connection: &Connection, family: &[ProviderId]) -> bool {
        let tables = self.lock();
        let mut all = tables.index.on_grant(connection, family).into_iter();
        all.any(|id| id != connection.id && tables.lives(id))
    }

    /// How many connections a member has, and their organisation.
    #[must_use]
    pub fn counts(&self, org: OrgId, user: UserId) -> (usize, usize) {
        let tables = self.lock();
        let held = tables.held.get(&(org, user)).into_iter().flatten();
        let own = held.map(|(_, ids)| ids.len()).sum();
        (own, tables.index.count_of_org(org))
    }

    /// How many connections there are, and how many have a token set that is not as it should be.
    #[must_use]
    pub fn standing(&self) -> (usize, usize) {
        let tables = self.lock();
        let states = tables.states.values();
        let ill = states.filter(|state| state.value.health != Health::Active);
        let ill: BTreeSet<_> = ill.map(|state| state.value.connection).collect();
        (tables.connections.len(), ill.len())
    }

    /// Tokens that are still to be revoked.
    #[must_use]
    pub fn revocations(&self) -> Vec<Kept<Revocation>> {
        self.lock().revocations.values().cloned().collect()
    }

    /// One of them.
    #[must_use]
    pub fn revocation(&self, id: ConnectionId) -> Option<Kept<Revocation>> {
        self.lock().revocations.get(&id).cloned()
    }

    pub(in crate::oauth) fn put_connection(&self, kept: Kept<Connection>) {
        self.lock().add_connection(kept);
    }

    pub(in crate::oauth) fn put_state(&self, kept: Kept<TokenState>) {
        self.lock().put_state(kept);
    }

    /// Takes in what was written of a connection that is still there. One that was forgotten in between
    /// does not come back.
    pub(in crate::oauth) fn update(
        &self,
        state: Kept<TokenState>,
        connection: Option<Kept<Connection>>,
    ) {
        let mut tables = self.lock();
        let key = (state.value.connection, state.value.set.clone());
        let newer = |old: &Kept<TokenState>| {
            (state.value.fence, state.value.version) >= (old.value.fence, old.value.version)
        };
        if !tables.connections.contains_key(&key.0) || !tables.states.get(&key).is_some_and(newer) {
            return;
        }
        if let Some(connection) = connection {
            tables.put_connection(connection);
        }
        tables.states.insert(key, state);
    }

    pub(in crate::oauth) fn put_revocation(&self, kept: Kept<Revocation>) {
        let mut tables = self.lock();
        tables.take_revocation(kept.value.id);
        tables.revoking.add(&kept.value.connection);
        tables.revocations.insert(kept.value.id, kept);
    }

    pub(in crate::oauth) fn drop_revocation(&self, id: ConnectionId) {
        self.lock().take_revocation(id);
    }

    /// Makes `id` the default of whom it belongs to.
    pub(in crate::oauth) fn note_default(&self, id: ConnectionId) {
        self.lock().note_default(id);
    }

    /// Takes in a connection that was made or renewed, with all its sets; `first` makes it the default.
    /// At no time is it not there for who looks meanwhile.
    pub(in crate::oauth) fn renew(
        &self,
        connection: Kept<Connection>,
        states: Vec<Kept<TokenState>>,
        first: bool,
    ) {
        let mut tables = self.lock();
        let id = connection.value.id;
        let default = tables.defaults.get(&holder(&connection.value)) == Some(&id);
        // Sets that are gone go with the old connection.
        tables.drop_connection(id);
        tables.add_connection(connection);
        for state in states {
            tables.put_state(state);
        }
        if first || default {
            tables.note_default(id);
        }
    }

    /// Forgets a connection and everything of it.
    pub(in crate::oauth) fn drop_connection(&self, id: ConnectionId) {
        self.lock().drop_connection(id);
    }

    /// Whether it was looked for clients that were set anew since this was read.
    pub(in crate::oauth) fn was_mended(&self) -> bool {
        self.lock().mended
    }

    /// It was.
    pub(in crate::oauth) fn mended(&self) {
        self.lock().mended = true;
    }

    /// Everybody who has a connection.
    #[must_use]
    pub fn holders(&self) -> Vec<(OrgId, UserId)> {
        self.lock().held.keys().copied().collect()
    }
}

fn holder(connection: &Connection) -> Holder {
    let (org, user) = (connection.org, connection.user);
    (org, user, connection.provider.clone())
}

fn oldest_first(mut found: Vec<Arc<Connection>>) -> Vec<Arc<Connection>> {
    found.sort_by_key(|connection| (connection.created, connection.id));
    found
}
