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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::server::ResolvesServerCertUsingSni;

    use super::Leaves;
    use crate::broker::NoAuthority;
    use crate::name::Host;
    use crate::proxy::authority::LeafKey;

    fn leaves(most: usize) -> Leaves {
        Leaves::with(LeafKey::draw().unwrap(), most)
    }

    fn config() -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let resolver = Arc::new(ResolvesServerCertUsingSni::new());
        Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver))
    }

    /// Asks for the certificate of `host`; whether it had to be made.
    fn made(leaves: &Leaves, number: u64, host: &str) -> (bool, Arc<ServerConfig>) {
        let (host, made) = (Host::parse(host).unwrap(), Cell::new(false));
        let mint = || {
            made.set(true);
            Ok(config())
        };
        let found = leaves.of((number, &host), mint).unwrap();
        (made.get(), found)
    }

    #[test]
    fn one_is_made_once_for_each_host_of_each_authority() {
        let leaves = leaves(9);
        let (one, two) = (leaves.next_number(), leaves.next_number());
        assert_ne!(one, two);
        let (fresh, first) = made(&leaves, one, "a.test");
        assert!(fresh);
        let (again, same) = made(&leaves, one, "A.test");
        assert!(!again && Arc::ptr_eq(&first, &same));
        // The same host by another authority is another certificate.
        let (fresh, other) = made(&leaves, two, "a.test");
        assert!(fresh && !Arc::ptr_eq(&first, &other));
        assert!(made(&leaves, one, "b.test").0);
        let none = leaves.of((one, &Host::parse("c.test").unwrap()), || Err(NoAuthority));
        assert_eq!(none.unwrap_err(), NoAuthority);
        assert!(made(&leaves, one, "c.test").0, "a failure is not kept");
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let leaves = leaves(3);
        for host in ["a.test", "b.test", "c.test"] {
            assert!(made(&leaves, 1, host).0);
        }
        // Asked for again it is no younger.
        assert!(!made(&leaves, 1, "a.test").0);
        assert!(made(&leaves, 2, "d.test").0);
        assert!(!made(&leaves, 1, "b.test").0 && !made(&leaves, 1, "c.test").0);
        assert!(made(&leaves, 1, "a.test").0);
        let kept = leaves.lock();
        assert_eq!((kept.by_place.len(), kept.order.len()), (3, 3));
        assert!(
            kept.order
                .iter()
                .all(|place| kept.by_place.contains_key(place))
        );
    }

    #[test]
    fn what_an_authority_made_goes_with_it_and_nothing_else() {
        let leaves = leaves(9);
        for (number, host) in [(1, "a.test"), (2, "a.test"), (1, "b.test"), (2, "[::1]")] {
            assert!(made(&leaves, number, host).0);
        }
        leaves.forget(1);
        assert!(!made(&leaves, 2, "a.test").0 && !made(&leaves, 2, "[::1]").0);
        assert_eq!(leaves.lock().order.len(), 2);
        assert!(made(&leaves, 1, "a.test").0 && made(&leaves, 1, "b.test").0);
    }
}
