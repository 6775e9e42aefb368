//! The installation's own keys: replaced by the operator, and ended after a kill.
//!
//! The answer comes when it is done, which takes minutes in a store with many records: no request's limit of time
//! ends it, and who goes away finds it done, or gone on with at the next start.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use crate::audit::{Action, Actor, Event, Outcome, Recorded};
use crate::policy::OperateVault;
use crate::vault::Unsealed;
use crate::wire;

use super::body::OptionalInput;
use super::caller::Caller;
use super::serve::RequestDeadline;
use super::{ApiError, App, reply};

/// From here on the work may take its time.
fn take_time(deadline: Option<Extension<RequestDeadline>>) {
    if let Some(Extension(deadline)) = deadline {
        deadline.lift();
    }
}

/// Replaces the root key while everybody is served: every slot of the ring has the new one afterwards, and the
/// old one is nowhere. What opens a slot that takes people is lent before. A replacement that was cut short is ended.
#[utoipa::path(post, path = "/v1/operator/root-rotation", tag = "operator", request_body = wire::RotateRoot,
    responses((status = 200, description = "Replaced", body = wire::Answer<wire::RotatedRoot>)))]
pub(super) async fn rotate_root(
    caller: Caller,
    State(app): State<App>,
    deadline: Option<Extension<RequestDeadline>>,
    OptionalInput(body): OptionalInput<wire::RotateRoot>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    take_time(deadline);
    // No slot is added, removed or tried meanwhile.
    let _turn = app.unsealing.lock().await;
    let event = caller.event(Action::KeyRotate).code("root");
    let rotated = caller.audited(event, async |recorded| {
        let (lifecycle, vault) = (&app.lifecycle, &caller.vault);
        let lent = lifecycle.borrow(vault, body.passphrase).await?;
        lifecycle.rotate_root(vault, lent, recorded).await
    });
    let version = rotated.await?;
    Ok(reply::data(wire::RotatedRoot { version }))
}

/// Replaces the keys that seal and sign the audit journal, while everybody is served. The journal says so, signed
/// by the key before, so that what was exported can be verified across the change.
#[utoipa::path(post, path = "/v1/operator/audit-rotation", tag = "operator",
    responses((status = 200, description = "Replaced", body = wire::Answer<wire::RotatedJournal>)))]
pub(super) async fn rotate_audit(
    caller: Caller,
    deadline: Option<Extension<RequestDeadline>>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    take_time(deadline);
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
pub(super) async fn rotate_state(
    caller: Caller,
    deadline: Option<Extension<RequestDeadline>>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    take_time(deadline);
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
    /// Replaces the root key where the settings say that it is time.
    pub(super) async fn rotate_root_when_due(&self, vault: &Unsealed) -> Result<(), ApiError> {
        if self.shutdown.is_ending() {
            return Ok(());
        }
        // No slot is added, removed or tried meanwhile.
        let _turn = self.unsealing.lock().await;
        if let Some(version) = self.lifecycle.rotate_root_when_due(vault).await? {
            tracing::info!(version, "the root key was replaced, as the settings say");
        }
        Ok(())
    }

    /// Ends what a kill has cut short: replacements of the root key, of the key file, and of the keys of the journal,
    /// of what belongs to no organisation, and of names.
    pub(super) async fn end_rotations(&self, vault: &Unsealed) -> Result<(), ApiError> {
        // Nothing is taken up that there is no time for.
        if self.shutdown.is_ending() {
            return Ok(());
        }
        self.end_root_rotation(vault).await?;
        self.end_own_rotations(vault).await
    }

    /// Those of them that take nobody.
    pub(super) async fn end_own_rotations(&self, vault: &Unsealed) -> Result<(), ApiError> {
        self.end_key_file_renewal(vault).await?;
        self.end_stale_root(vault).await?;
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

    /// Ends a replacement of the root key that was cut short when the ring had the next one.
    async fn end_stale_root(&self, vault: &Unsealed) -> Result<(), ApiError> {
        if !self.lifecycle.has_stale_root(vault).await? {
            return Ok(());
        }
        // Else it is one that is about to end.
        let _turn = self.unsealing.lock().await;
        if !self.lifecycle.has_stale_root(vault).await? {
            return Ok(());
        }
        let recorded = resumed(vault, "root").await?;
        let ended = self.lifecycle.forget_stale_root(vault, &recorded).await;
        settle(recorded, ended.map_err(ApiError::from))
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
        match self
            .lifecycle
            .rotate_root(vault, Vec::new(), &recorded)
            .await
        {
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
}
