//! Connecting an account without a browser of one's own: a code, typed at the provider's on any device.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use crate::audit::Action;
use crate::oauth::BeginFault;
use crate::oauth::flow::{DeviceAsk, DeviceFault, DeviceStatus, DeviceView, Failure, Turn};
use crate::oauth::provider::Provider;
use crate::policy::Connect;
use crate::wire;

use super::body::{Input, OptionalInput};
use super::caller::Caller;
use super::error::capital;
use super::{ApiError, App, reply, request};

/// Starts a device flow.
#[utoipa::path(post, path = "/v1/oauth/device/start/{provider}", tag = "oauth",
    params(("provider" = String, Path)), request_body = Option<wire::StartDevice>,
    responses((status = 200, description = "Show the code and the address to the person",
        body = wire::Answer<wire::StartedDevice>)))]
pub(super) async fn start_device(
    caller: Caller,
    State(app): State<App>,
    Path(provider): Path<String>,
    OptionalInput(body): OptionalInput<wire::StartDevice>,
) -> Result<Response, ApiError> {
    caller.may::<Connect>(()).await?;
    let provider = app.provider(&provider)?;
    if provider.spec().device.is_none() {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "no_device_flow",
            "This provider has no device flow.",
            "Connect it in a browser: runtools oauth connect PROVIDER.",
        ));
    }
    caller.may_use_codes().await?;
    let client = caller.client_for(&provider).await?;
    let again = caller.again(provider.id(), body.reconnect, None).await?;
    let scopes = Caller::scopes_for(&provider, &client, body.scopes, again.as_deref())?;
    let (scopes, further) = provider.by_list(scopes);
    if !further.is_empty() {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_scope",
            "A device flow asks for scopes of the provider's main list only.",
            "Connect it in a browser, or leave those with a list's name before them out.",
        ));
    }
    let ask = DeviceAsk {
        org: caller.principal.org(),
        user: caller.principal.user(),
        bound: caller.bind(&provider, &client.1, &body.params)?,
        scopes,
        client: client.0,
        replaces: body.reconnect,
        provider: Arc::clone(&provider),
    };
    let event = caller.provider_event(Action::OauthStart, provider.id());
    let event = event.code("device");
    let vault = &caller.vault;
    let (attempt, shown) = caller
        .audited(event, async |recorded| {
            app.attempts.begin(vault, ask, recorded).await
        })
        .await?;
    Ok(reply::once(reply::data(wire::StartedDevice {
        provider: provider.id().to_string(),
        auth_type: "device_code".to_owned(),
        attempt_token: attempt,
        verification_uri: shown.verification_uri,
        verification_uri_complete: shown.verification_uri_complete,
        user_code: shown.user_code,
        interval: shown.interval_s,
        expires_at: shown.expires_at,
    })))
}

impl Caller {
    /// Whether the organisation's admins let accounts be connected by a code that is typed elsewhere.
    async fn may_use_codes(&self) -> Result<(), ApiError> {
        let directory = &self.app.directory;
        let settings = directory.settings(&self.vault, &self.principal).await?;
        if settings.device_flows {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "device_flows_off",
            "An admin of this organisation has switched device flows off.",
            "Connect it in a browser: runtools oauth connect PROVIDER.",
        ))
    }
}

fn not_begun(failure: Failure) -> ApiError {
    let (status, message, hint) = match failure {
        Failure::TryAgain => (
            StatusCode::BAD_GATEWAY,
            "The provider did not answer.",
            "Try again in a minute.",
        ),
        Failure::NotEnabled => (
            StatusCode::CONFLICT,
            "The provider does not offer device flows to this client.",
            "Connect it in a browser, or have device flows switched on for the client at the provider.",
        ),
        Failure::Client => (
            StatusCode::CONFLICT,
            "The provider does not accept the client.",
            "An admin looks at it: runtools oauth configs list; or the operator: runtools-broker oauth-client list.",
        ),
        Failure::Sealed => return ApiError::sealed(),
        Failure::Internal => return ApiError::internal(),
        _ => (
            StatusCode::BAD_GATEWAY,
            "The provider's answer does not begin a device flow.",
            "Connect it in a browser instead.",
        ),
    };
    ApiError::new(status, failure.code(), message, hint)
}

/// Asks how a device flow stands.
#[utoipa::path(post, path = "/v1/oauth/device/status/{provider}", tag = "oauth",
    params(("provider" = String, Path)), request_body = wire::DeviceStatusOf,
    responses((status = 200, description = "How it stands", body = wire::Answer<wire::DeviceStatus>)))]
pub(super) async fn device_status(
    caller: Caller,
    State(app): State<App>,
    Path(provider): Path<String>,
    Input(body): Input<wire::DeviceStatusOf>,
) -> Result<Response, ApiError> {
    caller.may::<Connect>(()).await?;
    let provider = app.provider(&provider)?;
    let (org, user) = (caller.principal.org(), caller.principal.user());
    app.attempts.resume(&caller.vault).await?;
    let now = caller.vault.now();
    let attempt = &body.attempt_token;
    let turn = app.attempts.book().turn(org, user, attempt, now);
    let view = match turn.ok_or_else(unknown_attempt)? {
        Turn::Stored(view) => view,
        Turn::Ask(turn) => {
            let asking = Arc::clone(&app.attempts);
            let asked = request::apart(async move { asking.ask(turn).await });
            asked.await.map_err(|_| ApiError::internal())?;
            let view = app
                .attempts
                .book()
                .view(org, user, attempt, caller.vault.now());
            view.ok_or_else(unknown_attempt)?
        }
    };
    Ok(reply::once(reply::data(seen(&provider, view))))
}

/// Ends a device flow.
#[utoipa::path(post, path = "/v1/oauth/device/cancel/{provider}", tag = "oauth",
    params(("provider" = String, Path)), request_body = wire::DeviceStatusOf,
    responses((status = 200, description = "Ended", body = wire::Answer<wire::Done>)))]
pub(super) async fn cancel_device(
    caller: Caller,
    State(app): State<App>,
    Path(provider): Path<String>,
    Input(body): Input<wire::DeviceStatusOf>,
) -> Result<Response, ApiError> {
    caller.may::<Connect>(()).await?;
    let provider = app.provider(&provider)?;
    let (org, user) = (caller.principal.org(), caller.principal.user());
    let (vault, attempt) = (&caller.vault, &body.attempt_token);
    app.attempts.resume(vault).await?;
    let found = app.attempts.book().view(org, user, attempt, vault.now());
    found.ok_or_else(unknown_attempt)?;
    let event = caller.provider_event(Action::OauthDeny, provider.id());
    let event = event.code(Failure::Cancelled.code());
    caller
        .audited(event, async |recorded| {
            let whose = (org, user);
            let ended = app.attempts.cancel(vault, whose, attempt, recorded).await?;
            ended.then_some(()).ok_or_else(unknown_attempt)
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

fn unknown_attempt() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown_attempt",
        "There is no such attempt of yours: it ended some time ago, or before the broker was started again.",
        "Start anew: runtools oauth connect PROVIDER --device.",
    )
}

fn seen(provider: &Provider, view: DeviceView) -> wire::DeviceStatus {
    let denied = view.error == Some(Failure::Denied.code());
    let status = match view.status {
        DeviceStatus::Failed if denied => "denied",
        other => other.as_str(),
    };
    wire::DeviceStatus {
        provider: provider.id().to_string(),
        status: status.to_owned(),
        display_name: provider.spec().display_name.clone(),
        interval: view.shown.interval_s,
        expires_at: view.shown.expires_at,
        connection_id: view.connection,
        account: view.account,
        missing_scopes: view.missing,
        error: view.error.map(str::to_owned),
    }
}

impl From<BeginFault> for ApiError {
    fn from(fault: BeginFault) -> Self {
        match fault {
            BeginFault::Provider(failure) => not_begun(failure),
            BeginFault::Book(fault) => fault.into(),
            BeginFault::Vault(error) => error.into(),
        }
    }
}

impl From<DeviceFault> for ApiError {
    fn from(fault: DeviceFault) -> Self {
        match fault {
            DeviceFault::Full | DeviceFault::OrgFull => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_flows",
                capital(&fault.to_string()),
                "Try again in a few minutes.",
            )
            .retry_after(60),
            DeviceFault::Crypto(_) => Self::internal(),
        }
    }
}
