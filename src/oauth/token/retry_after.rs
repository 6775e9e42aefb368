//! `Retry-After` (RFC 9110, 10.2.3; R10).

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

use crate::clock::Timestamp;

/// The longest that a provider may hold us off.
const MAX_S: u64 = 15 * 60;

/// `Sun, 06 Nov 1994 08:49:37 GMT` is a date of RFC 2822 too.
const DATES: DateTimeParser = DateTimeParser::new();

/// How long to wait, fifteen minutes at most: a number of seconds, or a date. What is neither says
/// nothing.
#[must_use]
pub fn read_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    let (whole, fraction) = header.split_once('.').unwrap_or((header, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !whole.is_empty() && digits(whole) && digits(fraction) {
        // More digits than a number has are more seconds than anybody waits.
        let seconds: u64 = whole.parse().unwrap_or(u64::MAX);
        let begun = u64::from(fraction.bytes().any(|b| b != b'0'));
        let seconds = seconds.saturating_add(begun).min(MAX_S);
        return Some(Duration::from_secs(seconds));
    }
    let date = DATES.parse_timestamp(header).ok()?;
    let left = date.as_millisecond().saturating_sub(now.millis());
    let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
    Some(left.min(Duration::from_secs(MAX_S)))
}
