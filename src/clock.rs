//! Time as an argument: [`Timestamp`], and the [`Clock`] that tells it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in milliseconds since 1970-01-01T00:00:00Z. Shown and read as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is no RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("not a time: write it as 2026-11-23T09:30:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// The instant `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The instant `millis` later; at the end of time it stays there.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The instant `seconds` later; at the end of time it stays there.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this instant, negative when this one is the earlier.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads an RFC 3339 time, e.g. `2026-11-23T09:30:00Z`.
    ///
    /// # Errors
    /// [`TimestampError`] when `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let parsed: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Self(parsed.as_millisecond()))
    }
}

/// A day before the year 10000, which another zone may write then: here ends what a time can be read as.
const END: u64 = 253_402_207_200_000;

impl Timestamp {
    /// The text of an instant since 1970. Times stand in every answer and in every record, and a
    /// printer for all of history takes ten times as long.
    fn text(self) -> Option<[u8; 24]> {
        const DAY: u64 = 86_400_000;
        let millis = u64::try_from(self.0).ok().filter(|m| *m < END)?;
        let (days, rest) = (millis / DAY, millis % DAY);
        // Years that begin in March have their odd day at the end, and 400 of them are always as long.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
        let year_of_era = (day_of_era - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march + 2) / 5 + 1;
        let month = if march < 10 { march + 3 } else { march - 9 };
        let year = era * 400 + year_of_era + u64::from(month < 3);
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
        let d = |n: u64| b'0' + u8::try_from(n % 10).unwrap_or_default();
        Some([
            d(year / 1_000),
            d(year / 100),
            d(year / 10),
            d(year),
            b'-',
            d(month / 10),
            d(month),
            b'-',
            d(day / 10),
            d(day),
            b'T',
            d(hour / 10),
            d(hour),
            b':',
            d(minute / 10),
            d(minute),
            b':',
            d(second / 10),
            d(second),
            b'.',
            d(milli / 100),
            d(milli / 10),
            d(milli),
            b'Z',
        ])
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.text() {
            return f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?);
        }
        self.any_text(f)
    }
}

impl Timestamp {
    /// The text of any instant.
    fn any_text(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let instant = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        PRINTER
            .print_timestamp(&instant, jiff::fmt::StdFmtWrite(f))
            .map_err(|_| fmt::Error)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => {
                let text = str::from_utf8(&text).map_err(serde::ser::Error::custom)?;
                serializer.serialize_str(text)
            }
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Who tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// A clock that stands still until it is wound by hand; its copies show the same time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.0)))
    }

    /// Moves the clock on by `millis`, or back when negative.
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{END, Timestamp};

    /// A time as a printer for all of history shows it.
    struct Printed(Timestamp);

    impl std::fmt::Display for Printed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.any_text(f)
        }
    }

    fn same(millis: i64) {
        let time = Timestamp::from_millis(millis);
        assert_eq!(time.to_string(), Printed(time).to_string());
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, format!("\"{time}\""));
    }

    #[test]
    fn the_ends_of_years_and_of_leap_years_are_shown_right() {
        let last = i64::try_from(END).unwrap() - 1;
        for day in ["1970-01-01", "2000-02-29", "2100-03-01", "2024-12-31"] {
            same(Timestamp::parse(&format!("{day}T00:00:00Z")).unwrap().0);
            same(Timestamp::parse(&format!("{day}T23:59:59.999Z")).unwrap().0);
        }
        for millis in [last, -1, -62_167_219_200_000] {
            same(millis);
        }
        assert_eq!(
            Timestamp::from_millis(last).to_string(),
            "9999-12-30T21:59:59.999Z"
        );
    }

    proptest! {
        #[test]
        fn every_time_is_shown_as_the_printer_shows_it(millis in -1_000_000_i64..253_402_207_200_000) {
            same(millis);
        }
    }

    #[test]
    fn times_are_read_and_shown_as_rfc_3339() {
        let time = Timestamp::parse("2026-11-23T10:30:00+01:00").unwrap();
        assert_eq!(time.to_string(), "2026-11-23T09:30:00.000Z");
        assert!(Timestamp::parse("yesterday").is_err());
        assert!(Timestamp::parse("2026-11-23").is_err());
    }
}
