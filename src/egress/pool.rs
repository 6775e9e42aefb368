//! Connections that wait to be used again.
//!
//! The buffer of one keeps the last request that it sent, credential and all, until the next or until
//! it is closed: that bounds how long a value stays in memory, so none waits for long, and all are
//! closed at sealing. Nobody drives one that waits: that its upstream closed it is seen when it is taken,
//! and by the sweep.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Origin;
use super::link::Link;
use crate::id::OrgId;

/// How long a connection may take to wind up an exchange before it is closed instead of kept: an
/// upstream that answered before it read the whole request leaves one that never does.
const SETTLE: Duration = Duration::from_secs(1);

/// What two uses of a connection must share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    /// Organisations never share a connection: an upstream that mixes up answers would mix tenants.
    pub(super) org: Option<OrgId>,
    pub(super) origin: Origin,
    /// Private ranges that were open to the one who dialled.
    pub(super) ranges: Arc<[IpNet]>,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// Waiting connections by key, newest last, and how often all of them were closed.
#[derive(Default)]
struct Shelf {
    idle: HashMap<PoolKey, Vec<Idle>>,
    closed: u64,
}

/// Waiting connections.
pub(super) struct Pool {
    shelf: Mutex<Shelf>,
    idle_for: Duration,
    per_key: usize,
    sweeping: AtomicBool,
}

impl Pool {
    pub(super) fn new(idle_for: Duration, per_key: usize) -> Self {
        Self {
            shelf: Mutex::default(),
            idle_for,
            per_key,
            sweeping: AtomicBool::new(false),
        }
    }

    /// The connection of `key` that was used last, if any is alive.
    pub(super) fn take(&self, key: &PoolKey) -> Option<Link> {
        loop {
            // Let go of before the connection is looked at, or closed.
            let mut found = self.lock().idle.get_mut(key)?.pop()?;
            if found.since.elapsed() < self.idle_for && found.link.is_ready() {
                return Some(found.link);
            }
        }
    }

    /// Keeps a connection whose exchange was read to its end, once it has wound up. One that was in use
    /// since before all were closed does not come back: its buffer may hold what was to be forgotten.
    fn give_back(self: &Arc<Self>, home: Home, mut link: Link) {
        if link.is_ready() {
            return self.put(home, link);
        }
        if let Ok(runtime) = Handle::try_current() {
            let pool = Arc::clone(self);
            runtime.spawn(async move {
                if link.settle(SETTLE).await {
                    pool.put(home, link);
                }
            });
        }
    }

    /// Closes the connection that has waited longest, of `org` or of anybody; false when none waits.
    pub(super) fn make_room(&self, org: Option<OrgId>) -> bool {
        let idle = &mut self.lock().idle;
        let since = |waiting: &Vec<Idle>| waiting.first().map(|oldest| oldest.since);
        let oldest = idle
            .iter_mut()
            .filter(|(key, waiting)| !waiting.is_empty() && (org.is_none() || key.org == org))
            .map(|(_, waiting)| waiting);
        match oldest.min_by_key(|waiting| since(waiting)) {
            Some(waiting) => {
                drop(waiting.remove(0));
                true
            }
            None => false,
        }
    }

    /// Closes all that wait, and each that is in use once it is given back.
    pub(super) fn clear(&self) {
        let mut shelf = self.lock();
        shelf.idle.clear();
        shelf.closed += 1;
    }

    fn put(self: &Arc<Self>, home: Home, link: Link) {
        let mut shelf = self.lock();
        if self.per_key == 0 || shelf.closed != home.closed {
            return;
        }
        let waiting = shelf.idle.entry(home.key).or_default();
        if waiting.len() >= self.per_key {
            drop(waiting.remove(0));
        }
        waiting.push(Idle {
            link,
            since: Instant::now(),
        });
        drop(shelf);
        self.start_sweeping();
    }

    /// Closes what has waited too long even when no further request comes.
    fn start_sweeping(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pool, every) = (Arc::downgrade(self), self.idle_for / 4);
        runtime.spawn(async move {
            loop {
                sleep(every).await;
                match pool.upgrade() {
                    Some(pool) if pool.sweep() => (),
                    _ => return,
                }
            }
        });
    }

    /// False when nothing is left; the next connection that comes starts another sweep.
    fn sweep(&self) -> bool {
        let idle = &mut self.lock().idle;
        idle.retain(|_, waiting| {
            waiting.retain_mut(|w| w.since.elapsed() < self.idle_for && w.link.is_ready());
            !waiting.is_empty()
        });
        if idle.is_empty() {
            self.sweeping.store(false, Ordering::Release);
        }
        !idle.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Nothing in here can leave the shelf half changed.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

/// A connection that has sent nothing since it was dialled or taken; dropped, it waits again.
#[derive(Debug)]
pub(super) struct Unused {
    link: Option<Link>,
    home: Home,
}

impl Unused {
    pub(super) fn new(link: Link, key: PoolKey, pool: Arc<Pool>) -> Self {
        let closed = pool.lock().closed;
        Self {
            link: Some(link),
            home: Home { key, pool, closed },
        }
    }

    /// Whether the connection is still there.
    pub(super) fn is_ready(&mut self) -> bool {
        self.link.as_mut().is_some_and(Link::is_ready)
    }

    /// The address at the other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.link.as_ref().and_then(Link::peer)
    }

    /// Takes the connection for an exchange; from here on it is closed unless given back.
    pub(super) fn take(mut self) -> Option<(Link, Home)> {
        Some((self.link.take()?, self.home.clone()))
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            self.home.clone().welcome(link);
        }
    }
}

/// Where a connection goes when its exchange is over.
#[derive(Clone, Debug)]
pub(super) struct Home {
    key: PoolKey,
    pool: Arc<Pool>,
    /// How often all had been closed when it was taken.
    closed: u64,
}

impl Home {
    pub(super) fn welcome(self, link: Link) {
        let pool = Arc::clone(&self.pool);
        pool.give_back(self, link);
    }
}
