//! A request whose caller is gone before anything of it is in the journal.
//!
//! Until then it may have taken a use of its handle and dialled: nothing of that is to be unseen.

use tokio::runtime::Handle;

use crate::audit::{Event, Journal};

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
