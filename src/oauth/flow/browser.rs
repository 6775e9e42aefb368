//! The book of flows, as a browser sees it: what it is asked to agree to, the way to the provider, and
//! how it ended.

use zeroize::Zeroizing;

use super::ask::{FlowFacts, Trip};
use super::book::{FlowBook, Inner};
use super::code::Try;
use super::cookies::{FlowCookies, flow_cookie};
use super::invitation::Invitation;
use super::outcome::{Failure, Outcome};
use super::pkce::proof;
use super::record::{Flow, LIFE, Sent, Stage};
use super::shelf::Kept;
use super::text::one_line;
use super::unguessable::{Token, What, ticket};
use super::{FlowId, Tell};
use crate::clock::Timestamp;
use crate::crypto::{CryptoError, Random};
use crate::oauth::provider::AuthorizeFault;

/// The way to the provider.
pub struct Departure {
    /// The provider's page.
    pub url: String,
    /// The `Set-Cookie` header of the flow's cookie.
    pub cookie: Zeroizing<String>,
}

impl std::fmt::Debug for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Departure(hidden)")
    }
}

/// Why nobody is sent to the provider.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmFault {
    /// There is no such flow, its time is over, or another browser agreed before.
    #[error("there is no such flow")]
    Gone,
    /// The code is another one.
    #[error("the code is another one")]
    WrongCode {
        /// How many more tries there are.
        left: u8,
    },
    /// The code was wrong once too often, and the flow is over.
    #[error("the code was wrong too often")]
    TooManyTries(Box<FlowFacts>),
    /// The provider does not take what would be sent.
    #[error(transparent)]
    Authorize(#[from] AuthorizeFault),
    /// No random bytes.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// How a flow stands, for the browser that was at the provider's.
#[derive(Debug)]
pub struct ResultView {
    /// What the provider is called.
    pub provider: String,
    /// What the user is called.
    pub user: String,
    /// What the organisation is called.
    pub org: String,
    /// Where it stands.
    pub standing: Standing,
    /// What the provider said to a failure. It is escaped where it is shown.
    pub said: Option<String>,
    /// For a flow that a dashboard began.
    pub home: Option<Home>,
}

/// Where a flow stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The provider has not answered.
    Away,
    /// It has, and the rest is being done.
    Working,
    /// It ended.
    Over(Outcome),
}

/// The dashboard that is told.
#[derive(Debug)]
pub struct Home {
    /// The only origin that may be told (B10).
    pub origin: String,
    /// Where a person goes who was not sent.
    pub url: String,
    /// Whether it opened a window for this.
    pub popup: bool,
    /// The flow.
    pub flow: FlowId,
    /// What it finishes the flow with, while the answer waits.
    pub ticket: Option<Zeroizing<String>>,
}

impl FlowBook {
    /// What a flow's page says. None when there is no such flow, its time is over, or another
    /// browser agreed before: all of these look the same (X1).
    #[must_use]
    pub fn invitation(
        &self,
        id: &FlowId,
        cookies: &FlowCookies,
        now: Timestamp,
    ) -> Option<Invitation> {
        self.with(now, |inner| {
            let flow = inner.open_to(id, cookies, now)?;
            Some(Invitation::of(flow))
        })
    }

    /// Notes that somebody looks at a flow's page. What it is about, when they are the first: that is to be
    /// recorded, once for each flow that a caller began.
    #[must_use]
    pub fn opened(&self, id: &FlowId, cookies: &FlowCookies, now: Timestamp) -> Option<FlowFacts> {
        self.with(now, |inner| {
            let flow = inner.open_to(id, cookies, now)?;
            let before = std::mem::replace(&mut flow.opened, true);
            (!before).then(|| flow.ask.facts(flow.id))
        })
    }

    /// Whether this browser may agree: it typed the right code, where there is one. What comes next
    /// is recorded first, so this is asked before [`confirm`](Self::confirm) as well as by it.
    ///
    /// # Errors
    /// [`ConfirmFault`].
    pub fn admit(
        &self,
        id: &FlowId,
        cookies: &FlowCookies,
        typed: Option<&str>,
        now: Timestamp,
    ) -> Result<FlowFacts, ConfirmFault> {
        self.with(now, |inner| {
            let flow = inner.admitted(id, cookies, typed, now)?;
            Ok(flow.ask.facts(flow.id))
        })
    }

    /// Sends this browser to the provider: only now state, verifier and nonce are made, and the
    /// cookie that the answer must come back with (rule 3.3, 4). The same browser may go again; what was
    /// made before counts no more.
    ///
    /// # Errors
    /// [`ConfirmFault`].
    pub fn confirm(
        &self,
        id: &FlowId,
        cookies: &FlowCookies,
        typed: Option<&str>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Departure, ConfirmFault> {
        self.with(now, |inner| {
            let flow = inner.admitted(id, cookies, typed, now)?;
            let (key, provider) = (flow.key(), flow.ask.provider.clone());
            let (state, cookie) = (Token::new(random)?, Token::new(random)?);
            let proof = provider.uses_pkce().then(|| proof(random)).transpose()?;
            let nonce = provider.wants_nonce(&flow.ask.scopes);
            let nonce = nonce.then(|| Token::new(random)).transpose()?;
            let nonce = nonce.map(|nonce| nonce.text().to_owned());
            let url = flow.ask.authorize_url(&Trip {
                redirect_uri: &self.url.redirect_uri(provider.id()),
                state: state.text(),
                challenge: proof.as_ref().map(|(_, challenge)| challenge.as_str()),
                nonce: nonce.as_deref(),
            })?;
            let digest = state.digest(What::State);
            let sent = Sent {
                state: digest,
                verifier: proof.map(|(verifier, _)| verifier),
                nonce,
                left: now,
            };
            flow.browser = Some(cookie.digest(What::Cookie));
            flow.until = now.plus_millis(LIFE).min(flow.last);
            let before = std::mem::replace(&mut flow.stage, Stage::Away(sent));
            if let Stage::Away(Sent { state: old, .. }) = before {
                inner.states.remove(&old);
            }
            inner.states.insert(digest, key);
            let cookie = flow_cookie(&self.url, id, cookie.text());
            Ok(Departure { url, cookie })
        })
    }

    /// How a flow stands, for the browser that was at the provider's. None for every other.
    #[must_use]
    pub fn result(&self, id: &FlowId, cookies: &FlowCookies, now: Timestamp) -> Option<ResultView> {
        self.with(now, |inner| {
            let flow = inner.flows.get(&id.key().0)?;
            if !flow.is_browser(cookies) {
                return None;
            }
            let (standing, said) = match &flow.stage {
                Stage::Over { outcome, said } => (Standing::Over(outcome.clone()), said.clone()),
                _ if flow.is_over(now) => {
                    let late = Outcome::Failed(Failure::Expired);
                    (Standing::Over(late), None)
                }
                Stage::Waiting | Stage::Away(_) => (Standing::Away, None),
                Stage::Working | Stage::Held(_) => (Standing::Working, None),
            };
            Some(ResultView {
                provider: flow.ask.provider.spec().display_name.clone(),
                user: one_line(&flow.ask.user_name, 80),
                org: one_line(&flow.ask.org_name, 80),
                standing,
                said,
                home: home(flow, cookies),
            })
        })
    }
}

fn home(flow: &Flow, cookies: &FlowCookies) -> Option<Home> {
    let Tell::Return { to, popup } = &flow.ask.tell else {
        return None;
    };
    let ticket = match &flow.stage {
        Stage::Held(_) => cookies.of(&flow.id).map(|held| ticket(&flow.id, held)),
        _ => None,
    };
    let id = flow.id.to_string();
    let mut members = vec![("flow", id.as_str())];
    members.extend(ticket.as_ref().map(|ticket| ("ticket", ticket.as_str())));
    if let Stage::Over {
        outcome: Outcome::Failed(failure),
        ..
    } = &flow.stage
    {
        members.push(("error", failure.code()));
    }
    Some(Home {
        origin: to.origin().to_owned(),
        url: to.with(&members),
        popup: *popup,
        flow: flow.id,
        ticket,
    })
}

impl Inner {
    /// The flow, when this browser may agree to it: nobody has, or this very browser.
    fn open_to(&mut self, id: &FlowId, cookies: &FlowCookies, now: Timestamp) -> Option<&mut Flow> {
        let flow = self.flows.get_mut(&id.key().0)?;
        let open = match &flow.stage {
            Stage::Waiting => true,
            Stage::Away(_) => flow.is_browser(cookies),
            Stage::Working | Stage::Held(_) | Stage::Over { .. } => false,
        };
        (open && !flow.is_over(now)).then_some(flow)
    }

    fn admitted(
        &mut self,
        id: &FlowId,
        cookies: &FlowCookies,
        typed: Option<&str>,
        now: Timestamp,
    ) -> Result<&mut Flow, ConfirmFault> {
        let flow = self.open_to(id, cookies, now).ok_or(ConfirmFault::Gone)?;
        // A browser that left once has shown that it knows the code.
        let known = matches!(flow.stage, Stage::Away(_));
        let check = flow.code.as_mut().filter(|_| !known);
        match check.map(|check| check.attempt(typed.unwrap_or_default())) {
            None | Some(Try::Right) => Ok(flow),
            Some(Try::Wrong(0)) => {
                flow.fail(Failure::Tries, now);
                let facts = flow.ask.facts(flow.id);
                Err(ConfirmFault::TooManyTries(Box::new(facts)))
            }
            Some(Try::Wrong(left)) => Err(ConfirmFault::WrongCode { left }),
        }
    }
}
