//! Sealing and unsealing, over the Unix socket of a broker that serves.

use clap::Args;
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::{
    Client, ClientError, Exit, Outcome, Route, Session, read_stdin, stdin_is_piped,
};
use runtools_broker::custody::Share;
use runtools_broker::secret::Secret;
use runtools_broker::wire::{Gathered, KeySlot, Status, VaultSealed};
use serde::Serialize;
use serde_json::Value;

/// How to give a passphrase without being asked.
pub(crate) const INSTEAD: &str = "pipe the passphrase in";

/// How to give a share without being asked.
const SHARE_INSTEAD: &str = "pipe the share in";

/// Unseals the vault with a passphrase or with shares, which are asked for or piped in; where there is neither,
/// by whoever opens it without a person.
#[derive(Args, Debug)]
pub(crate) struct UnsealArgs {
    /// Give shares, where a passphrase would do as well
    #[arg(long)]
    shares: bool,
    /// Forget the shares that were given so far, also for a test or to lend, and what was lent
    #[arg(long, conflicts_with = "shares")]
    forget: bool,
}

/// Locks the vault down, for the hour in which a key is known to be in the wrong hands: every API key and every
/// service's key or certificate is void at once, handles are gone, accounts are refreshed no more, and the vault is
/// sealed. No start unseals it by itself: `unseal` ends the lockdown, and what was void stays void.
#[derive(Args, Debug)]
pub(crate) struct LockdownArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Seals the vault.
#[derive(Args, Debug)]
pub(crate) struct SealArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct UnsealBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<Lent<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forget: bool,
}

/// One person's share.
#[derive(Serialize)]
struct ShareBody<'a> {
    share: Lent<'a>,
}

/// Unseals. A vault that is open already is fine.
pub(crate) async fn unseal(args: UnsealArgs, session: &Session) -> Outcome {
    let client = session.local()?;
    let route = Route::new("/v1/operator/unseal");
    if args.forget {
        let body = body::plain(&UnsealBody {
            passphrase: None,
            forget: true,
        })?;
        let done: Value = client.call(Method::POST, &route, Some(body)).await?;
        session
            .out
            .done(&done, "no share is kept, and nothing is lent")?;
        return Ok(Exit::Ok);
    }
    let status: Status = client.get_bare(&Route::new("/v1/status")).await?;
    if !status.sealed {
        session.out.done(&status, "the vault is unsealed already")?;
        return Ok(Exit::Ok);
    }
    let way = if args.shares {
        Way::Shares
    } else {
        way(&client).await?
    };
    if matches!(way, Way::Custodians) {
        let body = body::plain(&UnsealBody {
            passphrase: None,
            forget: false,
        })?;
        let done: Value = client.call(Method::POST, &route, Some(body)).await?;
        session.out.done(&done, "the vault is unsealed")?;
        return Ok(Exit::Ok);
    }
    let piped = stdin_is_piped().then(read_stdin).transpose()?;
    if matches!(way, Way::Shares) || piped.as_ref().is_some_and(Share::is_like) {
        let shares = piped.as_ref().map(Share::lines);
        drop(piped);
        let done = gather(&route, shares, &client, session).await?;
        return told(done, "the vault is unsealed", session);
    }
    let passphrase = match piped {
        Some(words) => words,
        None => session.prompts.hidden("passphrase", INSTEAD)?,
    };
    let body = body::secret(&UnsealBody {
        passphrase: Some(Lent(&passphrase)),
        forget: false,
    })?;
    drop(passphrase);
    let done: Value = client.call(Method::POST, &route, Some(body)).await?;
    session.out.done(&done, "the vault is unsealed")?;
    Ok(Exit::Ok)
}

/// Who can unseal.
enum Way {
    Passphrase,
    Shares,
    Custodians,
}

/// Who is asked first.
async fn way(client: &Client) -> Result<Way, ClientError> {
    let slots: Vec<KeySlot> = client.list(&Route::new("/v1/operator/slots")).await?;
    let has = |kind| slots.iter().any(|slot| slot.kind == kind);
    Ok(if has("passphrase") {
        Way::Passphrase
    } else if has("shares") {
        Way::Shares
    } else {
        Way::Custodians
    })
}

/// Gives shares to `route`, one after the other, until there are enough or this person has no more: those
/// that were piped in, else those that are asked for.
pub(crate) async fn gather(
    route: &Route,
    piped: Option<Vec<Secret>>,
    client: &Client,
    session: &Session,
) -> Result<Gathered, ClientError> {
    let mut lines = piped.map(Vec::into_iter);
    let mut last = None;
    loop {
        let share = match &mut lines {
            Some(lines) => lines.next(),
            None => match session.prompts.hidden("share", SHARE_INSTEAD) {
                // Nothing was typed: the next person goes on elsewhere.
                Err(ClientError::Cancelled) => None,
                asked => Some(asked?),
            },
        };
        let Some(share) = share else {
            return last.ok_or(ClientError::Cancelled);
        };
        let body = body::secret(&ShareBody {
            share: Lent(&share),
        })?;
        drop(share);
        let sent = client.call(Method::POST, route, Some(body)).await;
        let gathered: Gathered = match sent {
            // Whoever types can type again; what was given before stays.
            Err(refused @ ClientError::Refused { .. }) if lines.is_none() => {
                session.out.error(&refused);
                continue;
            }
            sent => sent?,
        };
        match (gathered.given, gathered.needed) {
            (Some(given), Some(needed)) if !gathered.done => {
                let left = needed.saturating_sub(given);
                session.out.note(format!(
                    "{given} of {needed} shares are there; {left} to go"
                ));
            }
            _ => return Ok(gathered),
        }
        last = Some(gathered);
    }
}

/// Says what giving shares came to.
pub(crate) fn told(gathered: Gathered, words: &str, session: &Session) -> Outcome {
    if gathered.done {
        session.out.done(&gathered, words)?;
        return Ok(Exit::Ok);
    }
    session.out.done(&gathered, "more shares are needed")?;
    session.out.hint(
        "others give theirs with the same command, within a quarter of an hour of the last one",
    );
    Ok(Exit::Ok)
}

/// Seals: from then on everything is refused until somebody unseals.
pub(crate) async fn seal(args: SealArgs, session: &Session) -> Outcome {
    let client = session.local()?;
    if !args.yes {
        let warning = "This seals the vault: every request is refused until it is unsealed.";
        session.prompts.confirm(warning, "seal", "pass --yes")?;
    }
    let route = Route::new("/v1/operator/seal");
    let done: VaultSealed = client.call(Method::POST, &route, None).await?;
    let said = if done.emptied {
        "the vault is sealed"
    } else {
        "the vault is sealed; a request that has not ended yet keeps the keys in memory until it does"
    };
    session.out.done(&done, said)?;
    Ok(Exit::Ok)
}

/// Locks down: every key is void, and nobody but a person unseals.
pub(crate) async fn lockdown(args: LockdownArgs, session: &Session) -> Outcome {
    let client = session.local()?;
    if !args.yes {
        let warning = "This makes every API key and every service's credential void for good, and seals the vault.";
        session.prompts.confirm(warning, "lockdown", "pass --yes")?;
    }
    let route = Route::new("/v1/operator/lockdown");
    let done: VaultSealed = client.call(Method::POST, &route, None).await?;
    session
        .out
        .done(&done, "every key is void, and the vault is sealed")?;
    session.out.hint(
        "when it is safe again, `runtools-broker unseal`, and make new keys; `report --since` says who used what",
    );
    Ok(Exit::Ok)
}

/// An existing passphrase: from a pipe, else asked for once.
pub(crate) fn passphrase(question: &str, session: &Session) -> Result<Secret, ClientError> {
    if stdin_is_piped() {
        read_stdin()
    } else {
        session.prompts.hidden(question, INSTEAD)
    }
}
