//! The last things that a broker does, none of which may keep it from ending.
//!
//! A disk that does not answer holds whoever waits for it. What was acknowledged is on it by then, so to end
//! without the rest loses nothing: the next start is one after a kill.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Action, Actor, Event};
use crate::http::App;
use crate::http::serve::Shutdown;
use crate::vault::Lifecycle;

/// How long the last housekeeping may take.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// How long the last record and the sealing may take: on a slow disk, what has queued is written first.
const SEALING: Duration = Duration::from_secs(20);
/// And how long once the end is to be at once.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How long those who are inside of the vault have to leave.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps house once more, writes the last record, and seals. With a second signal, or with a disk that does not
/// answer, it goes on without.
pub(super) async fn end(app: &App, lifecycle: &Arc<Lifecycle>, shutdown: &Shutdown, cut: usize) {
    tokio::select! {
        kept = app.housekeeping() => if let Err(error) = kept {
            tracing::warn!(code = error.code(), "the last housekeeping failed");
        },
        () = shutdown.cutting() => {}
        () = tokio::time::sleep(HOUSEKEEPING) => {
            tracing::warn!("the last housekeeping takes too long");
        }
    }
    let sealing = async {
        if let Ok(vault) = lifecycle.gate().unsealed() {
            let event = Event::new(Action::ServerShutdown, Actor::System);
            if let Err(error) = vault.journal().note(event).await {
                tracing::error!(error = %error, "the shutdown is not in the journal");
            }
        }
        // It has a limit here.
        app.seal_to_the_end(PATIENCE).await
    };
    let limit = async {
        tokio::select! {
            () = tokio::time::sleep(SEALING) => {}
            () = async {
                shutdown.cutting().await;
                tokio::time::sleep(AT_ONCE).await;
            } => {}
        }
    };
    tokio::select! {
        emptied = sealing => tracing::info!(cut, emptied, "stopped"),
        () = limit => {
            tracing::error!(cut, "stopped without sealing: the disk does not answer");
            // Whoever drops the last of it waits for the writers.
            Box::leak(Box::new(Arc::clone(lifecycle)));
        }
    }
}
