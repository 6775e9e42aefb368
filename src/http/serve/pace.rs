//! Not too often: waiting longer after each failure, and logging each kind of trouble rarely.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait after a failure: 10 ms, doubled each time up to a second.
#[derive(Debug, Default)]
pub(super) struct Backoff(Option<Duration>);

impl Backoff {
    pub(super) fn failed(&mut self) -> Duration {
        let wait = self.0.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.0 = Some(wait);
        wait
    }

    pub(super) fn worked(&mut self) {
        self.0 = None;
    }
}

/// Lets one line through each `every`, and counts those it held back.
#[derive(Debug)]
pub(super) struct Seldom {
    every: Duration,
    last: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    pub(super) fn each(every: Duration) -> Self {
        Self {
            every,
            last: Mutex::default(),
        }
    }

    /// How many were held back since the last one, if it is time for another.
    pub(super) fn now(&self) -> Option<u64> {
        let mut guard = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held) = &mut *guard;
        if last.is_some_and(|last| last.elapsed() < self.every) {
            *held += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(held))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Seldom};

    #[test]
    fn waits_grow_to_a_second_and_start_again_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        backoff.worked();
        assert_eq!(backoff.failed().as_millis(), 10);
    }

    #[test]
    fn of_many_lines_one_comes_through_and_the_rest_are_counted() {
        let seldom = Seldom::each(Duration::from_millis(50));
        assert_eq!(seldom.now(), Some(0));
        assert_eq!((seldom.now(), seldom.now()), (None, None));
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(seldom.now(), Some(2));
    }
}
