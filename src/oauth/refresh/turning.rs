//! What people are told once, when it comes about, and not again at each attempt that finds it so: that a
//! grant is over (R7), and that a client is refused (R11). It is in the journal before it is in the state,
//! and counted after.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::audit::{Action, Actor, Event, Outcome, Recorded, Target, TargetKind};
use crate::id::OrgId;
use crate::name::ProviderId;
use crate::oauth::accounts::Accounts;
use crate::oauth::client::{ClientKey, ClientOwner, ClientRef};
use crate::oauth::connection::{Connection, Health, Revoked, TokenState};
use crate::oauth::event;
use crate::oauth::provider::Provider;
use crate::vault::{Unsealed, VaultError};

use super::attempt::Subjects;

/// The clients of which it was told that they are refused.
#[derive(Debug, Default)]
pub(in crate::oauth) struct Refused(Mutex<HashSet<ClientKey>>);

impl Refused {
    /// Whether this is the first time.
    fn note(&self, key: ClientKey) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key)
    }

    /// The client works, or was set anew.
    pub(in crate::oauth) fn heal(&self, org: OrgId, provider: &ProviderId, client: &ClientRef) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&client.key(org, provider));
    }

    /// Forgets all of them.
    pub(in crate::oauth) fn forget(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }
}

/// Something that came about and is in the journal. Dropped before it is in the state, it stays there as
/// unknown.
pub(super) enum Turn {
    Over(Revoked, Recorded),
    Refused(Recorded),
}

impl Accounts {
    /// Puts into the journal what the change from one state to the other means for people, if anything.
    pub(super) async fn announce(
        &self,
        about: &Subjects<'_>,
        (old, new): (&TokenState, &TokenState),
    ) -> Result<Option<Turn>, VaultError> {
        let (vault, connection) = (about.vault, &*about.connection.value);
        if let Health::Revoked(why) = new.health
            && !old.is_revoked()
        {
            let event = event::about(vault, Action::OauthOver, connection);
            let recorded = vault.journal().record(event.code(why.code())).await?;
            return Ok(Some(Turn::Over(why, recorded)));
        }
        let refused = new.health == Health::ConfigError && old.health != Health::ConfigError;
        if !refused || !self.is_news(about, connection) {
            return Ok(None);
        }
        let event = client_refused(vault, connection);
        match vault.journal().record(event).await {
            Ok(recorded) => Ok(Some(Turn::Refused(recorded))),
            Err(error) => {
                let provider = &connection.provider;
                self.refused
                    .heal(connection.org, provider, &connection.client);
                Err(error.into())
            }
        }
    }

    /// Whether this is the first that is heard of the client's being refused. Those that wait for it since
    /// before a restart are in the states.
    fn is_news(&self, about: &Subjects<'_>, connection: &Connection) -> bool {
        let (org, client) = (connection.org, &connection.client);
        let known = about
            .roster
            .client_is_refused(org, (&connection.provider, client));
        let first = self.refused.note(client.key(org, &connection.provider));
        first && !known
    }

    /// It is in no state, and will not be: what was announced did not come about, and is told when it does.
    pub(super) fn unturned(&self, connection: &Connection, turn: Option<&Turn>) {
        if let Some(Turn::Refused(_)) = turn {
            let provider = &connection.provider;
            self.refused
                .heal(connection.org, provider, &connection.client);
        }
    }

    /// It came about.
    pub(super) fn turned(&self, provider: &Provider, turn: Option<Turn>) {
        match turn {
            Some(Turn::Over(why, recorded)) => {
                recorded.outcome(Outcome::success());
                self.meter.over(provider.id(), why.code());
            }
            Some(Turn::Refused(recorded)) => {
                recorded.outcome(Outcome::success());
                self.meter.client_refused(provider.id());
                tracing::warn!(
                    provider = %provider.id(),
                    "a provider refuses a client: refreshes with it fail until it is set anew"
                );
            }
            None => {}
        }
    }
}

/// A client of the installation is no one organisation's: the operator hears of it.
fn client_refused(vault: &Unsealed, connection: &Connection) -> Event {
    let target = Target::new(TargetKind::Client).name(&connection.provider);
    let event = Event::new(Action::OauthClientRefused, Actor::System).target(target);
    let event = event.store_generation(vault.store().generation());
    match connection.client.owner {
        ClientOwner::Organization => event.org(connection.org).code("organization"),
        ClientOwner::Instance => event.code("instance"),
    }
}
