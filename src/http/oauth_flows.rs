//! Beginning to connect an account, and hearing how that went. The pages in between are the browser's.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::audit::Action;
use crate::id::ConnectionId;
use crate::oauth::DiscoveryFault;
use crate::oauth::flow::{
    Failure, FinishFault, FlowAsk, FlowFault, FlowId, FlowPurpose, FlowView, Found, ReturnTo, Tell,
    complete,
};
use crate::oauth::provider::Provider;
use crate::policy::Connect;
use crate::wire;

use super::body::{Input, QueryString};
use super::caller::Caller;
use super::error::capital;
use super::{ApiError, App, reply};

/// How to connect.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StartQuery {
    /// Scopes to ask for besides the provider's own: with commas or spaces between. One of another list of
    /// the provider's has the list's name before it, such as `user:chat:write`.
    scopes: Option<String>,
    /// `http://127.0.0.1:PORT/PATH`: the terminal on this machine that waits for the browser.
    redirect_uri: Option<String>,
    /// Where a dashboard wants its browser back.
    #[serde(alias = "returnTo")]
    return_to: Option<String>,
    /// The dashboard opened a window for it, which tells its opener and closes.
    popup: Option<bool>,
    /// The connection to make anew.
    #[param(value_type = Option<String>)]
    reconnect: Option<ConnectionId>,
    /// One more account: let the person choose which.
    another: Option<bool>,
    /// The account to suggest.
    #[serde(alias = "loginHint")]
    login_hint: Option<String>,
    /// What the provider must be told, as a JSON object of texts.
    params: Option<String>,
}

/// Begins to connect an account.
#[utoipa::path(get, path = "/v1/oauth/start/{provider}", tag = "oauth",
    params(("provider" = String, Path), StartQuery),
    responses((status = 200, description = "Open `authUrl` in a browser",
        body = wire::Answer<wire::StartedFlow>)))]
pub(super) async fn start(
    caller: Caller,
    State(app): State<App>,
    Path(provider): Path<String>,
    QueryString(query): QueryString<StartQuery>,
) -> Result<Response, ApiError> {
    caller.may::<Connect>(()).await?;
    let provider = app.provider(&provider)?;
    let client = caller.client_for(&provider).await?;
    let tell = tell(&app, &query)?;
    let suggested = query.login_hint.as_deref();
    let again = caller.again(provider.id(), query.reconnect, suggested);
    let again = again.await?;
    let purpose = match (query.reconnect, query.another) {
        (Some(id), _) => FlowPurpose::Reconnect(id),
        (None, Some(true)) => FlowPurpose::Another,
        (None, _) => FlowPurpose::Connect,
    };
    let asked = query.scopes.map(wire::ScopeList::Text);
    let asked = asked.map(wire::ScopeList::into_scopes);
    let scopes = Caller::scopes_for(&provider, &client, asked, again.as_deref())?;
    let (scopes, extra_scopes) = provider.by_list(scopes);
    let bound = caller.bind(&provider, &client.1, &told(query.params.as_deref())?)?;
    let names = app
        .directory
        .names(&caller.vault, &caller.principal)
        .await?;
    let org = caller.principal.org();
    let found = app
        .accounts
        .authorize_page(&caller.vault, org, (&provider, &bound))
        .await
        .map_err(no_page)?;
    let ask = FlowAsk {
        org,
        user: caller.principal.user(),
        user_name: names.user,
        org_name: names.org,
        bound,
        scopes,
        extra_scopes,
        found: found.map(|(page, names_itself)| Found { page, names_itself }),
        client: client.0,
        purpose,
        login_hint: query.login_hint,
        tell,
        provider: Arc::clone(&provider),
    };
    let event = caller.provider_event(Action::OauthStart, provider.id());
    let started = caller
        .audited(event, async |_| {
            let vault = &caller.vault;
            app.flows
                .begin(ask, vault.now(), vault.random())
                .map_err(|fault| not_begun(&fault, &provider))
        })
        .await?;
    Ok(reply::once(reply::data(wire::StartedFlow {
        auth_url: started.auth_url,
        flow: started.flow.to_string(),
        provider: provider.id().to_string(),
        code: started.code,
        expires_at: started.expires,
    })))
}

fn tell(app: &App, query: &StartQuery) -> Result<Tell, ApiError> {
    if query.popup == Some(true) && query.return_to.is_none() {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_popup",
            "popup is for a dashboard: without return_to nobody is told what its window came to.",
            "Send return_to as well, or leave popup out.",
        ));
    }
    match (&query.redirect_uri, &query.return_to) {
        (Some(_), Some(_)) => Err(ApiError::bad_request(
            "A flow goes back to one place: redirect_uri or return_to.",
        )),
        (Some(uri), None) => {
            let bad = || {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "bad_redirect_uri",
                    "A redirect_uri here is a terminal's own: http://127.0.0.1, a port and a path.",
                    "A dashboard sends return_to instead.",
                )
            };
            let rest = uri.strip_prefix("http://127.0.0.1:").ok_or_else(bad)?;
            let (port, path) = rest.split_once('/').ok_or_else(bad)?;
            let port = port.parse().map_err(|_| bad())?;
            Tell::loopback(port, &format!("/{path}")).map_err(|_| bad())
        }
        (None, Some(back)) => {
            let judged = ReturnTo::judge(back, &app.public_url, &app.return_rules);
            let back = judged.map_err(|fault| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "bad_return_to",
                    capital(&fault.to_string()),
                    "The operator lists addresses outside of the broker in oauth.return_to.",
                )
            })?;
            Ok(Tell::Return {
                to: back,
                popup: query.popup == Some(true),
            })
        }
        (None, None) => Ok(Tell::Code),
    }
}

fn told(params: Option<&str>) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(text) = params else {
        return Ok(BTreeMap::new());
    };
    serde_json::from_str(text)
        .map_err(|_| ApiError::bad_request("params is a JSON object of texts."))
}

/// Why nobody can be sent to a provider whose issuer says where.
fn no_page(fault: DiscoveryFault) -> ApiError {
    match fault {
        DiscoveryFault::Sealed => ApiError::sealed(),
        DiscoveryFault::Silent(_) | DiscoveryFault::Unusable => ApiError::new(
            StatusCode::BAD_GATEWAY,
            "issuer_unavailable",
            "The provider's own description of itself cannot be read.",
            "Check the parameters you told, and that the broker reaches the issuer; then try again.",
        ),
    }
}

/// How far a flow is.
#[utoipa::path(get, path = "/v1/oauth/flows/{id}", tag = "oauth", params(("id" = String, Path)),
    responses((status = 200, description = "The flow", body = wire::Answer<wire::Flow>)))]
pub(super) async fn flow(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.may::<Connect>(()).await?;
    Ok(reply::data(view(&caller, &app, &id)?))
}

fn view(caller: &Caller, app: &App, id: &str) -> Result<wire::Flow, ApiError> {
    let (org, user) = (caller.principal.org(), caller.principal.user());
    let id = FlowId::parse(id).ok_or_else(ApiError::not_found)?;
    let view = app.flows.view(org, user, &id, caller.vault.now());
    view.map(seen).ok_or_else(ApiError::not_found)
}

fn seen(view: FlowView) -> wire::Flow {
    wire::Flow {
        flow: view.flow.to_string(),
        provider: view.provider.to_string(),
        status: view.status.as_str().to_owned(),
        connection_id: view.connection,
        account: view.account,
        missing_scopes: view.missing,
        error: view.error.map(str::to_owned),
        expires_at: view.expires,
    }
}

/// Finishes a flow with what the browser brought back to where it was begun.
#[utoipa::path(post, path = "/v1/oauth/flows/{id}/finish", tag = "oauth",
    params(("id" = String, Path)), request_body = wire::FinishFlow,
    responses((status = 200, description = "How it ended", body = wire::Answer<wire::Flow>)))]
pub(super) async fn finish(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Input(body): Input<wire::FinishFlow>,
) -> Result<Response, ApiError> {
    caller.may::<Connect>(()).await?;
    let (org, user) = (caller.principal.org(), caller.principal.user());
    let flow = FlowId::parse(&id).ok_or_else(ApiError::not_found)?;
    let provider = view(&caller, &app, &id)?.provider;
    let now = caller.vault.now();
    let pending = app.flows.finish(org, user, &flow, &body.ticket, now);
    let pending = pending.map_err(|fault| not_finished(fault, &provider))?;
    // A code that is sent is spent: that a client goes away stops nothing.
    let (flows, keeper) = (Arc::clone(&app.flows), app.flow_keeper());
    let clock = Arc::clone(&app.clock);
    let done =
        super::request::apart(async move { complete(&flows, pending, &*keeper, &*clock).await });
    done.await.map_err(|_| ApiError::internal())?;
    Ok(reply::once(reply::data(view(&caller, &app, &id)?)))
}

/// Ends a flow.
#[utoipa::path(delete, path = "/v1/oauth/flows/{id}", tag = "oauth", params(("id" = String, Path)),
    responses((status = 200, description = "Ended", body = wire::Answer<wire::Done>)))]
pub(super) async fn cancel(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.may::<Connect>(()).await?;
    let (org, user) = (caller.principal.org(), caller.principal.user());
    let flow = FlowId::parse(&id).ok_or_else(ApiError::not_found)?;
    let found = app.flows.view(org, user, &flow, caller.vault.now());
    let found = found.ok_or_else(ApiError::not_found)?;
    let event = caller.provider_event(Action::OauthDeny, &found.provider);
    caller
        .audited(event.code(Failure::Cancelled.code()), async |_| {
            let ended = app.flows.cancel(org, user, &flow, caller.vault.now());
            ended.then_some(()).ok_or_else(ApiError::not_found)
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

fn not_begun(fault: &FlowFault, provider: &Provider) -> ApiError {
    let message = capital(&fault.to_string());
    match fault {
        FlowFault::Full | FlowFault::OrgFull => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_flows",
            message,
            "Try again in a few minutes.",
        )
        .retry_after(60),
        FlowFault::Authorize(_) | FlowFault::NoState => {
            let hint = if provider.spec().device.is_some() {
                format!(
                    "Use a code: runtools oauth connect {} --device.",
                    provider.id()
                )
            } else {
                format!(
                    "Whoever runs this broker looks at the file of {}.",
                    provider.id()
                )
            };
            ApiError::new(StatusCode::CONFLICT, "no_browser_flow", message, hint)
        }
        FlowFault::Crypto(_) => ApiError::internal(),
    }
}

fn not_finished(fault: FinishFault, provider: &str) -> ApiError {
    let (code, message) = (fault.code(), capital(&fault.to_string()));
    match fault {
        FinishFault::NotFound => ApiError::not_found(),
        _ => ApiError::new(
            StatusCode::CONFLICT,
            code,
            message,
            format!("Begin again: runtools oauth connect {provider}."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{FinishFault, FlowFault, not_begun, not_finished};
    use crate::name::ProviderId;
    use crate::oauth::provider::Catalog;

    #[test]
    fn what_to_do_next_names_the_provider() {
        let catalog = Catalog::shipped().unwrap();
        let hint = |id: &str| {
            let provider = catalog.get(&ProviderId::parse(id).unwrap()).unwrap();
            format!("{:?}", not_begun(&FlowFault::NoState, provider))
        };
        assert!(hint("sentry").contains("oauth connect sentry --device"));
        let pageless = hint("github");
        assert!(pageless.contains("file of github") && !pageless.contains("--device"));
        let late = format!("{:?}", not_finished(FinishFault::Late, "github"));
        assert!(late.contains("runtools oauth connect github."), "{late}");
    }
}
