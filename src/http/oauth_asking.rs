//! What somebody who connects an account asks for: scopes, and what the provider must be told. Checked before
//! anything is begun.

use std::collections::BTreeMap;

use http::StatusCode;

use crate::audit::{Action, Event, Target, TargetKind};
use crate::id::ConnectionId;
use crate::name::ProviderId;
use crate::oauth::client::{ClientInfo, ClientOwner, ClientRef};
use crate::oauth::provider::{Beyond, Bound, ParamFault, Provider};

use super::ApiError;
use super::caller::Caller;
use super::error::capital;

impl Caller {
    /// What is asked for: the provider's own, the client's or those that were named (A8).
    pub(super) fn scopes_for(
        provider: &Provider,
        (client, info): &(ClientRef, ClientInfo),
        asked: Option<Vec<String>>,
    ) -> Result<Vec<String>, ApiError> {
        let asked = asked.unwrap_or_else(|| info.scopes.clone());
        allowed_scopes(provider, client.owner, &asked)
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
    pub(super) async fn own_connection(&self, id: ConnectionId) -> Result<(), ApiError> {
        let principal = &self.principal;
        let seen = self
            .app
            .accounts
            .find(&self.vault, principal.org(), id)
            .await?;
        if seen.connection.user == principal.user() {
            Ok(())
        } else {
            Err(ApiError::not_found())
        }
    }

    pub(super) fn provider_event(&self, action: Action, provider: &ProviderId) -> Event {
        let target = Target::new(TargetKind::Connection).name(provider);
        self.event(action).target(target)
    }
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
            "See runtools oauth providers --json for the scopes there are; a client of an organisation's own may ask for others.",
        )
    })
}

pub(super) fn bad_param(fault: &ParamFault) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "bad_param",
        capital(&fault.to_string()),
        "See runtools oauth providers --json for what the provider must be told.",
    )
}
