//! OAuth clients: an organisation's own (BYOA), and the installation's.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use crate::audit::{Action, Event, Recorded, Target, TargetKind};
use crate::crypto::NamedKey;
use crate::name::ProviderId;
use crate::oauth::client::{
    ClientError, ClientInfo, ClientOwner, ClientRef, ClientShelf, NewClient, NewSecret,
};
use crate::oauth::provider::Provider;
use crate::policy::{ReadClients, WriteClients, WriteSharedClients};
use crate::wire;

use super::body::Input;
use super::caller::Caller;
use super::error::capital;
use super::oauth_asking::{allowed_scopes, bad_param};
use super::{ApiError, App, reply};

/// The documented word for "the secret stays".
const UNCHANGED: &[u8] = b"unchanged";

fn shown(app: &App, info: ClientInfo) -> wire::OauthConfig {
    wire::OauthConfig {
        redirect_uri: app.public_url.redirect_uri(&info.provider),
        provider: info.provider.to_string(),
        client_id: info.client_id,
        has_secret: info.confidential,
        scopes: info.scopes,
        created_at: info.created,
        updated_at: info.updated,
    }
}

fn read(
    app: &App,
    provider: &Provider,
    owner: ClientOwner,
    body: wire::SetOauthConfig,
) -> Result<NewClient, ApiError> {
    let scopes = body.scopes.map(wire::ScopeList::into_scopes);
    // Refused now, and not whenever somebody wants to connect.
    if let Some(asked) = &scopes {
        allowed_scopes(provider, owner, asked)?;
    }
    let given = body.client_secret.filter(|secret| {
        let kept = secret.expose(|bytes| bytes.is_empty() || bytes == UNCHANGED);
        !kept
    });
    let given = given.map(|secret| NamedKey::on_one_line(&secret).unwrap_or(secret));
    let secret = match (given, body.public == Some(true)) {
        (Some(_), true) => {
            return Err(ApiError::bad_request(
                "A public client has no secret: send the one or the other.",
            ));
        }
        (Some(secret), false) => NewSecret::Set(secret),
        (None, true) => NewSecret::None,
        (None, false) => NewSecret::Keep,
    };
    if provider.proves_by_key() {
        check_key(&secret)?;
    }
    Ok(NewClient {
        provider: provider.id().clone(),
        client_id: body.client_id,
        secret,
        hosts: provider
            .bind_hosts(&body.params, &app.allowed_hosts)
            .map_err(|fault| bad_param(&fault))?,
        scopes,
    })
}

/// A client that proves itself by a key has one, and it can be used: said now, and not whenever somebody
/// wants to connect.
fn check_key(secret: &NewSecret) -> Result<(), ApiError> {
    let unfit = match secret {
        NewSecret::Keep => return Ok(()),
        NewSecret::None => None,
        NewSecret::Set(key) => match NamedKey::read(key) {
            Ok(_) => return Ok(()),
            Err(error) => Some(error.reason()),
        },
    };
    let unfit = unfit.map_or_else(String::new, |reason| {
        format!(" This one cannot be used: {reason}.")
    });
    Err(ApiError::bad_request(format!(
        "Clients of this provider prove themselves with a private key, which is sent as the secret: RSA of 2048 to 4096 bits or P-256, in PEM or as a JWK.{unfit}"
    )))
}

impl Caller {
    fn client_event(&self, action: Action, provider: &ProviderId, shared: bool) -> Event {
        let target = Target::new(TargetKind::Client).name(provider);
        let event = self.event(action).target(target);
        if shared {
            event.code("instance")
        } else {
            event.code("organization")
        }
    }

    /// What failed for the client's sake is tried again.
    async fn heal(
        &self,
        info: &ClientInfo,
        owner: ClientOwner,
        recorded: &Recorded,
    ) -> Result<(), ClientError> {
        let client = ClientRef {
            owner,
            client_id: info.client_id.clone(),
        };
        let concerned = (self.principal.org(), &info.provider, &client);
        let accounts = &self.app.accounts;
        accounts
            .client_changed(&self.vault, concerned, recorded)
            .await?;
        self.app.wake_accounts();
        Ok(())
    }
}

/// Sets the organisation's own client of a provider.
#[utoipa::path(post, path = "/v1/oauth/configs", tag = "oauth", request_body = wire::SetOauthConfig,
    responses((status = 200, description = "The client", body = wire::Answer<wire::OauthConfig>)))]
pub(super) async fn set_config(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::SetOauthConfig>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<WriteClients>(()).await?;
    let provider = app.provider(&body.provider)?;
    let new = read(&app, &provider, ClientOwner::Organization, body)?;
    let org = caller.vault.org(caller.principal.org())?;
    let _changing = app.accounts.changing().await;
    let event = caller.client_event(Action::OauthClientSet, provider.id(), false);
    let info = caller
        .audited(event, async |recorded| {
            let shelf = ClientShelf::of_org(&caller.vault, &org);
            let info = shelf.set(&permit, new, recorded).await?;
            let owner = ClientOwner::Organization;
            caller.heal(&info, owner, recorded).await?;
            Ok::<_, ClientError>(info)
        })
        .await?;
    Ok(reply::data(shown(&app, info)))
}

/// Lists the organisation's own clients.
#[utoipa::path(get, path = "/v1/oauth/configs", tag = "oauth",
    responses((status = 200, description = "Clients", body = wire::List<wire::OauthConfig>)))]
pub(super) async fn configs(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<ReadClients>(()).await?;
    let org = caller.vault.org(caller.principal.org())?;
    let all = ClientShelf::of_org(&caller.vault, &org).all().await?;
    Ok(listed(&app, all))
}

fn listed(app: &App, mut all: Vec<ClientInfo>) -> Response {
    all.sort_by(|one, other| one.provider.cmp(&other.provider));
    let all = all.into_iter().map(|info| shown(app, info));
    reply::list(all.collect(), None)
}

/// Stops using the organisation's own client of a provider.
#[utoipa::path(delete, path = "/v1/oauth/configs/{provider}", tag = "oauth",
    params(("provider" = String, Path)),
    responses((status = 200, description = "Removed", body = wire::Answer<wire::Done>)))]
pub(super) async fn remove_config(
    caller: Caller,
    State(app): State<App>,
    Path(provider): Path<String>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<WriteClients>(()).await?;
    let provider = app.provider(&provider)?;
    let org = caller.vault.org(caller.principal.org())?;
    let shelf = ClientShelf::of_org(&caller.vault, &org);
    if shelf.info(provider.id()).await?.is_none() {
        return Err(no_client(provider.id(), ClientOwner::Organization));
    }
    let _changing = app.accounts.changing().await;
    let roster = app.accounts.roster(&caller.vault).await?;
    let needed = |client: &ClientRef| roster.needs_client(org.id(), (provider.id(), client), None);
    let event = caller.client_event(Action::OauthClientRemove, provider.id(), false);
    caller
        .audited(event, async |recorded| {
            shelf.remove(&permit, provider.id(), needed, recorded).await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// Sets a client of the installation, for organisations without one of their own.
#[utoipa::path(post, path = "/v1/operator/oauth-clients", tag = "operator",
    request_body = wire::SetOauthConfig,
    responses((status = 200, description = "The client", body = wire::Answer<wire::OauthConfig>)))]
pub(super) async fn set_oauth_client(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::SetOauthConfig>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<WriteSharedClients>(()).await?;
    let provider = app.provider(&body.provider)?;
    let new = read(&app, &provider, ClientOwner::Instance, body)?;
    let _changing = app.accounts.changing().await;
    let event = caller.client_event(Action::OauthClientSet, provider.id(), true);
    let info = caller
        .audited(event, async |recorded| {
            let shelf = ClientShelf::of_installation(&caller.vault);
            let info = shelf.set_shared(&permit, new, recorded).await?;
            let owner = ClientOwner::Instance;
            caller.heal(&info, owner, recorded).await?;
            Ok::<_, ClientError>(info)
        })
        .await?;
    Ok(reply::data(shown(&app, info)))
}

/// Lists the installation's clients.
#[utoipa::path(get, path = "/v1/operator/oauth-clients", tag = "operator",
    responses((status = 200, description = "Clients", body = wire::List<wire::OauthConfig>)))]
pub(super) async fn oauth_clients(
    caller: Caller,
    State(app): State<App>,
) -> Result<Response, ApiError> {
    caller.may::<WriteSharedClients>(()).await?;
    let all = ClientShelf::of_installation(&caller.vault).all().await?;
    Ok(listed(&app, all))
}

/// Stops using a client of the installation.
#[utoipa::path(delete, path = "/v1/operator/oauth-clients/{provider}", tag = "operator",
    params(("provider" = String, Path)),
    responses((status = 200, description = "Removed", body = wire::Answer<wire::Done>)))]
pub(super) async fn remove_oauth_client(
    caller: Caller,
    State(app): State<App>,
    Path(provider): Path<String>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<WriteSharedClients>(()).await?;
    let provider = app.provider(&provider)?;
    let shelf = ClientShelf::of_installation(&caller.vault);
    if shelf.info(provider.id()).await?.is_none() {
        return Err(no_client(provider.id(), ClientOwner::Instance));
    }
    let _changing = app.accounts.changing().await;
    let roster = app.accounts.roster(&caller.vault).await?;
    let org = caller.principal.org();
    let needed = |client: &ClientRef| roster.needs_client(org, (provider.id(), client), None);
    let event = caller.client_event(Action::OauthClientRemove, provider.id(), true);
    caller
        .audited(event, async |recorded| {
            shelf
                .remove_shared(&permit, provider.id(), needed, recorded)
                .await
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

/// There is nothing to remove.
fn no_client(provider: &ProviderId, owner: ClientOwner) -> ApiError {
    let (whose, list) = match owner {
        ClientOwner::Organization => (
            "Your organisation has no client of its own for this provider.",
            "runtools oauth configs list",
        ),
        ClientOwner::Instance => (
            "This installation has no client for this provider.",
            "runtools-broker oauth-client list",
        ),
    };
    let hint = format!("See which there are: {list}. Nothing had to be removed for {provider}.");
    ApiError::new(StatusCode::NOT_FOUND, "no_such_client", whose, hint)
}

impl From<ClientError> for ApiError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotFound => Self::not_found(),
            ClientError::SecretNeeded => Self::new(
                StatusCode::BAD_REQUEST,
                "client_secret_needed",
                capital(&error.to_string()),
                "Send clientSecret, or public: true for a client without one.",
            ),
            ClientError::Rule(rule) => Self::bad_request(capital(rule)),
            ClientError::Vault(error) => error.into(),
        }
    }
}
