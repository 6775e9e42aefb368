//! Lockouts: what a credential that fails too often meets.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::clock::Timestamp;

use super::ApiError;
use super::limits::{RateRules, source};
use super::serve::{Peer, Source};

/// How many characters of a key are no secret.
const PREFIX: usize = 12;

/// One credential from one source. Keys that begin alike count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tried {
    source: Option<Source>,
    /// Filled up with zeros, which no header holds.
    begins: [u8; PREFIX],
}

impl Tried {
    pub(super) fn new(text: &[u8], peer: Option<Peer>) -> Self {
        let mut begins = [0; PREFIX];
        begins
            .iter_mut()
            .zip(text)
            .for_each(|(to, from)| *to = *from);
        let source = source(peer);
        Self { source, begins }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// Locks a credential out, at one source, after too many failures in a row.
#[derive(Debug)]
pub(super) struct Lockout {
    failures: Mutex<HashMap<Tried, Failures>>,
    limit: u32,
    millis: i64,
}

/// The most credentials whose failures are remembered; at it those go that are not locked, the oldest
/// first, and then the oldest locks, a tenth at a time.
const REMEMBERED: usize = 20_000;

fn make_room(failures: &mut HashMap<Tried, Failures>, limit: u32) {
    let mut order: Vec<(bool, Timestamp, Tried)> = failures
        .iter()
        .map(|(tried, seen)| (seen.count >= limit, seen.last, *tried))
        .collect();
    order.sort_by_key(|(locked, last, _)| (*locked, *last));
    for (_, _, tried) in order.iter().take(REMEMBERED / 10) {
        failures.remove(tried);
    }
}

impl Lockout {
    pub(super) fn new(rules: &RateRules) -> Self {
        Self {
            failures: Mutex::default(),
            limit: rules.lockout_failures.max(1),
            millis: rules.lockout_millis,
        }
    }

    /// Refuses a credential that is locked, whether or not it is right.
    pub(super) fn check(&self, tried: &Tried, now: Timestamp) -> Result<(), ApiError> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_empty() {
            return Ok(());
        }
        let locked = failures.get(tried).filter(|seen| seen.count >= self.limit);
        let Some(seen) = locked else { return Ok(()) };
        let left = self.millis - now.millis_since(seen.last);
        let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
            return Ok(());
        };
        Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "locked_out",
            "This credential failed too often from here and is locked for a while.",
            "Wait as long as Retry-After says, or use another key.",
        )
        .wait(Duration::from_millis(left)))
    }

    /// Counts a failure; true when it is the one that locks.
    pub(super) fn failed(&self, tried: &Tried, now: Timestamp) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            make_room(&mut failures, self.limit);
        }
        let none = Failures {
            count: 0,
            last: now,
        };
        let seen = failures.entry(*tried).or_insert(none);
        if now.millis_since(seen.last) >= self.millis {
            *seen = none;
        }
        seen.count = seen.count.saturating_add(1);
        seen.last = now;
        seen.count == self.limit
    }

    /// Forgets the failures of a credential that was right.
    pub(super) fn succeeded(&self, tried: &Tried) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            failures.remove(tried);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lockout, REMEMBERED, Tried};
    use crate::clock::Timestamp;
    use crate::http::limits::{Rate, RateRules};
    use crate::http::serve::Peer;

    const RATE: Rate = Rate {
        per_second: 1,
        burst: 1,
    };
    const RULES: RateRules = RateRules {
        principal: RATE,
        source: RATE,
        lockout_failures: 5,
        lockout_millis: 900_000,
    };

    fn at(text: &str) -> Peer {
        Peer::Tcp {
            addr: text.parse().unwrap(),
            tls: false,
        }
    }

    #[test]
    fn a_flood_of_other_credentials_lifts_no_lock() {
        let lockout = Lockout::new(&RULES);
        let here = Some(at("192.0.2.1:9"));
        let now = Timestamp::from_millis(1_000_000);
        let locked = Tried::new(b"rt_live_lock", here);
        for _ in 0..5 {
            lockout.failed(&locked, now);
        }
        for n in 0..REMEMBERED * 2 {
            let other = Tried::new(format!("rt{n:010}").as_bytes(), here);
            lockout.failed(&other, now.plus_millis(1));
        }
        assert!(lockout.check(&locked, now).is_err());
        assert!(lockout.failures.lock().unwrap().len() <= REMEMBERED);
    }

    #[test]
    fn five_failures_lock_a_credential_at_its_source_and_nowhere_else() {
        let lockout = Lockout::new(&RULES);
        let (here, there) = (Some(at("192.0.2.1:9")), Some(at("192.0.2.2:9")));
        let now = Timestamp::from_millis(1_000_000);
        let wrong = Tried::new(b"rt_live_abcdWRONG", here);
        let right = Tried::new(b"rt_live_abcdRIGHT", here);
        let locked: Vec<bool> = (0..6).map(|_| lockout.failed(&wrong, now)).collect();
        assert_eq!(locked, [false, false, false, false, true, false]);
        // The whole of the lock is left in the moment it begins, and never more than that.
        for (later, seconds) in [(0, 900), (1, 900), (1000, 899), (899_999, 1)] {
            let refusal = lockout.check(&right, now.plus_millis(later)).unwrap_err();
            let answer = axum::response::IntoResponse::into_response(refusal);
            assert_eq!(answer.headers()["retry-after"], seconds.to_string());
        }
        for free in [
            Tried::new(b"rt_live_abcdRIGHT", there),
            Tried::new(b"rt_live_zzzzRIGHT", here),
        ] {
            assert!(lockout.check(&free, now).is_ok(), "{free:?}");
        }
        assert!(lockout.check(&right, now.plus_millis(900_000)).is_ok());
        lockout.succeeded(&right);
        assert!(lockout.check(&right, now).is_ok());
    }
}
