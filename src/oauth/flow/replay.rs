//! Signed answers that were taken (B16): none is taken twice.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::crypto::Digest;

/// The most that are remembered. Each was signed by its provider, so nobody fills this at will.
const MOST: usize = 10_000;

/// The answers that were taken, each until it would be too old anyway.
#[derive(Debug, Default)]
pub(super) struct Replays(HashMap<Digest, Timestamp>);

impl Replays {
    /// Notes an answer; false when it was there before, or there is no room to remember it.
    pub(super) fn note(&mut self, answer: Digest, until: Timestamp, now: Timestamp) -> bool {
        if self.0.len() >= MOST {
            self.0.retain(|_, until| now < *until);
        }
        let known = self.0.get(&answer).is_some_and(|until| now < *until);
        if known || self.0.len() >= MOST {
            return false;
        }
        self.0.insert(answer, until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Replays;
    use crate::clock::Timestamp;

    #[test]
    fn b16_an_answer_is_taken_once_in_its_time() {
        let mut replays = Replays::default();
        let at = Timestamp::from_millis;
        assert!(replays.note([1; 32], at(100), at(0)));
        assert!(!replays.note([1; 32], at(100), at(99)));
        assert!(replays.note([2; 32], at(100), at(99)));
        assert!(replays.note([1; 32], at(200), at(100)));
    }
}
