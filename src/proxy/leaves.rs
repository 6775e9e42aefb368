//! Certificates that were made, kept for the next connection to the same host.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;

use super::authority::LeafKey;
use crate::broker::NoAuthority;
use crate::name::Host;

/// How many are kept, of all resolutions together.
const KEPT: usize = 1_024;

/// The certificates of one broker.
pub(super) struct Leaves {
    key: LeafKey,
    numbers: AtomicU64,
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Default)]
struct Kept {
    by_place: HashMap<(u64, Host), Arc<ServerConfig>>,
    /// The oldest first.
    order: VecDeque<(u64, Host)>,
}

impl Leaves {
    pub(super) fn new(key: LeafKey) -> Self {
        Self::with(key, KEPT)
    }

    fn with(key: LeafKey, most: usize) -> Self {
        Self {
            key,
            numbers: AtomicU64::new(0),
            kept: Mutex::default(),
            most,
        }
    }

    pub(super) const fn key(&self) -> &LeafKey {
        &self.key
    }

    /// A number that no authority has yet.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The one that is kept for `host`, or a new one.
    pub(super) fn of(
        &self,
        (number, host): (u64, &Host),
        mint: impl FnOnce() -> Result<Arc<ServerConfig>, NoAuthority>,
    ) -> Result<Arc<ServerConfig>, NoAuthority> {
        let place = (number, host.clone());
        if let Some(kept) = self.lock().by_place.get(&place) {
            return Ok(Arc::clone(kept));
        }
        // Without the lock: two who come at once make two, and the second is kept.
        let made = mint()?;
        let mut kept = self.lock();
        if kept
            .by_place
            .insert(place.clone(), Arc::clone(&made))
            .is_none()
        {
            kept.order.push_back(place);
        }
        while kept.by_place.len() > self.most {
            let Some(oldest) = kept.order.pop_front() else {
                break;
            };
            kept.by_place.remove(&oldest);
        }
        Ok(made)
    }

    /// Forgets those of an authority that is gone.
    pub(super) fn forget(&self, number: u64) {
        let mut kept = self.lock();
        kept.order.retain(|(of, _)| *of != number);
        kept.by_place.retain(|(of, _), _| *of != number);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leaves")
    }
}
