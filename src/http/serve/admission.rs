//! Who gets a connection: one cap for all, one for each source.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::ServeLimits;
use super::observer::{Observer, Rejection};
use super::peer::Source;

#[derive(Debug)]
pub(super) struct Admission {
    limits: ServeLimits,
    observer: Arc<dyn Observer>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    network: usize,
    local: usize,
    by_source: HashMap<Source, usize>,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    admission: Arc<Admission>,
    source: Source,
}

impl Admission {
    pub(super) fn new(limits: ServeLimits, observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            observer,
            taken: Mutex::default(),
        })
    }

    /// Gives `source` a connection if both its own cap and the one for all leave room.
    pub(super) fn admit(self: &Arc<Self>, source: Source) -> Result<Seat, Rejection> {
        let per_source = match source {
            Source::User(_) => self.limits.connections_per_user,
            Source::Network(_) => self.limits.connections_per_source,
        };
        let mut taken = self.taken();
        if *taken.total(source) >= self.limits.connections {
            return Err(Rejection::Connections);
        }
        let of_source = taken.by_source.entry(source).or_default();
        if *of_source >= per_source {
            return Err(Rejection::Source);
        }
        *of_source += 1;
        *taken.total(source) += 1;
        drop(taken);
        self.observer.opened();
        Ok(Seat {
            admission: Arc::clone(self),
            source,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn total(&mut self, source: Source) -> &mut usize {
        match source {
            Source::User(_) => &mut self.local,
            Source::Network(_) => &mut self.network,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.admission.taken();
        let total = taken.total(self.source);
        *total = total.saturating_sub(1);
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            // An address seen once must not stay in memory for good.
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
        drop(taken);
        self.admission.observer.closed();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use super::super::{Rejection, ServeLimits, Unobserved};
    use super::{Admission, Source};

    fn net(last: u8) -> Source {
        Source::Network(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[test]
    fn caps_are_kept_per_source_and_for_all_and_forgotten_with_the_last_connection() {
        let limits = ServeLimits {
            connections: 3,
            connections_per_source: 2,
            connections_per_user: 1,
            ..ServeLimits::default()
        };
        let door = Admission::new(limits, Arc::new(Unobserved));
        let seats = [door.admit(net(1)).unwrap(), door.admit(net(1)).unwrap()];
        assert_eq!(door.admit(net(1)).unwrap_err(), Rejection::Source);
        let third = door.admit(net(2)).unwrap();
        assert_eq!(door.admit(net(3)).unwrap_err(), Rejection::Connections);
        let user = door.admit(Source::User(7)).unwrap();
        assert_eq!(door.admit(Source::User(7)).unwrap_err(), Rejection::Source);
        drop((seats, third, user));
        assert!(door.taken().by_source.is_empty());
        assert_eq!(door.taken().network, 0);
        assert_eq!(door.taken().local, 0);
        assert!(door.admit(net(3)).is_ok());
    }
}
