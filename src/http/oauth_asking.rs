//! What somebody who connects an account asks for: scopes, and what the provider must be told. Checked before
//! anything is begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;

use crate::audit::{Action, Event, Target, TargetKind};
use crate::id::ConnectionId;
use crate::name::ProviderId;
use crate::oauth::client::{ClientInfo, ClientOwner, ClientRef};
use crate::oauth::connection::Connection;
use crate::oauth::provider::{Beyond, Bound, ParamFault, Provider};
use crate::vault::VaultError;

use super::ApiError;
use super::caller::Caller;
use super::error::capital;

impl Caller {
    /// What is asked for: the provider's own, the client's, those that were named, and those of the
    /// connection that is made `again` (A8). A new grant takes the place of the one before it: one that asked
    /// for less would take from whoever uses the connection already.
    pub(super) fn scopes_for(
        provider: &Provider,
        (client, info): &(ClientRef, ClientInfo),
        asked: Option<Vec<String>>,
        again: Option<&Connection>,
    ) -> Result<Vec<String>, ApiError> {
        let before = again.map(|again| provider.made_with(&again.asked, &again.scopes));
        let named = (info.scopes.as_slice(), asked.unwrap_or_default());
        together(provider, client.owner, named, before.unwrap_or_default())
    }

    /// The connection that is to be made again: the one that was named, or the caller's own of the account
    /// that is suggested.
    pub(super) async fn again(
        &self,
        provider: &ProviderId,
        named: Option<ConnectionId>,
        account: Option<&str>,
    ) -> Result<Option<Arc<Connection>>, ApiError> {
        if let Some(id) = named {
            let connection = self.own_connection(id).await?;
            // A flow at another provider could only end with another account.
            let fits = connection.provider == *provider;
            return fits.then_some(Some(connection)).ok_or_else(no_such_account);
        }
        let Some(account) = account else {
            return Ok(None);
        };
        let whose = (self.principal.org(), self.principal.user());
        let all = self
            .app
            .accounts
            .of_member(&self.vault, whose, Some(provider));
        let mut all = all.await?.into_iter().map(|seen| seen.connection);
        Ok(all.find(|connection| connection.account.answers_to(account)))
    }

    /// Parameters as they were told, checked (A9); and whether the client is for them: its secret, and a code,
    /// go to no host that its owner did not mean.
    pub(super) fn bind(
        &self,
        provider: &Provider,
        client: &ClientInfo,
        told: &BTreeMap<String, String>,
    ) -> Result<Bound, ApiError> {
        let bound = provider.bind(told, &self.app.allowed_hosts);
        let bound = bound.map_err(|fault| bad_param(&fault))?;
        if provider.client_fits(&client.hosts, &bound) {
            return Ok(bound);
        }
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "client_for_another_host",
            "The OAuth client that is set for this provider is for another host than the one you named.",
            format!(
                "An admin sets one for that host: runtools oauth configs set {} --client-id ID --param NAME=VALUE.",
                provider.id()
            ),
        ))
    }

    /// Only a connection of the caller's own is made anew.
    async fn own_connection(&self, id: ConnectionId) -> Result<Arc<Connection>, ApiError> {
        let principal = &self.principal;
        let found = self.app.accounts.find(&self.vault, principal.org(), id);
        let seen = match found.await {
            Err(VaultError::NotFound) => return Err(no_such_account()),
            found => found?,
        };
        // Somebody else's is answered as none.
        if seen.connection.user == principal.user() {
            Ok(seen.connection)
        } else {
            Err(no_such_account())
        }
    }

    pub(super) fn provider_event(&self, action: Action, provider: &ProviderId) -> Event {
        let target = Target::new(TargetKind::Connection).name(provider);
        self.event(action).target(target)
    }
}

fn no_such_account() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "You have no connected account of that id at this provider.",
        "runtools oauth status lists your accounts with their ids.",
    )
}

/// The client's scopes, those that were named, and those that were asked for before.
fn together(
    provider: &Provider,
    owner: ClientOwner,
    (client, named): (&[String], Vec<String>),
    before: Vec<String>,
) -> Result<Vec<String>, ApiError> {
    let mut all = client.to_vec();
    all.extend(named);
    // Of those before, what this client may not ask for is left out: the client may be another by now, and
    // nobody named it this time.
    let may = |scope: &String| {
        let one = std::slice::from_ref(scope);
        allowed_scopes(provider, owner, one).is_ok()
    };
    all.extend(before.into_iter().filter(may));
    allowed_scopes(provider, owner, &all)
}

/// What is asked for with a client of this owner's: more than the file lists only with one of the
/// organisation's own (A8).
pub(super) fn allowed_scopes(
    provider: &Provider,
    owner: ClientOwner,
    asked: &[String],
) -> Result<Vec<String>, ApiError> {
    let beyond = match owner {
        ClientOwner::Organization => Beyond::Allowed,
        ClientOwner::Instance => Beyond::Refused,
    };
    provider.allowed_scopes(asked, beyond).map_err(|fault| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_scope",
            capital(&fault.to_string()),
            "See runtools oauth providers --all --json for the scopes there are; a client of an organisation's own may ask for others.",
        )
    })
}

pub(super) fn bad_param(fault: &ParamFault) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "bad_param",
        capital(&fault.to_string()),
        "See runtools oauth providers --all --json for what the provider must be told.",
    )
}

#[cfg(test)]
mod tests {
    use super::together;
    use crate::name::ProviderId;
    use crate::oauth::client::ClientOwner;
    use crate::oauth::provider::Catalog;

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn a8_what_is_named_takes_nothing_from_what_was_asked_for_before() {
        let catalog = Catalog::shipped().unwrap();
        let slack = catalog.get(&ProviderId::parse("slack").unwrap()).unwrap();
        let own = ClientOwner::Organization;
        let asked = |owner, client: &[&str], named: &[&str], before: &[&str]| {
            together(slack, owner, (&words(client), words(named)), words(before)).ok()
        };
        let usual = asked(own, &[], &[], &[]).unwrap();
        let all = asked(own, &["of:client"], &["of:call"], &["of:before", "of:call"]);
        let all = all.unwrap();
        let (start, rest) = all.split_at(usual.len());
        assert_eq!(start, usual);
        assert_eq!(rest, ["of:client", "of:call", "of:before"]);
        // The installation's client asks for what is in the file, and silently for less than before.
        let shared = ClientOwner::Instance;
        assert_eq!(asked(shared, &[], &[], &["of:before"]), Some(usual));
        assert_eq!(asked(shared, &[], &["of:call"], &[]), None);
        let before = slack.made_with(
            &words(&["chat:write"]),
            &words(&["chat:read", "user:chat:write"]),
        );
        assert_eq!(before, ["chat:write", "user:chat:write"]);
    }
}
