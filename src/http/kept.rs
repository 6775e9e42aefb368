//! How much of what was answered is kept for repetitions: of one user's, and of one organisation's.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::id::{OrgId, UserId};
use crate::policy::Principal;

/// How long an answer is kept, in milliseconds (a day).
pub(super) const KEPT: i64 = 86_400_000;
/// The most that a user's answers of one day take, in bytes, and an organisation's.
const USER: u64 = 128 << 20;
const ORG: u64 = 512 << 20;
/// What one takes besides its text: what is sealed with it, and its place in the store.
const EACH: u64 = 1024;

/// What is kept of each. Counted in memory: a restart forgives, and nobody but the operator restarts.
#[derive(Debug, Default)]
pub(super) struct KeptAnswers(Mutex<Days>);

#[derive(Debug, Default)]
struct Days {
    users: HashMap<(OrgId, UserId), Day>,
    orgs: HashMap<OrgId, Day>,
}

/// What was kept since.
#[derive(Clone, Copy, Debug)]
struct Day {
    since: Timestamp,
    bytes: u64,
}

impl KeptAnswers {
    /// Counts a request of the caller's that is begun. Whether there is room to remember it.
    pub(super) fn begin(&self, caller: &Principal, now: Timestamp) -> bool {
        self.count((caller.org(), caller.user()), EACH, (USER, ORG), now)
    }

    /// Counts the text of its answer, of so many bytes. Whether there is room to keep it: a quarter is left to those
    /// that are only begun, so that whoever keeps much hears less again, and is not refused.
    pub(super) fn keep(&self, caller: &Principal, length: usize, now: Timestamp) -> bool {
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        let most = (USER / 4 * 3, ORG / 4 * 3);
        self.count((caller.org(), caller.user()), bytes, most, now)
    }

    fn count(
        &self,
        (org, user): (OrgId, UserId),
        bytes: u64,
        (most_of_user, most_of_org): (u64, u64),
        now: Timestamp,
    ) -> bool {
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Days { users, orgs } = &mut *days;
        let (of_user, of_org) = (day(users, (org, user), now), day(orgs, org, now));
        let (by_user, by_org) = (
            of_user.bytes.saturating_add(bytes),
            of_org.bytes.saturating_add(bytes),
        );
        if by_user > most_of_user || by_org > most_of_org {
            return false;
        }
        (of_user.bytes, of_org.bytes) = (by_user, by_org);
        true
    }

    /// Forgets days that are over.
    pub(super) fn tidy(&self, now: Timestamp) {
        let mut days = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        days.users.retain(|_, day| !day.is_over(now));
        days.orgs.retain(|_, day| !day.is_over(now));
    }
}

impl Day {
    fn is_over(&self, now: Timestamp) -> bool {
        // A clock that was set back must not keep a day for ever.
        !(0..KEPT).contains(&now.millis_since(self.since))
    }
}

fn day<K: Hash + Eq>(days: &mut HashMap<K, Day>, whose: K, now: Timestamp) -> &mut Day {
    let new = Day {
        since: now,
        bytes: 0,
    };
    let day = days.entry(whose).or_insert(new);
    if day.is_over(now) {
        *day = new;
    }
    day
}

#[cfg(test)]
mod tests {
    use super::{EACH, KEPT, KeptAnswers, ORG, USER};
    use crate::clock::Timestamp;
    use crate::id::{OrgId, UserId};

    #[test]
    fn a_user_and_an_organisation_have_so_much_a_day() {
        let kept = KeptAnswers::default();
        let (org, other) = (OrgId::from_random([1; 16]), OrgId::from_random([2; 16]));
        let user = |n: u8| UserId::from_random([n; 16]);
        let at = |day: i64| Timestamp::from_millis(day * KEPT);
        let filled = (0..=USER / 32_768)
            .take_while(|_| kept.count((org, user(1)), 32_768, (USER, ORG), at(1)));
        assert_eq!(u64::try_from(filled.count()).unwrap(), USER / 32_768);
        assert!(!kept.count((org, user(1)), EACH, (USER, ORG), at(1)));
        for n in 2..=5 {
            let full = kept.count((org, user(n)), USER, (USER, ORG), at(1));
            assert_eq!(full, u64::from(n) <= ORG / USER, "{n}");
        }
        assert!(!kept.count((org, user(9)), EACH, (USER, ORG), at(1)));
        assert!(kept.count((other, user(1)), EACH, (USER, ORG), at(1)));
        assert!(kept.count((org, user(1)), USER, (USER, ORG), at(2)));
        kept.tidy(at(3));
        assert!(kept.count((org, user(1)), USER, (USER, ORG), at(3)));
        // Before the day began.
        assert!(kept.count((org, user(1)), USER, (USER, ORG), at(0)));
    }
}
