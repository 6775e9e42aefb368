//! How a caller stands with their rate, as the headers of each answer say it.

use governor::Quota;
use governor::middleware::StateSnapshot;
use http::{HeaderMap, HeaderName, HeaderValue};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How a caller stands with their rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until everything that may be taken at once may be taken again.
    reset: u64,
}

impl Standing {
    pub(super) fn of(state: &StateSnapshot) -> Self {
        Self::new(state.quota(), state.remaining_burst_capacity())
    }

    pub(super) fn new(quota: Quota, remaining: u32) -> Self {
        let limit = quota.burst_size().get();
        let missing = limit.saturating_sub(remaining);
        let refill = quota.replenish_interval().saturating_mul(missing);
        Self {
            limit,
            remaining,
            reset: refill
                .as_secs()
                .saturating_add(u64::from(refill.subsec_millis() > 0)),
        }
    }

    /// States it in the headers of an answer.
    pub(super) fn state(self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, number(self.limit.into()));
        headers.insert(REMAINING, number(self.remaining.into()));
        headers.insert(RESET, number(self.reset));
    }
}

/// A number as a header's value, made in one block of its size.
fn number(mut number: u64) -> HeaderValue {
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit += u8::try_from(number % 10).unwrap_or_default();
        begin = at;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(begin..).unwrap_or_default();
    HeaderValue::from_bytes(digits).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_stand_in_headers_as_they_are_written() {
        for n in [0, 1, 9, 10, 99, 100, 1_000_000, u64::MAX] {
            assert_eq!(number(n), n.to_string());
        }
    }
}
