//! What requests add to the keeping of flows: which one it was, and that it is counted.

use std::sync::Arc;

use crate::audit::{Action, Event};
use crate::oauth::flow::Redeemer;
use crate::oauth::{FlowKeeper, FlowSurface};

use super::App;
use super::caller::stamp;

impl FlowSurface for App {
    fn mark(&self, event: Event) -> Event {
        stamp(event)
    }

    fn count(&self, step: Action, outcome: &'static str) {
        self.meter.operation(step.code(), outcome);
    }
}

impl App {
    /// Who redeems what browsers bring back.
    #[must_use]
    pub fn flow_keeper(&self) -> Arc<dyn Redeemer> {
        Arc::new(FlowKeeper {
            accounts: Arc::clone(&self.accounts),
            directory: Arc::clone(&self.directory),
            lifecycle: Arc::clone(&self.lifecycle),
            surface: Arc::new(self.clone()),
        })
    }
}
