//! Which connection is meant, how it is, and forgetting it.

use std::sync::Arc;

use super::accounts::Accounts;
use super::adopt::put_default;
use super::connection::{Connection, Health, Revoked, Roster, TokenState, places};
use super::outbox::put_revocation;
use super::provider::Catalog;
use super::refresh::grant_ends;
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::policy::{ChooseDefault, Disconnect, Permit};
use crate::store::Batch;
use crate::vault::{Unsealed, VaultError};

/// How a connection is, over all its token sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It works.
    Active,
    /// It works, with fewer rights than were asked for.
    Limited,
    /// Refreshing fails for now.
    Degraded,
    /// Refreshing fails for the client's sake.
    ConfigError,
    /// The grant is over.
    Revoked(Revoked),
}

impl Standing {
    /// A stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Limited => "limited",
            Self::Degraded => "degraded",
            Self::ConfigError => "config_error",
            Self::Revoked(_) => "revoked",
        }
    }
}

/// A connection as people see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What is kept of it.
    pub connection: Arc<Connection>,
    /// How it is.
    pub standing: Standing,
    /// Whether it is its owner's default for the provider.
    pub default: bool,
    /// When its access token ends.
    pub expires: Option<Timestamp>,
    /// When its grant ends unless the person connects it again, as far as is known.
    pub ends: Option<Timestamp>,
    /// When it was last refreshed or authorised.
    pub refreshed: Timestamp,
    /// The code of the last failure, if refreshing fails.
    pub failure: Option<String>,
}

/// Which of a member's accounts at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    One(Arc<Connection>),
    /// There is none.
    None,
    /// There are several, and none is the default.
    Ambiguous,
}

/// How a connection is, from the states of its sets.
#[must_use]
pub(super) fn standing(connection: &Connection, states: &[Arc<TokenState>]) -> Standing {
    let rank = |standing: &Standing| match standing {
        Standing::Active => 0,
        Standing::Limited => 1,
        Standing::Degraded => 2,
        Standing::ConfigError => 3,
        Standing::Revoked(_) => 4,
    };
    let of = |state: &Arc<TokenState>| match state.health {
        Health::Active => Standing::Active,
        Health::Degraded => Standing::Degraded,
        Health::ConfigError => Standing::ConfigError,
        Health::Revoked(why) => Standing::Revoked(why),
    };
    let granted = if connection.missing.is_empty() {
        Standing::Active
    } else {
        Standing::Limited
    };
    let all = states.iter().map(of).chain([granted]);
    all.max_by_key(rank).unwrap_or(Standing::Active)
}

fn see(roster: &Roster, catalog: &Catalog, connection: Arc<Connection>) -> Seen {
    let states = roster.states_of(&connection);
    let states: Vec<_> = states.into_iter().map(|kept| kept.value).collect();
    let (org, user) = (connection.org, connection.user);
    let default = roster.default_of(org, user, &connection.provider) == Some(connection.id);
    let main = states.first();
    let provider = catalog.get(&connection.provider);
    let ends = main.zip(provider).and_then(|(main, provider)| {
        grant_ends(main, &provider.spec().refresh, connection.authorized)
    });
    let failed = states.iter().find_map(|state| state.failure.as_ref());
    Seen {
        standing: standing(&connection, &states),
        default,
        expires: main.and_then(|state| state.expires),
        ends,
        refreshed: main.map_or(connection.authorized, |state| state.obtained),
        failure: failed.map(|failure| failure.code.clone()),
        connection,
    }
}

impl Accounts {
    /// A member's connections; with a provider, only those to it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_member(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
        provider: Option<&ProviderId>,
    ) -> Result<Vec<Seen>, VaultError> {
        let roster = self.roster(vault).await?;
        let found = roster.of_member(org, user, provider);
        let seen = |one| see(&roster, &self.catalog, one);
        Ok(found.into_iter().map(seen).collect())
    }

    /// Every connection of an organisation, without a token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_org(&self, vault: &Unsealed, org: OrgId) -> Result<Vec<Seen>, VaultError> {
        let roster = self.roster(vault).await?;
        let found = roster.of_org(org);
        let seen = |one| see(&roster, &self.catalog, one);
        Ok(found.into_iter().map(seen).collect())
    }

    /// A connection of an organisation. One of another organisation does not exist.
    ///
    /// # Errors
    /// [`VaultError::NotFound`].
    pub async fn find(
        &self,
        vault: &Unsealed,
        org: OrgId,
        id: ConnectionId,
    ) -> Result<Seen, VaultError> {
        let roster = self.roster(vault).await?;
        let found = roster.connection(id).map(|kept| kept.value);
        let found = found.filter(|connection| connection.org == org);
        let found = found.ok_or(VaultError::NotFound)?;
        Ok(see(&roster, &self.catalog, found))
    }

    /// Which of a member's accounts at `provider` is meant: the one that is named, by id or by what it
    /// is called; else the default; else the only one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pick(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
        provider: &ProviderId,
        named: Option<&str>,
    ) -> Result<Pick, VaultError> {
        let roster = self.roster(vault).await?;
        let mut all = roster.of_member(org, user, Some(provider));
        if let Some(named) = named {
            all.retain(|connection| is_called(connection, named));
        } else if let Some(default) = roster.default_of(org, user, provider)
            && let Some(connection) = all.iter().find(|connection| connection.id == default)
        {
            return Ok(Pick::One(Arc::clone(connection)));
        }
        Ok(match all.as_slice() {
            [] => Pick::None,
            [one] => Pick::One(Arc::clone(one)),
            _ => Pick::Ambiguous,
        })
    }

    /// Makes a connection the default of its owner.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when it is gone or somebody else's.
    pub async fn choose_default(
        &self,
        vault: &Unsealed,
        permit: &Permit<ChooseDefault>,
        id: ConnectionId,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        let _changing = self.changes.lock().await;
        let found = roster.connection(id).map(|kept| kept.value);
        let principal = permit.principal();
        let found = found.filter(|c| c.org == principal.org() && c.user == *permit.object());
        let found = found.ok_or(VaultError::NotFound)?;
        let org = vault.org(found.org)?;
        let mut batch = Batch::new();
        put_default(vault, &org, &mut batch, &found)?;
        vault.commit(batch, recorded).await?;
        roster.note_default(id);
        Ok(())
    }

    /// Forgets a connection here, at once and whatever the provider says (V3). Its tokens are kept, out
    /// of reach, only to be revoked; [`Accounts::revoke`] does that.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when it is gone already.
    pub async fn forget_connection(
        &self,
        vault: &Unsealed,
        permit: &Permit<Disconnect>,
        id: ConnectionId,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let org = permit.principal().org();
        let user = *permit.object();
        self.forget_it(vault, (org, user), id, recorded).await
    }

    /// The same for everything that a member who left had connected.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_member(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
        recorded: &Recorded,
    ) -> Result<Vec<ConnectionId>, VaultError> {
        let roster = self.roster(vault).await?;
        let all = roster.of_member(org, user, None);
        let mut gone = Vec::new();
        for connection in all {
            self.forget_it(vault, (org, user), connection.id, recorded)
                .await?;
            gone.push(connection.id);
        }
        Ok(gone)
    }

    async fn forget_it(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
        id: ConnectionId,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let roster = self.roster(vault).await?;
        let _changing = self.changes.lock().await;
        let found = roster.connection(id).map(|kept| kept.value);
        let found = found.filter(|connection| connection.org == org && connection.user == user);
        let found = found.ok_or(VaultError::NotFound)?;
        let keys = vault.org(org)?;
        let mut batch = Batch::new();
        batch.delete(places::connection(&keys, id));
        for set in &found.sets {
            batch.delete(places::state(&keys, id, set));
        }
        if roster.default_of(org, user, &found.provider) == Some(id) {
            pass_default_on(vault, &roster, &mut batch, &found)?;
        }
        let kept = put_revocation(vault, &keys, &mut batch, &found)?;
        vault.commit(batch, recorded).await?;
        let heir = heir(&roster, &found);
        roster.drop_connection(id);
        roster.put_revocation(kept);
        if let Some(heir) = heir {
            roster.note_default(heir.id);
        }
        Ok(())
    }
}

/// The default that goes leaves the place to the only other account, or to none.
fn pass_default_on(
    vault: &Unsealed,
    roster: &Roster,
    batch: &mut Batch,
    gone: &Connection,
) -> Result<(), VaultError> {
    let org = vault.org(gone.org)?;
    if let Some(heir) = heir(roster, gone) {
        return put_default(vault, &org, batch, &heir);
    }
    batch.delete(places::default(&org, gone.user, &gone.provider));
    Ok(())
}

/// Who is the default after `gone`, when `gone` is it now.
fn heir(roster: &Roster, gone: &Connection) -> Option<Arc<Connection>> {
    let (org, user) = (gone.org, gone.user);
    if roster.default_of(org, user, &gone.provider) != Some(gone.id) {
        return None;
    }
    let mut others = roster.of_member(org, user, Some(&gone.provider));
    others.retain(|other| other.id != gone.id);
    match others.as_slice() {
        [only] => Some(Arc::clone(only)),
        _ => None,
    }
}

/// Whether somebody who writes `named` means this account.
fn is_called(connection: &Connection, named: &str) -> bool {
    let account = &connection.account;
    connection.id.to_string() == named
        || account.id == named
        || [&account.label, &account.email]
            .into_iter()
            .flatten()
            .any(|text| text.eq_ignore_ascii_case(named))
}
