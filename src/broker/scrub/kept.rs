//! Searchers that are shared, and the memory that they are counted with.

use std::sync::{Arc, Weak};

use super::Patterns;
use super::patterns::Inner;
use crate::broker::turns::Room;

/// A searcher, without keeping it: there as long as somebody else has it.
#[derive(Debug)]
pub(in crate::broker) struct Faint(Weak<Inner>);

impl Faint {
    pub(in crate::broker) fn patterns(&self) -> Option<Patterns> {
        self.0.upgrade().map(Patterns)
    }
}

impl Patterns {
    pub(in crate::broker) fn faint(&self) -> Faint {
        Faint(Arc::downgrade(&self.0))
    }

    /// The same, counted with this memory until the last clone goes. It has no clone yet.
    pub(in crate::broker) fn in_room(mut self, room: Option<Room>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.room = room;
        }
        self
    }
}
