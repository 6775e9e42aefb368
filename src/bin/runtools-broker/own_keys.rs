//! The installation's own keys: replaced while the broker serves.

use clap::Subcommand;
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::{ClientError, Exit, Outcome, Route, Session};
use runtools_broker::wire::{KeySlot, RotatedJournal, RotatedRoot, RotatedState};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operator::passphrase;
use crate::store;

/// Which key.
#[derive(Debug, Subcommand)]
pub(crate) enum RotateCommand {
    /// Replace the root key, under every slot of the ring
    Root,
    /// Replace the keys that seal and sign the audit journal
    Audit,
    /// Replace the key that seals what belongs to no organisation
    State,
    /// Replace the key that names in the database are under
    Index,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<Lent<'a>>,
}

/// Replaces one of them.
pub(crate) async fn run(command: RotateCommand, session: &Session) -> Outcome {
    match command {
        RotateCommand::Root => root(session).await,
        RotateCommand::Audit => audit(session).await,
        RotateCommand::State => state(session).await,
        RotateCommand::Index => index(session).await,
    }
}

async fn audit(session: &Session) -> Outcome {
    let route = Route::new("/v1/operator/audit-rotation");
    let rotated: RotatedJournal = session.local()?.call(Method::POST, &route, None).await?;
    let words = format!(
        "from here on the journal is signed by {}",
        rotated.public_key
    );
    session.out.done(&rotated, words)?;
    session.out.hint(
        "keep that key beside the one before: either verifies an export that reaches across the change",
    );
    Ok(Exit::Ok)
}

async fn state(session: &Session) -> Outcome {
    let route = Route::new("/v1/operator/state-rotation");
    let rotated: RotatedState = session.local()?.call(Method::POST, &route, None).await?;
    let words = format!(
        "what belongs to no organisation is sealed under key {}, and the one before is destroyed",
        rotated.version
    );
    session.out.done(&rotated, words)?;
    Ok(Exit::Ok)
}

async fn index(session: &Session) -> Outcome {
    let route = Route::new("/v1/operator/index-rotation");
    let found = store::rewritten(&route, session).await?;
    let records = found.compaction.done;
    let words = format!("{records} records stand under other names, and the old files are gone");
    session.out.done(&found, words)?;
    Ok(Exit::Ok)
}

/// Asks `route` for what replaces the root key, with the passphrase where a slot has one.
pub(crate) async fn turn_root<T: DeserializeOwned>(
    route: &Route,
    session: &Session,
) -> Result<T, ClientError> {
    let client = session.local()?;
    let slots: Vec<KeySlot> = client.list(&Route::new("/v1/operator/slots")).await?;
    let asks = slots.iter().any(|slot| slot.kind == "passphrase");
    let words = asks.then(|| passphrase("passphrase of the slot that has one", session));
    let words = words.transpose()?;
    let passphrase = words.as_ref().map(Lent);
    let body = body::secret(&Body { passphrase })?;
    drop(words);
    client.call(Method::POST, route, Some(body)).await
}

/// Replaces it. A passphrase is asked for where a slot has one.
async fn root(session: &Session) -> Outcome {
    let route = Route::new("/v1/operator/root-rotation");
    let rotated: RotatedRoot = turn_root(&route, session).await?;
    let words = format!(
        "root key {} is in every slot, and the one before nowhere",
        rotated.version
    );
    session.out.done(&rotated, words)?;
    session.out.hint(
        "old copies of root.ring open with the old slots: renew those too if one may be known",
    );
    Ok(Exit::Ok)
}
