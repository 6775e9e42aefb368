//! What a service manager is told (`sd_notify(3)`): that the broker is ready, whether it is sealed, that
//! it lives, that it ends. Where none listens (`NOTIFY_SOCKET`), nobody is told.
//!
//! It lives where its event loop, its store and its journal come round. A full disk is no reason to be
//! started again, since that frees no room; a writer that hangs is.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::http::serve::Shutdown;
use crate::vault::Lifecycle;

/// How often it is looked whether there is something to tell, where no watchdog wants to know more often.
const LOOK: Duration = Duration::from_secs(1);

/// Tells that requests are served, and from then on whatever changes, until the end.
pub(super) async fn keep_told(lifecycle: Arc<Lifecycle>, shutdown: Shutdown) {
    let mut told = status(&lifecycle);
    tell(&[NotifyState::Ready, NotifyState::Status(told)]);
    // A message is due once in the interval. Asked from a quarter of it on, who answers within half of it
    // more is in time.
    let watchdog = sd_notify::watchdog_enabled().map(|interval| interval / 4);
    let mut look = tokio::time::interval(watchdog.map_or(LOOK, |quarter| quarter.min(LOOK)));
    let mut alive = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = shutdown.ending() => break,
            _ = look.tick() => {}
        }
        let now = status(&lifecycle);
        if now != told {
            told = now;
            tell(&[NotifyState::Status(told)]);
        }
        if let Some(quarter) = watchdog
            && alive.elapsed() >= quarter
            && comes_round(&lifecycle, quarter * 2).await
        {
            alive = tokio::time::Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
    tell(&[NotifyState::Stopping, NotifyState::Status("ending")]);
}

fn status(lifecycle: &Lifecycle) -> &'static str {
    match lifecycle.gate().unsealed() {
        Ok(_) => "unsealed: serving",
        Err(_) => "sealed: unseal it with runtools-broker unseal",
    }
}

/// Whether everybody who writes comes round. A sealed vault has no writer.
async fn comes_round(lifecycle: &Lifecycle, patience: Duration) -> bool {
    match lifecycle.gate().unsealed() {
        Ok(vault) => {
            let (journal, store) = (vault.journal(), vault.store());
            let both = tokio::join!(journal.answers(patience), store.answers(patience));
            both == (true, true)
        }
        Err(_) => true,
    }
}

/// A service manager that cannot be reached is no reason to stop serving.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(kind = %error.kind(), "the service manager cannot be told");
    }
}
