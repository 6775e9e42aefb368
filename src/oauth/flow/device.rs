//! Device flows (RFC 8628, and the code hand-off): a person types a code at the provider's, and we
//! ask now and then whether they did.
//!
//! This is the clockwork only: when may be asked (D1), and when it ends (D2). The engine asks, and says
//! what was answered. What it asks with is kept here and shown to nobody (D3). What is in memory ends with it;
//! [`Attempts`](crate::oauth::Attempts) keeps on disk what goes on after a restart (D4).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::FlowKey;
use super::outcome::{Failure, Outcome};
use super::shelf::Kept;
use crate::clock::Timestamp;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::oauth::client::ClientRef;
use crate::oauth::provider::{Bound, Provider};

/// How long it is known how an attempt ended, in milliseconds.
const KEPT: i64 = 600_000;
/// What `slow_down` adds to the interval, in seconds (RFC 8628 section 3.5).
const SLOWER_S: u32 = 5;
/// The longest wait between two questions, in seconds.
const LONGEST_S: u32 = 60;
/// How long one question may take, in milliseconds, before another one may be asked: longer than any
/// takes, with the redemption of a code that is handed over.
const TURN: i64 = 60_000;

/// Who connects what to which organisation.
#[derive(Clone, Debug)]
pub struct DeviceAsk {
    /// The organisation the account will belong to.
    pub org: OrgId,
    /// The user it will be attached to.
    pub user: UserId,
    /// Who issues the tokens.
    pub provider: Arc<Provider>,
    /// What the person told.
    pub bound: Bound,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The client that asks.
    pub client: ClientRef,
    /// The connection that is to be made anew.
    pub replaces: Option<ConnectionId>,
}

/// What the person is shown. Its address was checked against the provider's file (D3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceShown {
    /// What they type.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// Seconds between two questions.
    pub interval_s: u32,
    /// When the code ends.
    pub expires_at: Timestamp,
}

/// An attempt, as whoever began it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// What is shown.
    pub shown: DeviceShown,
    /// Where it stands.
    pub status: DeviceStatus,
    /// The connection, once it is made.
    pub connection: Option<ConnectionId>,
    /// What its provider calls the account.
    pub account: Option<String>,
    /// Required scopes that were not granted.
    pub missing: Vec<String>,
    /// Why it failed.
    pub error: Option<&'static str>,
}

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceStatus {
    /// The person has not agreed yet, or what follows is being done.
    Pending,
    /// The account is connected.
    Connected,
    /// It is not.
    Failed,
    /// Nobody came in time.
    Expired,
}

impl DeviceStatus {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// What the provider answered when it was asked, other than yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceAnswer {
    /// Not yet.
    Pending,
    /// Not yet, and you ask too often.
    SlowDown,
    /// Nothing, or that it is out of order.
    NoAnswer,
    /// No.
    Ended(Failure),
}

/// The right to ask once. `G` is what is asked with.
#[must_use = "a question that is not asked is asked a minute later"]
pub struct DeviceTurn<G> {
    pub(super) key: FlowKey,
    pub(super) number: u64,
    pub(super) ask: Arc<DeviceAsk>,
    pub(super) grant: Arc<G>,
}

impl<G> DeviceTurn<G> {
    /// What [`DeviceBook::settle`](super::DeviceBook::settle) knows the attempt by.
    #[must_use]
    pub const fn key(&self) -> FlowKey {
        self.key
    }

    /// Who connects what.
    #[must_use]
    pub fn ask(&self) -> &DeviceAsk {
        &self.ask
    }

    /// The same, for longer than the turn.
    #[must_use]
    pub fn ask_shared(&self) -> Arc<DeviceAsk> {
        Arc::clone(&self.ask)
    }

    /// What is asked with.
    #[must_use]
    pub fn grant(&self) -> &G {
        &self.grant
    }

    /// The same, for longer than the turn.
    #[must_use]
    pub fn grant_shared(&self) -> Arc<G> {
        Arc::clone(&self.grant)
    }
}

impl<G> fmt::Debug for DeviceTurn<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceTurn({})", self.ask.provider.id())
    }
}

/// One attempt, as it is kept.
pub(super) struct Attempt<G> {
    pub ask: Arc<DeviceAsk>,
    pub shown: DeviceShown,
    pub stage: DeviceStage<G>,
    /// When it ends; once it is over, when it is forgotten.
    pub until: Timestamp,
}

/// Where an attempt stands.
pub(super) enum DeviceStage<G> {
    /// It is asked for.
    Asking(Asking<G>),
    /// The provider said yes, and what follows is being done.
    Working,
    /// It ended.
    Over(Outcome),
}

/// When is asked, and with what.
pub(super) struct Asking<G> {
    grant: Arc<G>,
    wait_s: u32,
    next: Timestamp,
    turns: u64,
}

impl<G> Asking<G> {
    pub(super) fn new(grant: Arc<G>, shown: &DeviceShown, now: Timestamp) -> Self {
        Self {
            grant,
            wait_s: shown.interval_s,
            next: now.plus_seconds(i64::from(shown.interval_s)),
            turns: 0,
        }
    }
}

impl<G> Attempt<G> {
    /// When it may be asked next.
    pub(super) fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.stage {
            DeviceStage::Asking(asking) if now >= asking.next && !self.is_over(now) => {
                Some(asking.next)
            }
            _ => None,
        }
    }

    /// Takes the right to ask. Nobody else has it until the answer came, or a minute passed.
    pub(super) fn take_turn(&mut self, key: FlowKey, now: Timestamp) -> Option<DeviceTurn<G>> {
        self.due_at(now)?;
        let DeviceStage::Asking(asking) = &mut self.stage else {
            return None;
        };
        asking.turns += 1;
        asking.next = now.plus_millis(TURN);
        Some(DeviceTurn {
            key,
            number: asking.turns,
            ask: self.ask.clone(),
            grant: asking.grant.clone(),
        })
    }

    /// Notes an answer (D1, D2). One to a question that was given up changes nothing.
    pub(super) fn note(&mut self, turn: u64, answer: DeviceAnswer, now: Timestamp) {
        let DeviceStage::Asking(asking) = &mut self.stage else {
            return;
        };
        if asking.turns != turn {
            return;
        }
        match answer {
            DeviceAnswer::Pending => asking.wait_s = self.shown.interval_s,
            DeviceAnswer::SlowDown => {
                let slower = self.shown.interval_s.saturating_add(SLOWER_S);
                self.shown.interval_s = slower;
                asking.wait_s = slower;
            }
            DeviceAnswer::NoAnswer => {
                let longest = LONGEST_S.max(self.shown.interval_s);
                asking.wait_s = asking.wait_s.saturating_mul(2).clamp(1, longest);
            }
            DeviceAnswer::Ended(failure) => {
                return self.end(Outcome::Failed(failure), now);
            }
        }
        asking.next = now.plus_seconds(i64::from(asking.wait_s));
    }

    pub(super) fn end(&mut self, outcome: Outcome, now: Timestamp) {
        self.stage = DeviceStage::Over(outcome);
        self.until = now.plus_millis(KEPT);
    }

    pub(super) fn view(&self, now: Timestamp) -> DeviceView {
        let mut view = DeviceView {
            shown: self.shown.clone(),
            status: DeviceStatus::Pending,
            connection: None,
            account: None,
            missing: Vec::new(),
            error: None,
        };
        match &self.stage {
            DeviceStage::Over(Outcome::Connected {
                connection,
                account,
                missing,
                ..
            }) => {
                view.status = DeviceStatus::Connected;
                view.connection = Some(*connection);
                view.account = Some(account.clone());
                view.missing.clone_from(missing);
            }
            DeviceStage::Over(Outcome::Failed(failure)) => {
                view.status = match failure {
                    Failure::Expired => DeviceStatus::Expired,
                    _ => DeviceStatus::Failed,
                };
                view.error = Some(failure.code());
            }
            DeviceStage::Asking(_) if self.is_over(now) => {
                view.status = DeviceStatus::Expired;
                view.error = Some(Failure::Expired.code());
            }
            DeviceStage::Asking(_) | DeviceStage::Working => {}
        }
        view
    }
}

/// Each of them is asked for every few seconds, so there are fewer of them than of links.
impl<G> Kept for Attempt<G> {
    const MOST_OF_USER: usize = 5;
    const MOST_OF_ORG: usize = 100;

    fn org(&self) -> OrgId {
        self.ask.org
    }

    fn owner(&self) -> UserId {
        self.ask.user
    }

    fn forget_at(&self) -> Timestamp {
        match self.stage {
            DeviceStage::Over(_) => self.until,
            _ => self.until.plus_millis(KEPT),
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        matches!(self.stage, DeviceStage::Over(_)) || now >= self.until
    }

    fn give_way(&mut self, now: Timestamp) {
        self.end(Outcome::Failed(Failure::Superseded), now);
    }
}

impl<G> fmt::Debug for Attempt<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempt({})", self.ask.provider.id())
    }
}
