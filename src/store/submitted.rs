//! The wait for a commit, apart from its beginning.

use std::io;
use std::sync::Arc;

use super::StoreError;
use super::writer::{Health, Shared};
use crate::waiting::Waiting;

/// A commit that is under way. Whoever drops it does not stop it.
#[derive(Debug)]
pub struct Submitted {
    waiting: Waiting<Result<u64, StoreError>>,
    shared: Arc<Shared>,
}

impl Submitted {
    pub(super) const fn new(
        waiting: Waiting<Result<u64, StoreError>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { waiting, shared }
    }

    /// Waits until it is durable.
    ///
    /// # Errors
    /// As [`Store::commit`](super::Store::commit).
    pub async fn done(self) -> Result<u64, StoreError> {
        tokio::select! {
            biased;
            answer = self.waiting.answered() => answer.unwrap_or_else(|| {
                // The writer thread is gone without a word.
                self.shared.end(Health::Failed);
                Err(StoreError::Failed)
            }),
            () = self.shared.given_up.cancelled() => Err(StoreError::io(
                "writing to the disk",
                io::ErrorKind::TimedOut,
            )),
        }
    }
}
