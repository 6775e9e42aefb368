//! How often lent values came back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of masked occurrences, one per value. Clones count together, so the head, the body
/// and the trailers of one exchange can share one.
///
/// A spelling longer than four kibibytes counts once for each such piece of it.
#[derive(Clone, Debug)]
pub struct Hits(Arc<[AtomicU64]>);

impl Hits {
    pub(super) fn new(values: usize) -> Self {
        Self((0..values).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn count(&self, value: usize) {
        if let Some(counter) = self.0.get(value) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Occurrences of all values together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }

    /// Occurrences of the value at `position` in the list the patterns were made from.
    #[must_use]
    pub fn of(&self, position: usize) -> u64 {
        self.0
            .get(position)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}
