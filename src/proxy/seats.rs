//! Who gets a connection: one cap for strangers, one for all who are let in, one for each handle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;

use super::limits::{CONNECTIONS, PER_HANDLE, STRANGERS};
use crate::http::ApiError;
use crate::id::ResolutionId;

/// All seats.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    strangers: usize,
    known: usize,
    by_handle: HashMap<ResolutionId, usize>,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    holder: Option<ResolutionId>,
}

impl Seats {
    /// A seat for somebody who has shown nothing yet.
    pub(super) fn stranger(self: &Arc<Self>) -> Option<Seat> {
        let mut taken = self.lock();
        if taken.strangers >= STRANGERS {
            return None;
        }
        taken.strangers += 1;
        drop(taken);
        Some(Seat {
            seats: Arc::clone(self),
            holder: None,
        })
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
        if self.holder == Some(id) {
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
        taken.leave(self.holder.replace(id));
        Ok(())
    }
}

impl Taken {
    fn leave(&mut self, holder: Option<ResolutionId>) {
        let Some(id) = holder else {
            self.strangers = self.strangers.saturating_sub(1);
            return;
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
        self.seats.lock().leave(self.holder);
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

    use super::{CONNECTIONS, PER_HANDLE, STRANGERS, Seats};
    use crate::id::ResolutionId;

    fn id(number: u8) -> ResolutionId {
        ResolutionId::from_bytes([number; 16])
    }

    #[test]
    fn strangers_keep_nobody_out_who_has_a_handle() {
        let seats = Arc::new(Seats::default());
        let mut known = seats.stranger().unwrap();
        known.settle(id(1)).unwrap();
        let strangers: Vec<_> = (0..STRANGERS).map(|_| seats.stranger().unwrap()).collect();
        assert!(seats.stranger().is_none());
        known.settle(id(1)).unwrap();
        assert_eq!(seats.lock().by_handle.get(&id(1)), Some(&1));
        drop((strangers, known));
        let taken = seats.lock();
        assert_eq!((taken.strangers, taken.known), (0, 0));
        assert!(taken.by_handle.is_empty());
    }

    #[test]
    fn one_handle_leaves_room_for_the_others() {
        let seats = Arc::new(Seats::default());
        let mut all = Vec::new();
        let mut number = 0;
        while all.len() < CONNECTIONS {
            for _ in 0..PER_HANDLE {
                let mut seat = seats.stranger().unwrap();
                seat.settle(id(number)).unwrap();
                all.push(seat);
            }
            let mut more = seats.stranger().unwrap();
            let code = more.settle(id(number)).unwrap_err();
            let full = all.len() >= CONNECTIONS;
            let wanted = if full { "busy" } else { "too_many_connections" };
            assert_eq!(code.code(), wanted);
            number += 1;
        }
        let mut more = seats.stranger().unwrap();
        assert!(more.settle(id(99)).is_err());
        // Who changes from one handle to another leaves the seat of the first.
        let mut last = all.pop().unwrap();
        all.pop();
        last.settle(id(98)).unwrap();
        assert_eq!(seats.lock().by_handle.get(&id(98)), Some(&1));
        drop((last, all, more));
        let taken = seats.lock();
        assert!(taken.by_handle.is_empty());
        assert_eq!((taken.known, taken.strangers), (0, 0));
    }
}
