//! What whoever began a flow may know of it.

use super::FlowId;
use super::outcome::Outcome;
use super::record::{Flow, Stage};
use super::shelf::Kept;
use crate::clock::Timestamp;
use crate::id::ConnectionId;
use crate::name::ProviderId;

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowView {
    /// The flow.
    pub flow: FlowId,
    /// Where it stands.
    pub status: FlowStatus,
    /// The provider.
    pub provider: ProviderId,
    /// The connection, once it is made.
    pub connection: Option<ConnectionId>,
    /// What its provider calls the account.
    pub account: Option<String>,
    /// Required scopes that were not granted.
    pub missing: Vec<String>,
    /// Why it failed.
    pub error: Option<&'static str>,
    /// When it ends, or is forgotten.
    pub expires: Timestamp,
}

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowStatus {
    /// Nobody has looked at its page.
    Waiting,
    /// Somebody looks at it.
    Opened,
    /// Somebody agreed, and is at the provider's.
    Confirmed,
    /// The provider answered.
    Returned,
    /// The account is connected.
    Connected,
    /// It is not.
    Failed,
    /// Nobody came in time.
    Expired,
}

impl FlowStatus {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Opened => "opened",
            Self::Confirmed => "confirmed",
            Self::Returned => "returned",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

impl FlowView {
    pub(super) fn of(flow: &Flow, now: Timestamp) -> Self {
        let mut view = Self {
            flow: flow.id,
            status: FlowStatus::Expired,
            provider: flow.ask.provider.id().clone(),
            connection: None,
            account: None,
            missing: Vec::new(),
            error: None,
            expires: flow.until,
        };
        match &flow.stage {
            Stage::Over { outcome, .. } => view.end(outcome),
            _ if flow.is_over(now) => view.error = Some("expired"),
            Stage::Waiting if flow.opened => view.status = FlowStatus::Opened,
            Stage::Waiting => view.status = FlowStatus::Waiting,
            Stage::Away(_) => view.status = FlowStatus::Confirmed,
            Stage::Working | Stage::Held(_) => view.status = FlowStatus::Returned,
        }
        view
    }

    fn end(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Connected {
                connection,
                account,
                missing,
                ..
            } => {
                self.status = FlowStatus::Connected;
                self.connection = Some(*connection);
                self.account = Some(account.clone());
                self.missing.clone_from(missing);
            }
            Outcome::Failed(failure) => {
                self.status = FlowStatus::Failed;
                self.error = Some(failure.code());
            }
        }
    }
}
