//! Sealing and unsealing, over the Unix socket of a broker that serves.

use clap::Args;
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::{
    ClientError, Exit, Outcome, Route, Session, read_stdin, stdin_is_piped,
};
use runtools_broker::secret::Secret;
use runtools_broker::wire::{Status, VaultSealed};
use serde::Serialize;
use serde_json::Value;

/// How to give a passphrase without being asked.
pub(crate) const INSTEAD: &str = "pipe the passphrase in";

/// Unseals the vault with a passphrase, which is asked for or piped in.
#[derive(Args, Debug)]
pub(crate) struct UnsealArgs {}

/// Seals the vault.
#[derive(Args, Debug)]
pub(crate) struct SealArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct UnsealBody<'a> {
    passphrase: Lent<'a>,
}

/// Unseals. A vault that is open already is fine.
pub(crate) async fn unseal(_: UnsealArgs, session: &Session) -> Outcome {
    let client = session.local()?;
    let status: Status = client.get_bare(&Route::new("/v1/status")).await?;
    if !status.sealed {
        session.out.done(&status, "the vault is unsealed already")?;
        return Ok(Exit::Ok);
    }
    let passphrase = passphrase("passphrase", session)?;
    let body = body::secret(&UnsealBody {
        passphrase: Lent(&passphrase),
    })?;
    drop(passphrase);
    let route = Route::new("/v1/operator/unseal");
    let done: Value = client.call(Method::POST, &route, Some(body)).await?;
    session.out.done(&done, "the vault is unsealed")?;
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

/// An existing passphrase: from a pipe, else asked for once.
pub(crate) fn passphrase(question: &str, session: &Session) -> Result<Secret, ClientError> {
    if stdin_is_piped() {
        read_stdin()
    } else {
        session.prompts.hidden(question, INSTEAD)
    }
}
