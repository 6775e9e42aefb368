//! One flow, as it is kept: where it stands, and until when.

use std::sync::Arc;

use super::ask::FlowAsk;
use super::code::CodeCheck;
use super::cookies::FlowCookies;
use super::outcome::{Failure, Outcome};
use super::pending::PendingFlow;
use super::shelf::Kept;
use super::unguessable::{What, digest};
use super::{FlowId, FlowKey};
use crate::clock::Timestamp;
use crate::crypto::{Digest, digests_match};
use crate::id::{OrgId, UserId};
use crate::secret::Secret;

/// How long a link lasts, and how long it is known how a flow ended, in milliseconds (ten minutes).
pub(super) const LIFE: i64 = 600_000;
/// How long redeeming may take, in milliseconds.
const WORK: i64 = 120_000;

/// A flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub id: FlowId,
    pub ask: Arc<FlowAsk>,
    /// The origin and the host of the provider's page.
    pub door: Door,
    /// Whether its page was looked at.
    pub opened: bool,
    /// The code that has to be typed, for those that have one.
    pub code: Option<CodeCheck>,
    /// The hash of the cookie of the browser that left.
    pub browser: Option<Digest>,
    pub stage: Stage,
    /// Until when something can come of it; once it is over, when it is forgotten.
    pub until: Timestamp,
    /// However often somebody sets out again, the answer comes before this.
    pub last: Timestamp,
}

/// Where the provider's page is.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub origin: String,
    pub host: String,
}

/// Where a flow stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nobody agreed yet.
    Waiting,
    /// A browser is at the provider's.
    Away(Sent),
    /// The answer came, and is being looked at or redeemed.
    Working,
    /// The answer came, and waits for whoever began.
    Held(Box<Held>),
    /// It ended.
    Over {
        outcome: Outcome,
        /// What the provider said to a failure, fit to be shown.
        said: Option<String>,
    },
}

/// What was made for one trip to the provider.
#[derive(Debug)]
pub(super) struct Sent {
    /// The hash of the state.
    pub state: Digest,
    pub verifier: Option<Secret>,
    pub nonce: Option<String>,
    /// When the browser left.
    pub left: Timestamp,
}

/// An answer that waits.
#[derive(Debug)]
pub(super) struct Held {
    pub pending: PendingFlow,
    pub ticket: Digest,
}

impl Flow {
    pub(super) fn key(&self) -> FlowKey {
        self.id.key()
    }

    pub(super) fn is_of(&self, org: OrgId, user: UserId) -> bool {
        self.ask.org == org && self.ask.user == user
    }

    /// Whether this is the browser that left for the provider.
    pub(super) fn is_browser(&self, cookies: &FlowCookies) -> bool {
        let (Some(known), Some(held)) = (&self.browser, cookies.of(&self.id)) else {
            return false;
        };
        digests_match(known, &digest(What::Cookie, held))
    }

    pub(super) fn end(&mut self, outcome: Outcome, said: Option<String>, now: Timestamp) {
        self.stage = Stage::Over { outcome, said };
        self.until = now.plus_millis(LIFE);
    }

    pub(super) fn fail(&mut self, failure: Failure, now: Timestamp) {
        self.end(Outcome::Failed(failure), None, now);
    }

    /// It was consumed: whoever took it has this long.
    pub(super) fn work(&mut self, now: Timestamp) -> Stage {
        self.until = now.plus_millis(WORK);
        std::mem::replace(&mut self.stage, Stage::Working)
    }
}

impl Kept for Flow {
    const MOST_OF_USER: usize = 20;
    const MOST_OF_ORG: usize = 1_000;

    fn org(&self) -> OrgId {
        self.ask.org
    }

    fn owner(&self) -> UserId {
        self.ask.user
    }

    /// Whoever began may ask a while longer why nothing came of it.
    fn forget_at(&self) -> Timestamp {
        match self.stage {
            Stage::Over { .. } => self.until,
            _ => self.until.plus_millis(LIFE),
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        matches!(self.stage, Stage::Over { .. }) || now >= self.until
    }

    fn give_way(&mut self, now: Timestamp) {
        self.fail(Failure::Superseded, now);
    }
}
