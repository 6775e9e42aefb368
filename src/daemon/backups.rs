//! The backups that the broker makes by itself.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Action, Actor, Event};
use crate::backup::{BackupError, Keeper, Ledger, NewFile, Schedule};
use crate::clock::Timestamp;
use crate::http::Meter;
use crate::http::serve::Shutdown;
use crate::vault::{Lifecycle, Unsealed};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(10);
/// How long is waited after one that failed, in seconds.
const AGAIN: i64 = 15 * 60;

/// Makes them, until serving ends. While the vault is sealed none is made: the next is overdue then.
pub(super) async fn keep_backups(
    keeper: Arc<Keeper>,
    lifecycle: Arc<Lifecycle>,
    meter: Arc<dyn Meter>,
    shutdown: Shutdown,
) {
    let mut learned = false;
    let mut not_before = None;
    loop {
        if let Ok(vault) = lifecycle.gate().unsealed() {
            if !learned && let Ok(ledger) = Ledger::of(&vault).await {
                keeper.learn(&ledger);
                learned = true;
            }
            if let Some(schedule) = &keeper.plan().schedule {
                let made = if_due(&keeper, schedule, &vault, &lifecycle, not_before).await;
                if let Some(made) = made {
                    let word = if made.is_ok() { "success" } else { "failed" };
                    meter.operation(Action::BackupCreate.code(), word);
                    let again = || vault.now().plus_seconds(AGAIN);
                    not_before = made.is_err().then(again);
                }
            }
        }
        tokio::select! {
            () = shutdown.ending() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Makes one if it is due, and not too soon after one that failed.
async fn if_due(
    keeper: &Keeper,
    schedule: &Schedule,
    vault: &Unsealed,
    lifecycle: &Lifecycle,
    not_before: Option<Timestamp>,
) -> Option<Result<(), BackupError>> {
    let now = vault.now();
    let newest = schedule.newest(vault.id(), now);
    // A folder that cannot be looked into is told by the try to write there.
    let due = newest.map_or(now, |newest| schedule.due(newest, now));
    let due = not_before.map_or(due, |not_before| due.max(not_before));
    keeper.plan_next(due);
    if due > now {
        return None;
    }
    let made = make(keeper, schedule, vault, lifecycle, now).await;
    Some(made.inspect_err(|error| keeper.failed_because(now, error)))
}

async fn make(
    keeper: &Keeper,
    schedule: &Schedule,
    vault: &Unsealed,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Result<(), BackupError> {
    let wish = keeper.wish(&[], None, now)?;
    let file = NewFile::begin(&schedule.file(vault.id(), now))?;
    let keys = lifecycle.places().keys.clone();
    let event = Event::new(Action::BackupCreate, Actor::System)
        .store_generation(vault.store().generation());
    let out = std::io::BufWriter::with_capacity(64 * 1024, file);
    let finish = |out: std::io::BufWriter<NewFile>| {
        let file = out.into_inner().map_err(|error| BackupError::Io {
            doing: "writing the backup",
            kind: error.error().kind(),
        })?;
        file.finish()
    };
    keeper.make(vault, keys, wish, event, out, finish).await?;
    let gone = schedule.thin_out(vault.id(), now)?;
    if gone > 0 {
        tracing::info!(gone, "old backups were removed");
    }
    Ok(())
}
