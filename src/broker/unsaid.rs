//! A request whose caller is gone before anything of it is in the journal.
//!
//! Until then it may have taken a use of its handle and dialled: nothing of that is to be unseen. Nor is a
//! refusal: the one that ends a handle ends the tunnel, too, that would wait for its record.

use tokio::runtime::Handle;

use crate::audit::{AuditError, Event, Journal};

/// What is written down of a request that is dropped.
pub(super) struct Unsaid(Option<(Journal, Event)>);

impl Unsaid {
    /// Until [`said`](Self::said), a drop is recorded by `event`.
    pub(super) fn new(journal: &Journal, event: Event) -> Self {
        Self(Some((journal.clone(), event.code("client_gone"))))
    }

    /// The request is decided on, and that is written down.
    pub(super) fn said(mut self) {
        self.0 = None;
    }
}

/// Writes a refusal down, also when nobody waits for that any more.
///
/// # Errors
/// As [`Journal::note`].
pub(super) async fn noted(journal: &Journal, event: Event) -> Result<(), AuditError> {
    let journal = journal.clone();
    let noting = tokio::spawn(async move { journal.note(event).await });
    // What panicked has written nothing.
    noting.await.unwrap_or(Err(AuditError::Unavailable))
}

impl Drop for Unsaid {
    fn drop(&mut self) {
        let Some((journal, event)) = self.0.take() else {
            return;
        };
        // Without a runtime the process ends.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if journal.note(event).await.is_err() {
                    tracing::error!("a request that was dropped could not be recorded");
                }
            });
        }
    }
}
