//! Unsealing at the start, by whoever does that without a person.

use std::sync::Arc;

use super::{DaemonError, Welcome};
use crate::audit::{Action, Actor, Event, Outcome};
use crate::custody::{CustodyError, Unattended};
use crate::directory::Directory;
use crate::vault::{Lifecycle, Unsealed, VaultError};

/// Unseals where a slot does that by itself, and begins: what there is to tell of it.
pub(super) async fn unseal(
    lifecycle: &Arc<Lifecycle>,
    directory: &Directory,
    uid: u32,
) -> Result<Welcome, DaemonError> {
    let mut welcome = Welcome::default();
    match lifecycle.unseal_unattended().await? {
        Unattended::Opened(vault) => welcome.first_start = begin(&vault, directory, uid).await?,
        Unattended::Waits(lost) => {
            welcome.sealed = true;
            for lost in &lost {
                let code = lost.code();
                tracing::warn!(code, error = %lost, "a slot is lost, so the vault starts sealed");
            }
            welcome.lost = lost.iter().map(told).collect();
        }
    }
    Ok(welcome)
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
    if !vault.org_ids().is_empty() {
        return Ok(false);
    }
    let event = Event::new(Action::VaultInit, Actor::Operator { uid }).store_generation(generation);
    let recorded = vault
        .journal()
        .record(event)
        .await
        .map_err(VaultError::from)?;
    let made = directory.ensure_first(vault, uid, &recorded).await?;
    recorded.outcome(Outcome::success());
    Ok(made)
}
