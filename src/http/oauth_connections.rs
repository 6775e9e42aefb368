//! Connected accounts.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::audit::{Action, Event, Target, TargetKind};
use crate::id::ConnectionId;
use crate::name::ProviderId;
use crate::oauth::{Pick, Seen, Standing};
use crate::policy::{ChooseDefault, Disconnect, ReadConnections};
use crate::wire;

use super::body::QueryString;
use super::caller::Caller;
use super::oauth_providers::owner_text;
use super::{ApiError, App, reply, request};

/// Which connections.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionQuery {
    /// Every member's (admins).
    all: Option<bool>,
    /// To this provider only.
    provider: Option<String>,
}

fn shown(seen: &Seen) -> wire::Connection {
    let connection = &*seen.connection;
    wire::Connection {
        id: connection.id,
        provider: connection.provider.to_string(),
        user_id: connection.user,
        account_id: connection.account.id.clone(),
        account: connection.account.shown().to_owned(),
        email: connection.account.email.clone(),
        resources: connection
            .resources
            .iter()
            .map(|resource| wire::ConnectionResource {
                id: resource.id.clone(),
                name: resource.name.clone(),
                url: resource.url.clone(),
            })
            .collect(),
        status: seen.standing.code().to_owned(),
        reason: match seen.standing {
            Standing::Revoked(why) => Some(why.code().to_owned()),
            Standing::Active | Standing::Limited => None,
            Standing::Degraded | Standing::ConfigError => seen.failure.clone(),
        },
        scopes: connection.scopes.clone(),
        missing_scopes: connection.missing.clone(),
        is_default: seen.default,
        client: owner_text(connection.client.owner).to_owned(),
        expires_at: seen.expires,
        grant_expires_at: seen.ends,
        refreshed_at: seen.refreshed,
        created_at: connection.created,
    }
}

/// Lists connected accounts.
#[utoipa::path(get, path = "/v1/oauth/connections", tag = "oauth", params(ConnectionQuery),
    responses((status = 200, description = "Connections", body = wire::List<wire::Connection>)))]
pub(super) async fn connections(
    caller: Caller,
    State(app): State<App>,
    QueryString(query): QueryString<ConnectionQuery>,
) -> Result<Response, ApiError> {
    let all = query.all == Some(true);
    caller.may::<ReadConnections>(all).await?;
    let provider = match query.provider {
        Some(id) => Some(app.provider(&id)?.id().clone()),
        None => None,
    };
    let principal = &caller.principal;
    let found = if all {
        let mut found = app.accounts.of_org(&caller.vault, principal.org()).await?;
        found.retain(|seen| {
            let of = &seen.connection.provider;
            provider.as_ref().is_none_or(|wanted| wanted == of)
        });
        found
    } else {
        let who = (principal.org(), principal.user());
        app.accounts
            .of_member(&caller.vault, who, provider.as_ref())
            .await?
    };
    Ok(reply::list(found.iter().map(shown).collect(), None))
}

impl Caller {
    /// A connection of the caller's organisation.
    async fn connection(&self, id: &str) -> Result<Seen, ApiError> {
        let id = ConnectionId::parse(id).map_err(|_| ApiError::not_found())?;
        let org = self.principal.org();
        Ok(self.app.accounts.find(&self.vault, org, id).await?)
    }

    fn connection_event(&self, action: Action, seen: &Seen) -> Event {
        let target = Target::new(TargetKind::Connection)
            .id(seen.connection.id.bytes())
            .name(&seen.connection.provider);
        self.event(action).target(target)
    }
}

/// Forgets a connection here at once, and has it revoked at the provider.
#[utoipa::path(delete, path = "/v1/oauth/connections/{id}", tag = "oauth",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 200, description = "Forgotten; and what the provider says",
        body = wire::Answer<wire::Disconnected>)))]
pub(super) async fn disconnect(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<Disconnect>().await?;
    let seen = caller.connection(&id).await?;
    let permit = caller.may::<Disconnect>(seen.connection.user).await?;
    let id = seen.connection.id;
    let event = caller.connection_event(Action::OauthDisconnect, &seen);
    caller
        .audited(event, async |recorded| {
            app.accounts
                .forget_connection(&caller.vault, &permit, id, recorded)
                .await
        })
        .await?;
    // The provider is asked in a task of its own: a client that goes away stops nothing.
    let (accounts, vault) = (app.accounts.clone(), caller.vault.clone());
    let asked = request::apart(async move { accounts.revoke(&vault, id).await });
    let upstream = match asked.await {
        Ok(Ok(Some(upstream))) => upstream.code(),
        Ok(Ok(None)) => "revoked",
        Ok(Err(error)) => {
            tracing::warn!(%error, "a revocation could not be recorded; it is tried again");
            "pending"
        }
        Err(_) => "pending",
    };
    Ok(reply::data(wire::Disconnected {
        success: true,
        upstream: upstream.to_owned(),
    }))
}

/// Makes a connection the one that is used when none is named.
#[utoipa::path(post, path = "/v1/oauth/connections/{id}/default", tag = "oauth",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The connection", body = wire::Answer<wire::Connection>)))]
pub(super) async fn set_default(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.scoped::<ChooseDefault>().await?;
    let seen = caller.connection(&id).await?;
    let permit = caller.may::<ChooseDefault>(seen.connection.user).await?;
    let chosen = seen.connection.id;
    let event = caller.connection_event(Action::OauthDefault, &seen);
    caller
        .audited(event, async |recorded| {
            app.accounts
                .choose_default(&caller.vault, &permit, chosen, recorded)
                .await
        })
        .await?;
    Ok(reply::data(shown(&caller.connection(&id).await?)))
}

/// Whether a provider is connected, and which account is used.
#[utoipa::path(get, path = "/v1/oauth/status/{provider}", tag = "oauth",
    params(("provider" = String, Path)),
    responses((status = 200, description = "How it stands", body = wire::Answer<wire::ProviderStatus>)))]
pub(super) async fn provider_status(
    caller: Caller,
    State(app): State<App>,
    Path(provider): Path<String>,
) -> Result<Response, ApiError> {
    caller.may::<ReadConnections>(false).await?;
    let provider: ProviderId = app.provider(&provider)?.id().clone();
    let who = (caller.principal.org(), caller.principal.user());
    let all = app
        .accounts
        .of_member(&caller.vault, who, Some(&provider))
        .await?;
    let picked = app
        .accounts
        .pick(&caller.vault, who, &provider, None)
        .await?;
    let used = match picked {
        Pick::One(one) => all.iter().find(|seen| seen.connection.id == one.id),
        Pick::None | Pick::Ambiguous => None,
    };
    let usable = |seen: &Seen| !matches!(seen.standing, Standing::Revoked(_));
    Ok(reply::data(wire::ProviderStatus {
        provider: provider.to_string(),
        connected: all.iter().any(usable),
        accounts: all.len(),
        connection: used.map(shown),
    }))
}
