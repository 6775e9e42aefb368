//! Unsealing at the start, by whoever does that without a person.

use std::sync::Arc;
use std::time::Duration;

use super::{DaemonError, Welcome};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::custody::{CustodyError, Unattended};
use crate::directory::{Directory, First};
use crate::http::serve::Shutdown;
use crate::vault::{Lifecycle, Unsealed, VaultError};

/// How long those who are away are left alone: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Unseals where a slot does that by itself, and begins: what there is to tell of it.
pub(super) async fn unseal(
    lifecycle: &Arc<Lifecycle>,
    directory: &Directory,
    uid: u32,
) -> Result<Welcome, DaemonError> {
    let mut welcome = Welcome::default();
    if let Some(since) = lifecycle.places().locked_down()? {
        tracing::warn!("the vault was locked down, so it stays sealed until somebody unseals it");
        welcome.sealed = true;
        let since = since.map_or_else(String::new, |since| format!(" at {since}"));
        welcome.lost = vec![format!(
            "The vault was locked down{since}: every key that was handed out before is void.\n\
             It stays sealed until somebody unseals it."
        )];
        return Ok(welcome);
    }
    match lifecycle.unseal_unattended().await? {
        Unattended::Opened(vault) => welcome.first_start = begin(&vault, directory, uid).await?,
        Unattended::Waits(lost) => {
            welcome.sealed = true;
            warn(&lost);
            welcome.lost = lost.iter().map(told).collect();
            welcome.asks_again = lifecycle.may_open_later();
        }
    }
    Ok(welcome)
}

fn warn(lost: &[CustodyError]) {
    for lost in lost {
        let code = lost.code();
        tracing::warn!(code, error = %lost, "a slot does not open, so the vault is sealed");
    }
}

/// Asks those who may be away again, at first after a second and then ever less often, until somebody has
/// unsealed the vault, or nobody is served any more.
pub(super) async fn keep_asking(
    lifecycle: Arc<Lifecycle>,
    directory: Arc<Directory>,
    uid: u32,
    shutdown: Shutdown,
) {
    let mut wait = FIRST_WAIT;
    loop {
        tokio::select! {
            () = shutdown.ending() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if lifecycle.was_open() {
            return;
        }
        match again(&lifecycle, &directory, uid).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %error, "unsealing did not end well; it is tried again unless the vault is open now: runtools status");
            }
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether the vault is unsealed now.
async fn again(
    lifecycle: &Arc<Lifecycle>,
    directory: &Directory,
    uid: u32,
) -> Result<bool, DaemonError> {
    match lifecycle.unseal_later().await? {
        Unattended::Opened(vault) => {
            begin(&vault, directory, uid).await?;
            let event = Event::new(Action::VaultUnseal, Actor::System);
            let noted = vault.journal().note(event).await;
            noted.map_err(VaultError::from)?;
            tracing::info!("the vault was unsealed by one who was away");
            Ok(true)
        }
        Unattended::Waits(lost) => {
            warn(&lost);
            Ok(false)
        }
    }
}

/// What a person is told of a slot that should have unsealed the vault.
fn told(lost: &CustodyError) -> String {
    match lost {
        CustodyError::WrongKeyFile | CustodyError::File { .. } => format!(
            "The key file does not unseal the vault: {lost}.\n\
             Put it back and start again; or unseal by another slot, and then remove its slot."
        ),
        _ => {
            let hint = lost.hint();
            format!("The vault does not unseal itself: {lost}.\nTo mend it, {hint}.")
        }
    }
}

/// Records the start and, the first time, makes the first organisation. Answers whether it did.
async fn begin(vault: &Unsealed, directory: &Directory, uid: u32) -> Result<bool, DaemonError> {
    let generation = vault.store().generation();
    let event = Event::new(Action::ServerStart, Actor::System).store_generation(generation);
    vault
        .journal()
        .note(event)
        .await
        .map_err(VaultError::from)?;
    found_first(vault, directory, uid, &First::of(uid)).await
}

/// Makes the first organisation, recorded as the work of the user `uid`, where there is none. Answers whether
/// it did.
pub(super) async fn found_first(
    vault: &Unsealed,
    directory: &Directory,
    uid: u32,
    first: &First,
) -> Result<bool, DaemonError> {
    if !vault.org_ids().is_empty() {
        return Ok(false);
    }
    let generation = vault.store().generation();
    let event = Event::new(Action::VaultInit, Actor::Operator { uid }).store_generation(generation);
    let recorded = vault
        .journal()
        .record(event)
        .await
        .map_err(VaultError::from)?;
    let made = directory.ensure_first(vault, first, &recorded).await?;
    recorded.outcome(Outcome::success());
    Ok(made)
}
