//! A flow whose answer has come: it can be finished once, because whoever finishes it takes it.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::ask::{FlowAsk, FlowFacts};
use super::query::CallbackQuery;
use super::{FlowId, FlowKey, Tell};
use crate::clock::Timestamp;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::oauth::client::ClientRef;
use crate::oauth::provider::{Bound, Payload, Provider};
use crate::secret::Secret;

/// What the browser brought.
pub(super) enum Brought {
    /// A code, to be redeemed.
    Code(Secret),
    /// What the provider signed, when the browser had left.
    Payload { payload: Payload, left: Timestamp },
}

/// A flow that was begun here, came back to the browser that left, and was consumed. Only
/// [`FlowBook`](super::FlowBook) makes one.
#[must_use = "a flow that is dropped here is over"]
pub struct PendingFlow {
    pub(super) flow: FlowId,
    pub(super) ask: Arc<FlowAsk>,
    pub(super) bound: Bound,
    pub(super) redirect_uri: String,
    pub(super) brought: Brought,
    pub(super) verifier: Option<Secret>,
    pub(super) nonce: Option<String>,
    pub(super) deadline: Timestamp,
    /// What the browser is to carry to whoever began.
    pub(super) ticket: Zeroizing<String>,
}

impl PendingFlow {
    /// What [`FlowBook::settle`](super::FlowBook::settle) knows it by.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        self.flow.key()
    }

    /// The flow.
    #[must_use]
    pub const fn flow(&self) -> &FlowId {
        &self.flow
    }

    /// The organisation that the account is to belong to. Whoever redeems asks once more whether the
    /// user is a member of it (B4, X7).
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.ask.org
    }

    /// The user that the account is to be attached to.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.ask.user
    }

    /// Who issues the tokens.
    #[must_use]
    pub fn provider(&self) -> &Arc<Provider> {
        &self.ask.provider
    }

    /// What the person told, and what the callback carried.
    #[must_use]
    pub const fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The client that asked.
    #[must_use]
    pub fn client(&self) -> &ClientRef {
        &self.ask.client
    }

    /// The redirect URI, byte for byte as it was sent (A4).
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The code. `None` where the answer was a signed payload: its account is in
    /// [`bound`](Self::bound), and there is nothing to redeem.
    #[must_use]
    pub const fn code(&self) -> Option<&Secret> {
        match &self.brought {
            Brought::Code(code) => Some(code),
            Brought::Payload { .. } => None,
        }
    }

    /// The PKCE verifier, when a challenge was sent.
    #[must_use]
    pub const fn verifier(&self) -> Option<&Secret> {
        self.verifier.as_ref()
    }

    /// The nonce that an ID token must carry (A6).
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The scopes that were asked for.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.ask.scopes
    }

    /// The connection that is to be made anew.
    #[must_use]
    pub fn replaces(&self) -> Option<ConnectionId> {
        self.ask.replaces()
    }

    /// Until when the provider takes the code (B11).
    #[must_use]
    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// What the flow is about.
    #[must_use]
    pub fn facts(&self) -> FlowFacts {
        self.ask.facts(self.flow)
    }

    pub(super) fn tell(&self) -> &Tell {
        &self.ask.tell
    }
}

impl fmt::Debug for PendingFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider = self.ask.provider.id();
        write!(f, "PendingFlow({provider})")
    }
}

/// A flow whose answer says that it is signed. It becomes a [`PendingFlow`] when that is so
/// ([`FlowBook::check`](super::FlowBook::check)).
#[must_use = "a flow that is dropped here is over"]
pub struct SignedFlow {
    pub(super) pending: PendingFlow,
    pub(super) query: CallbackQuery,
}

impl SignedFlow {
    /// What the flow is about: whose client's secret keys the signature.
    #[must_use]
    pub fn facts(&self) -> FlowFacts {
        self.pending.facts()
    }
}

impl fmt::Debug for SignedFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider = self.pending.ask.provider.id();
        write!(f, "SignedFlow({provider})")
    }
}
