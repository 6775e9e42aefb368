//! What flows need of the rest of the broker, which knows vault, engine and journal.

use std::fmt;
use std::pin::Pin;

use super::ask::FlowFacts;
use super::book::FlowBook;
use super::outcome::{Failure, Outcome};
use super::pending::PendingFlow;
use crate::clock::Clock;
use crate::secret::Secret;

/// An answer that takes its time.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who redeems answers, and keeps the record of what people agreed to.
pub trait Redeemer: Send + Sync + fmt::Debug {
    /// Whether the vault is sealed: no flow is known then, and whoever comes with one is told why.
    fn is_sealed(&self) -> bool;

    /// Somebody looks at a flow's page, and is the first. It is shown whatever comes of this.
    fn opened<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, ()>;

    /// Somebody agrees, and is about to be sent to the provider. They are not sent when this fails.
    fn confirming<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, Result<(), Failure>>;

    /// A flow ended in the browser, without anything to redeem.
    fn ended<'a>(&'a self, facts: &'a FlowFacts, failure: Failure) -> Soon<'a, ()>;

    /// The secret of the flow's client, which keys the signature of its answer (B16).
    fn signing_secret<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, Result<Secret, Failure>>;

    /// Redeems an answer: once, whatever comes of it (B11). The user may have left the organisation
    /// since the flow was begun, so membership is asked first (B4, X7).
    fn redeem(&self, flow: PendingFlow) -> Soon<'_, Outcome>;
}

/// Redeems an answer and notes in the book how it ended. Whoever calls this must let it run to its
/// end: a code that was sent is spent, whoever went away.
pub async fn complete(
    book: &FlowBook,
    flow: PendingFlow,
    redeemer: &dyn Redeemer,
    clock: &dyn Clock,
) -> Outcome {
    let key = flow.key();
    let outcome = redeemer.redeem(flow).await;
    book.settle(key, outcome.clone(), clock.now());
    outcome
}
