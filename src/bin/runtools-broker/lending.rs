//! What it takes of people to replace the root key: each lends what opens their slot.

use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::{Client, ClientError, Route, Session, read_stdin, stdin_is_piped};
use runtools_broker::custody::Share;
use runtools_broker::secret::Secret;
use runtools_broker::wire::{Gathered, KeySlot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::operator::{INSTEAD, gather};

#[derive(Serialize)]
struct Words<'a> {
    passphrase: Lent<'a>,
}

#[derive(Serialize)]
struct Nothing {}

/// Asks `route` for what replaces the root key, once everybody has lent what opens their slot: those who have not
/// are asked here. Nothing where some of them are still to come, which is said.
pub(crate) async fn turn_root<T: DeserializeOwned>(
    route: &Route,
    session: &Session,
) -> Result<Option<T>, ClientError> {
    let client = session.local()?;
    let slots: Vec<KeySlot> = client.list(&Route::new("/v1/operator/slots")).await?;
    let missing: Vec<&KeySlot> = slots.iter().filter(|slot| is_missing(slot)).collect();
    let mut given = Given::read(missing.len())?;
    let mut away = Vec::new();
    for slot in missing {
        if !lends(slot, &mut given, &client, session).await? {
            away.push(slot);
        }
    }
    if away.is_empty() {
        let body = body::plain(&Nothing {})?;
        return client.call(Method::POST, route, Some(body)).await.map(Some);
    }
    for slot in &away {
        session.out.note(format!(
            "slot {} ({}, {}) is not lent yet",
            slot.id, slot.kind, slot.label
        ));
    }
    let waits = Gathered {
        success: true,
        done: false,
        given: None,
        needed: None,
    };
    session.out.done(&waits, "nothing is begun yet")?;
    session.out.hint(
        "whoever opens it runs the same command, or `runtools-broker key slot lend`, within a quarter of an hour of \
         the last one",
    );
    Ok(None)
}

/// Whether a person has to lend it. A key file that lies elsewhere is told by the broker.
fn is_missing(slot: &KeySlot) -> bool {
    !slot.lent && matches!(slot.kind.as_str(), "passphrase" | "shares")
}

/// Whether this person, or what was piped in, has lent what opens the slot.
async fn lends(
    slot: &KeySlot,
    given: &mut Given,
    client: &Client,
    session: &Session,
) -> Result<bool, ClientError> {
    let route = Route::new("/v1/operator/slots");
    let route = route.then(slot.id.to_string()).then("lend");
    if slot.kind == "shares" {
        session
            .out
            .note(format!("slot {} takes shares", slot.label));
        let shares = given.shares();
        return match gather(&route, shares, client, session).await {
            Err(ClientError::Cancelled) => Ok(false),
            gathered => Ok(gathered?.done),
        };
    }
    let question = format!("passphrase of slot {}", slot.label);
    let words = match given.words() {
        Some(words) => words,
        None if given.is_piped() => return Ok(false),
        None => match session.prompts.hidden(&question, INSTEAD) {
            Err(ClientError::Cancelled) => return Ok(false),
            asked => asked?,
        },
    };
    let body = body::secret(&Words {
        passphrase: Lent(&words),
    })?;
    drop(words);
    let _done: Value = client.call(Method::POST, &route, Some(body)).await?;
    Ok(true)
}

/// What was piped in: passphrases, in the order of the slots, and shares.
enum Given {
    Piped {
        words: std::vec::IntoIter<Secret>,
        shares: Vec<Secret>,
    },
    Asked,
}

impl Given {
    /// Reads it where it takes somebody: the whole is one passphrase for one slot, else each line is one.
    fn read(missing: usize) -> Result<Self, ClientError> {
        if missing == 0 || !stdin_is_piped() {
            return Ok(Self::Asked);
        }
        let whole = read_stdin()?;
        let lines = if missing == 1 && !Share::is_like(&whole) {
            vec![whole]
        } else {
            Share::lines(&whole)
        };
        let (shares, words): (Vec<_>, Vec<_>) = lines.into_iter().partition(Share::is_like);
        Ok(Self::Piped {
            words: words.into_iter(),
            shares,
        })
    }

    const fn is_piped(&self) -> bool {
        matches!(self, Self::Piped { .. })
    }

    fn words(&mut self) -> Option<Secret> {
        match self {
            Self::Piped { words, .. } => words.next(),
            Self::Asked => None,
        }
    }

    /// The shares, a line each; nothing where they are asked for.
    fn shares(&mut self) -> Option<Vec<Secret>> {
        match self {
            Self::Piped { shares, .. } => Some(std::mem::take(shares)),
            Self::Asked => None,
        }
    }
}
