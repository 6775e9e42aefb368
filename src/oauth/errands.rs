//! Work that an answer of a provider's hangs on: a code that is being redeemed, tokens that are not
//! stored yet. Sealing and shutting down wait for it, since what is cut short there costs a grant that
//! a person just gave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The errands under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Errands {
    all: TaskTracker,
    closed: Arc<AtomicBool>,
}

/// One of them; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Errand {
    _token: TaskTrackerToken,
}

impl Errands {
    /// Begins one, unless no more may begin.
    pub(super) fn begin(&self) -> Option<Errand> {
        // First counted, then asked: whoever waits for the end has either closed before, or sees it.
        let token = self.all.token();
        let open = !self.closed.load(Ordering::SeqCst);
        open.then_some(Errand { _token: token })
    }

    /// Lets none begin any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.all.close();
    }

    /// Lets them begin again.
    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.all.reopen();
    }

    /// Waits until none is under way. They are closed.
    pub(super) async fn ended(&self) {
        self.all.wait().await;
    }
}
