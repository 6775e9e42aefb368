//! Ending in order: first politely, then at once.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Cutting,
}

/// A handle to end the program with. All its copies are the same handle.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<Stage>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A handle nobody has used yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Serving)))
    }

    /// What a signal means: the first asks for a polite end, the second for one at once.
    pub fn signal(&self) {
        self.0.send_modify(|stage| {
            *stage = match stage {
                Stage::Serving => Stage::Draining,
                Stage::Draining | Stage::Cutting => Stage::Cutting,
            };
        });
    }

    /// Ends at once.
    pub fn cut(&self) {
        self.0.send_modify(|stage| *stage = Stage::Cutting);
    }

    /// Whether an end was asked for, so that readiness can say no.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self.0.borrow() >= Stage::Draining
    }

    /// Waits until an end is asked for.
    pub async fn ending(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Waits until an end at once is asked for.
    pub async fn cutting(&self) {
        self.reached(Stage::Cutting).await;
    }

    async fn reached(&self, wanted: Stage) {
        let mut stages = self.0.subscribe();
        if stages.wait_for(|stage| *stage >= wanted).await.is_err() {
            // Cannot be: the sender is in `self`. Waiting for ever would be worse than ending.
            tracing::error!("the shutdown handle is gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_cuts() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_ending());
        shutdown.clone().signal();
        assert!(shutdown.is_ending());
        shutdown.ending().await;
        shutdown.signal();
        shutdown.cutting().await;
    }
}
