//! What the person who runs this installation does, over the Unix socket only: seal and unseal.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::time::Duration;

use crate::audit::{Action, Actor, Event};
use crate::custody::Gathered;
use crate::failpoint::{Failpoint, reached};
use crate::policy::{Denied, OperateVault};
use crate::vault::{Opener, Purpose, VaultError};
use crate::wire;

use super::body::Input;
use super::caller::{Caller, stamp};
use super::serve::Peer;
use super::{ApiError, App, reply};

/// How long those inside have to leave when the vault is sealed: they are called out, and what they still
/// do is to write down how it ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// The operator, recognised while nobody else can be: the directory is sealed too.
pub(super) fn operator(app: &App, peer: Option<Extension<Peer>>) -> Result<u32, ApiError> {
    match peer {
        Some(Extension(Peer::Unix { uid, .. })) if uid == 0 || uid == app.operator_uid => Ok(uid),
        _ => Err(Denied::OperatorOnly.into()),
    }
}

/// Unseals the vault with the passphrase of a slot, with one more share of one, or without either by whoever
/// opens it without a person.
#[utoipa::path(post, path = "/v1/operator/unseal", tag = "operator", request_body = wire::Unseal,
    responses((status = 200, description = "Unsealed, or more shares are needed",
               body = wire::Answer<wire::Gathered>)))]
pub(super) async fn unseal(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Input(body): Input<wire::Unseal>,
) -> Result<Response, ApiError> {
    let uid = operator(&app, peer)?;
    // One at a time: each try takes 64 MiB and a good part of a second.
    let _turn = app.unsealing.lock().await;
    app.unseal_failures.pause().await;
    let unsealed = match asked(&app, body) {
        Ok(Some(opener)) => app.lifecycle.unseal(opener).await,
        Err(Asked::Custodians) => app.lifecycle.unseal_by_custodians().await,
        Ok(None) => return Ok(reply::data(done())),
        Err(Asked::Waits(progress)) => return Ok(reply::data(progress)),
        Err(Asked::Refused(error)) => {
            app.unseal_failures.count();
            return Err(error);
        }
    };
    match unsealed {
        Ok(vault) => {
            // Whoever gave shares meanwhile gave them for nothing.
            app.lifecycle.forget_shares();
            let failures = app.unseal_failures.take();
            for _ in 0..failures.min(16) {
                let event = stamp(Event::new(
                    Action::VaultUnsealFailed,
                    Actor::Operator { uid },
                ));
                vault.journal().note(event).await?;
            }
            let event = stamp(Event::new(Action::VaultUnseal, Actor::Operator { uid }));
            vault.journal().note(event).await?;
            tracing::info!(failures, "the vault was unsealed");
            Ok(reply::data(done()))
        }
        Err(error) => {
            app.unseal_failures.count();
            Err(error.into())
        }
    }
}

/// Why nothing is tried now with what a request brings.
enum Asked {
    Custodians,
    Waits(wire::Gathered),
    Refused(ApiError),
}

/// Who opens, as a request says it; nobody when there is nothing to open.
fn asked(app: &App, body: wire::Unseal) -> Result<Option<Opener>, Asked> {
    match (body.passphrase, body.share, body.forget) {
        (Some(words), None, false) => Ok(Some(Opener::Passphrase(words))),
        // A share is not kept where it can do nothing.
        (None, Some(_), false) if app.lifecycle.gate().unsealed().is_ok() => Ok(None),
        (None, Some(share), false) => {
            let gathered = app.lifecycle.gather(&share, Purpose::Unseal);
            match waiting(gathered).map_err(Asked::Refused)? {
                Ok(shares) => Ok(Some(shares)),
                Err(progress) => Err(Asked::Waits(progress)),
            }
        }
        (None, None, true) => {
            app.lifecycle.forget_shares();
            Ok(None)
        }
        (None, None, false) => Err(Asked::Custodians),
        _ => Err(Asked::Refused(ApiError::bad_request(
            "A vault is unsealed with a passphrase or a share, and not with both.",
        ))),
    }
}

/// Enough shares, or how many there are; the latter is logged.
pub(super) fn waiting(
    gathered: Result<Gathered, VaultError>,
) -> Result<Result<Opener, wire::Gathered>, ApiError> {
    Ok(match gathered? {
        Gathered::Enough(shares) => Ok(Opener::Shares(shares)),
        Gathered::Waits(progress) => {
            let (given, needed) = (progress.given, progress.needed);
            tracing::info!(given, needed, "a share was given, and waits for others");
            Err(wire::Gathered {
                success: true,
                done: false,
                given: Some(given),
                needed: Some(needed),
            })
        }
    })
}

/// Nothing more is needed.
pub(super) const fn done() -> wire::Gathered {
    wire::Gathered {
        success: true,
        done: true,
        given: None,
        needed: None,
    }
}

/// Locks the vault down: every API key and every service's credential is void from now on, handles are
/// gone, nothing is refreshed; and the vault is sealed, until a person unseals it.
#[utoipa::path(post, path = "/v1/operator/lockdown", tag = "operator",
    responses((status = 200, description = "Locked down, and sealed", body = wire::Answer<wire::VaultSealed>)))]
pub(super) async fn lockdown(
    caller: Result<Caller, ApiError>,
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, ApiError> {
    let mark = || app.lifecycle.places().lock_down(app.clock.now());
    let caller = match caller {
        // The one who unseals it makes everything void, before anybody is let in.
        Err(error) if app.lifecycle.gate().is_sealed() => {
            operator(&app, peer)?;
            if !app.lifecycle.lock_down_sealed().await? {
                return Err(error);
            }
            tracing::warn!("the vault was locked down while it was sealed");
            return Ok(locked_down(true));
        }
        Err(error) if is_unwell(&error) => {
            operator(&app, peer)?;
            let marked = mark();
            app.directory.forget();
            app.broker.forget();
            let emptied = shut(&app).await;
            tracing::error!(
                emptied,
                "the vault was locked down, and no record was possible"
            );
            marked?;
            return Ok(locked_down(emptied));
        }
        caller => caller?,
    };
    caller.may::<OperateVault>(()).await?;
    let event = caller.event(Action::VaultLockdown);
    let voided = caller
        .audited(event, async |recorded| {
            mark()?;
            reached(Failpoint::LockdownMarked);
            let voided = caller.vault.void_what_was_handed_out(recorded).await;
            if voided.is_ok() {
                reached(Failpoint::LockdownVoided);
            }
            voided
        })
        .await;
    // Nobody is known any more who was known a moment ago, and no handle stands for anything.
    app.directory.forget();
    app.broker.forget();
    drop(caller);
    // A disk that takes nothing keeps nobody from being shut out: what failed is finished by who unseals.
    let marked = if voided.is_ok() { Ok(()) } else { mark() };
    let emptied = shut(&app).await;
    tracing::warn!(emptied, "the vault was locked down");
    marked?;
    voided?;
    Ok(locked_down(emptied))
}

/// Whether nobody can be known, because the store or the journal has failed: who stands at the socket of an operator
/// can shut the vault all the same.
fn is_unwell(error: &ApiError) -> bool {
    error.status() == StatusCode::SERVICE_UNAVAILABLE
}

/// Seals, whether or not what accounts have open can be ended.
async fn shut(app: &App) -> bool {
    drop(tokio::time::timeout(PATIENCE, app.close_accounts()).await);
    app.seal(PATIENCE).await
}

fn locked_down(emptied: bool) -> Response {
    reply::data(wire::VaultSealed {
        success: true,
        emptied,
    })
}

/// Seals the vault: running calls are cut off, and keys are wiped from memory.
#[utoipa::path(post, path = "/v1/operator/seal", tag = "operator",
    responses((status = 200, description = "Sealed", body = wire::Answer<wire::VaultSealed>)))]
pub(super) async fn seal(
    caller: Result<Caller, ApiError>,
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, ApiError> {
    let sealed = app.lifecycle.gate().is_sealed();
    let emptied = match caller {
        Err(error) if is_unwell(&error) && !sealed => {
            operator(&app, peer)?;
            let emptied = shut(&app).await;
            tracing::error!(emptied, "the vault was sealed, and no record was possible");
            emptied
        }
        caller => {
            let caller = caller?;
            caller.may::<OperateVault>(()).await?;
            let event = caller.event(Action::VaultSeal);
            caller.vault.journal().note(event).await?;
            drop(caller);
            app.close_accounts().await;
            let emptied = app.seal(PATIENCE).await;
            tracing::info!(emptied, "the vault was sealed");
            emptied
        }
    };
    Ok(reply::data(wire::VaultSealed {
        success: true,
        emptied,
    }))
}
