//! The installation's own keys: replaced while the broker serves.

use clap::Subcommand;
use http::Method;
use runtools_broker::client::{Exit, Outcome, Route, Session};
use runtools_broker::wire::{RotatedJournal, RotatedRoot, RotatedState};

use crate::lending::turn_root;
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

/// Replaces it, once everybody has lent what opens their slot.
async fn root(session: &Session) -> Outcome {
    let route = Route::new("/v1/operator/root-rotation");
    let Some(rotated) = turn_root::<RotatedRoot>(&route, session).await? else {
        return Ok(Exit::Ok);
    };
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
