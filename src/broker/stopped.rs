//! What ends a call whose intent is on disk.

use crate::audit::{Outcome, Recorded};
use crate::egress::EgressError;

use super::BrokerError;
use super::answer::NoAnswer;

/// Why there is no answer, after the intent was recorded.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It was not sent; or it was, and nobody may hear of it any more ([`BrokerError::Withdrawn`]).
    Refused(BrokerError),
    /// It was tried.
    NoAnswer(NoAnswer),
}

impl From<BrokerError> for Stopped {
    fn from(error: BrokerError) -> Self {
        Self::Refused(error)
    }
}

impl From<NoAnswer> for Stopped {
    fn from(error: NoAnswer) -> Self {
        Self::NoAnswer(error)
    }
}

impl From<EgressError> for Stopped {
    fn from(error: EgressError) -> Self {
        Self::NoAnswer(error.into())
    }
}

impl From<Stopped> for BrokerError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Refused(error) => error,
            Stopped::NoAnswer(error) => Self::NoAnswer(error),
        }
    }
}

/// Records that nothing came of it: that the values were not used after all, or that nobody may hear what came.
pub(super) fn unused(recorded: Recorded, error: BrokerError) -> BrokerError {
    recorded.outcome(Outcome::failed(error.code()));
    error
}
