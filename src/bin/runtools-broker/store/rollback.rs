//! `store accept-rollback`: a person takes an older store for the store.

use clap::Args;
use runtools_broker::client::{ClientError, Session};
use runtools_broker::config::Config;
use runtools_broker::daemon::Refused;
use serde::Serialize;

use super::{arm, failed};
use crate::opener;
use crate::serve::ServeArgs;

/// The most characters of a reason.
const LONGEST: usize = 200;

/// Why, and of which installation.
#[derive(Args, Debug)]
pub(crate) struct AcceptArgs {
    /// Why the older store is to be the store: it goes into the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

#[derive(Serialize)]
struct Accepted {
    generation: u64,
    records: u64,
}

/// Shows what there is, asks, and accepts.
pub(super) async fn accept(
    args: &AcceptArgs,
    config: &Config,
    session: &Session,
) -> Result<(), ClientError> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST || reason.contains(char::is_control) {
        return Err(ClientError::usage(
            "a reason is one line of 1 to 200 characters",
            "say in --reason who decided, and why the older store is to be taken",
        ));
    }
    arm()?;
    let refused = Refused::open(config).map_err(|error| failed(&error))?;
    let root = opener::of_installation(refused.ring(), config, session)?;
    let examined = refused.examine(&root).map_err(|error| failed(&error))?;
    drop(root);
    let store = examined.store();
    let records = store.records();
    let elsewhere = store.external().map_or_else(String::new, |said| {
        format!(" The external anchor file {said}.")
    });
    let warning = format!(
        "The store is whole, with {records} records, at generation {}. Its anchor file {}.{elsewhere} What was stored since is lost \
         for good, and a newer copy that turns up later will be refused.",
        store.generation(),
        store.anchored()
    );
    if args.yes {
        session.out.note(&warning);
    } else {
        session.prompts.confirm(&warning, "accept", "pass --yes")?;
    }
    let accepted = examined.accept(reason).await;
    let generation = accepted.map_err(|error| failed(&error))?;
    let answer = Accepted {
        generation,
        records,
    };
    session.out.done(
        &answer,
        format!("the store goes on from here, at generation {generation}"),
    )
}
