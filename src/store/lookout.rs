//! A thread that looks how long work goes on, while there is any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use super::StoreError;
use super::error::Doing;

/// How often it looks. It sleeps in between whatever happens, so that waking it costs a writer a system call
/// at most this often.
const EVERY: Duration = Duration::from_millis(250);

/// Looks for as long as it is kept.
#[derive(Debug)]
pub(super) struct Lookout {
    thread: Thread,
    over: Arc<AtomicBool>,
}

impl Lookout {
    /// Has `look` called now and then after [`Lookout::wake`], as long as it answers that there is work.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn begin(
        name: &str,
        mut look: impl FnMut() -> bool + Send + 'static,
    ) -> Result<Self, StoreError> {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let looking = move || {
            while !ended.load(Ordering::Acquire) {
                if !look() {
                    thread::park();
                }
                thread::sleep(EVERY);
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(looking);
        let thread = thread.doing("starting a thread of the store")?;
        Ok(Self {
            thread: thread.thread().clone(),
            over,
        })
    }

    /// Work begins.
    pub(super) fn wake(&self) {
        self.thread.unpark();
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
