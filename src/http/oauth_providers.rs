//! Providers: which there are, and whose client is used.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::name::ProviderId;
use crate::oauth::client::{ClientError, ClientInfo, ClientOwner, ClientRef, chosen};
use crate::oauth::provider::Provider;
use crate::oauth::provider::spec::{Kind, Status};
use crate::policy::ReadConnections;
use crate::wire;

use super::body::QueryString;
use super::caller::Caller;
use super::{ApiError, App, reply};

/// Which providers to list, and how much of each.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProviderQuery {
    /// Everything about each, in place of its id alone.
    details: Option<bool>,
    /// Those without a client, too.
    all: Option<bool>,
}

/// Lists providers.
#[utoipa::path(get, path = "/v1/oauth/providers", tag = "oauth", params(ProviderQuery),
    responses((status = 200, description = "Providers: their ids, or with `details` all about them",
        body = wire::List<wire::Provider>)))]
pub(super) async fn providers(
    caller: Caller,
    State(app): State<App>,
    QueryString(query): QueryString<ProviderQuery>,
) -> Result<Response, ApiError> {
    caller.may::<ReadConnections>(false).await?;
    let mut found = Vec::new();
    for provider in app.accounts.catalog().iter() {
        let client = match caller.client_for(provider).await {
            Ok((client, _)) => Some(client.owner),
            Err(error) if error.code() == "provider_not_configured" => None,
            Err(error) => return Err(error),
        };
        if client.is_some() || query.all == Some(true) {
            found.push(shown(provider, client));
        }
    }
    if query.details == Some(true) {
        return Ok(reply::list(found, None));
    }
    let ids: Vec<_> = found.into_iter().map(|provider| provider.id).collect();
    Ok(reply::list(ids, None))
}

fn shown(provider: &Provider, client: Option<ClientOwner>) -> wire::Provider {
    let spec = provider.spec();
    let params = spec.params.iter().map(|(name, param)| wire::ProviderParam {
        name: name.clone(),
        label: param.label.clone(),
        example: param.example.clone(),
        required: param.required && param.default.is_none(),
        choices: param.choices.clone(),
    });
    let scopes = spec.scopes.available.iter();
    wire::Provider {
        id: provider.id().to_string(),
        display_name: spec.display_name.clone(),
        icon: spec.icon.clone(),
        configured: client.is_some(),
        client: client.map(|owner| owner_text(owner).to_owned()),
        browser: spec.kind != Kind::Device,
        device: spec.device.is_some(),
        status: match spec.status {
            Status::Verified => "verified",
            Status::Unverified => "unverified",
            Status::Deprecated => "deprecated",
        }
        .to_owned(),
        default_scopes: spec.scopes.default.clone(),
        scopes: scopes
            .map(|available| (available.scope.clone(), available.label.clone()))
            .collect(),
        params: params.collect(),
        docs_url: spec.docs_url.clone(),
        categories: spec.categories.clone(),
        sunset: spec.sunset.as_ref().map(|sunset| wire::ProviderSunset {
            date: sunset.date.clone(),
            note: sunset.note.clone(),
        }),
    }
}

pub(super) const fn owner_text(owner: ClientOwner) -> &'static str {
    match owner {
        ClientOwner::Organization => "organization",
        ClientOwner::Instance => "instance",
    }
}

fn no_provider() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_provider",
        "There is no provider of that id.",
        "List them: runtools oauth providers --all.",
    )
}

/// Nobody set a client: who can, and how.
pub(super) fn not_configured(provider: &ProviderId) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "provider_not_configured",
        "Neither your organisation nor this installation has an OAuth client for this provider.",
        format!(
            "An admin sets one: runtools oauth configs set {provider} --client-id ID. Or the operator, for everybody: runtools-broker oauth-client set {provider} --client-id ID."
        ),
    )
}

impl App {
    /// The provider of this id.
    pub(super) fn provider(&self, id: &str) -> Result<Arc<Provider>, ApiError> {
        let id = ProviderId::parse(id).map_err(|_| no_provider())?;
        let found = self.accounts.catalog().get(&id);
        found.cloned().ok_or_else(no_provider)
    }
}

impl Caller {
    /// The client that new connections of the caller's organisation use.
    pub(super) async fn client_for(
        &self,
        provider: &Provider,
    ) -> Result<(ClientRef, ClientInfo), ApiError> {
        let org = self.vault.org(self.principal.org())?;
        match chosen(&self.vault, &org, provider.id()).await {
            Ok(found) => Ok(found),
            Err(ClientError::NotFound) => Err(not_configured(provider.id())),
            Err(error) => Err(error.into()),
        }
    }
}
