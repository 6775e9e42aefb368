//! The service itself: is it alive, is it ready, who am I.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::policy::{ReadOrg, Via};
use crate::wire;

use super::caller::Caller;
use super::serve::Peer;
use super::{ApiError, App, reply};

/// How long a write may take before it counts as one that hangs.
const STALLED: Duration = Duration::from_secs(2);

/// Whether the process answers. Over the Unix socket also what tool code elsewhere comes by, and to the operator how
/// the installation is.
#[utoipa::path(get, path = "/v1/status", tag = "system",
    responses((status = 200, description = "It does", body = wire::Status)))]
pub(super) async fn status(
    State(app): State<App>,
    peer: Option<axum::Extension<Peer>>,
) -> Json<wire::Status> {
    let installation = match super::operator::operator(&app, peer) {
        Ok(_) => Some(installation(&app).await),
        Err(_) => None,
    };
    Json(wire::Status {
        installation,
        status: "ok".to_owned(),
        service: "runtools-broker".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sealed: app.lifecycle.gate().is_sealed(),
        lanes: is_local(peer.as_ref()).then(|| app.broker.lanes()),
        backup: is_local(peer.as_ref()).then(|| wire::BackupStanding {
            last_at: app.backups.last(),
            failing: app.backups.failed().map(|failed| failed.code.to_owned()),
        }),
    })
}

async fn installation(app: &App) -> wire::Installation {
    let slots = app.lifecycle.slots();
    let open = app.lifecycle.gate().unsealed().ok();
    let accounts = match &open {
        // Where they cannot be read, other things are the matter, and say so.
        Some(vault) => app.accounts.roster(vault).await.ok(),
        None => None,
    };
    wire::Installation {
        root_key: app.lifecycle.root_generation(),
        oldest_slot_at: slots.iter().map(|slot| slot.created).min(),
        slots: slots.len(),
        audit_head: open
            .as_ref()
            .map(|vault| super::audit::told(vault.journal())),
        certificate_ends_at: app.certificate.as_ref().and_then(|it| it.expires_at()),
        not_enforced: app
            .meter
            .not_enforced()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        accounts: accounts.map(|roster| {
            let (connected, failing) = roster.standing();
            wire::AccountsStanding { connected, failing }
        }),
    }
}

/// Whether somebody comes over the Unix socket.
fn is_local(peer: Option<&axum::Extension<Peer>>) -> bool {
    matches!(peer, Some(axum::Extension(Peer::Unix { .. })))
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/livez", tag = "system",
    responses((status = 200, description = "It is", body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

impl App {
    /// Why requests cannot be served now; nothing when they can.
    pub(super) fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        match self.lifecycle.gate().unsealed() {
            Err(_) => reasons.push("sealed"),
            Ok(vault) => {
                let (journal, store) = (vault.journal(), vault.store());
                if !journal.healthy() {
                    reasons.push("audit_unavailable");
                } else if journal.busy_for() > STALLED {
                    reasons.push("audit_stalled");
                }
                if !store.healthy() {
                    reasons.push("store_failed");
                } else if store.busy_for() > STALLED {
                    reasons.push("store_stalled");
                }
            }
        }
        if self.shutdown.is_ending() {
            reasons.push("draining");
        }
        reasons
    }
}

/// Whether requests can be served, and if not, why.
#[utoipa::path(get, path = "/readyz", tag = "system",
    responses((status = 200, description = "Ready", body = wire::Readiness),
              (status = 503, description = "Not ready", body = wire::Readiness)))]
pub(super) async fn ready(State(app): State<App>) -> Response {
    let reasons: Vec<_> = app.unready().into_iter().map(str::to_owned).collect();
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(wire::Readiness { ready, reasons })).into_response()
}

/// Prometheus metrics: over the Unix socket freely, elsewhere with an admin's key.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "Prometheus text", body = String)))]
pub(super) async fn metrics(
    State(app): State<App>,
    peer: Option<axum::Extension<Peer>>,
    caller: Result<Caller, ApiError>,
) -> Result<Response, ApiError> {
    if !is_local(peer.as_ref()) {
        caller?.may::<crate::policy::ReadAudit>(()).await?;
    }
    app.refresh_gauges();
    let kind =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], app.meter.page()).into_response())
}

/// Who the caller is.
#[utoipa::path(get, path = "/v1/me", tag = "system",
    responses((status = 200, description = "The caller", body = wire::Answer<wire::Me>)))]
pub(super) async fn me(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    let principal = &caller.principal;
    let member = app.directory.myself(&caller.vault, principal).await?;
    // What one is called in is no secret of the organisation to a key without org:read.
    let name = match crate::policy::check::<ReadOrg>(principal, ()) {
        Ok(permit) => app
            .directory
            .current_org(&caller.vault, &permit)
            .await?
            .name()
            .to_owned(),
        Err(_) => String::new(),
    };
    // They are the user's to know, and not a service's.
    let delegations = if principal.service().is_some() {
        Vec::new()
    } else {
        let directory = &app.directory;
        directory.own_delegations(&caller.vault, principal).await?
    };
    Ok(reply::data(wire::Me {
        id: principal.user(),
        email: member.email().map(str::to_owned),
        first_name: member.name().to_owned(),
        last_name: String::new(),
        profile_picture_url: None,
        is_admin: principal.is_operator(),
        access_granted: true,
        tutorial_completed: true,
        organization_id: principal.org(),
        organization_name: name,
        role: principal.role(),
        via: match principal.via() {
            Via::ApiKey(_) => "api_key".to_owned(),
            Via::Local { .. } => "local".to_owned(),
            Via::Service(_) => "service".to_owned(),
        },
        scopes: principal.scopes().to_strings(),
        delegations,
    }))
}
