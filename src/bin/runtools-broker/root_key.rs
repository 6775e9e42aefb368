//! The root key: replaced while the broker serves.

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::{Exit, Outcome, Route, Session};
use runtools_broker::wire::{KeySlot, RotatedRoot};
use serde::Serialize;

use crate::operator::passphrase;

/// Which key.
#[derive(Debug, Subcommand)]
pub(crate) enum RotateCommand {
    /// Replace the root key, under every slot of the ring
    Root(RootArgs),
}

/// Nothing is to be chosen.
#[derive(Args, Debug)]
pub(crate) struct RootArgs {}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<Lent<'a>>,
}

/// Replaces it. A passphrase is asked for where a slot has one.
pub(crate) async fn run(command: RotateCommand, session: &Session) -> Outcome {
    let RotateCommand::Root(RootArgs {}) = command;
    let client = session.local()?;
    let slots: Vec<KeySlot> = client.list(&Route::new("/v1/operator/slots")).await?;
    let asks = slots.iter().any(|slot| slot.kind == "passphrase");
    let words = asks.then(|| passphrase("passphrase of the slot that has one", session));
    let words = words.transpose()?;
    let passphrase = words.as_ref().map(Lent);
    let body = body::secret(&Body { passphrase })?;
    drop(words);
    let route = Route::new("/v1/operator/root-rotation");
    let rotated: RotatedRoot = client.call(Method::POST, &route, Some(body)).await?;
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
