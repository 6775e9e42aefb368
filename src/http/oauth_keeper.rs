//! What requests add to the keeping of flows: which one it was.

use std::sync::Arc;

use crate::audit::Event;
use crate::oauth::flow::Redeemer;
use crate::oauth::{FlowKeeper, FlowSurface};

use super::App;
use super::caller::stamp;

impl FlowSurface for App {
    fn mark(&self, event: Event) -> Event {
        stamp(event)
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
