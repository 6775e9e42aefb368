//! A connection that becomes something else when it has written its answer: a tunnel after 200, a WebSocket
//! after 101.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use crate::broker::RelayedSocket;
use crate::http::serve::Shutdown;

/// A connection after that answer.
pub(super) type Switched = TokioIo<Upgraded>;

/// Where a connection finds what it is to become.
#[derive(Debug)]
pub(super) struct Next<T>(Mutex<Option<(OnUpgrade, T)>>);

impl<T> Default for Next<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Next<T> {
    /// The connection of `upgraded` is to become `what`.
    pub(super) fn set(&self, upgraded: OnUpgrade, what: T) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some((upgraded, what));
    }

    /// What the connection has become, once it is over as it was; nothing if it just ended.
    pub(super) async fn reached(&self) -> Option<(Switched, T)> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (upgraded, what) = next?;
        let io = upgraded.await.ok()?;
        Some((TokioIo::new(io), what))
    }
}

/// Hands frames on until either side ends it, it must end, or the broker does.
pub(super) async fn talk(io: Switched, socket: Box<RelayedSocket>, shutdown: &Shutdown) {
    let leaving = CancellationToken::new();
    let mut talking = pin!(socket.run(io, leaving.clone()));
    tokio::select! {
        biased;
        () = talking.as_mut() => return,
        () = shutdown.ending() => leaving.cancel(),
    }
    // Both sides hear why.
    talking.await;
}
