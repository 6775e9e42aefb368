//! How hard a provider's token host is asked: at most eight exchanges at a time, and hardly any while
//! it does not answer (R10).
//!
//! A host that failed five times in a row is left alone but for one probe a minute. That is what keeps
//! five hundred connections from knocking on a dead door, and from storming in when it opens: success
//! closes the breaker, and those who wait come back spread over their own back-offs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;

/// Exchanges at a time with one host.
pub(in crate::oauth) const PER_HOST: u32 = 8;

/// Refreshes at a time in all.
pub(in crate::oauth) const OVERALL: u32 = 64;

/// Failures in a row that open a host's breaker.
const TRIP: u32 = 5;

/// Milliseconds between two probes of a host that does not answer.
const PROBE_EVERY: i64 = 60_000;

/// The hosts that are remembered; beyond, those that are idle and well are forgotten.
const REMEMBERED: usize = 4096;

#[derive(Debug, Default)]
struct Host {
    busy: u32,
    failures: u32,
    /// Not before, while its breaker is open. An answer closes that.
    not_before: Option<Timestamp>,
    /// Not before, because it said so: another's answer that was under way takes nothing of that back.
    asked: Option<Timestamp>,
}

impl Host {
    /// Until when it is left alone, if it is now.
    fn resting(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.not_before.max(self.asked);
        until.filter(|until| until.millis_since(now) > 0)
    }
}

#[derive(Debug, Default)]
struct Table {
    hosts: HashMap<String, Host>,
    busy: u32,
}

/// What is known of token hosts.
#[derive(Clone, Debug, Default)]
pub(in crate::oauth) struct Paces(Arc<Mutex<Table>>);

/// A turn at a host; it ends when this is dropped.
#[derive(Debug)]
pub(in crate::oauth) struct Turn {
    table: Arc<Mutex<Table>>,
    host: String,
}

/// Why there is no turn now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum NoTurn {
    /// As many as may are under way.
    Busy,
    /// The host does not answer, or asked to be left alone, until then.
    Resting(Timestamp),
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        table.busy = table.busy.saturating_sub(1);
        if let Some(host) = table.hosts.get_mut(&self.host) {
            host.busy = host.busy.saturating_sub(1);
        }
    }
}

impl Turn {
    /// The host answered: whatever it said, it is there.
    pub(in crate::oauth) fn answered(&self) {
        let mut table = lock(&self.table);
        if let Some(host) = table.hosts.get_mut(&self.host) {
            host.failures = 0;
            host.not_before = None;
        }
    }

    /// The host did not answer, or answered that it cannot.
    pub(in crate::oauth) fn failed(&self, now: Timestamp) {
        let mut table = lock(&self.table);
        if let Some(host) = table.hosts.get_mut(&self.host) {
            host.failures = host.failures.saturating_add(1);
            if host.failures >= TRIP {
                host.not_before = Some(now.plus_millis(PROBE_EVERY));
            }
        }
    }

    /// The host asked to be left alone for so many milliseconds (429).
    pub(in crate::oauth) fn asked_to_wait(&self, now: Timestamp, millis: i64) {
        let mut table = lock(&self.table);
        if let Some(host) = table.hosts.get_mut(&self.host) {
            host.asked = host.asked.max(Some(now.plus_millis(millis)));
        }
    }
}

impl Paces {
    /// A turn at `host`, where `most` exchanges at a time are wanted at most.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub(in crate::oauth) fn enter(
        &self,
        host: &str,
        most: Option<u32>,
        now: Timestamp,
    ) -> Result<Turn, NoTurn> {
        let most = most.unwrap_or(PER_HOST).clamp(1, PER_HOST);
        let mut table = lock(&self.0);
        if table.hosts.len() >= REMEMBERED {
            table.hosts.retain(|_, host| {
                host.busy > 0 || host.failures > 0 || host.resting(now).is_some()
            });
        }
        if table.busy >= OVERALL {
            return Err(NoTurn::Busy);
        }
        let entry = table.hosts.entry(host.to_owned()).or_default();
        if let Some(until) = entry.resting(now) {
            return Err(NoTurn::Resting(until));
        }
        if entry.busy >= most {
            return Err(NoTurn::Busy);
        }
        if entry.failures >= TRIP {
            // Half open: this one is the probe, and the next waits for the minute after.
            entry.not_before = Some(now.plus_millis(PROBE_EVERY));
        }
        entry.busy = entry.busy.saturating_add(1);
        table.busy = table.busy.saturating_add(1);
        drop(table);
        Ok(Turn {
            table: Arc::clone(&self.0),
            host: host.to_owned(),
        })
    }

    /// Whether `host` is left alone now.
    #[must_use]
    pub(in crate::oauth) fn resting(&self, host: &str, now: Timestamp) -> Option<Timestamp> {
        let table = lock(&self.0);
        table.hosts.get(host)?.resting(now)
    }

    /// How many hosts are left alone.
    #[must_use]
    pub(in crate::oauth) fn open_breakers(&self, now: Timestamp) -> usize {
        let table = lock(&self.0);
        let resting = table.hosts.values();
        resting.filter_map(|host| host.resting(now)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::{NoTurn, PER_HOST, Paces};
    use crate::clock::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_host_has_eight_turns_and_gets_them_back() {
        let paces = Paces::default();
        let turns: Vec<_> = (0..PER_HOST)
            .map(|_| paces.enter("a.example", None, at(0)).unwrap())
            .collect();
        assert_eq!(
            paces.enter("a.example", None, at(0)).unwrap_err(),
            NoTurn::Busy
        );
        assert!(paces.enter("b.example", Some(1), at(0)).is_ok());
        drop(turns);
        assert!(paces.enter("a.example", None, at(0)).is_ok());
    }

    #[test]
    fn r10_a_dead_host_is_probed_once_a_minute_whoever_asks() {
        let paces = Paces::default();
        for _ in 0..5 {
            paces.enter("a.example", None, at(0)).unwrap().failed(at(0));
        }
        let mut asked = 0;
        // Five hundred connections, each asking every second for ten minutes.
        for second in 1..=600 {
            for _ in 0..500 {
                if let Ok(turn) = paces.enter("a.example", None, at(second)) {
                    asked += 1;
                    turn.failed(at(second));
                }
            }
        }
        assert_eq!(asked, 10);
        assert_eq!(paces.open_breakers(at(600)), 1);
        let probe = paces.enter("a.example", None, at(700)).unwrap();
        assert!(paces.enter("a.example", None, at(700)).is_err());
        probe.answered();
        assert!(paces.enter("a.example", None, at(700)).is_ok());
        assert_eq!(paces.open_breakers(at(700)), 0);
    }

    #[test]
    fn r10_a_host_that_asks_for_patience_gets_it() {
        let paces = Paces::default();
        let turn = paces.enter("a.example", None, at(0)).unwrap();
        turn.asked_to_wait(at(0), 90_000);
        drop(turn);
        assert!(paces.enter("a.example", None, at(89)).is_err());
        assert_eq!(paces.resting("a.example", at(89)), Some(at(90)));
        assert!(paces.enter("a.example", None, at(90)).is_ok());
    }

    #[test]
    fn r10_another_s_answer_takes_back_nothing_that_a_host_asked_for() {
        let paces = Paces::default();
        let slow = paces.enter("a.example", None, at(0)).unwrap();
        let turn = paces.enter("a.example", None, at(0)).unwrap();
        turn.asked_to_wait(at(1), 90_000);
        turn.asked_to_wait(at(2), 1_000);
        slow.answered();
        assert_eq!(paces.resting("a.example", at(3)), Some(at(91)));
        assert!(paces.enter("a.example", None, at(90)).is_err());
        assert!(paces.enter("a.example", None, at(91)).is_ok());
    }
}
