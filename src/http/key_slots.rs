//! The slots of the key ring, for the person who runs this installation.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use crate::audit::{Action, Actor, Event, Target, TargetKind};
use crate::custody::{CREDENTIAL, CustodianName, Share, SlotInfo, SlotKind};
use crate::id::ObjectId;
use crate::policy::OperateVault;
use crate::secret::Secret;
use crate::vault::{Opener, Purpose};
use crate::wire;

use super::body::{Input, OptionalInput};
use super::caller::{Caller, stamp};
use super::operator::{done, operator, waiting};
use super::serve::Peer;
use super::{ApiError, App, reply};

/// Lists the ring's slots.
#[utoipa::path(get, path = "/v1/operator/slots", tag = "operator",
    responses((status = 200, description = "Slots", body = wire::List<wire::KeySlot>)))]
pub(super) async fn slots(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
) -> Result<Response, ApiError> {
    operator(&app, peer)?;
    let slots = app.lifecycle.slots().into_iter();
    let slots = slots.map(|slot| wire::KeySlot {
        lent: app.lifecycle.is_lent(slot.id),
        ..shown(slot)
    });
    Ok(reply::list(slots.collect(), None))
}

fn shown(slot: SlotInfo) -> wire::KeySlot {
    wire::KeySlot {
        id: slot.id,
        kind: slot.kind.to_string(),
        label: slot.label,
        created_at: slot.created,
        name: slot.name.map(|name| name.to_string()),
        threshold: slot.split.map(|split| split.threshold),
        shares: slot.split.map(|split| split.count),
        lent: false,
    }
}

/// Adds a slot. The shares of one are in this answer only.
#[utoipa::path(post, path = "/v1/operator/slots", tag = "operator", request_body = wire::AddKeySlot,
    responses((status = 201, description = "Added", body = wire::Answer<wire::AddedKeySlot>)))]
pub(super) async fn add_slot(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::AddKeySlot>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let label = if body.label.is_empty() {
        body.kind.clone()
    } else {
        body.label.clone()
    };
    let opener = new_opener(&app, body)?;
    let dealt = match &opener {
        Opener::Shares(shares) => shares.iter().map(written).collect::<Result<_, _>>()?,
        _ => Vec::new(),
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
    let slot = shown(slot.ok_or_else(ApiError::internal)?);
    Ok(reply::once(reply::created(wire::AddedKeySlot {
        slot,
        dealt,
    })))
}

/// A share as the one who is given it writes it down.
fn written(share: &Share) -> Result<String, ApiError> {
    let text = share.text().expose(|text| String::from_utf8(text.to_vec()));
    text.map_err(|_| ApiError::internal())
}

/// Who is to open a new slot, as a request says it; what belongs to another kind of slot is refused.
fn new_opener(app: &App, body: wire::AddKeySlot) -> Result<Opener, ApiError> {
    let wire::AddKeySlot {
        kind,
        label: _,
        passphrase,
        path,
        name,
        shares,
        threshold,
    } = body;
    let refuse = |why: &'static str| Err(ApiError::bad_request(why));
    let Some(kind) = SlotKind::parse(&kind) else {
        return refuse(
            "A slot is of kind key-file, passphrase, systemd-credential, shares, exec or pkcs11.",
        );
    };
    let dealt = (shares, threshold);
    match (kind, passphrase, path, name, dealt) {
        (SlotKind::Passphrase, Some(words), None, None, (None, None)) => {
            Ok(Opener::Passphrase(words))
        }
        (SlotKind::Passphrase, ..) => {
            refuse("A passphrase slot takes a passphrase, and nothing else.")
        }
        (SlotKind::KeyFile, None, path, None, (None, None)) => key_file(app, path),
        (SlotKind::KeyFile, ..) => {
            refuse("A key-file slot takes a path, which may be left out, and nothing else.")
        }
        (SlotKind::Shares, None, None, None, (Some(count), Some(threshold))) => {
            Ok(Opener::Shares(app.lifecycle.deal(count, threshold)?))
        }
        (SlotKind::Shares, ..) => {
            refuse("A slot of shares takes how many there are, and how many of them open it.")
        }
        (SlotKind::Credential, None, None, name, (None, None)) => custodian(
            app,
            kind,
            CustodianName::parse(name.as_deref().unwrap_or(CREDENTIAL))?,
        ),
        (SlotKind::Exec | SlotKind::Pkcs11, None, None, Some(name), (None, None)) => {
            custodian(app, kind, CustodianName::parse(&name)?)
        }
        (SlotKind::Exec | SlotKind::Pkcs11, ..) => {
            refuse("Such a slot takes the name of its custodian in broker.toml, and nothing else.")
        }
        (SlotKind::Credential, ..) => refuse(
            "A systemd-credential slot takes a name, which may be left out, and nothing else.",
        ),
    }
}

fn key_file(app: &App, path: Option<String>) -> Result<Opener, ApiError> {
    let usual = app.lifecycle.custodians().key_file();
    let path = path.map_or_else(|| usual.to_owned(), Into::into);
    if path.is_absolute() || path == usual {
        Ok(Opener::KeyFile(path))
    } else {
        Err(ApiError::bad_request("A key file's path is absolute."))
    }
}

fn custodian(app: &App, kind: SlotKind, name: CustodianName) -> Result<Opener, ApiError> {
    let found = app.lifecycle.custodians().find(kind, name);
    Ok(found.map(Opener::Custodian)?)
}

fn slot_id(text: &str) -> Result<ObjectId, ApiError> {
    ObjectId::parse(text).map_err(|_| ApiError::not_found())
}

/// Who is to show that slot `id` opens.
fn tester(app: &App, id: ObjectId, body: wire::TestKeySlot) -> Result<Tester, ApiError> {
    let slot = app.lifecycle.slots().into_iter().find(|slot| slot.id == id);
    let opener = match (body.passphrase, body.share, body.path) {
        (Some(words), None, None) => Opener::Passphrase(words),
        (None, Some(share), None) => return Ok(Tester::Share(share)),
        (None, None, path) => match slot {
            Some(SlotInfo {
                kind,
                name: Some(name),
                ..
            }) if path.is_none() => custodian(app, kind, name)?,
            _ => key_file(app, path)?,
        },
        _ => {
            let why =
                "A slot is tested with what opens it: a passphrase, a share, or a key file's path.";
            return Err(ApiError::bad_request(why));
        }
    };
    Ok(Tester::Opener(opener))
}

enum Tester {
    Opener(Opener),
    Share(Secret),
}

/// Who opens a slot, where they are together; else how many there are.
fn together(
    app: &App,
    tester: Tester,
    purpose: Purpose,
) -> Result<Result<Opener, wire::Gathered>, ApiError> {
    match tester {
        Tester::Opener(opener) => Ok(Ok(opener)),
        Tester::Share(share) => waiting(app.lifecycle.gather(&share, purpose)),
    }
}

/// Tests whether a slot opens.
#[utoipa::path(post, path = "/v1/operator/slots/{id}/test", tag = "operator",
    params(("id" = String, Path)), request_body = wire::TestKeySlot,
    responses((status = 200, description = "It does, or more shares are needed",
               body = wire::Answer<wire::Gathered>)))]
pub(super) async fn test_slot(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    Path(id): Path<String>,
    OptionalInput(body): OptionalInput<wire::TestKeySlot>,
) -> Result<Response, ApiError> {
    let uid = operator(&app, peer)?;
    let id = slot_id(&id)?;
    let tester = tester(&app, id, body)?;
    let _turn = app.unsealing.lock().await;
    app.unseal_failures.pause().await;
    let tested = match together(&app, tester, Purpose::Test(id)) {
        Ok(Err(progress)) => return Ok(reply::data(progress)),
        Ok(Ok(opener)) => {
            let lifecycle = app.lifecycle.clone();
            let tested = tokio::task::spawn_blocking(move || lifecycle.test_slot(&opener, id));
            let tested = tested.await.map_err(|_| ApiError::internal())?;
            tested.map_err(ApiError::from)
        }
        Err(refused) => Err(refused),
    };
    let vault = app.lifecycle.gate().unsealed().ok();
    let event = stamp(Event::new(Action::KeySlotTest, Actor::Operator { uid }))
        .target(Target::new(TargetKind::Key).id(id.bytes()));
    match (tested, vault) {
        (Ok(()), vault) => {
            app.unseal_failures.forget();
            if let Some(vault) = vault {
                vault.journal().note(event.allowed()).await?;
            }
            Ok(reply::data(done()))
        }
        (Err(error), Some(vault)) => {
            app.unseal_failures.count_recorded();
            vault.journal().note(event.denied(error.code())).await?;
            Err(error)
        }
        (Err(error), None) => {
            app.unseal_failures.count();
            Err(error)
        }
    }
}

/// Lends the broker what opens a slot, for the next replacement of the root key, which every slot gets. It is kept for
/// a quarter of an hour after the last that was lent, and while the vault is open.
#[utoipa::path(post, path = "/v1/operator/slots/{id}/lend", tag = "operator",
    params(("id" = String, Path)), request_body = wire::TestKeySlot,
    responses((status = 200, description = "It is lent, or more shares are needed",
               body = wire::Answer<wire::Gathered>)))]
pub(super) async fn lend_slot(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    OptionalInput(body): OptionalInput<wire::TestKeySlot>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let id = slot_id(&id)?;
    let tester = tester(&app, id, body)?;
    let _turn = app.unsealing.lock().await;
    app.unseal_failures.pause().await;
    let lent = match together(&app, tester, Purpose::Lend(id)) {
        Ok(Err(progress)) => return Ok(reply::data(progress)),
        Ok(Ok(opener)) => {
            let lifecycle = app.lifecycle.clone();
            let lent = tokio::task::spawn_blocking(move || lifecycle.lend_slot(&opener, id));
            let lent = lent.await.map_err(|_| ApiError::internal())?;
            lent.map_err(ApiError::from)
        }
        Err(refused) => Err(refused),
    };
    let target = Target::new(TargetKind::Key).id(id.bytes());
    let event = caller.event(Action::KeySlotLend).target(target);
    let journal = caller.vault.journal();
    match lent {
        Ok(()) => {
            app.unseal_failures.forget();
            journal.note(event.allowed()).await?;
            Ok(reply::data(done()))
        }
        Err(error) => {
            app.unseal_failures.count_recorded();
            journal.note(event.denied(error.code())).await?;
            Err(error)
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
    let _turn = app.unsealing.lock().await;
    let last = app.lifecycle.last_shred(&caller.vault).await?;
    let ends_shred = last.is_some_and(|last| last.kept == [id]);
    caller
        .audited(event, async |_recorded| {
            let (lifecycle, vault) = (app.lifecycle.clone(), caller.vault.clone());
            let removed = tokio::task::spawn_blocking(move || lifecycle.remove_slot(&vault, id));
            removed
                .await
                .map_err(|_| ApiError::internal())?
                .map_err(ApiError::from)
        })
        .await?;
    if ends_shred {
        // It was the last that opened the ring of before.
        let event = caller.event(Action::VaultShred).code("provider").allowed();
        caller.vault.journal().note(event).await?;
    }
    Ok(reply::data(wire::Done::OK))
}
