//! What ends a call whose intent is on disk.

use crate::audit::{Outcome, Recorded};
use crate::egress::EgressError;

use super::BrokerError;
use super::answer::NoAnswer;

/// Why there is no answer, after the intent was recorded.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It was not sent.
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

/// Records that the values were not used after all.
pub(super) fn unused(recorded: Recorded, error: BrokerError) -> BrokerError {
    recorded.outcome(Outcome::failed(error.code()));
    error
}
