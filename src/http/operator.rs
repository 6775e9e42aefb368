//! What the person who runs this installation does, over the Unix socket only: seal, unseal, slots.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use std::time::Duration;

use crate::audit::{Action, Actor, Event, Target, TargetKind};
use crate::custody::{CREDENTIAL, CustodianName, SlotInfo, SlotKind};
use crate::id::ObjectId;
use crate::policy::{Denied, OperateVault};
use crate::secret::Secret;
use crate::vault::Opener;
use crate::wire;

use super::body::{Input, OptionalInput};
use super::caller::{Caller, stamp};
use super::serve::Peer;
use super::{ApiError, App, reply};

/// How long those inside have to leave when the vault is sealed: they are called out, and what they still
/// do is to write down how it ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// The operator, recognised while nobody else can be: the directory is sealed too.
fn operator(app: &App, peer: Option<Extension<Peer>>) -> Result<u32, ApiError> {
    match peer {
        Some(Extension(Peer::Unix { uid, .. })) if uid == 0 || uid == app.operator_uid => Ok(uid),
        _ => Err(Denied::OperatorOnly.into()),
    }
}

/// Unseals the vault with the passphrase of a slot.
#[utoipa::path(post, path = "/v1/operator/unseal", tag = "operator", request_body = wire::Unseal,
    responses((status = 200, description = "Unsealed", body = wire::Answer<wire::Done>)))]
pub(super) async fn unseal(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Input(body): Input<wire::Unseal>,
) -> Result<Response, ApiError> {
    let uid = operator(&app, peer)?;
    // One at a time: each try takes 64 MiB and a good part of a second.
    let _turn = app.unsealing.lock().await;
    app.unseal_failures.pause().await;
    match app
        .lifecycle
        .unseal(Opener::Passphrase(body.passphrase))
        .await
    {
        Ok(vault) => {
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
            Ok(reply::data(wire::Done::OK))
        }
        Err(error) => {
            app.unseal_failures.count();
            Err(error.into())
        }
    }
}

/// Seals the vault: running calls are cut off, and keys are wiped from memory.
#[utoipa::path(post, path = "/v1/operator/seal", tag = "operator",
    responses((status = 200, description = "Sealed", body = wire::Answer<wire::VaultSealed>)))]
pub(super) async fn seal(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let event = caller.event(Action::VaultSeal);
    caller.vault.journal().note(event).await?;
    drop(caller);
    app.close_accounts().await;
    let emptied = app.seal(PATIENCE).await;
    tracing::info!(emptied, "the vault was sealed");
    Ok(reply::data(wire::VaultSealed {
        success: true,
        emptied,
    }))
}

/// Lists the ring's slots.
#[utoipa::path(get, path = "/v1/operator/slots", tag = "operator",
    responses((status = 200, description = "Slots", body = wire::List<wire::KeySlot>)))]
pub(super) async fn slots(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, ApiError> {
    operator(&app, peer)?;
    let slots = app.lifecycle.slots().into_iter().map(shown);
    Ok(reply::list(slots.collect(), None))
}

fn shown(slot: SlotInfo) -> wire::KeySlot {
    wire::KeySlot {
        id: slot.id,
        kind: slot.kind.to_string(),
        label: slot.label,
        created_at: slot.created,
        name: slot.name.map(|name| name.to_string()),
    }
}

/// Who is to open a slot, as a request says it.
struct Asked {
    kind: SlotKind,
    passphrase: Option<Secret>,
    path: Option<String>,
    name: Option<CustodianName>,
}

/// Whoever a request means; what belongs to another kind of slot is refused.
fn opener(app: &App, asked: Asked) -> Result<Opener, ApiError> {
    let refuse = |why: &'static str| Err(ApiError::bad_request(why));
    match asked {
        Asked {
            kind: SlotKind::Passphrase,
            passphrase: Some(words),
            path: None,
            name: None,
        } => Ok(Opener::Passphrase(words)),
        Asked {
            kind: SlotKind::Passphrase,
            ..
        } => refuse("A passphrase slot takes a passphrase, and nothing else."),
        Asked {
            kind: SlotKind::KeyFile,
            passphrase: None,
            path,
            name: None,
        } => {
            let usual = app.lifecycle.custodians().key_file();
            let path = path.map_or_else(|| usual.to_owned(), Into::into);
            if path.is_absolute() || path == usual {
                Ok(Opener::KeyFile(path))
            } else {
                refuse("A key file's path is absolute.")
            }
        }
        Asked {
            kind: SlotKind::KeyFile,
            ..
        } => refuse("A key-file slot takes a path, which may be left out, and nothing else."),
        Asked {
            kind,
            passphrase: None,
            path: None,
            name: Some(name),
        } => match app.lifecycle.custodians().find(kind, name) {
            Some(custodian) => Ok(Opener::Custodian(custodian)),
            None => Err(ApiError::internal()),
        },
        Asked { .. } => refuse("Such a slot takes the name of its custodian, and nothing else."),
    }
}

fn kind(text: &str) -> Result<SlotKind, ApiError> {
    let unknown =
        || ApiError::bad_request("A slot is of kind key-file, passphrase or systemd-credential.");
    SlotKind::parse(text).ok_or_else(unknown)
}

/// The name of a new slot's custodian, as said or as usual.
fn custodian_name(kind: SlotKind, said: Option<&str>) -> Result<Option<CustodianName>, ApiError> {
    let usual = (kind == SlotKind::Credential).then_some(CREDENTIAL);
    let name = said.or(usual).map(CustodianName::parse);
    Ok(name.transpose()?)
}

/// Adds a slot.
#[utoipa::path(post, path = "/v1/operator/slots", tag = "operator", request_body = wire::AddKeySlot,
    responses((status = 201, description = "Added", body = wire::Answer<wire::KeySlot>)))]
pub(super) async fn add_slot(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::AddKeySlot>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let kind = kind(&body.kind)?;
    let asked = Asked {
        kind,
        passphrase: body.passphrase,
        path: body.path,
        name: custodian_name(kind, body.name.as_deref())?,
    };
    let opener = opener(&app, asked)?;
    let label = if body.label.is_empty() {
        body.kind
    } else {
        body.label
    };
    let event = caller.event(Action::KeySlotAdd);
    let _turn = app.unsealing.lock().await;
    let id = caller
        .audited(event, async |_recorded| {
            let (lifecycle, vault) = (app.lifecycle.clone(), caller.vault.clone());
            let added =
                tokio::task::spawn_blocking(move || lifecycle.add_slot(&vault, &opener, &label));
            added
                .await
                .map_err(|_| ApiError::internal())?
                .map_err(ApiError::from)
        })
        .await?;
    let slot = app.lifecycle.slots().into_iter().find(|slot| slot.id == id);
    let slot = slot.ok_or_else(ApiError::internal)?;
    Ok(reply::created(shown(slot)))
}

fn slot_id(text: &str) -> Result<ObjectId, ApiError> {
    ObjectId::parse(text).map_err(|_| ApiError::not_found())
}

/// Tests whether a slot opens.
#[utoipa::path(post, path = "/v1/operator/slots/{id}/test", tag = "operator",
    params(("id" = String, Path)), request_body = wire::TestKeySlot,
    responses((status = 200, description = "It does", body = wire::Answer<wire::Done>)))]
pub(super) async fn test_slot(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Path(id): Path<String>,
    OptionalInput(body): OptionalInput<wire::TestKeySlot>,
) -> Result<Response, ApiError> {
    let uid = operator(&app, peer)?;
    let id = slot_id(&id)?;
    let slot = app.lifecycle.slots().into_iter().find(|slot| slot.id == id);
    let (kind, name) = match slot {
        _ if body.passphrase.is_some() => (SlotKind::Passphrase, None),
        Some(slot) if slot.name.is_some() => (slot.kind, slot.name),
        _ => (SlotKind::KeyFile, None),
    };
    let asked = Asked {
        kind,
        passphrase: body.passphrase,
        path: body.path,
        name,
    };
    let opener = opener(&app, asked)?;
    let _turn = app.unsealing.lock().await;
    app.unseal_failures.pause().await;
    let lifecycle = app.lifecycle.clone();
    let tested = tokio::task::spawn_blocking(move || lifecycle.test_slot(&opener, id)).await;
    let tested = tested.map_err(|_| ApiError::internal())?;
    let vault = app.lifecycle.gate().unsealed().ok();
    let event = stamp(Event::new(Action::KeySlotTest, Actor::Operator { uid }))
        .target(Target::new(TargetKind::Key).id(id.bytes()));
    match (tested, vault) {
        (Ok(()), vault) => {
            app.unseal_failures.forget();
            if let Some(vault) = vault {
                vault.journal().note(event.allowed()).await?;
            }
            Ok(reply::data(wire::Done::OK))
        }
        (Err(error), Some(vault)) => {
            app.unseal_failures.count_recorded();
            let error = ApiError::from(error);
            vault.journal().note(event.denied(error.code())).await?;
            Err(error)
        }
        (Err(error), None) => {
            app.unseal_failures.count();
            Err(error.into())
        }
    }
}

/// Removes a slot; never the last one.
#[utoipa::path(delete, path = "/v1/operator/slots/{id}", tag = "operator",
    params(("id" = String, Path)),
    responses((status = 200, description = "Removed", body = wire::Answer<wire::Done>)))]
pub(super) async fn remove_slot(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let id = slot_id(&id)?;
    let target = Target::new(TargetKind::Key).id(id.bytes());
    let event = caller.event(Action::KeySlotRemove).target(target);
    caller
        .audited(event, async |_recorded| {
            app.lifecycle.remove_slot(&caller.vault, id)
        })
        .await?;
    Ok(reply::data(wire::Done::OK))
}
