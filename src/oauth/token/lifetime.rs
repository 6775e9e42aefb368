//! When tokens end (T9): counted from the moment before the request was sent, so that what the
//! answer took on its way is never time that a token seems to have.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::oauth::provider::spec::{Expiry, Response, Unit};

/// The longest life that is believed: ten years.
const MAX_MS: i64 = 3650 * 24 * 3600 * 1000;
/// Numbers beyond this are cut to it; in milliseconds it is the year 287396.
const MAX_NUMBER: f64 = 9e15;

/// When the access token ends; nothing when it has no end that is known.
pub(super) fn access_end(
    response: &Response,
    under: &Value,
    sent_at: Timestamp,
) -> Option<Timestamp> {
    for expiry in &response.expires {
        if let Some(told) = told(expiry, under, sent_at) {
            let never = response.zero_means_never && told.zero;
            return (!never).then(|| sent_at.plus_millis(told.left_ms));
        }
    }
    let usual = response.default_lifetime_s.or(response.assume_lifetime_s);
    usual.map(|seconds| sent_at.plus_seconds(seconds.into()))
}

/// When the refresh token ends. One that would be dead already has no end: some write 0 for that.
pub(super) fn refresh_end(
    response: &Response,
    under: &Value,
    sent_at: Timestamp,
) -> Option<Timestamp> {
    let mut ends = response.refresh_expires.iter();
    let told = ends.find_map(|expiry| told(expiry, under, sent_at))?;
    (told.left_ms > 0).then(|| sent_at.plus_millis(told.left_ms))
}

/// Before when a token may not be refreshed.
pub(super) fn not_before(
    response: &Response,
    under: &Value,
    sent_at: Timestamp,
) -> Option<Timestamp> {
    let told = told(response.not_before_refresh.as_ref()?, under, sent_at)?;
    Some(sent_at.plus_millis(told.left_ms))
}

struct Told {
    /// Milliseconds from the request to the end, from 0 to ten years.
    left_ms: i64,
    /// Whether the number itself is 0.
    zero: bool,
}

fn told(expiry: &Expiry, under: &Value, sent_at: Timestamp) -> Option<Told> {
    let value = expiry.pointer.get(under)?;
    let from_epoch = |millis: i64| millis.saturating_sub(sent_at.millis());
    let (left_ms, zero) = match expiry.unit {
        Unit::Rfc3339 => (
            from_epoch(Timestamp::parse(value.as_str()?).ok()?.millis()),
            false,
        ),
        unit => {
            let number = number(value)?;
            let millis = match unit {
                Unit::S | Unit::EpochS => whole(number * 1000.0)?,
                _ => whole(number)?,
            };
            let left = match unit {
                Unit::EpochS | Unit::EpochMs => from_epoch(millis),
                _ => millis,
            };
            (left, number == 0.0)
        }
    };
    let left_ms = left_ms.clamp(0, MAX_MS);
    Some(Told { left_ms, zero })
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The whole number below, by way of a text: there is no other way between the two types that cannot
/// wrap.
pub(super) fn whole(number: f64) -> Option<i64> {
    let cut = number.clamp(-MAX_NUMBER, MAX_NUMBER).floor();
    format!("{cut:.0}").parse().ok()
}
