//! How many calls run at a time: of one caller, of one organisation, of all.
//!
//! A call whose answer streams, or becomes a WebSocket, may run for long. It gives back its right to be one
//! of the requests in flight, of which there are few, and counts here alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;

use super::ApiError;
use crate::id::{OrgId, UserId};
use crate::policy::Principal;

/// How many times as many calls as one caller an organisation may have running: by default half of the
/// requests that may be in flight.
const ORG: usize = 2;
/// How many times as many all may have.
const ALL: usize = 8;

/// The calls that run, and how many each caller may have.
#[derive(Clone, Debug)]
pub(super) struct Running {
    counts: Arc<Mutex<Counts>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    orgs: HashMap<OrgId, usize>,
    users: HashMap<UserId, usize>,
}

/// One running call. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    running: Running,
    whose: (OrgId, UserId),
}

impl Running {
    /// At most so many of one caller.
    pub(super) fn at_most(most: usize) -> Self {
        let counts = Arc::default();
        Self { counts, most }
    }

    /// Counts one more call of the caller's.
    ///
    /// # Errors
    /// 429 `too_many_running` when they or their organisation have as many as they may, 503 `busy` when
    /// all together have.
    pub(super) fn enter(&self, caller: &Principal) -> Result<Turn, ApiError> {
        let turn = self.begin((caller.org(), caller.user()))?;
        super::request::leave_seat();
        Ok(turn)
    }

    pub(super) fn begin(&self, (org, user): (OrgId, UserId)) -> Result<Turn, ApiError> {
        let (of_user, of_org) = (self.most, self.most.saturating_mul(ORG));
        let mut counts = self.counts();
        if counts
            .users
            .get(&user)
            .is_some_and(|count| *count >= of_user)
        {
            return Err(too_many(format!(
                "You have {of_user} calls running, which is the most."
            )));
        }
        if counts.orgs.get(&org).is_some_and(|count| *count >= of_org) {
            return Err(too_many(format!(
                "Your organisation has {of_org} calls running, which is the most."
            )));
        }
        if counts.all >= self.most.saturating_mul(ALL) {
            return Err(busy());
        }
        counts.all += 1;
        *counts.orgs.entry(org).or_default() += 1;
        *counts.users.entry(user).or_default() += 1;
        let (running, whose) = (self.clone(), (org, user));
        Ok(Turn { running, whose })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.running.counts();
        let (org, user) = self.whose;
        counts.all = counts.all.saturating_sub(1);
        one_less(&mut counts.orgs, &org);
        one_less(&mut counts.users, &user);
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(of);
        }
    }
}

fn too_many(message: String) -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_running",
        message,
        "Wait until one of them has ended.",
    )
    .retry_after(1)
}

fn busy() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "Too many calls are running.",
        "Try again after the seconds in Retry-After.",
    )
    .retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::{ALL, ORG, Running, Turn};
    use crate::id::{OrgId, UserId};

    fn whose(org: u8, user: u8) -> (OrgId, UserId) {
        let (org, user) = ([org; 16], [user; 16]);
        (OrgId::from_bytes(org), UserId::from_bytes(user))
    }

    fn fill(running: &Running, of: (OrgId, UserId)) -> Vec<Turn> {
        let turns = (0..running.most).map(|_| running.begin(of).unwrap());
        turns.collect()
    }

    #[test]
    fn one_caller_has_so_many_calls_running_and_keeps_nobody_else_waiting() {
        let running = Running::at_most(3);
        let (one, two) = (whose(1, 1), whose(1, 2));
        let mut turns = fill(&running, one);
        assert_eq!(running.begin(one).unwrap_err().code(), "too_many_running");
        let other = running.begin(two).unwrap();
        turns.pop();
        turns.push(running.begin(one).unwrap());
        assert!(running.begin(one).is_err());
        drop((turns, other));
        let counts = running.counts();
        assert!(counts.users.is_empty() && counts.orgs.is_empty() && counts.all == 0);
    }

    #[test]
    fn one_organisation_leaves_room_for_the_others_however_many_members_it_has() {
        let running = Running::at_most(3);
        let mut turns = Vec::new();
        let all = u8::try_from(ALL).unwrap();
        for user in 0..all {
            let org = user / u8::try_from(ORG).unwrap();
            turns.extend(fill(&running, whose(org, user)));
            if user == 1 {
                let third = running.begin(whose(org, 99)).unwrap_err();
                assert_eq!(third.code(), "too_many_running");
            }
        }
        assert_eq!(running.begin(whose(98, 98)).unwrap_err().code(), "busy");
        turns.pop();
        assert!(running.begin(whose(98, 98)).is_ok());
    }
}
