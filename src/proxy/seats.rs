//! Who gets a connection: one cap for strangers, one for all who are let in, one for each handle.
//!
//! Everybody comes as a stranger. When there are too many of those, the one who came first leaves: who has
//! a handle shows it with their first words, so that those who wait are those who have none.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::limits::{CONNECTIONS, PER_HANDLE, STRANGERS};
use crate::http::ApiError;
use crate::id::ResolutionId;

/// All seats.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// Those who have shown nothing yet, by number, each with what tells them to leave. The first to come
    /// is the first here.
    strangers: VecDeque<(u64, CancellationToken)>,
    next: u64,
    known: usize,
    by_handle: HashMap<ResolutionId, usize>,
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
    Holder(ResolutionId),
}

impl Seats {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Changes the seat for one by right of the handle `id`. Refused, the old one is kept.
    ///
    /// # Errors
    /// 429 `too_many_connections` or 503 `busy`.
    pub(super) fn settle(&mut self, id: ResolutionId) -> Result<(), ApiError> {
        if self.sitter == Sitter::Holder(id) {
            return Ok(());
        }
        let mut taken = self.seats.lock();
        if taken.known >= CONNECTIONS {
            return Err(busy());
        }
        let of_handle = taken.by_handle.entry(id).or_default();
        if *of_handle >= PER_HANDLE {
            return Err(too_many());
        }
        *of_handle += 1;
        taken.known += 1;
        taken.leave(std::mem::replace(&mut self.sitter, Sitter::Holder(id)));
        Ok(())
    }

    /// Whether nothing has been shown yet.
    pub(super) const fn is_strangers(&self) -> bool {
        matches!(self.sitter, Sitter::Stranger(_))
    }
}

impl Taken {
    fn leave(&mut self, sitter: Sitter) {
        let id = match sitter {
            Sitter::Holder(id) => id,
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
        if let Some(count) = self.by_handle.get_mut(&id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_handle.remove(&id);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().leave(self.sitter);
    }
}

fn too_many() -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_connections",
        format!("This handle has {PER_HANDLE} connections open, which is the most."),
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

    use super::{CONNECTIONS, PER_HANDLE, STRANGERS, Seats};
    use crate::id::ResolutionId;

    fn id(number: u8) -> ResolutionId {
        ResolutionId::from_bytes([number; 16])
    }

    #[test]
    fn the_stranger_who_came_first_makes_room_and_no_holder_does() {
        let seats = Arc::new(Seats::default());
        let (mut known, known_leaves) = seats.stranger();
        known.settle(id(1)).unwrap();
        let mut strangers: Vec<_> = (0..STRANGERS).map(|_| seats.stranger()).collect();
        assert!(strangers.iter().all(|(_, leaves)| !leaves.is_cancelled()));
        let more: Vec<_> = (0..3).map(|_| seats.stranger()).collect();
        let told = |(_, leaves): &(_, CancellationToken)| leaves.is_cancelled();
        assert!(strangers[..3].iter().all(told) && !strangers[3..].iter().any(told));
        assert!(!more.iter().any(told) && !known_leaves.is_cancelled());
        assert_eq!(seats.lock().strangers.len(), STRANGERS);
        // One who shows a handle at that very moment is let in all the same.
        strangers[0].0.settle(id(1)).unwrap();
        assert!(!strangers[0].0.is_strangers() && strangers[1].0.is_strangers());
        known.settle(id(1)).unwrap();
        assert_eq!(seats.lock().by_handle.get(&id(1)), Some(&2));
        // Who settles leaves their place among the strangers to another.
        strangers[5].0.settle(id(2)).unwrap();
        assert_eq!(seats.lock().strangers.len(), STRANGERS - 1);
        let last = seats.stranger();
        assert!(!told(&strangers[3]));
        drop((strangers, known, more, last));
        let taken = seats.lock();
        assert_eq!((taken.strangers.len(), taken.known), (0, 0));
        assert!(taken.by_handle.is_empty());
    }

    #[test]
    fn one_handle_leaves_room_for_the_others() {
        let seats = Arc::new(Seats::default());
        let mut all = Vec::new();
        let mut number = 0;
        while all.len() < CONNECTIONS {
            for _ in 0..PER_HANDLE {
                let mut seat = seats.stranger().0;
                seat.settle(id(number)).unwrap();
                all.push(seat);
            }
            let mut more = seats.stranger().0;
            let code = more.settle(id(number)).unwrap_err();
            let full = all.len() >= CONNECTIONS;
            let wanted = if full { "busy" } else { "too_many_connections" };
            assert_eq!(code.code(), wanted);
            number += 1;
        }
        let mut more = seats.stranger().0;
        assert!(more.settle(id(99)).is_err());
        // Who changes from one handle to another leaves the seat of the first.
        let mut last = all.pop().unwrap();
        all.pop();
        last.settle(id(98)).unwrap();
        assert_eq!(seats.lock().by_handle.get(&id(98)), Some(&1));
        drop((last, all, more));
        let taken = seats.lock();
        assert!(taken.by_handle.is_empty());
        assert_eq!((taken.known, taken.strangers.len()), (0, 0));
    }
}
