//! The one door to the vault: closed while it is sealed.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::{Vault, VaultError};

/// Holds the vault while it is unsealed, and nothing while it is sealed.
#[derive(Debug, Default)]
pub struct Gate(ArcSwapOption<Vault>);

/// A vault that is unsealed, for as long as this lives. Sealing waits for it, shortly: whoever may take
/// long waits through [`Unsealed::while_open`].
#[derive(Clone, Debug)]
pub struct Unsealed(Arc<Vault>);

impl Gate {
    /// The vault, if it is unsealed.
    ///
    /// # Errors
    /// [`VaultError::Sealed`].
    pub fn unsealed(&self) -> Result<Unsealed, VaultError> {
        self.0.load_full().map(Unsealed).ok_or(VaultError::Sealed)
    }

    /// Whether the vault is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.load().is_none()
    }

    /// Puts an unsealed vault behind the door.
    pub(super) fn open(&self, vault: Vault) -> Unsealed {
        let vault = Arc::new(vault);
        self.0.store(Some(Arc::clone(&vault)));
        Unsealed(vault)
    }

    /// Closes the door, and calls those inside out. Whoever holds the returned vault last wipes its keys.
    pub(super) fn close(&self) -> Option<Arc<Vault>> {
        let vault = self.0.swap(None)?;
        vault.closing.send_replace(true);
        Some(vault)
    }
}

impl Unsealed {
    /// Does `work` for as long as the vault is open; what is not done by then is dropped.
    ///
    /// # Errors
    /// [`VaultError::Sealed`] when the vault was sealed before the work was done.
    pub async fn while_open<F: Future>(&self, work: F) -> Result<F::Output, VaultError> {
        let called = async { self.closing().called().await };
        unless_called(|| *self.closing.borrow(), called, work).await
    }

    /// What tells that the vault is being sealed, without keeping it open.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(self.closing.subscribe())
    }
}

/// The call to leave the vault.
#[derive(Clone, Debug)]
pub struct Closing(watch::Receiver<bool>);

/// Does `work` until it is done, or `called`. The call is listened to only once there is something to wait
/// for: most work is done when it is first asked for.
async fn unless_called<F: Future>(
    is_called: impl Fn() -> bool,
    called: impl Future<Output = ()>,
    work: F,
) -> Result<F::Output, VaultError> {
    let (mut called, mut work) = (pin!(called), pin!(work));
    poll_fn(|cx| {
        if is_called() {
            return Poll::Ready(Err(VaultError::Sealed));
        }
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        called.as_mut().poll(cx).map(|()| Err(VaultError::Sealed))
    })
    .await
}

impl Closing {
    /// Does `work` for as long as the vault is open; what is not done by then is dropped.
    ///
    /// # Errors
    /// [`VaultError::Sealed`] when the vault was sealed before the work was done.
    pub async fn while_open<F: Future>(self, work: F) -> Result<F::Output, VaultError> {
        let called = async { self.clone().called().await };
        unless_called(|| *self.0.borrow(), called, work).await
    }

    /// Waits until the vault is being sealed.
    pub async fn called(mut self) {
        // A vault that is gone was left by everybody.
        drop(self.0.wait_for(|closing| *closing).await);
    }
}

impl Deref for Unsealed {
    type Target = Vault;
    fn deref(&self) -> &Vault {
        &self.0
    }
}
