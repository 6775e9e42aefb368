//! Connecting an account without a browser of one's own: a code, typed at the provider's on any device.
//!
//! The provider is asked in the background, as often as it allows, whether or not anybody asks us: a
//! grant that a person gave must not be lost because their terminal was closed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use crate::audit::{Action, Actor, Event, Outcome as Ended, Target, TargetKind};
use crate::id::{OrgId, UserId};
use crate::oauth::flow::{
    DeviceAsk, DeviceFault, DeviceStatus, DeviceTurn, DeviceView, Failure, Outcome, Turn,
};
use crate::oauth::provider::Provider;
use crate::oauth::{DeviceGrant, DeviceReply};
use crate::policy::Connect;
use crate::vault::{Unsealed, VaultError};
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
    let client = caller.client_for(&provider).await?;
    if let Some(id) = body.reconnect {
        caller.own_connection(id).await?;
    }
    let ask = DeviceAsk {
        org: caller.principal.org(),
        user: caller.principal.user(),
        bound: caller.bind(&provider, &client.1, &body.params)?,
        scopes: Caller::scopes_for(&provider, &client, body.scopes)?,
        client: client.0,
        replaces: body.reconnect,
        provider: Arc::clone(&provider),
    };
    let event = caller.provider_event(Action::OauthStart, provider.id());
    let event = event.code("device");
    let vault = &caller.vault;
    let (attempt, shown) = caller
        .audited(event, async |recorded| {
            let begun = app.accounts.begin_device(vault, &ask, recorded).await;
            let (shown, grant) = begun.map_err(not_begun)?;
            let (now, random) = (vault.now(), vault.random());
            let attempt = app
                .devices
                .start(ask.clone(), shown.clone(), grant, now, random)?;
            Ok::<_, ApiError>((attempt, shown))
        })
        .await?;
    let (org, user) = (ask.org, ask.user);
    tokio::spawn(wait_for(app.clone(), (org, user), attempt.clone()));
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
    let now = caller.vault.now();
    let attempt = &body.attempt_token;
    let turn = app.devices.turn(org, user, attempt, now);
    let view = match turn.ok_or_else(unknown_attempt)? {
        Turn::Stored(view) => view,
        Turn::Ask(turn) => {
            let asking = app.clone();
            let asked = request::apart(async move { asking.ask_device(turn).await });
            asked.await.map_err(|_| ApiError::internal())?;
            let view = app.devices.view(org, user, attempt, caller.vault.now());
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
    let attempt = &body.attempt_token;
    let found = app.devices.view(org, user, attempt, caller.vault.now());
    found.ok_or_else(unknown_attempt)?;
    let event = caller.provider_event(Action::OauthDeny, provider.id());
    caller
        .audited(event.code(Failure::Cancelled.code()), async |_| {
            let ended = app.devices.cancel(org, user, attempt, caller.vault.now());
            ended.then_some(()).ok_or_else(unknown_attempt)
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}

fn unknown_attempt() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown_attempt",
        "There is no such attempt: it ended, or the broker was started again since.",
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

/// Asks the provider until the flow ends, as often as it allows.
async fn wait_for(app: App, (org, user): (OrgId, UserId), attempt: String) {
    loop {
        let now = app.clock.now();
        let pause = match app.devices.turn(org, user, &attempt, now) {
            Some(Turn::Ask(turn)) => {
                app.ask_device(turn).await;
                1
            }
            Some(Turn::Stored(view)) if view.status == DeviceStatus::Pending => {
                u64::from(view.shown.interval_s).clamp(1, 60)
            }
            Some(Turn::Stored(_)) | None => return,
        };
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
}

impl App {
    /// Asks the provider once, and does what follows from its answer.
    async fn ask_device(&self, turn: DeviceTurn<DeviceGrant>) {
        let Ok(vault) = self.lifecycle.gate().unsealed() else {
            return;
        };
        if let Err(error) = self.try_device(&vault, turn).await {
            tracing::warn!(%error, "a device flow could not be recorded or stored");
        }
    }

    async fn try_device(
        &self,
        vault: &Unsealed,
        turn: DeviceTurn<DeviceGrant>,
    ) -> Result<(), VaultError> {
        let event = device_event(vault, Action::OauthStart, turn.ask());
        let asking = vault
            .journal()
            .record(event.code("device_question"))
            .await?;
        let question = (turn.ask(), turn.grant());
        let asked = self.accounts.ask_device(vault, question, &asking).await;
        let (reply, sent) = match asked {
            DeviceReply::Not(answer) => {
                asking.outcome(Ended::success());
                self.devices.answered(turn, answer, vault.now());
                return Ok(());
            }
            DeviceReply::Granted(reply, sent) => (*reply, sent),
        };
        asking.outcome(Ended::success());
        let event = device_event(vault, Action::OauthConnect, turn.ask()).code("device");
        let recorded = vault.journal().record(event).await?;
        let (ask, grant, key) = (turn.ask_shared(), turn.grant_shared(), turn.key());
        let about = (&*ask, &*grant);
        let member = self.directory.is_member(vault, ask.org, ask.user).await;
        let awaited = self.devices.approved(turn, vault.now());
        let failure = match member {
            Ok(true) if awaited => None,
            Ok(true) => Some(Failure::Cancelled),
            Ok(false) => Some(Failure::NotMember),
            Err(_) => Some(Failure::Internal),
        };
        if let Some(failure) = failure {
            let unkept = (reply, sent);
            let dropped = self.accounts.drop_device(vault, about, unkept, &recorded);
            if dropped.await.is_err() {
                tracing::warn!("tokens that nobody waits for could not be kept to be revoked");
            }
            self.devices
                .settle(key, Outcome::Failed(failure), vault.now());
            recorded.outcome(Ended::failed(failure.code()));
            self.wake_accounts();
            return Ok(());
        }
        let kept = self
            .accounts
            .keep_device(vault, about, (reply, sent), &recorded)
            .await;
        recorded.outcome(match &kept {
            Ok(_) => Ended::success(),
            Err(failure) => Ended::failed(failure.code()),
        });
        if kept.is_err() {
            self.wake_accounts();
        }
        let outcome = kept.unwrap_or_else(Outcome::Failed);
        self.devices.settle(key, outcome, vault.now());
        Ok(())
    }
}

fn device_event(vault: &Unsealed, action: Action, ask: &DeviceAsk) -> Event {
    let target = Target::new(TargetKind::Connection).name(ask.provider.id());
    Event::new(action, Actor::System)
        .org(ask.org)
        .on_behalf_of(ask.user)
        .target(target)
        .store_generation(vault.store().generation())
}

impl From<DeviceFault> for ApiError {
    fn from(fault: DeviceFault) -> Self {
        match fault {
            DeviceFault::Full => Self::new(
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
