//! Device flows under way. The provider is asked in the background, as often as it allows, whether or not
//! anybody asks us: a grant that a person gave must not be lost because their terminal was closed, nor
//! because the broker was started again (D4).
//!
//! ```text
//! begin ─▶ on disk, sealed ─▶ ask … ask ─▶ granted: one commit makes the connection and takes them away
//!              │                     └───▶ no, too late, cancelled: recorded, and taken away
//!              └── a restart, or sealing ─▶ resume ─▶ ask …
//! ```
//!
//! In the journal stand its beginning and its end, the granting before anything is made of it, and that it
//! was taken up again. Questions leave no record: each would be one more write to the disk, every few
//! seconds.

mod ask;
mod resume;
mod stored;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;

use super::accounts::{Accounts, Step, Way};
use super::connection::Kept;
use super::device::DeviceGrant;
use super::event;
use super::flow::{
    DeviceAsk, DeviceBegun, DeviceBook, DeviceFault, DeviceShown, DeviceStatus, Failure, FlowKey,
    Turn,
};
use crate::audit::{Action, Event, Recorded};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::id::{OrgId, UserId};
use crate::vault::{Lifecycle, Unsealed, VaultError};

use stored::Waiting;
pub(super) use stored::put_end;

/// How soon it is tried again to take away what is stored of an attempt that ended.
const AGAIN: Duration = Duration::from_mins(1);

/// The device flows under way, and what is needed to bring them to an end.
#[derive(Debug)]
pub struct Attempts {
    book: DeviceBook<DeviceGrant>,
    /// What of them is on disk.
    stored: Mutex<HashMap<FlowKey, Kept<Waiting>>>,
    /// Whether those of before were taken up since the vault was unsealed.
    resumed: ArcSwap<OnceCell<()>>,
    accounts: Arc<Accounts>,
    directory: Arc<Directory>,
    lifecycle: Arc<Lifecycle>,
    clock: Arc<dyn Clock>,
}

/// Why a device flow was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginFault {
    /// The provider gave no code.
    #[error("the provider gave no code")]
    Provider(Failure),
    /// There is no room for one more.
    #[error(transparent)]
    Book(#[from] DeviceFault),
    /// It could not be stored.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Attempts {
    /// None are under way.
    #[must_use]
    pub fn new(
        accounts: Arc<Accounts>,
        directory: Arc<Directory>,
        lifecycle: Arc<Lifecycle>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            book: DeviceBook::new(),
            stored: Mutex::default(),
            resumed: ArcSwap::default(),
            accounts,
            directory,
            lifecycle,
            clock,
        }
    }

    /// The book of them.
    #[must_use]
    pub const fn book(&self) -> &DeviceBook<DeviceGrant> {
        &self.book
    }

    /// Forgets what is in memory, at sealing. What is on disk is taken up after unsealing.
    pub fn forget(&self) {
        self.book.forget();
        self.on_disk().clear();
        self.resumed.store(Arc::default());
    }

    fn on_disk(&self) -> MutexGuard<'_, HashMap<FlowKey, Kept<Waiting>>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a device flow, which outlives this process from then on. It was recorded. Answers the token
    /// that whoever began asks with, and what the person is shown.
    ///
    /// # Errors
    /// [`BeginFault`]; nobody waits for anything then.
    pub async fn begin(
        self: &Arc<Self>,
        vault: &Unsealed,
        ask: DeviceAsk,
        recorded: &Recorded,
    ) -> Result<(String, DeviceShown), BeginFault> {
        self.resume(vault).await?;
        let begun = self.accounts.begin_device(vault, &ask, recorded).await;
        let (shown, grant) = begun.map_err(BeginFault::Provider)?;
        let (now, random) = (vault.now(), vault.random());
        let begun = self.book.start(ask, shown, grant, now, random)?;
        if let Err(error) = self.store(vault, &begun, recorded).await {
            self.book.end(begun.key, Failure::Internal, vault.now());
            return Err(error.into());
        }
        let DeviceBegun {
            token, key, shown, ..
        } = begun;
        self.set_out(key);
        Ok((token, shown))
    }

    /// Asks until it ends, in a task of its own.
    fn set_out(self: &Arc<Self>, key: FlowKey) {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.see_through(key).await });
    }

    /// Asks the provider until the flow ends, as often as it allows.
    async fn see_through(&self, key: FlowKey) {
        loop {
            let pause = match self.book.next_turn(key, self.clock.now()) {
                Some(Turn::Ask(turn)) => {
                    self.ask(turn).await;
                    Duration::from_secs(1)
                }
                Some(Turn::Stored(view)) if view.status == DeviceStatus::Pending => {
                    Duration::from_secs(u64::from(view.shown.interval_s).clamp(1, 60))
                }
                Some(Turn::Stored(view)) => {
                    let why = view.error.unwrap_or("connected");
                    match self.tidy(key, why).await {
                        Ok(()) => return,
                        Err(error) => {
                            tracing::warn!(%error, "the end of a device flow could not be stored");
                            AGAIN
                        }
                    }
                }
                None => return,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes away what is still stored of an attempt that ended otherwise than by an answer: its time was
    /// over, or the store failed when it ended.
    async fn tidy(&self, key: FlowKey, why: &'static str) -> Result<(), VaultError> {
        let Some(kept) = self.on_disk().get(&key).cloned() else {
            return Ok(());
        };
        // A sealed vault is looked through after unsealing.
        let Ok(vault) = self.lifecycle.gate().unsealed() else {
            return Ok(());
        };
        let event = kept.value.event(&vault, Action::OauthDeny).denied(why);
        self.deny(&vault, key, event).await
    }

    /// Records that an attempt came to nothing, takes it off the disk, and counts it: what fails of that is done
    /// again as a whole.
    async fn deny(&self, vault: &Unsealed, key: FlowKey, event: Event) -> Result<(), VaultError> {
        let recorded = vault.journal().record(event).await?;
        let cleared = self.clear(vault, key, &recorded).await;
        recorded.is_all();
        cleared?;
        self.count(Step::Denied);
        Ok(())
    }

    /// Ends an attempt of this user that was not approved yet, for good. It was recorded. Whether there was
    /// one.
    ///
    /// # Errors
    /// When the store fails: then it goes on.
    pub async fn cancel(
        &self,
        vault: &Unsealed,
        (org, user): (OrgId, UserId),
        attempt: &str,
        recorded: &Recorded,
    ) -> Result<bool, VaultError> {
        let view = self.book.view(org, user, attempt, vault.now());
        if view.is_none_or(|view| view.status != DeviceStatus::Pending) {
            return Ok(false);
        }
        // On disk first: what is cancelled must not come back.
        let key = DeviceBook::<DeviceGrant>::key_of(attempt);
        self.clear(vault, key, recorded).await?;
        Ok(self.book.cancel(org, user, attempt, vault.now()))
    }

    fn count(&self, step: Step) {
        self.accounts.meter.step(Way::Device, step);
    }
}

fn event_of(vault: &Unsealed, action: Action, ask: &DeviceAsk) -> Event {
    event::of_system(
        vault,
        action,
        (ask.org, ask.user),
        (ask.provider.id(), None),
    )
}
