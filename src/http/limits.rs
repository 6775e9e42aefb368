//! Rates and lockouts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::clock::Timestamp;
use crate::id::UserId;

use super::serve::Peer;
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

/// How a caller stands with their rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until everything that may be taken at once may be taken again.
    reset: u64,
}

impl Standing {
    fn of(state: &StateSnapshot) -> Self {
        Self::new(state.quota(), state.remaining_burst_capacity())
    }

    fn new(quota: Quota, remaining: u32) -> Self {
        let limit = quota.burst_size().get();
        let missing = limit.saturating_sub(remaining);
        let refill = quota.replenish_interval().saturating_mul(missing);
        Self {
            limit,
            remaining,
            reset: refill
                .as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX),
        }
    }

    /// States it in the headers of an answer.
    pub(super) fn state(self, headers: &mut HeaderMap) {
        headers.insert("x-ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("x-ratelimit-reset", HeaderValue::from(self.reset));
    }
}

type Limiter<K> = DefaultKeyedRateLimiter<K, StateInformationMiddleware>;
type Instant = <DefaultClock as governor::clock::Clock>::Instant;

/// Counts requests by caller and by source.
#[derive(Debug)]
pub(super) struct Rates {
    principals: Limiter<UserId>,
    sources: Limiter<IpAddr>,
    clock: DefaultClock,
}

fn quota(rate: Rate) -> Quota {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(rate.per_second)).allow_burst(at_least_one(rate.burst))
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
            sources: RateLimiter::keyed(quota(rules.source)).with_middleware(),
            clock: DefaultClock::default(),
        }
    }

    pub(super) fn principal(&self, user: UserId) -> Result<(), ApiError> {
        self.noted(self.principals.check_key(&user))
    }

    pub(super) fn source(&self, peer: Option<Peer>) -> Result<(), ApiError> {
        let Some(Peer::Tcp { addr, .. }) = peer else {
            return Ok(());
        };
        self.noted(self.sources.check_key(&addr.ip().to_canonical()))
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
        self.sources.retain_recent();
    }
}

/// One credential from one source. Keys of which the first twelve characters are the same count as
/// one: that is how much of a key is no secret.
type Tried = (Option<IpAddr>, Option<u32>, Vec<u8>);

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

/// The most failures that are remembered; above it the oldest half goes.
const REMEMBERED: usize = 20_000;

fn tried(text: &[u8], peer: Option<Peer>) -> Tried {
    let prefix = text.get(..12).unwrap_or(text).to_vec();
    match peer {
        Some(Peer::Tcp { addr, .. }) => (Some(addr.ip().to_canonical()), None, prefix),
        Some(Peer::Unix { uid, .. }) => (None, Some(uid), prefix),
        None => (None, None, prefix),
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
    pub(super) fn check(
        &self,
        text: &[u8],
        peer: Option<Peer>,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_empty() {
            return Ok(());
        }
        let locked = failures
            .get(&tried(text, peer))
            .filter(|seen| seen.count >= self.limit);
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
    pub(super) fn failed(&self, text: &[u8], peer: Option<Peer>, now: Timestamp) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            let millis = self.millis;
            failures.retain(|_, seen| now.millis_since(seen.last) < millis / 2);
            if failures.len() >= REMEMBERED {
                failures.clear();
            }
        }
        let none = Failures {
            count: 0,
            last: now,
        };
        let seen = failures.entry(tried(text, peer)).or_insert(none);
        if now.millis_since(seen.last) >= self.millis {
            *seen = none;
        }
        seen.count = seen.count.saturating_add(1);
        seen.last = now;
        seen.count == self.limit
    }

    /// Forgets the failures of a credential that was right.
    pub(super) fn succeeded(&self, text: &[u8], peer: Option<Peer>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            failures.remove(&tried(text, peer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lockout, Rate, RateRules};
    use crate::clock::Timestamp;
    use crate::http::serve::Peer;

    #[test]
    fn five_failures_lock_a_credential_at_its_source_and_nowhere_else() {
        let rate = Rate {
            per_second: 1,
            burst: 1,
        };
        let rules = RateRules {
            principal: rate,
            source: rate,
            lockout_failures: 5,
            lockout_millis: 900_000,
        };
        let lockout = Lockout::new(&rules);
        let at = |text: &str| {
            Some(Peer::Tcp {
                addr: text.parse().unwrap(),
                tls: false,
            })
        };
        let (here, there) = (at("192.0.2.1:9"), at("192.0.2.2:9"));
        let now = Timestamp::from_millis(1_000_000);
        let key = b"rt_live_abcdWRONG";
        let locked: Vec<bool> = (0..6).map(|_| lockout.failed(key, here, now)).collect();
        assert_eq!(locked, [false, false, false, false, true, false]);
        assert!(lockout.check(b"rt_live_abcdRIGHT", here, now).is_err());
        assert!(lockout.check(b"rt_live_abcdRIGHT", there, now).is_ok());
        assert!(lockout.check(b"rt_live_zzzzRIGHT", here, now).is_ok());
        assert!(
            lockout
                .check(b"rt_live_abcdRIGHT", here, now.plus_millis(900_000))
                .is_ok()
        );
        lockout.succeeded(b"rt_live_abcdRIGHT", here);
        assert!(lockout.check(b"rt_live_abcdRIGHT", here, now).is_ok());
    }
}
