//! The book of flows, as those see it who begin and finish them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::ask::{FlowAsk, FlowFault, Started, Trip};
use super::code::CodeCheck;
use super::outcome::{Failure, Outcome};
use super::pending::PendingFlow;
use super::record::{Door, Flow, Held, LIFE, Stage};
use super::shelf::{Full, Kept, Shelf};
use super::spent::Spent;
use super::unguessable::{What, digest};
use super::view::FlowView;
use super::{FlowId, FlowKey, PublicUrl, Tell};
use crate::clock::Timestamp;
use crate::crypto::{Digest, Random, digests_match};
use crate::id::{OrgId, UserId};
use crate::oauth::provider::AuthorizeFault;

/// The flows that are under way, in memory only: a restart ends them.
#[derive(Debug)]
pub struct FlowBook {
    pub(super) url: PublicUrl,
    inner: Mutex<Inner>,
}

/// What the book holds. Held for as long as it takes to read or write a line, and never while
/// somebody is waited for.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub flows: Shelf<Flow>,
    /// Which flow a state is of, by its hash.
    pub states: HashMap<Digest, FlowKey>,
    /// The signed payloads that were used.
    pub spent: Spent,
}

/// Why a flow is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishFault {
    /// There is none of that id, or it is somebody else's.
    #[error("there is no such flow")]
    NotFound,
    /// Its answer did not come, or was taken before.
    #[error("the flow has no answer that waits to be taken")]
    NotReturned,
    /// The ticket is not the one that the browser was given.
    #[error("the ticket is not this flow's")]
    Ticket,
    /// The provider takes the code no more.
    #[error("the answer was not taken in time")]
    Late,
}

impl FinishFault {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotReturned => "not_returned",
            Self::Ticket => "wrong_ticket",
            Self::Late => "code_expired",
        }
    }
}

impl FlowBook {
    /// An empty book of a broker that browsers reach at `url`.
    #[must_use]
    pub fn new(url: PublicUrl) -> Self {
        let inner = Mutex::default();
        Self { url, inner }
    }

    /// Forgets every flow, at sealing: those under way are begun anew.
    pub fn forget(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }

    /// Where browsers reach the broker.
    #[must_use]
    pub const fn public_url(&self) -> &PublicUrl {
        &self.url
    }

    /// Looks into the book, after what is to be forgotten was.
    pub(super) fn with<R>(&self, now: Timestamp, look: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.flows.sweep(now) {
            let Inner { flows, states, .. } = &mut *inner;
            states.retain(|_, key| flows.get(&key.0).is_some());
        }
        look(&mut inner)
    }

    /// Begins a flow. Nothing is made for the provider yet: that waits until somebody agrees.
    ///
    /// # Errors
    /// [`FlowFault`].
    pub fn begin(
        &self,
        ask: FlowAsk,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Started, FlowFault> {
        let door = self.try_door(&ask)?;
        let flow = FlowId::new(random)?;
        let (code, shown) = match ask.tell {
            Tell::Code => {
                let (check, shown) = CodeCheck::new(random)?;
                (Some(check), Some(shown))
            }
            Tell::Loopback(_) | Tell::Return { .. } => (None, None),
        };
        let expires = now.plus_millis(LIFE);
        let record = Flow {
            id: flow,
            ask: Arc::new(ask),
            door,
            opened: false,
            code,
            browser: None,
            stage: Stage::Waiting,
            until: expires,
            last: expires.plus_millis(LIFE),
        };
        let put = self.with(now, |inner| inner.flows.put(flow.key().0, record, now));
        put.map_err(|full| match full {
            Full::All => FlowFault::Full,
            Full::Org => FlowFault::OrgFull,
        })?;
        Ok(Started {
            flow,
            auth_url: self.url.connect(&flow),
            code: shown,
            expires,
        })
    }

    /// Tries the way to the provider, so that what cannot work is said to whoever begins.
    fn try_door(&self, ask: &FlowAsk) -> Result<Door, FlowFault> {
        let provider = &ask.provider;
        let file = provider.spec().authorize.as_ref();
        let file = file.ok_or(AuthorizeFault::NoEndpoint)?;
        // A state is looked for by its own name, before it is known whose it is.
        if file.rename.contains_key("state") {
            return Err(FlowFault::NoState);
        }
        let blank = "-".repeat(43);
        let url = ask.authorize_url(&Trip {
            redirect_uri: &self.url.redirect_uri(provider.id()),
            state: &blank,
            challenge: provider.uses_pkce().then_some(&blank),
            nonce: provider.wants_nonce(&ask.scopes).then_some(&blank),
        })?;
        let url = url::Url::parse(&url).map_err(|_| AuthorizeFault::NoEndpoint)?;
        Ok(Door {
            origin: url.origin().ascii_serialization(),
            host: url.host_str().unwrap_or_default().to_owned(),
        })
    }

    /// Where a flow of this user stands. None when there is none, or it is somebody else's.
    #[must_use]
    pub fn view(
        &self,
        org: OrgId,
        user: UserId,
        flow: &FlowId,
        now: Timestamp,
    ) -> Option<FlowView> {
        self.with(now, |inner| {
            let found = inner.flows.get(&flow.key().0);
            let found = found.filter(|found| found.is_of(org, user))?;
            Some(FlowView::of(found, now))
        })
    }

    /// Takes the answer that waits, for the one who began the flow, by the ticket that the browser
    /// was given. It can be taken once.
    ///
    /// # Errors
    /// [`FinishFault`].
    pub fn finish(
        &self,
        org: OrgId,
        user: UserId,
        flow: &FlowId,
        ticket: &str,
        now: Timestamp,
    ) -> Result<PendingFlow, FinishFault> {
        self.with(now, |inner| {
            let found = inner.flows.get_mut(&flow.key().0);
            let found = found.filter(|found| found.is_of(org, user));
            let found = found.ok_or(FinishFault::NotFound)?;
            let Stage::Held(held) = &found.stage else {
                return Err(FinishFault::NotReturned);
            };
            if !digests_match(&held.ticket, &digest(What::Ticket, ticket)) {
                return Err(FinishFault::Ticket);
            }
            if found.is_over(now) {
                found.fail(Failure::Late, now);
                return Err(FinishFault::Late);
            }
            match found.work(now) {
                Stage::Held(held) => {
                    let Held { pending, .. } = *held;
                    Ok(pending)
                }
                _ => Err(FinishFault::NotReturned),
            }
        })
    }

    /// Notes how a flow ended that was taken. A flow that ended otherwise stays as it is.
    pub fn settle(&self, key: FlowKey, outcome: Outcome, now: Timestamp) {
        self.with(now, |inner| {
            let found = inner.flows.get_mut(&key.0);
            let found = found.filter(|found| matches!(found.stage, Stage::Working));
            if let Some(found) = found {
                found.end(outcome, None, now);
            }
        });
    }

    /// Ends a flow of this user that was not taken yet. Whether there was one.
    pub fn cancel(&self, org: OrgId, user: UserId, flow: &FlowId, now: Timestamp) -> bool {
        self.with(now, |inner| {
            let found = inner.flows.get_mut(&flow.key().0);
            let found = found.filter(|found| found.is_of(org, user) && !found.is_over(now));
            match found {
                Some(found) if !matches!(found.stage, Stage::Working) => {
                    found.fail(Failure::Cancelled, now);
                    true
                }
                _ => false,
            }
        })
    }
}
