//! How far long work has come, as a person reads it: a bar that is drawn over where that can be seen, and now and
//! then a line where it cannot.

use std::time::{Duration, Instant};

use super::{ClientError, Output, Session};

/// How often it is asked how far work has come that goes on in the broker.
const ASKED: Duration = Duration::from_millis(200);

/// How often that is said where no bar can be drawn.
const SAID: Duration = Duration::from_secs(2);

/// How wide a bar is, in characters.
const WIDTH: u64 = 24;

/// `done of total records`, with as much as is known.
#[must_use]
pub fn counted(done: u64, total: u64) -> String {
    match total {
        0 => format!("{done} records"),
        total => format!("{done} of about {total} records"),
    }
}

/// How far work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// What is being done, as in "replacing the root key".
    pub doing: &'static str,
    /// How many records that is done for.
    pub done: u64,
    /// How many there are, as far as is known; zero when it is not.
    pub total: u64,
}

impl Stand {
    /// A bar of one line.
    fn bar(self) -> String {
        let Self { doing, done, total } = self;
        let full = match total {
            0 => 0,
            total => u128::from(done.min(total)) * u128::from(WIDTH) / u128::from(total),
        };
        let full = usize::try_from(full).unwrap_or_default();
        let rest = usize::try_from(WIDTH)
            .unwrap_or_default()
            .saturating_sub(full);
        let (full, rest) = ("#".repeat(full), ".".repeat(rest));
        format!("[{full}{rest}] {doing}: {}", counted(done, total))
    }
}

/// Shows how far work has come. Dropped, it takes its bar away, so that what is said next has its own line.
#[derive(Debug)]
pub struct Meter<'a> {
    out: &'a Output,
    said: Instant,
}

impl<'a> Meter<'a> {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new(out: &'a Output) -> Self {
        let said = Instant::now();
        Self { out, said }
    }

    /// Shows it, over what was shown before.
    pub fn show(&mut self, stand: Stand) {
        let bar = stand.bar();
        if !self.out.redraw(&bar) && self.said.elapsed() >= SAID {
            self.said = Instant::now();
            self.out.note(bar);
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.out.redraw("");
    }
}

impl Session {
    /// Follows work that goes on in the broker by itself, until `stand` has nothing more to show: `ask` tells what
    /// has become of it, and may say more.
    ///
    /// # Errors
    /// What `ask` fails of. The work goes on.
    pub async fn follow<T>(
        &self,
        begun: T,
        stand: impl Fn(&T) -> Option<Stand>,
        mut ask: impl AsyncFnMut(T) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let (mut now, mut meter) = (begun, Meter::new(&self.out));
        while let Some(far) = stand(&now) {
            meter.show(far);
            tokio::time::sleep(ASKED).await;
            now = ask(now).await?;
        }
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::Stand;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        let doing = "x";
        for (done, total, shown) in [
            (0, 0, "[........................] x: 0 records"),
            (1, 2, "[############............] x: 1 of about 2 records"),
            (3, 3, "[########################] x: 3 of about 3 records"),
            (9, 3, "[########################] x: 9 of about 3 records"),
        ] {
            assert_eq!(Stand { doing, done, total }.bar(), shown);
        }
        let (done, total) = (u64::MAX, u64::MAX);
        let whole = Stand { doing, done, total }.bar();
        assert!(whole.contains("[########################]"));
    }
}
