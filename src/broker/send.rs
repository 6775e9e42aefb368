//! From open values to a searched answer.

use tokio::time::error::Elapsed;

use crate::audit::{Outcome, Recorded};
use crate::clock::Timestamp;
use crate::egress::{EgressError, Phase, VerifiedPeer};
use crate::tools::{Binding, RenderedRequest};

use super::answer::{self, Answer, NoAnswer};
use super::lease::Lease;
use super::scrub::Patterns;
use super::sign::{Pass, Surroundings, Tokens};
use super::{BrokerError, place};

/// A call that is ready to go, and may: its intent is on disk.
pub(super) struct Sending<'a> {
    pub(super) rendered: RenderedRequest,
    pub(super) binding: &'a Binding,
    pub(super) peer: VerifiedPeer,
    pub(super) pass: Pass,
}

/// Why there is no answer.
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

/// Fetches the token if there must be one, places, signs, sends, and searches what comes back. The
/// values are closed again before the answer is waited for.
pub(super) async fn send(
    sending: Sending<'_>,
    lease: Lease,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<(Answer, Patterns), Stopped> {
    let Sending {
        rendered,
        binding,
        peer,
        pass,
    } = sending;
    let token = pass.token(tokens, binding, &lease.values, now).await?;
    let authority = peer.origin().authority();
    let around = Surroundings {
        authority: &authority,
        now,
        token: token.as_deref(),
    };
    let (outgoing, made) = place::place(rendered, binding, &lease.values, &around)?;
    let patterns = lease.search_also_for(binding, made.iter().chain(token.as_deref()))?;
    drop((lease, made, token));
    let incoming = peer.send(outgoing).await?;
    let answer = answer::read(incoming, &patterns).await?;
    Ok((answer, patterns))
}

/// What came in time, or that nothing did.
pub(super) fn out_of_time<T>(answered: Result<Result<T, Stopped>, Elapsed>) -> Result<T, Stopped> {
    answered.unwrap_or_else(|_| Err(EgressError::Timeout { phase: Phase::Body }.into()))
}

/// Records that the values were not used after all.
pub(super) fn unused(recorded: Recorded, error: BrokerError) -> BrokerError {
    recorded.outcome(Outcome::failed(error.code()));
    error
}
