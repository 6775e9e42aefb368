//! The book of device attempts.

use std::sync::{Arc, Mutex, PoisonError};

use super::FlowKey;
use super::device::{
    Asking, Attempt, DeviceAnswer, DeviceAsk, DeviceShown, DeviceStage, DeviceTurn, DeviceView,
};
use super::outcome::{Failure, Outcome};
use super::shelf::{Full, Kept, Shelf};
use super::unguessable::{Token, What, digest};
use crate::clock::Timestamp;
use crate::crypto::{CryptoError, Random};
use crate::id::{OrgId, UserId};

/// The longest that somebody is waited for, in seconds, where the provider's file does not say less.
const LONGEST_S: i64 = 1_800;

/// The attempts that are under way. `G` is what the provider gave to ask with: a device code, or
/// whatever its file calls the handle.
#[derive(Debug)]
pub struct DeviceBook<G>(Mutex<Shelf<Attempt<G>>>);

impl<G> Default for DeviceBook<G> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Why no attempt was begun.
#[derive(Debug, thiserror::Error)]
pub enum DeviceFault {
    /// Too many are under way.
    #[error("too many accounts are being connected at this moment")]
    Full,
    /// Too many of one organisation are under way.
    #[error("too many accounts of your organisation are being connected at this moment")]
    OrgFull,
    /// No random bytes.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// An attempt that was begun.
#[derive(Debug)]
pub struct DeviceBegun<G> {
    /// What the one who began asks with. It is not the provider's handle, which leaves this process to the
    /// provider only.
    pub token: String,
    /// What [`DeviceBook::settle`] knows it by.
    pub key: FlowKey,
    /// Who connects what.
    pub ask: Arc<DeviceAsk>,
    /// What the person is shown.
    pub shown: DeviceShown,
    /// What is asked with.
    pub grant: Arc<G>,
    /// Older ones of the same user that ended for it.
    pub gave_way: Vec<FlowKey>,
}

/// What an ask for the outcome leads to.
#[derive(Debug)]
pub enum Turn<G> {
    /// The provider may be asked now.
    Ask(DeviceTurn<G>),
    /// It may not: this is what is known.
    Stored(DeviceView),
}

impl<G> DeviceBook<G> {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn with<R>(
        &self,
        now: Timestamp,
        look: impl FnOnce(&mut Shelf<Attempt<G>>) -> R,
    ) -> R {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.sweep(now);
        look(&mut shelf)
    }

    /// Forgets every attempt, at sealing.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Shelf::default();
    }

    /// Begins to wait.
    ///
    /// # Errors
    /// [`DeviceFault`].
    pub fn start(
        &self,
        ask: DeviceAsk,
        mut shown: DeviceShown,
        grant: G,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<DeviceBegun<G>, DeviceFault> {
        let device = ask.provider.spec().device.as_ref();
        let most = device.and_then(|device| device.max_wait_s).map(i64::from);
        let most = most.unwrap_or(LONGEST_S).min(LONGEST_S);
        shown.expires_at = shown.expires_at.min(now.plus_seconds(most));
        shown.interval_s = shown.interval_s.max(1);
        let token = Token::new(random)?;
        let key = FlowKey(token.digest(What::Attempt));
        let (ask, grant) = (Arc::new(ask), Arc::new(grant));
        let about = (Arc::clone(&ask), Arc::clone(&grant));
        let gave_way = self.put(key, about, shown.clone(), now)?;
        Ok(DeviceBegun {
            token: token.text().to_owned(),
            key,
            ask,
            shown,
            grant,
            gave_way,
        })
    }

    /// Waits on for one that was begun before a restart (D4), from now on as often as it says. False when it
    /// is there already.
    ///
    /// # Errors
    /// [`DeviceFault`].
    pub fn take_up(
        &self,
        key: FlowKey,
        ask: DeviceAsk,
        shown: DeviceShown,
        grant: G,
        now: Timestamp,
    ) -> Result<bool, DeviceFault> {
        if self.with(now, |shelf| shelf.get(&key.0).is_some()) {
            return Ok(false);
        }
        let about = (Arc::new(ask), Arc::new(grant));
        self.put(key, about, shown, now).map(|_| true)
    }

    fn put(
        &self,
        key: FlowKey,
        (ask, grant): (Arc<DeviceAsk>, Arc<G>),
        shown: DeviceShown,
        now: Timestamp,
    ) -> Result<Vec<FlowKey>, DeviceFault> {
        let attempt = Attempt {
            ask,
            stage: DeviceStage::Asking(Asking::new(grant, &shown, now)),
            until: shown.expires_at,
            shown,
        };
        let put = self.with(now, |shelf| shelf.put(key.0, attempt, now));
        let gave_way = put.map_err(|full| match full {
            Full::All => DeviceFault::Full,
            Full::Org => DeviceFault::OrgFull,
        })?;
        Ok(gave_way.into_iter().map(FlowKey).collect())
    }

    /// What an attempt is known by to whoever has its token.
    #[must_use]
    pub fn key_of(attempt: &str) -> FlowKey {
        FlowKey(digest(What::Attempt, attempt))
    }

    /// Where an attempt of this user stands. None when there is none, or when it is somebody else's.
    #[must_use]
    pub fn view(
        &self,
        org: OrgId,
        user: UserId,
        attempt: &str,
        now: Timestamp,
    ) -> Option<DeviceView> {
        let key = digest(What::Attempt, attempt);
        self.with(now, |shelf| {
            let found = shelf.get(&key)?;
            is_of(found, org, user).then(|| found.view(now))
        })
    }

    /// The right to ask for this user's attempt, or what is known when it was asked a moment ago:
    /// whoever asks us more often than the provider allows is heard by us alone (D1).
    #[must_use]
    pub fn turn(&self, org: OrgId, user: UserId, attempt: &str, now: Timestamp) -> Option<Turn<G>> {
        let key = digest(What::Attempt, attempt);
        self.with(now, |shelf| {
            let found = shelf.get_mut(&key)?;
            if !is_of(found, org, user) {
                return None;
            }
            Some(turn_of(found, FlowKey(key), now))
        })
    }

    /// The same for an attempt of anybody's.
    #[must_use]
    pub fn next_turn(&self, key: FlowKey, now: Timestamp) -> Option<Turn<G>> {
        self.with(now, |shelf| {
            let found = shelf.get_mut(&key.0)?;
            Some(turn_of(found, key, now))
        })
    }

    /// Notes what the provider answered, other than yes. None when the attempt is forgotten.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a right to ask is used up by the answer"
    )]
    pub fn answered(
        &self,
        turn: DeviceTurn<G>,
        answer: DeviceAnswer,
        now: Timestamp,
    ) -> Option<DeviceView> {
        self.with(now, |shelf| {
            let found = shelf.get_mut(&turn.key.0)?;
            found.note(turn.number, answer, now);
            Some(found.view(now))
        })
    }

    /// Notes that the provider said yes: what it gave may be redeemed and adopted, once (D5). False
    /// when the attempt ended meanwhile; what was given is then to be given back.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a right to ask is used up by the answer"
    )]
    pub fn approved(&self, turn: DeviceTurn<G>, now: Timestamp) -> bool {
        self.with(now, |shelf| match shelf.get_mut(&turn.key.0) {
            Some(found) if matches!(found.stage, DeviceStage::Asking(_)) => {
                found.stage = DeviceStage::Working;
                true
            }
            _ => false,
        })
    }

    /// Notes how an attempt ended that was approved.
    pub fn settle(&self, key: FlowKey, outcome: Outcome, now: Timestamp) {
        self.with(now, |shelf| {
            let found = shelf.get_mut(&key.0);
            let working = |found: &&mut Attempt<G>| matches!(found.stage, DeviceStage::Working);
            if let Some(found) = found.filter(working) {
                found.end(outcome, now);
            }
        });
    }

    /// Ends an attempt that was begun in vain: nobody has been told of it.
    pub fn end(&self, key: FlowKey, failure: Failure, now: Timestamp) {
        self.with(now, |shelf| {
            if let Some(found) = shelf.get_mut(&key.0) {
                found.end(Outcome::Failed(failure), now);
            }
        });
    }

    /// Ends an attempt of this user that was not approved yet. Whether there was one.
    pub fn cancel(&self, org: OrgId, user: UserId, attempt: &str, now: Timestamp) -> bool {
        let key = digest(What::Attempt, attempt);
        self.with(now, |shelf| match shelf.get_mut(&key) {
            Some(found)
                if is_of(found, org, user)
                    && !found.is_over(now)
                    && matches!(found.stage, DeviceStage::Asking(_)) =>
            {
                found.end(Outcome::Failed(Failure::Cancelled), now);
                true
            }
            _ => false,
        })
    }
}

fn turn_of<G>(found: &mut Attempt<G>, key: FlowKey, now: Timestamp) -> Turn<G> {
    let turn = found.take_turn(key, now).map(Turn::Ask);
    turn.unwrap_or_else(|| Turn::Stored(found.view(now)))
}

fn is_of<G>(attempt: &Attempt<G>, org: OrgId, user: UserId) -> bool {
    attempt.ask.org == org && attempt.ask.user == user
}
