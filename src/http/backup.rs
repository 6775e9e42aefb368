//! Backups, for the person who runs this installation: a stream over the Unix socket.

use std::io::{BufWriter, Write};

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use tokio::sync::oneshot;

use crate::audit::Action;
use crate::backup::{BackupError, Failed, Kept, KeyUse, Ledger};
use crate::policy::OperateVault;
use crate::vault::parse_expiry;
use crate::wire;

use super::body::OptionalInput;
use super::caller::Caller;
use super::pieces::{Pieces, pieces};
use super::{ApiError, App, reply};

/// How much is written before the answer begins: what is refused at once is refused in words.
const HELD: usize = 64 * 1024;

/// Makes a backup of the store, its journal and its key ring while everybody is served: an age file,
/// encrypted to recipients and signed.
#[utoipa::path(post, path = "/v1/operator/backup", tag = "operator", request_body = wire::CreateBackup,
    responses((status = 200, description = "The backup, in the age format", body = String,
               content_type = "application/octet-stream")))]
pub(super) async fn create_backup(
    caller: Caller,
    State(app): State<App>,
    OptionalInput(body): OptionalInput<wire::CreateBackup>,
) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let now = caller.vault.now();
    let expires = body.expires.map(|text| parse_expiry(&text, now));
    let wish = app
        .backups
        .wish(&body.recipients, expires.transpose()?, now)?;
    let turn = app.running.enter(&caller.principal)?;
    let event = caller.event(Action::BackupCreate);
    let keys = app.lifecycle.places().keys.clone();
    let vault = caller.vault.clone();
    let (pieces, whole, written) = pieces(vault.closing());
    let (refused, refusal) = oneshot::channel();
    let shared = app.clone();
    tokio::spawn(async move {
        let out = BufWriter::with_capacity(HELD, pieces);
        let made = shared
            .backups
            .make(&vault, keys, wish, event, out, flush)
            .await;
        let word = if made.is_ok() { "success" } else { "failed" };
        shared.meter.operation(Action::BackupCreate.code(), word);
        // Who does not read on must not keep the vault open.
        drop(vault);
        match made {
            Ok(_) => whole.say(),
            // Whoever reads the stream already is told by its end.
            Err(error) => refused.send(error).unwrap_or_default(),
        }
    });
    match written.begun().await {
        Some(begun) => {
            let kind = HeaderValue::from_static("application/octet-stream");
            Ok(begun.response(kind, turn))
        }
        None => Err(refusal
            .await
            .map_or_else(|_| ApiError::internal(), ApiError::from)),
    }
}

fn flush(mut out: BufWriter<Pieces>) -> Result<(), BackupError> {
    out.flush().map_err(|error| BackupError::Io {
        doing: "sending the backup",
        kind: error.kind(),
    })
}

/// Shows what backups there are, and how the last try ended.
#[utoipa::path(get, path = "/v1/operator/backup", tag = "operator",
    responses((status = 200, description = "Backups", body = wire::Answer<wire::BackupInfo>)))]
pub(super) async fn backups(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<OperateVault>(()).await?;
    let ledger = Ledger::of(&caller.vault).await?;
    Ok(reply::data(wire::BackupInfo {
        last: ledger.last.as_ref().map(made),
        keys: ledger.keys.iter().map(key).collect(),
        failure: app.backups.failed().map(failure),
        schedule: schedule(&app),
    }))
}

fn schedule(app: &App) -> Option<wire::BackupSchedule> {
    let schedule = app.backups.plan().schedule.as_ref()?;
    Some(wire::BackupSchedule {
        to: schedule.to.display().to_string(),
        every_hours: schedule.every_hours,
        keep: schedule.keep,
        next_at: app.backups.next(),
    })
}

fn made(kept: &Kept) -> wire::BackupMade {
    wire::BackupMade {
        made_at: kept.made,
        expires_at: kept.expires,
        key: kept.key,
        generation: kept.generation,
        records: kept.records,
        bytes: kept.bytes,
    }
}

fn key(used: &KeyUse) -> wire::BackupKey {
    wire::BackupKey {
        key: used.key,
        backups: used.backups,
        newest_at: used.newest,
        until: used.until,
    }
}

fn failure(failed: Failed) -> wire::BackupFailure {
    wire::BackupFailure {
        at: failed.at,
        code: failed.code.to_owned(),
        message: failed.message,
        hint: failed.hint,
    }
}
