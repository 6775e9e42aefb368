//! Who sends handles and placeholders that are not theirs is slowed down. The right ones always work.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::StatusCode;

use super::ApiError;
use crate::id::UserId;

/// So many in a minute, before the answer is another one.
const A_MINUTE: u32 = 10;

/// Counts misses by user.
#[derive(Debug)]
pub(super) struct Misses {
    users: DefaultKeyedRateLimiter<UserId>,
    clock: DefaultClock,
}

impl Default for Misses {
    fn default() -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(A_MINUTE).unwrap_or(NonZeroU32::MIN));
        Self {
            users: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        }
    }
}

impl Misses {
    /// Counts one.
    ///
    /// # Errors
    /// 429 `rate_limited` for one too many.
    pub(super) fn count(&self, user: UserId) -> Result<(), ApiError> {
        self.users.check_key(&user).map_err(|until| {
            let left = until.wait_time_from(self.clock.now());
            ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many handles or placeholders were sent that are not there.",
                "Wait as long as Retry-After says, and resolve again: POST /v1/resolve.",
            )
            .wait(left)
        })
    }

    /// Forgets those who have not missed for a while.
    pub(super) fn sweep(&self) {
        self.users.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::{A_MINUTE, Misses};
    use crate::id::UserId;

    #[test]
    fn one_who_guesses_is_slowed_down_and_nobody_else() {
        let misses = Misses::default();
        let (one, two) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        for _ in 0..A_MINUTE {
            misses.count(one).unwrap();
        }
        assert_eq!(misses.count(one).unwrap_err().code(), "rate_limited");
        assert!(misses.count(two).is_ok());
    }
}
