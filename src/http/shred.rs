//! Shredding: what was destroyed before is taken out of reach of old bytes, as far as can be.
//!
//! ```text
//! logical    no answer returns it                       what destroys a secret, a member or an organisation reaches this
//! database   every owner's key is replaced, then every organisation's, then the root key: the old ones are
//!            nowhere; then the store is copied into fresh files, under other names, and the old ones removed
//! provider   each slot of the ring has another key: an old copy of the ring opens with old keys only
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
use crate::id::{ObjectId, OrgId};
use crate::policy::{OperateVault, Permit};
use crate::secret::Secret;
use crate::store::{Progress, Rewritten, StoreError};
use crate::vault::{Phase, Rotation, Turned, Unsealed, VaultError};
use crate::wire::{self, ShredState, ShredStep};

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

/// Shows how far a shredding has come, or how the last one since the start ended.
#[utoipa::path(get, path = "/v1/operator/shred", tag = "operator",
    responses((status = 200, description = "It", body = wire::Answer<wire::Shred>)))]
pub(super) async fn status(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    Ok(reply::data(app.shredding.shown()))
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
            Ok(()) => (Outcome::success(), "success"),
            Err(error) => (Outcome::failed(error.code()), "failed"),
        };
        recorded.outcome(outcome);
        shared.meter.operation(Action::VaultShred.code(), word);
        shared.end_shred(shred);
    });
    Ok(reply::data(app.shredding.shown()))
}

impl App {
    fn end_shred(&self, shred: Result<(), ApiError>) {
        let mut turn = self.shredding.lock();
        turn.copied = None;
        match shred {
            Ok(()) => turn.shown.state = ShredState::Done,
            Err(error) => {
                tracing::warn!(code = error.code(), "the vault was not shredded");
                turn.shown.state = ShredState::Failed;
                turn.shown.level = Some(wire::DeletionLevel::Logical);
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
    ) -> Result<(), ApiError> {
        let shredding = &self.shredding;
        // Nothing is begun that could not be ended.
        let lent = self.lifecycle.borrow(vault, words).await?;
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
        let slots: Vec<_> = slots.iter().map(|slot| of_slot(slot, &renewed)).collect();
        let every = slots.iter().all(|slot| slot.renewed);
        shredding.lock().shown.slots = slots;
        shredding.at(ShredStep::Files, 0, 0);
        self.copy_what_is_live(vault, recorded).await?;
        let mut turn = shredding.lock();
        turn.shown.step = None;
        turn.shown.level = Some(if every {
            wire::DeletionLevel::Provider
        } else {
            wire::DeletionLevel::Database
        });
        Ok(())
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

/// What became of a slot, and what is left to do with it.
fn of_slot(slot: &SlotInfo, renewed: &Result<Option<ObjectId>, VaultError>) -> wire::ShredSlot {
    let is_renewed = matches!(renewed, Ok(Some(id)) if *id == slot.id);
    let todo = match slot.kind {
        _ if is_renewed => None,
        SlotKind::KeyFile if renewed.is_err() => Some(
            "its file could not be given another key, for the reason in the log: mend that; it is tried again every minute",
        ),
        SlotKind::KeyFile => Some(
            "its key file lies elsewhere: add another slot, test it, remove this one, and destroy the file",
        ),
        SlotKind::Passphrase => {
            Some("add a slot with another passphrase, test it, and remove this one")
        }
        SlotKind::Shares => {
            Some("deal new shares, test them, remove this slot, and have the old shares destroyed")
        }
        SlotKind::Credential => Some(
            "encrypt another credential, add a slot for it, remove this one, and destroy the old one",
        ),
        SlotKind::Exec | SlotKind::Pkcs11 => Some(
            "make another key in its custodian, add a slot for it, remove this one, and destroy the old key there",
        ),
    };
    wire::ShredSlot {
        id: slot.id,
        kind: slot.kind.to_string(),
        label: slot.label.clone(),
        renewed: is_renewed,
        todo: todo.map(str::to_owned),
    }
}
