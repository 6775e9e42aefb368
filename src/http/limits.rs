//! Rates.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use http::StatusCode;

use crate::id::{ServiceId, UserId};
use crate::policy::Principal;

use super::serve::{Peer, Source};
use super::standing::Standing;
use super::{ApiError, request};

/// Where a request comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Api,
    Proxy,
}

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
    /// The same at the egress proxy: who floods one door keeps nobody from the other.
    knocks: Limiter<Source>,
    failures: Limiter<Option<Source>>,
    guesses: Limiter<Option<Source>>,
    clock: DefaultClock,
}

fn quota(rate: Rate) -> Quota {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(rate.per_second)).allow_burst(at_least_one(rate.burst))
}

pub(super) fn source(peer: Option<Peer>) -> Option<Source> {
    peer.map(|peer| peer.source())
}

/// The network that a peer comes from, when it comes from one.
fn network(peer: Option<Peer>) -> Option<IpAddr> {
    match source(peer) {
        Some(Source::Network(network)) => Some(network),
        Some(Source::User(_)) | None => None,
    }
}

/// The loopback of IPv6 is counted by its network, which is all zeros.
const fn is_loopback(network: IpAddr) -> bool {
    network.is_loopback() || network.is_unspecified()
}

fn too_many(wait: std::time::Duration) -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        "There are too many requests in too short a time.",
        "Wait as long as Retry-After says, then try again.",
    )
    .wait(wait)
}

impl Rates {
    pub(super) fn new(rules: &RateRules) -> Self {
        Self {
            principals: RateLimiter::keyed(quota(rules.principal)).with_middleware(),
            services: RateLimiter::keyed(quota(rules.principal)).with_middleware(),
            sources: RateLimiter::keyed(quota(rules.source)).with_middleware(),
            knocks: RateLimiter::keyed(quota(rules.source)).with_middleware(),
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

    /// Counts a request before it is known who sends it. On loopback it says nothing where it comes from:
    /// there only strangers count, so that no process of the machine can use up what all of them have.
    pub(super) fn source(&self, peer: Option<Peer>, door: Door) -> Result<(), ApiError> {
        match network(peer) {
            Some(network) if !is_loopback(network) => {
                self.noted(self.door(door).check_key(&Source::Network(network)))
            }
            _ => Ok(()),
        }
    }

    /// Counts a request of one who was not recognised, where it has not been counted yet.
    pub(super) fn stranger(&self, peer: Option<Peer>, door: Door) -> Result<(), ApiError> {
        match network(peer) {
            Some(network) if is_loopback(network) => {
                self.noted(self.door(door).check_key(&Source::Network(network)))
            }
            _ => Ok(()),
        }
    }

    const fn door(&self, door: Door) -> &Limiter<Source> {
        match door {
            Door::Api => &self.sources,
            Door::Proxy => &self.knocks,
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
        self.knocks.retain_recent();
        self.failures.retain_recent();
        self.guesses.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::{Door, FAILURES, Rate, RateRules, Rates};
    use crate::clock::Timestamp;
    use crate::http::lockout::{Lockout, Tried};
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
            for door in [Door::Api, Door::Proxy] {
                rates.source(one, door).unwrap();
                let refused = rates.source(same, door).unwrap_err();
                assert_eq!(refused.code(), "rate_limited");
                rates.source(other, door).unwrap();
                rates.stranger(one, door).unwrap();
            }
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
    fn on_loopback_only_strangers_are_counted_and_by_the_door_that_they_come_to() {
        for here in [
            "127.0.0.1:9",
            "127.8.0.1:9",
            "[::1]:9",
            "[::ffff:127.0.0.1]:9",
        ] {
            let (rates, here) = (Rates::new(&RULES), Some(at(here)));
            for _ in 0..10 {
                rates.source(here, Door::Api).unwrap();
                rates.source(here, Door::Proxy).unwrap();
            }
            rates.stranger(here, Door::Proxy).unwrap();
            let refused = rates.stranger(here, Door::Proxy).unwrap_err();
            assert_eq!(refused.code(), "rate_limited");
            rates.stranger(here, Door::Api).unwrap();
            assert!(rates.stranger(here, Door::Api).is_err());
            rates.source(here, Door::Api).unwrap();
        }
    }
}
