//! Rates and lockouts.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use http::StatusCode;

use crate::clock::Timestamp;
use crate::id::{ServiceId, UserId};
use crate::policy::Principal;

use super::serve::{Peer, Source};
use super::standing::Standing;
use super::{ApiError, request};

/// Requests per time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// On average, per second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// What callers may take.
#[derive(Clone, Copy, Debug)]
pub struct RateRules {
    /// One recognised caller.
    pub principal: Rate,
    /// One network source, before it is known who asks.
    pub source: Rate,
    /// Failures of one credential from one source after which it is locked there.
    pub lockout_failures: u32,
    /// Milliseconds that a lock lasts, and after which failures are forgotten.
    pub lockout_millis: i64,
}

type Limiter<K> = DefaultKeyedRateLimiter<K, StateInformationMiddleware>;
type Instant = <DefaultClock as governor::clock::Clock>::Instant;

/// How often credentials may fail at one source and be journalled: enough for people who err, too
/// little to fill a disk.
const FAILURES: Rate = Rate {
    per_second: 10,
    burst: 50,
};

/// Counts requests by caller and by source, and failures by source.
#[derive(Debug)]
pub(super) struct Rates {
    principals: Limiter<UserId>,
    /// A service has the rate of a user, whomever it acts for.
    services: Limiter<ServiceId>,
    sources: Limiter<Source>,
    failures: Limiter<Option<Source>>,
    guesses: Limiter<Option<Source>>,
    clock: DefaultClock,
}

fn quota(rate: Rate) -> Quota {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(rate.per_second)).allow_burst(at_least_one(rate.burst))
}

fn source(peer: Option<Peer>) -> Option<Source> {
    peer.map(|peer| peer.source())
}

fn too_many(wait: std::time::Duration) -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "There are too many requests in too short a time.",
        "Wait as long as Retry-After says, then try again.",
    )
    .retry_after(wait.as_secs().saturating_add(1))
}

impl Rates {
    pub(super) fn new(rules: &RateRules) -> Self {
        Self {
            principals: RateLimiter::keyed(quota(rules.principal)).with_middleware(),
            services: RateLimiter::keyed(quota(rules.principal)).with_middleware(),
            sources: RateLimiter::keyed(quota(rules.source)).with_middleware(),
            failures: RateLimiter::keyed(quota(FAILURES)).with_middleware(),
            guesses: RateLimiter::keyed(Quota::per_minute(NonZeroU32::MIN)).with_middleware(),
            clock: DefaultClock::default(),
        }
    }

    pub(super) fn principal(&self, principal: &Principal) -> Result<(), ApiError> {
        // Asked first: what a service is refused counts for none of its users. What it may send counts
        // for itself and for the user it acts for.
        if let Some(service) = principal.service() {
            self.noted(self.services.check_key(&service))?;
        }
        self.noted(self.principals.check_key(&principal.user()))
    }

    pub(super) fn source(&self, peer: Option<Peer>) -> Result<(), ApiError> {
        match source(peer) {
            Some(network @ Source::Network(_)) => self.noted(self.sources.check_key(&network)),
            Some(Source::User(_)) | None => Ok(()),
        }
    }

    /// Counts a credential that failed; refuses when too many did at this source.
    pub(super) fn failure(&self, peer: Option<Peer>) -> Result<(), ApiError> {
        match self.failures.check_key(&source(peer)) {
            Ok(_) => Ok(()),
            Err(until) => Err(too_many(until.wait_time_from(self.clock.now()))),
        }
    }

    /// Whether a guess with what cannot be a key may be journalled: once a minute for each source.
    pub(super) fn guess(&self, peer: Option<Peer>) -> bool {
        self.guesses.check_key(&source(peer)).is_ok()
    }

    /// The answer's headers tell how the caller stands; the last question asked is the one told.
    fn noted(&self, asked: Result<StateSnapshot, NotUntil<Instant>>) -> Result<(), ApiError> {
        match asked {
            Ok(state) => {
                request::note_standing(Standing::of(&state));
                Ok(())
            }
            Err(until) => {
                request::note_standing(Standing::new(until.quota(), 0));
                Err(too_many(until.wait_time_from(self.clock.now())))
            }
        }
    }

    /// Forgets those who have not been seen for a while.
    pub(super) fn sweep(&self) {
        self.principals.retain_recent();
        self.services.retain_recent();
        self.sources.retain_recent();
        self.failures.retain_recent();
        self.guesses.retain_recent();
    }
}

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
        if left <= 0 {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "locked_out",
            "This credential failed too often from here and is locked for a while.",
            "Wait as long as Retry-After says, or use another key.",
        )
        .retry_after(u64::try_from(left / 1000).unwrap_or(0).saturating_add(1)))
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
    use super::{FAILURES, Lockout, REMEMBERED, Rate, RateRules, Rates, Tried};
    use crate::clock::Timestamp;
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
    fn failures_are_counted_by_source_and_one_network_is_one_source() {
        let rates = Rates::new(&RULES);
        let mut passed = 0;
        for host in 0..FAILURES.burst * 2 {
            passed += u32::from(
                rates
                    .failure(Some(at(&format!("[2001:db8::{host:x}]:9"))))
                    .is_ok(),
            );
        }
        assert!(
            (FAILURES.burst..FAILURES.burst * 2).contains(&passed),
            "{passed}"
        );
        assert!(rates.failure(Some(at("[2001:db8:0:1::1]:9"))).is_ok());
        assert!(rates.failure(Some(at("192.0.2.1:9"))).is_ok());
    }

    #[test]
    fn requests_and_locks_are_counted_by_source_however_its_address_is_written() {
        let rates = Rates::new(&RULES);
        let lockout = Lockout::new(&RULES);
        let now = Timestamp::from_millis(1_000_000);
        for (one, same, other) in [
            (
                "[2001:db8::1]:9",
                "[2001:db8::ffff:2]:9",
                "[2001:db8:0:1::1]:9",
            ),
            (
                "192.0.2.1:9",
                "[::ffff:192.0.2.1]:9",
                "[::ffff:192.0.2.2]:9",
            ),
        ] {
            let [one, same, other] = [one, same, other].map(|addr| Some(at(addr)));
            rates.source(one).unwrap();
            assert_eq!(rates.source(same).unwrap_err().code(), "rate_limited");
            rates.source(other).unwrap();
            for n in 0..5 {
                let from = if n % 2 == 0 { one } else { same };
                lockout.failed(&Tried::new(b"rt_live_lock", from), now);
            }
            for (from, locked) in [(one, true), (same, true), (other, false)] {
                let tried = Tried::new(b"rt_live_lock", from);
                assert_eq!(lockout.check(&tried, now).is_err(), locked, "{from:?}");
            }
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
        assert!(lockout.check(&right, now).is_err());
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
