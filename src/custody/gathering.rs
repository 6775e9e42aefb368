//! Shares that have come in so far, from several people in several sessions.

use super::CustodyError;
use super::shares::Share;
use crate::clock::{Clock, Timestamp};

/// How long the shares that are there wait for the next one: a quarter of an hour.
pub(crate) const PATIENCE_MILLIS: i64 = 15 * 60 * 1000;

/// How far people have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many shares are there.
    pub given: u8,
    /// How many it takes.
    pub needed: u8,
}

/// The shares of one set, until there are enough of them.
#[derive(Debug, Default)]
pub struct Gathering {
    shares: Vec<Share>,
    last: Timestamp,
}

/// What one more share came to.
#[derive(Debug)]
pub enum Gathered {
    /// More are needed.
    Waits(Progress),
    /// There are enough; they are kept here no longer.
    Enough(Vec<Share>),
}

impl Gathering {
    /// Takes one more share.
    ///
    /// # Errors
    /// [`CustodyError::ShareMixed`] for one of another set than those that are there,
    /// [`CustodyError::ShareTwice`] for one of them.
    pub fn take(&mut self, share: Share, clock: &dyn Clock) -> Result<Gathered, CustodyError> {
        self.forget_stale(clock);
        if let Some(first) = self.shares.first()
            && (first.set, first.threshold) != (share.set, share.threshold)
        {
            return Err(CustodyError::ShareMixed);
        }
        if self.shares.iter().any(|it| it.number == share.number) {
            return Err(CustodyError::ShareTwice(share.number));
        }
        let needed = share.threshold;
        self.last = clock.now();
        self.shares.push(share);
        let given = u8::try_from(self.shares.len()).unwrap_or(u8::MAX);
        if given < needed {
            Ok(Gathered::Waits(Progress { given, needed }))
        } else {
            Ok(Gathered::Enough(std::mem::take(&mut self.shares)))
        }
    }

    /// Forgets every share, wiping it.
    pub fn forget(&mut self) {
        self.shares = Vec::new();
    }

    /// Forgets the shares when the next one was too long in coming.
    pub fn forget_stale(&mut self, clock: &dyn Clock) {
        let waited = clock.now().millis().saturating_sub(self.last.millis());
        // A clock that was set back could make them wait for long.
        if !(0..PATIENCE_MILLIS).contains(&waited) {
            self.forget();
        }
    }

    /// How far people have come, if they have begun.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let needed = self.shares.first()?.threshold;
        let given = u8::try_from(self.shares.len()).ok()?;
        Some(Progress { given, needed })
    }
}

#[cfg(test)]
mod tests {
    use super::{Gathered, Gathering, PATIENCE_MILLIS, Progress, Share};
    use crate::clock::{Clock, ManualClock, Timestamp};
    use crate::crypto::SystemRandom;

    fn three_of_five() -> Vec<Share> {
        Share::deal(5, 3, &SystemRandom).unwrap()
    }

    #[test]
    fn the_last_share_that_is_needed_empties_the_gathering() {
        let clock = ManualClock::default();
        let mut all = three_of_five();
        let mut gathering = Gathering::default();
        assert_eq!(gathering.progress(), None);
        for given in 1..=2 {
            let more = gathering.take(all.pop().unwrap(), &clock).unwrap();
            let progress = Progress { given, needed: 3 };
            assert!(matches!(more, Gathered::Waits(so_far) if so_far == progress));
            assert_eq!(gathering.progress(), Some(progress));
        }
        let enough = gathering.take(all.pop().unwrap(), &clock).unwrap();
        assert!(matches!(enough, Gathered::Enough(three) if three.len() == 3));
        assert_eq!(gathering.progress(), None);
    }

    #[test]
    fn a_share_given_twice_or_of_another_set_is_refused_and_the_others_stay() {
        let clock = ManualClock::default();
        let all = three_of_five();
        let mut gathering = Gathering::default();
        let copy = Share::parse(&all[1].text()).unwrap();
        gathering.take(copy, &clock).unwrap();
        let again = Share::parse(&all[1].text()).unwrap();
        let refused = gathering.take(again, &clock).unwrap_err();
        assert_eq!(refused.code(), "share_twice");
        assert!(refused.to_string().contains("share 2 "), "{refused}");
        let foreign = three_of_five().remove(0);
        let refused = gathering.take(foreign, &clock).unwrap_err();
        assert_eq!(refused.code(), "share_mixed");
        assert_eq!(gathering.progress().unwrap().given, 1);
    }

    #[test]
    fn shares_that_wait_too_long_are_forgotten() {
        let clock = ManualClock::default();
        let mut all = three_of_five();
        let mut gathering = Gathering::default();
        gathering.take(all.pop().unwrap(), &clock).unwrap();
        clock.advance_millis(PATIENCE_MILLIS - 1);
        gathering.forget_stale(&clock);
        assert!(gathering.progress().is_some());
        // The next one begins the time anew.
        gathering.take(all.pop().unwrap(), &clock).unwrap();
        clock.advance_millis(PATIENCE_MILLIS - 1);
        assert_eq!(gathering.progress().unwrap().given, 2);
        clock.advance_millis(1);
        gathering.forget_stale(&clock);
        assert_eq!(gathering.progress(), None);
        assert!(clock.now() > Timestamp::default());
    }
}
