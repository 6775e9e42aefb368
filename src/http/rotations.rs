//! Replacing an organisation's keys while everybody is served: begun, paused and resumed by an admin, done
//! by the broker itself.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;

use crate::audit::{Action, Event, Target, TargetKind};
use crate::id::OrgId;
use crate::policy::{Permit, RotateKeys};
use crate::vault::{Phase, Rotation, Turned, Unsealed, VaultError};
use crate::wire::{self, KeyLevel};

use super::body::Input;
use super::caller::Caller;
use super::calm::calmly;
use super::{ApiError, App, reply};

/// How often it is looked for a rotation that nobody works at, besides those that are announced.
const LOOK: Duration = Duration::from_secs(1);
/// How long one rests that did not come on.
const REST: Duration = Duration::from_secs(10);

fn shown(rotation: Rotation) -> wire::KeyRotation {
    let (level, user_id, shared) = match rotation.what {
        Turned::Org => (KeyLevel::Org, None, false),
        Turned::Owners => (KeyLevel::Owner, None, false),
        Turned::Shared => (KeyLevel::Owner, None, true),
        Turned::User(user) => (KeyLevel::Owner, Some(user), false),
    };
    wire::KeyRotation {
        id: rotation.id,
        level,
        user_id,
        shared,
        phase: match rotation.phase {
            Phase::Prepare => wire::RotationPhase::Prepare,
            Phase::Rewrap => wire::RotationPhase::Rewrap,
            Phase::Verify => wire::RotationPhase::Verify,
            Phase::Retire => wire::RotationPhase::Retire,
            Phase::Finished => wire::RotationPhase::Finished,
        },
        paused: rotation.paused,
        done: rotation.done,
        total: rotation.total,
        started_at: rotation.started,
        finished_at: rotation.finished,
        trouble: rotation.trouble.map(str::to_owned),
    }
}

fn asked(body: wire::RotateKeys) -> Result<Turned, ApiError> {
    match (body.level, body.user_id, body.shared) {
        (KeyLevel::Org, None, false) => Ok(Turned::Org),
        (KeyLevel::Owner, None, false) => Ok(Turned::Owners),
        (KeyLevel::Owner, None, true) => Ok(Turned::Shared),
        (KeyLevel::Owner, Some(user), false) => Ok(Turned::User(user)),
        (KeyLevel::Owner, Some(_), true) => Err(ApiError::bad_request(
            "One owner is named: a member, or what is shared.",
        )),
        (KeyLevel::Org, ..) => Err(ApiError::bad_request(
            "An organisation has one key, and it is no owner's.",
        )),
    }
}

impl Caller {
    fn rotation_event(&self, action: Action, what: Option<Turned>) -> Event {
        let org = self.principal.org();
        let event = self.event(action);
        let target = match what {
            Some(Turned::User(user)) => Target::new(TargetKind::User).id(user.bytes()),
            _ => Target::new(TargetKind::Org).id(org.bytes()),
        };
        let event = event.target(target);
        match what {
            Some(what) => event.code(what.code()),
            None => event,
        }
    }

    fn rotation_under_way(&self, permit: &Permit<RotateKeys>) -> Result<Turned, ApiError> {
        let rotation = self.vault.rotation(permit);
        let rotation = rotation.filter(|rotation| rotation.finished.is_none());
        rotation.map(|it| it.what).ok_or_else(none_under_way)
    }
}

fn none_under_way() -> ApiError {
    ApiError::new(
        http::StatusCode::NOT_FOUND,
        "no_rotation",
        "No rotation of this organisation's keys is under way.",
        "Begin one: runtools key rotate owner, or runtools key rotate org.",
    )
}

/// Shows the rotation of the organisation's keys that is under way, or the last one.
#[utoipa::path(get, path = "/v1/key-rotation", tag = "keys",
    responses((status = 200, description = "It", body = wire::Answer<wire::KeyRotations>)))]
pub(super) async fn status(caller: Caller) -> Result<Response, ApiError> {
    let permit = caller.may::<RotateKeys>(()).await?;
    let rotation = caller.vault.rotation(&permit).map(shown);
    Ok(reply::data(wire::KeyRotations { rotation }))
}

/// Begins to replace keys. Everybody is served meanwhile, and it goes on after every start until it is over.
#[utoipa::path(post, path = "/v1/key-rotation", tag = "keys", request_body = wire::RotateKeys,
    responses((status = 201, description = "Begun", body = wire::Answer<wire::KeyRotation>)))]
pub(super) async fn begin(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::RotateKeys>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<RotateKeys>(()).await?;
    let what = asked(body)?;
    let event = caller.rotation_event(Action::KeyRotate, Some(what));
    let begun = caller
        .audited(event, async |recorded| {
            caller.vault.begin_rotation(&permit, what, recorded).await
        })
        .await?;
    app.rotations.notify_one();
    Ok(reply::created(shown(begun)))
}

/// Has the rotation wait until it is resumed. Both the old keys and the new ones open meanwhile.
#[utoipa::path(post, path = "/v1/key-rotation/pause", tag = "keys",
    responses((status = 200, description = "It waits", body = wire::Answer<wire::KeyRotation>)))]
pub(super) async fn pause(caller: Caller) -> Result<Response, ApiError> {
    let permit = caller.may::<RotateKeys>(()).await?;
    let what = caller.rotation_under_way(&permit)?;
    let event = caller.rotation_event(Action::KeyRotatePause, Some(what));
    let paused = caller.audited(event, async |recorded| {
        caller.vault.pause_rotation(&permit, recorded).await
    });
    Ok(reply::data(shown(paused.await?)))
}

/// Goes on with a rotation that waits.
#[utoipa::path(post, path = "/v1/key-rotation/resume", tag = "keys",
    responses((status = 200, description = "It goes on", body = wire::Answer<wire::KeyRotation>)))]
pub(super) async fn resume(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    let permit = caller.may::<RotateKeys>(()).await?;
    let what = caller.rotation_under_way(&permit)?;
    let event = caller.rotation_event(Action::KeyRotateResume, Some(what));
    let resumed = caller.audited(event, async |recorded| {
        caller.vault.resume_rotation(&permit, recorded).await
    });
    let resumed = resumed.await?;
    app.rotations.notify_one();
    Ok(reply::data(shown(resumed)))
}

impl App {
    /// Works at rotations, one after the other, until serving ends: at those that are begun, and at those
    /// that a start found.
    pub async fn keep_rotating(&self) {
        let (mut rest, mut open) = (LOOK, false);
        loop {
            tokio::select! {
                () = self.shutdown.ending() => return,
                () = self.rotations.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
            open = self.look_after(open).await;
            let came_on = self.rotate_due().await;
            rest = if came_on { LOOK } else { REST };
        }
    }

    /// Takes up what a kill has cut short, when the vault was not `open` at the last look. Answers whether it is.
    async fn look_after(&self, open: bool) -> bool {
        let Ok(vault) = self.lifecycle.gate().unsealed() else {
            return false;
        };
        if !open {
            if let Err(error) = self.end_own_rotations(&vault).await {
                let code = error.code();
                tracing::warn!(code, "a replacement of keys is not over yet");
            }
            self.finish_deletions(&vault).await;
        }
        true
    }

    async fn rotate_due(&self) -> bool {
        let Ok(vault) = self.lifecycle.gate().unsealed() else {
            return true;
        };
        let mut came_on = true;
        for org in vault.rotations_due() {
            let (app, vault) = (self.clone(), vault.clone());
            let noted = vault.clone();
            // Sealing thousands of records takes time that belongs to requests.
            let work = async move || app.rotate(&vault, org).await;
            match calmly("rotation", work)
                .await
                .unwrap_or(Err(VaultError::Form))
            {
                Ok(over) => tracing::info!(over, "a rotation of keys has ended or waits"),
                Err(VaultError::Sealed) => return true,
                Err(error) => {
                    tracing::warn!(%error, "a rotation of keys does not come on");
                    let code = ApiError::from(error).code();
                    noted.note_rotation_trouble(org, code);
                    came_on = false;
                }
            }
        }
        came_on
    }

    async fn rotate(&self, vault: &Unsealed, org: OrgId) -> Result<bool, VaultError> {
        let owners = async || {
            let owners = self.directory.owners(vault, org).await;
            owners.map_err(|error| {
                tracing::warn!(%error, "the owners of an organisation cannot be listed");
                VaultError::Form
            })
        };
        vault.while_open(vault.run_rotation(org, owners)).await?
    }
}
