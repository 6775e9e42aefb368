//! Replacing an organisation's keys while everybody is served: begun, paused and resumed by an admin, done
//! by the broker itself.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;

use crate::audit::{Action, Actor, Event, Outcome, Recorded, Target, TargetKind};
use crate::id::OrgId;
use crate::policy::{OperateVault, Permit, RotateKeys};
use crate::vault::{Phase, Rotation, Turned, Unsealed, VaultError};
use crate::wire::{self, KeyLevel};

use super::body::{Input, OptionalInput};
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

/// Replaces the root key while everybody is served: every slot of the ring has the new one afterwards, and the
/// old one is nowhere. A replacement that was cut short is ended.
#[utoipa::path(post, path = "/v1/operator/root-rotation", tag = "operator", request_body = wire::RotateRoot,
    responses((status = 200, description = "Replaced", body = wire::Answer<wire::RotatedRoot>)))]
pub(super) async fn rotate_root(
    caller: Caller,
    State(app): State<App>,
    OptionalInput(body): OptionalInput<wire::RotateRoot>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    // No slot is added, removed or tried meanwhile.
    let _turn = app.unsealing.lock().await;
    let event = caller.event(Action::KeyRotate).code("root");
    let rotated = caller.audited(event, async |recorded| {
        let words = body.passphrase;
        app.lifecycle
            .rotate_root(&caller.vault, words, recorded)
            .await
    });
    let version = rotated.await?;
    Ok(reply::data(wire::RotatedRoot { version }))
}

/// Replaces the keys that seal and sign the audit journal, while everybody is served. The journal says so, signed
/// by the key before, so that what was exported can be verified across the change.
#[utoipa::path(post, path = "/v1/operator/audit-rotation", tag = "operator",
    responses((status = 200, description = "Replaced", body = wire::Answer<wire::RotatedJournal>)))]
pub(super) async fn rotate_audit(caller: Caller) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let event = caller.event(Action::KeyRotate).code("audit");
    let rotated = caller.audited(event, async |recorded| {
        caller.vault.rotate_journal_keys(recorded).await
    });
    let (version, public) = rotated.await?;
    Ok(reply::data(wire::RotatedJournal {
        version,
        public_key: data_encoding::HEXLOWER.encode(&public.0),
    }))
}

/// Replaces the key that seals what belongs to no organisation, while everybody is served.
#[utoipa::path(post, path = "/v1/operator/state-rotation", tag = "operator",
    responses((status = 200, description = "Replaced", body = wire::Answer<wire::RotatedState>)))]
pub(super) async fn rotate_state(caller: Caller) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let event = caller.event(Action::KeyRotate).code("state");
    let rotated = caller.audited(event, async |recorded| {
        caller.vault.rotate_state_key(recorded).await
    });
    let version = rotated.await?;
    Ok(reply::data(wire::RotatedState { version }))
}

/// That what was cut short is gone on with.
pub(super) async fn resumed(vault: &Unsealed, what: &'static str) -> Result<Recorded, ApiError> {
    let event = Event::new(Action::KeyRotateResume, Actor::System).code(what);
    Ok(vault.journal().record(event).await?)
}

fn settle(recorded: Recorded, ended: Result<(), ApiError>) -> Result<(), ApiError> {
    recorded.outcome(match &ended {
        Ok(()) => Outcome::success(),
        Err(error) => Outcome::failed(error.code()),
    });
    ended
}

impl App {
    /// Ends what a kill has cut short: replacements of the root key, of the journal's keys, and of the key that
    /// names are under.
    pub(super) async fn end_rotations(&self, vault: &Unsealed) -> Result<(), ApiError> {
        // Nothing is taken up that there is no time for.
        if self.shutdown.is_ending() {
            return Ok(());
        }
        self.end_root_rotation(vault).await?;
        self.end_own_rotations(vault).await
    }

    /// Those of them that take nobody.
    async fn end_own_rotations(&self, vault: &Unsealed) -> Result<(), ApiError> {
        self.end_key_file_renewal(vault).await?;
        if vault.is_journal_turning().await? {
            let recorded = resumed(vault, "audit").await?;
            let ended = vault.end_journal_rotation(&recorded).await;
            settle(recorded, ended.map_err(ApiError::from))?;
        }
        if vault.is_state_turning() {
            let recorded = resumed(vault, "state").await?;
            let ended = vault.end_state_rotation(&recorded).await;
            settle(recorded, ended.map_err(ApiError::from))?;
        }
        if vault.is_index_turning()? {
            self.resume_index_rotation(vault).await?;
        } else if vault.has_stale_veils().await? {
            let recorded = resumed(vault, "index").await?;
            let ended = vault.retire_veils(&recorded).await;
            settle(recorded, ended.map_err(ApiError::from))?;
        }
        Ok(())
    }

    /// Ends a replacement of the key file that was cut short.
    async fn end_key_file_renewal(&self, vault: &Unsealed) -> Result<(), ApiError> {
        if !self.lifecycle.is_key_file_renewing() {
            return Ok(());
        }
        let _turn = self.unsealing.lock().await;
        // Ended while this waited for its turn: another one is nothing that anybody asked for.
        if !self.lifecycle.is_key_file_renewing() {
            return Ok(());
        }
        let recorded = resumed(vault, "key_file").await?;
        let (lifecycle, vault) = (self.lifecycle.clone(), vault.clone());
        let renewed = tokio::task::spawn_blocking(move || lifecycle.renew_key_file(&vault)).await;
        let renewed = renewed.map_err(|_| ApiError::internal())?;
        settle(recorded, renewed.map(drop).map_err(ApiError::from))
    }

    /// Ends a replacement of the root key that was cut short, where nobody is needed for that.
    async fn end_root_rotation(&self, vault: &Unsealed) -> Result<(), ApiError> {
        if !vault.is_root_turning() {
            return Ok(());
        }
        let slots = self.lifecycle.slots();
        if slots.iter().any(|slot| slot.kind.takes_a_person()) {
            tracing::warn!("the root key is not replaced yet: runtools-broker key rotate root");
            return Ok(());
        }
        let _turn = self.unsealing.lock().await;
        if !vault.is_root_turning() {
            return Ok(());
        }
        let recorded = resumed(vault, "root").await?;
        match self.lifecycle.rotate_root(vault, None, &recorded).await {
            Ok(version) => {
                tracing::info!(version, "the root key was replaced");
                recorded.outcome(Outcome::success());
            }
            Err(error) => {
                let error = ApiError::from(error);
                recorded.outcome(Outcome::failed(error.code()));
                tracing::warn!(
                    code = error.code(),
                    "the root key is not replaced yet: runtools-broker key rotate root"
                );
            }
        }
        Ok(())
    }

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
