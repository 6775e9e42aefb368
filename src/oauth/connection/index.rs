//! Who else is there: connections by the client that made them, by the account that they are to, and
//! how many each organisation has. Kept in step with the tables, so that no question walks all of them.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::record::Connection;
use crate::id::{ConnectionId, OrgId};
use crate::name::ProviderId;
use crate::oauth::client::{ClientKey, ClientRef};

/// The accounts at a provider that were connected by a client id, whoever's that is.
type AccountsOf = (ProviderId, String);

type Ids = BTreeSet<ConnectionId>;

/// The connections that something has.
#[derive(Debug)]
pub(super) struct ByKey<K>(HashMap<K, Ids>);

impl<K> Default for ByKey<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> ByKey<K> {
    fn add(&mut self, key: K, id: ConnectionId) {
        self.0.entry(key).or_default().insert(id);
    }

    fn remove(&mut self, key: &K, id: ConnectionId) {
        if let Some(ids) = self.0.get_mut(key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.0.remove(key);
            }
        }
    }

    fn of<'s>(&'s self, key: &K) -> impl Iterator<Item = ConnectionId> + use<'s, K> {
        self.0.get(key).into_iter().flatten().copied()
    }

    /// Whether there is any but `but`.
    fn has(&self, key: &K, but: Option<ConnectionId>) -> bool {
        self.of(key).any(|id| Some(id) != but)
    }
}

/// The connections by what they share with others.
#[derive(Debug, Default)]
pub(super) struct Index {
    clients: ByKey<ClientKey>,
    accounts: ByKey<(AccountsOf, String)>,
    grants: ByKey<AccountsOf>,
    orgs: ByKey<OrgId>,
}

fn accounts_of(connection: &Connection) -> AccountsOf {
    let client = &connection.client.client_id;
    (connection.provider.clone(), client.clone())
}

impl Index {
    pub(super) fn add(&mut self, connection: &Connection) {
        let (id, of) = (connection.id, accounts_of(connection));
        let client = connection.client.key(connection.org, &connection.provider);
        self.clients.add(client, id);
        self.accounts
            .add((of.clone(), connection.account.id.clone()), id);
        self.grants.add(of, id);
        self.orgs.add(connection.org, id);
    }

    pub(super) fn remove(&mut self, connection: &Connection) {
        let (id, of) = (connection.id, accounts_of(connection));
        let client = connection.client.key(connection.org, &connection.provider);
        self.clients.remove(&client, id);
        self.grants.remove(&of, id);
        self.accounts
            .remove(&(of, connection.account.id.clone()), id);
        self.orgs.remove(&connection.org, id);
    }

    /// Whether any but `but` was made by this client, of `org` where it is an organisation's own.
    pub(super) fn uses_client(
        &self,
        org: OrgId,
        (provider, client): (&ProviderId, &ClientRef),
        but: Option<ConnectionId>,
    ) -> bool {
        self.clients.has(&client.key(org, provider), but)
    }

    /// Those that a client made, of `org` where it is an organisation's own.
    pub(super) fn of_client<'s>(
        &'s self,
        org: OrgId,
        provider: &ProviderId,
        client: &ClientRef,
    ) -> impl Iterator<Item = ConnectionId> + use<'s> {
        self.clients.of(&client.key(org, provider))
    }

    /// Those, of anybody, that are to this account by this client id. Of an account that could not be told,
    /// any may be the one. `family` are the providers whose grants are the same thing upstream.
    pub(super) fn on_grant(
        &self,
        connection: &Connection,
        family: &[ProviderId],
    ) -> Vec<ConnectionId> {
        let account = &connection.account.id;
        let mut found = Vec::new();
        for provider in family {
            let of = (provider.clone(), connection.client.client_id.clone());
            if account.is_empty() {
                found.extend(self.grants.of(&of));
            } else {
                found.extend(self.accounts.of(&(of, account.clone())));
            }
        }
        found
    }

    /// Those of an organisation.
    pub(super) fn of_org(&self, org: OrgId) -> impl Iterator<Item = ConnectionId> {
        self.orgs.of(&org)
    }

    /// How many an organisation has.
    pub(super) fn count_of_org(&self, org: OrgId) -> usize {
        self.orgs.0.get(&org).map_or(0, BTreeSet::len)
    }
}
