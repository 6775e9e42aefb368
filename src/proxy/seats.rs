//! Who gets a connection: one cap for strangers, one for all who are let in, and of these one for each
//! organisation, each user and each handle.
//!
//! Everybody comes as a stranger. When there are too many of those, the one who came first leaves: who has
//! a handle shows it with their first words, so that those who wait are those who have none.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::limits::{ProxyLimits, STRANGERS};
use crate::broker::Holder;
use crate::http::ApiError;
use crate::id::{OrgId, ResolutionId, UserId};

/// All seats.
#[derive(Debug)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
    limits: ProxyLimits,
}

#[derive(Debug, Default)]
struct Taken {
    /// Those who have shown nothing yet, by number, each with what tells them to leave. The first to come
    /// is the first here.
    strangers: VecDeque<(u64, CancellationToken)>,
    next: u64,
    known: usize,
    counts: HashMap<Key, usize>,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    sitter: Sitter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sitter {
    Stranger(u64),
    Holder(Keys),
}

/// What a connection is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Handle(ResolutionId),
    User(OrgId, UserId),
    Org(OrgId),
}

/// Everything that a connection of a holder's is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys([Key; 3]);

impl Keys {
    const fn new(handle: ResolutionId, org: OrgId, user: UserId) -> Self {
        Self([Key::Handle(handle), Key::User(org, user), Key::Org(org)])
    }
}

impl From<&Holder> for Keys {
    fn from(holder: &Holder) -> Self {
        let principal = holder.principal();
        Self::new(holder.id(), principal.org(), principal.user())
    }
}

impl Key {
    const fn most(self, limits: &ProxyLimits) -> usize {
        match self {
            Self::Handle(_) => limits.per_handle,
            Self::User(..) => limits.per_user,
            Self::Org(_) => limits.per_org,
        }
    }
}

impl Seats {
    /// So many as `limits` say.
    pub(super) fn within(limits: ProxyLimits) -> Self {
        let taken = Mutex::default();
        Self { taken, limits }
    }

    /// A seat for somebody who has shown nothing yet, and what tells them to leave it for another one.
    pub(super) fn stranger(self: &Arc<Self>) -> (Seat, CancellationToken) {
        let mut taken = self.lock();
        if taken.strangers.len() >= STRANGERS
            && let Some((_, first)) = taken.strangers.pop_front()
        {
            first.cancel();
        }
        let (number, leave) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.strangers.push_back((number, leave.clone()));
        drop(taken);
        let seat = Seat {
            seats: Arc::clone(self),
            sitter: Sitter::Stranger(number),
        };
        (seat, leave)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Changes the seat for one of the holder's. Refused, the old one is kept.
    ///
    /// # Errors
    /// 429 `too_many_connections` or 503 `busy`.
    pub(super) fn settle(&mut self, keys: Keys) -> Result<(), ApiError> {
        if self.sitter == Sitter::Holder(keys) {
            return Ok(());
        }
        let (mut taken, limits) = (self.seats.lock(), &self.seats.limits);
        // Who changes from one handle to another does not stand in their own way.
        let before = match &self.sitter {
            Sitter::Holder(before) => &before.0[..],
            Sitter::Stranger(_) => &[],
        };
        if taken.known - usize::from(!before.is_empty()) >= limits.connections {
            return Err(busy());
        }
        let full = keys.0.into_iter().find(|key| {
            let count = taken.counts.get(key).copied().unwrap_or_default();
            count - usize::from(before.contains(key)) >= key.most(limits)
        });
        if let Some(key) = full {
            return Err(too_many(key, key.most(limits)));
        }
        for key in keys.0 {
            *taken.counts.entry(key).or_default() += 1;
        }
        taken.known += 1;
        taken.leave(std::mem::replace(&mut self.sitter, Sitter::Holder(keys)));
        Ok(())
    }

    /// Whether nothing has been shown yet.
    pub(super) const fn is_strangers(&self) -> bool {
        matches!(self.sitter, Sitter::Stranger(_))
    }
}

impl Taken {
    fn leave(&mut self, sitter: Sitter) {
        let keys = match sitter {
            Sitter::Holder(keys) => keys,
            Sitter::Stranger(number) => {
                // Who was told to leave is not there any more.
                let found = self.strangers.binary_search_by_key(&number, |it| it.0);
                if let Ok(index) = found {
                    self.strangers.remove(index);
                }
                return;
            }
        };
        self.known = self.known.saturating_sub(1);
        for key in keys.0 {
            if let Some(count) = self.counts.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&key);
                }
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().leave(self.sitter);
    }
}

fn too_many(key: Key, most: usize) -> ApiError {
    let whose = match key {
        Key::Handle(_) => "This handle has",
        Key::User(..) => "All handles of who asked for this one have",
        Key::Org(_) => "All handles of this organisation have",
    };
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_connections",
        format!("{whose} {most} connections open, which is the most."),
        "Use connections again, or close some.",
    )
    .retry_after(1)
}

fn busy() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "The proxy has as many connections open as it may.",
        "Try again after the seconds in Retry-After.",
    )
    .retry_after(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::{Key, Keys, ProxyLimits, STRANGERS, Seat, Seats};
    use crate::http::ApiError;
    use crate::id::{OrgId, ResolutionId, UserId};

    const CONNECTIONS: usize = 512;
    const PER_ORG: usize = 256;
    const PER_USER: usize = 128;
    const PER_HANDLE: usize = 64;

    fn seats() -> Arc<Seats> {
        Arc::new(Seats::within(ProxyLimits::default()))
    }

    fn keys(org: u8, user: u8, handle: u8) -> Keys {
        let handle = ResolutionId::from_bytes([handle; 16]);
        let (org, user) = (OrgId::from_bytes([org; 16]), UserId::from_bytes([user; 16]));
        Keys::new(handle, org, user)
    }

    fn sit(seats: &Arc<Seats>, keys: Keys) -> Result<Seat, ApiError> {
        let mut seat = seats.stranger().0;
        seat.settle(keys).map(|()| seat)
    }

    fn count(seats: &Seats, key: Key) -> usize {
        seats.lock().counts.get(&key).copied().unwrap_or_default()
    }

    fn is_empty(seats: &Seats) -> bool {
        let taken = seats.lock();
        taken.counts.is_empty() && taken.strangers.is_empty() && taken.known == 0
    }

    #[test]
    fn the_stranger_who_came_first_makes_room_and_no_holder_does() {
        let seats = seats();
        let (mut known, known_leaves) = seats.stranger();
        known.settle(keys(1, 1, 1)).unwrap();
        let mut strangers: Vec<_> = (0..STRANGERS).map(|_| seats.stranger()).collect();
        assert!(strangers.iter().all(|(_, leaves)| !leaves.is_cancelled()));
        let more: Vec<_> = (0..3).map(|_| seats.stranger()).collect();
        let told = |(_, leaves): &(_, CancellationToken)| leaves.is_cancelled();
        assert!(strangers[..3].iter().all(told) && !strangers[3..].iter().any(told));
        assert!(!more.iter().any(told) && !known_leaves.is_cancelled());
        assert_eq!(seats.lock().strangers.len(), STRANGERS);
        // One who shows a handle at that very moment is let in all the same.
        strangers[0].0.settle(keys(1, 1, 1)).unwrap();
        assert!(!strangers[0].0.is_strangers() && strangers[1].0.is_strangers());
        known.settle(keys(1, 1, 1)).unwrap();
        assert_eq!(seats.lock().known, 2);
        // Who settles leaves their place among the strangers to another.
        strangers[5].0.settle(keys(1, 1, 2)).unwrap();
        assert_eq!(seats.lock().strangers.len(), STRANGERS - 1);
        let last = seats.stranger();
        assert!(!told(&strangers[3]));
        drop((strangers, known, more, last));
        assert!(is_empty(&seats));
    }

    #[test]
    fn one_handle_one_user_and_one_organisation_leave_room_for_the_others() {
        let seats = seats();
        let mut all = Vec::new();
        let mut fill = |keys, most: usize| {
            all.extend((0..most).map(|_| sit(&seats, keys).unwrap()));
            let refused = sit(&seats, keys).unwrap_err();
            (refused.status().as_u16(), format!("{refused:?}"))
        };
        let mut full = |keys, most, said: &str| {
            let (status, told) = fill(keys, most);
            assert!(
                status == 429 && told.contains("too_many_connections"),
                "{told}"
            );
            assert!(told.contains(said), "{told}");
        };
        full(keys(1, 1, 1), PER_HANDLE, "This handle has 64 ");
        full(keys(1, 1, 2), PER_USER - PER_HANDLE, "This handle has 64 ");
        full(keys(1, 1, 3), 0, "who asked for this one have 128 ");
        full(keys(1, 2, 4), PER_HANDLE, "");
        full(keys(1, 2, 5), PER_ORG - PER_USER - PER_HANDLE, "");
        full(keys(1, 3, 6), 0, "this organisation have 256 ");
        // The same user id in another organisation is another count.
        full(keys(2, 1, 7), PER_HANDLE, "");
        full(keys(2, 1, 8), PER_HANDLE, "");
        full(keys(2, 2, 9), PER_HANDLE, "");
        assert_eq!(fill(keys(2, 2, 10), PER_HANDLE).0, 503);
        assert_eq!(all.len(), CONNECTIONS);
        assert_eq!(sit(&seats, keys(3, 1, 11)).unwrap_err().code(), "busy");
        drop(all);
        assert!(is_empty(&seats));
    }

    #[test]
    fn who_changes_their_handle_leaves_the_seat_of_the_first() {
        let seats = seats();
        let mut all = Vec::new();
        for handle in [1, 2] {
            all.extend((0..PER_HANDLE).map(|_| sit(&seats, keys(1, 1, handle)).unwrap()));
        }
        // The user has all that they may, and has no more by this.
        let mut last = all.pop().unwrap();
        last.settle(keys(1, 1, 3)).unwrap();
        let of = |handle| Key::Handle(ResolutionId::from_bytes([handle; 16]));
        assert_eq!((count(&seats, of(2)), count(&seats, of(3))), (63, 1));
        assert_eq!(seats.lock().known, 2 * PER_HANDLE);
        // Refused, the old seat is kept.
        assert!(last.settle(keys(1, 1, 1)).is_err());
        assert_eq!((count(&seats, of(1)), count(&seats, of(3))), (64, 1));
        // As it is in another's name.
        last.settle(keys(2, 2, 4)).unwrap();
        assert_eq!((count(&seats, of(3)), count(&seats, of(4))), (0, 1));
        drop((last, all));
        assert!(is_empty(&seats));
    }
}
