//! Shredding: what was destroyed before is taken out of reach of old bytes, as far as can be.
//!
//! ```text
//! logical    no answer returns it                       what destroys a secret, a member or an organisation reaches this
//! database   every owner's key is replaced, then every organisation's, then the root key: the old ones are
//!            nowhere; then the store is copied into fresh files, under other names, and the old ones removed
//! provider   each slot of the ring has another key: an old copy of the ring opens with old keys only; at once, or
//!            when the last slot goes that opened the ring of before
//! ```
//!
//! The answer names the level that was reached, and of each slot that a program cannot give another key, what its
//! operator has to do. Each step is a replacement of keys that a kill does not harm and that is gone on with by
//! itself; a shredding that was cut short is begun again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;

use crate::audit::{Action, Outcome, Recorded};
use crate::custody::{SlotInfo, SlotKind};
use crate::id::OrgId;
use crate::policy::{OperateVault, Permit};
use crate::secret::Secret;
use crate::store::{Progress, Rewritten, StoreError};
use crate::vault::{LastShred, Phase, Rotation, Turned, Unsealed, VaultError};
use crate::wire::{self, DeletionLevel, ShredState, ShredStep};

use super::body::OptionalInput;
use super::caller::Caller;
use super::store::Compactions;
use super::{ApiError, App, reply};

/// How often it is looked how far a rotation has come.
const LOOK: Duration = Duration::from_millis(20);

/// The shredding that is under way, or how the last one ended.
#[derive(Debug, Default)]
pub(super) struct Shredding(Mutex<Turn>);

#[derive(Debug, Default)]
struct Turn {
    shown: wire::Shred,
    copied: Option<Arc<Progress>>,
}

impl Shredding {
    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, unless one is under way.
    fn begin(&self) -> Result<(), VaultError> {
        let mut turn = self.lock();
        if turn.shown.state == ShredState::Running {
            return Err(VaultError::Rotating);
        }
        *turn = Turn::default();
        turn.shown.state = ShredState::Running;
        Ok(())
    }

    fn at(&self, step: ShredStep, done: usize, total: usize) {
        let mut turn = self.lock();
        turn.shown.step = Some(step);
        turn.shown.done = u64::try_from(done).unwrap_or(u64::MAX);
        turn.shown.total = u64::try_from(total).unwrap_or(u64::MAX);
    }

    fn shown(&self) -> wire::Shred {
        let turn = self.lock();
        let mut shown = turn.shown.clone();
        if let Some(copied) = &turn.copied {
            (shown.done, shown.total) = copied.records();
        }
        shown
    }
}

/// Shows how far a shredding has come, or what the last one has reached by now.
#[utoipa::path(get, path = "/v1/operator/shred", tag = "operator",
    responses((status = 200, description = "It", body = wire::Answer<wire::Shred>)))]
pub(super) async fn status(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let last = app.lifecycle.last_shred(&caller.vault).await?;
    let shown = app.shredding.shown();
    Ok(reply::data(match last {
        Some(last) => app.reached(shown, &last),
        None => shown,
    }))
}

/// Begins to take what was destroyed out of reach of old bytes. Everybody is served meanwhile.
#[utoipa::path(post, path = "/v1/operator/shred", tag = "operator", request_body = wire::BeginShred,
    responses((status = 200, description = "It runs", body = wire::Answer<wire::Shred>)))]
pub(super) async fn begin(
    caller: Caller,
    State(app): State<App>,
    OptionalInput(body): OptionalInput<wire::BeginShred>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<OperateVault>(()).await?;
    let event = caller.event(Action::VaultShred);
    let recorded = caller.vault.journal().record(event).await?;
    if let Err(error) = app.shredding.begin() {
        let error = ApiError::from(error);
        recorded.outcome(Outcome::failed(error.code()));
        return Err(error);
    }
    let (shared, vault) = (app.clone(), caller.vault.clone());
    let words = body.passphrase;
    tokio::spawn(async move {
        let shred = shared.shred(&vault, &permit, words, &recorded);
        let shred = match vault.while_open(shred).await {
            Ok(done) => done,
            Err(sealed) => Err(sealed.into()),
        };
        let (outcome, word) = match &shred {
            Ok(level) => (Outcome::success().code(code(*level)), "success"),
            Err(error) => (Outcome::failed(error.code()), "failed"),
        };
        recorded.outcome(outcome);
        shared.meter.operation(Action::VaultShred.code(), word);
        shared.end_shred(shred);
    });
    Ok(reply::data(app.shredding.shown()))
}

/// What the journal calls a level.
const fn code(level: DeletionLevel) -> &'static str {
    match level {
        DeletionLevel::Recoverable => "recoverable",
        DeletionLevel::Logical => "logical",
        DeletionLevel::Database => "database",
        DeletionLevel::Provider => "provider",
    }
}

/// The level that a shredding has reached by now.
const fn level_of(last: &LastShred) -> DeletionLevel {
    if last.is_whole() {
        DeletionLevel::Provider
    } else {
        DeletionLevel::Database
    }
}

impl App {
    /// What is shown of the last shredding: as it ended, with the slots that are there now.
    fn reached(&self, mut shown: wire::Shred, last: &LastShred) -> wire::Shred {
        shown.gone_before = last.gone_before;
        if matches!(shown.state, ShredState::Running | ShredState::Failed) {
            return shown;
        }
        let todo = |slot: &SlotInfo| {
            let told = shown.slots.iter().find(|told| told.id == slot.id);
            let told = told.and_then(|told| told.todo.clone());
            told.unwrap_or_else(|| todo(slot.kind, false).to_owned())
        };
        let slots = self.lifecycle.slots();
        let slots = slots.iter().map(|slot| {
            let kept = last.kept.contains(&slot.id);
            of_slot(slot, kept.then(|| todo(slot)))
        });
        let slots = slots.collect();
        shown.slots = slots;
        shown.state = ShredState::Done;
        shown.level = Some(level_of(last));
        shown
    }

    fn end_shred(&self, shred: Result<DeletionLevel, ApiError>) {
        let mut turn = self.shredding.lock();
        turn.copied = None;
        match shred {
            Ok(level) => {
                turn.shown.state = ShredState::Done;
                turn.shown.level = Some(level);
            }
            Err(error) => {
                tracing::warn!(code = error.code(), "the vault was not shredded");
                turn.shown.state = ShredState::Failed;
                turn.shown.level = Some(DeletionLevel::Logical);
                let detail = error.detail();
                turn.shown.error = Some(detail.code);
                turn.shown.hint = detail.hint;
            }
        }
    }

    async fn shred(
        &self,
        vault: &Unsealed,
        permit: &Permit<OperateVault>,
        words: Option<Secret>,
        recorded: &Recorded,
    ) -> Result<DeletionLevel, ApiError> {
        let (shredding, began) = (&self.shredding, vault.now());
        // Nothing is begun that could not be ended.
        let lent = self.lifecycle.borrow(vault, words).await?;
        self.lifecycle.try_root(vault, &lent).await?;
        for (step, what) in [
            (ShredStep::Owners, Turned::Owners),
            (ShredStep::Organizations, Turned::Org),
        ] {
            let orgs = vault.org_ids();
            for (done, org) in orgs.iter().enumerate() {
                shredding.at(step, done, orgs.len());
                self.turn(vault, permit, (*org, what), recorded).await?;
            }
        }
        shredding.at(ShredStep::Root, 0, 1);
        // It seals what belongs to no organisation, and stands under the root key.
        vault.rotate_state_key(recorded).await?;
        let turn = self.unsealing.lock().await;
        let rotated = self.lifecycle.rotate_root(vault, lent, recorded);
        rotated.await?;
        shredding.at(ShredStep::Slots, 0, 1);
        let (lifecycle, renewing) = (self.lifecycle.clone(), vault.clone());
        let renewed = tokio::task::spawn_blocking(move || lifecycle.renew_key_file(&renewing));
        let renewed = renewed.await.map_err(|_| ApiError::internal())?;
        if let Err(error) = &renewed {
            tracing::warn!(%error, "the key file was not given another key");
        }
        let slots = self.lifecycle.slots();
        drop(turn);
        let failed = renewed.is_err();
        let renewed = renewed.ok().flatten();
        let kept = slots.iter().filter(|slot| renewed != Some(slot.id));
        let kept: Vec<_> = kept.map(|slot| slot.id).collect();
        let told = slots.iter().map(|slot| {
            let is_kept = kept.contains(&slot.id);
            of_slot(slot, is_kept.then(|| todo(slot.kind, failed).to_owned()))
        });
        shredding.lock().shown.slots = told.collect();
        shredding.at(ShredStep::Files, 0, 0);
        self.copy_what_is_live(vault, recorded).await?;
        shredding.lock().shown.step = None;
        let lifecycle = &self.lifecycle;
        let remembered = lifecycle.remember_shred(vault, began, kept, recorded);
        Ok(level_of(&remembered.await?))
    }

    /// Has keys of one organisation replaced, and waits for the end.
    async fn turn(
        &self,
        vault: &Unsealed,
        permit: &Permit<OperateVault>,
        (org, what): (OrgId, Turned),
        recorded: &Recorded,
    ) -> Result<(), ApiError> {
        let begun = loop {
            match vault.begin_rotation_of(permit, org, what, recorded).await {
                Ok(begun) => break begun,
                // It was deleted meanwhile.
                Err(VaultError::NotFound) => return Ok(()),
                Err(VaultError::Rotating) => {
                    let other = vault.rotation_of(permit, org);
                    if other.is_some_and(is_stuck) {
                        return Err(VaultError::Rotating.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK).await;
        };
        self.rotations.notify_one();
        loop {
            let now = vault.rotation_of(permit, org);
            // It was deleted, or another began, which none does before this one is over.
            let Some(now) = now.filter(|now| now.id == begun.id) else {
                return Ok(());
            };
            if now.phase == Phase::Finished {
                return Ok(());
            }
            if is_stuck(now) {
                return Err(VaultError::Rotating.into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Copies what is live into fresh files, under other names.
    async fn copy_what_is_live(
        &self,
        vault: &Unsealed,
        recorded: &Recorded,
    ) -> Result<(), ApiError> {
        let progress = self.compactions.begin()?;
        self.shredding.lock().copied = Some(Arc::clone(&progress));
        let mut copying = Copying {
            compactions: &self.compactions,
            progress: Arc::clone(&progress),
            done: Err(StoreError::Stopped),
        };
        let turned = vault.rotate_index_key(progress, recorded).await;
        copying.done = match &turned {
            Ok(rewritten) => Ok(*rewritten),
            Err(VaultError::Store(error)) => Err(error.clone()),
            Err(_) => Err(StoreError::Failed),
        };
        turned?;
        Ok(())
    }
}

/// A copy that is over when this is dropped, as it is where the vault is sealed meanwhile.
struct Copying<'a> {
    compactions: &'a Compactions,
    progress: Arc<Progress>,
    done: Result<Rewritten, StoreError>,
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.progress.stop();
        self.compactions.end(self.done.clone());
    }
}

/// Whether a rotation waits for somebody: one that was paused, or that does not come on.
fn is_stuck(rotation: Rotation) -> bool {
    rotation.paused || rotation.trouble.is_some()
}

/// What is shown of a slot, with what is left to do with it.
fn of_slot(slot: &SlotInfo, todo: Option<String>) -> wire::ShredSlot {
    wire::ShredSlot {
        id: slot.id,
        kind: slot.kind.to_string(),
        label: slot.label.clone(),
        renewed: todo.is_none(),
        todo,
    }
}

/// What is left to do with a slot that has the key of before; `failed` is the broker's own try at its key file.
const fn todo(kind: SlotKind, failed: bool) -> &'static str {
    match kind {
        SlotKind::KeyFile if failed => {
            "its file could not be given another key, for the reason in the log: mend that; it is tried again every minute"
        }
        SlotKind::KeyFile => {
            "its key file lies elsewhere: add another slot, test it, remove this one, and destroy the file"
        }
        SlotKind::Passphrase => "add a slot with another passphrase, test it, and remove this one",
        SlotKind::Shares => {
            "deal new shares, test them, remove this slot, and have the old shares destroyed"
        }
        SlotKind::Credential => {
            "encrypt another credential, add a slot for it, remove this one, and destroy the old one"
        }
        SlotKind::Exec | SlotKind::Pkcs11 => {
            "make another key in its custodian, add a slot for it, remove this one, and destroy the old key there"
        }
    }
}
