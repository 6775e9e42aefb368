//! The book of flows, as a callback sees it. In this order, and each for the reason that stands there:
//!
//! 1. The state is found by its hash, in constant time (B1). Whatever is wrong with it looks the same.
//! 2. The browser shows the flow's cookie, or nothing is touched (B3, B15): a prefetch, a link
//!    scanner and somebody else's browser leave the flow to the one that left.
//! 3. The flow is consumed (B2), whatever the answer is.
//! 4. Path and issuer say who answered (A5, B5), before a code of theirs goes anywhere.
//! 5. Captures and signature are checked (B16); only then the answer is worth redeeming. A signed
//!    answer carries the state too, so what keeps any answer from counting twice keeps this one. A signed
//!    payload carries none, so it is noted that it was used: it counts in no other flow either.

use zeroize::Zeroizing;

use super::ask::FlowFacts;
use super::book::{FlowBook, Inner};
use super::cookies::FlowCookies;
use super::outcome::{Failure, Outcome};
use super::pending::{Brought, PendingFlow, SignedFlow};
use super::query::CallbackQuery;
use super::record::{Flow, Held, LIFE, Sent, Stage};
use super::shelf::Kept;
use super::text::one_line;
use super::unguessable::{What, digest, ticket};
use super::{FlowKey, PublicUrl, Tell};
use crate::clock::Timestamp;
use crate::crypto::digests_match;
use crate::name::ProviderId;
use crate::oauth::provider::spec::Iss;
use crate::oauth::provider::{
    MAX_AHEAD_S, Payload, Place, Provider, Signed, Vars, check_payload, check_signature,
};
use crate::secret::Secret;

/// The longest code, and the longest text of a provider's that is shown.
const MAX_CODE: usize = 4 * 1024;
const MAX_SAID: usize = 200;

/// What became of a callback.
#[derive(Debug)]
pub enum Taken {
    /// It is of no flow that is under way. Nothing was touched.
    Unknown,
    /// It is of a flow that another browser began. Nothing was touched.
    WrongBrowser,
    /// What the provider signed stands in the fragment, which only the browser can read: it is asked to come
    /// again with it, in this parameter. Nothing was touched.
    InFragment(String),
    /// It is of a flow with another provider, which ended for it. The browser is told what it is told
    /// of an unknown one (B1).
    OtherProvider(FlowFacts),
    /// The flow ended.
    Failed {
        /// The flow.
        facts: FlowFacts,
        /// Why.
        failure: Failure,
        /// Where the browser goes.
        onward: String,
    },
    /// The flow has its answer.
    Pending(PendingFlow),
    /// The flow has an answer that is to be checked with [`FlowBook::check`].
    Signed(SignedFlow),
}

/// What is done with an answer.
#[derive(Debug)]
pub enum Arrival {
    /// It waits for whoever began; the browser goes there with a ticket.
    Onward(String),
    /// It is redeemed now, because the browser has shown the code from the terminal.
    Redeem(Box<PendingFlow>),
}

impl FlowBook {
    /// Takes a callback that came by the path of `provider`.
    pub fn take(
        &self,
        provider: &ProviderId,
        query: CallbackQuery,
        cookies: &FlowCookies,
        now: Timestamp,
    ) -> Taken {
        self.with(now, |inner| {
            let Some(key) = inner.find(&query, now) else {
                return Taken::Unknown;
            };
            let Some(flow) = inner.flows.get_mut(&key.0) else {
                return Taken::Unknown;
            };
            let same = flow.ask.provider.id() == provider;
            if !flow.is_browser(cookies) {
                return if same {
                    Taken::WrongBrowser
                } else {
                    Taken::Unknown
                };
            }
            if same && let Some(member) = in_fragment(&flow.ask.provider, &query) {
                return Taken::InFragment(member);
            }
            let Stage::Away(sent) = flow.work(now) else {
                return Taken::Unknown;
            };
            inner.states.remove(&sent.state);
            if !same {
                flow.fail(Failure::OtherProvider, now);
                return Taken::OtherProvider(flow.ask.facts(flow.id));
            }
            let held = cookies.of(&flow.id).unwrap_or_default();
            let ticket = ticket(&flow.id, held);
            match answer(&self.url, flow, sent, &query, ticket, now) {
                Err(failure) => {
                    let said = query.get("error_description");
                    let said = said.map(|said| one_line(said, MAX_SAID));
                    self.failed(flow, failure, said, now)
                }
                Ok(pending) if flow.ask.provider.spec().callback.signature.is_some() => {
                    Taken::Signed(SignedFlow { pending, query })
                }
                Ok(pending) => Taken::Pending(pending),
            }
        })
    }

    /// Checks the signature of an answer with the client's secret (B16). The answer was consumed before,
    /// by its state: it comes here once.
    pub fn check(&self, signed: SignedFlow, secret: &Secret, now: Timestamp) -> Taken {
        let SignedFlow { pending, query } = signed;
        let provider = pending.provider();
        let sound = match &pending.brought {
            Brought::Code(_) => query
                .raw(|raw| check_signature(provider, raw, secret, now))
                .is_ok(),
            Brought::Payload { payload, left } => {
                let signed = check_payload(provider, payload, secret, now);
                signed.is_ok_and(|signed| self.spend(&pending, &signed, *left, now))
            }
        };
        if !sound {
            return self.refuse(&pending, Failure::Signature, now);
        }
        Taken::Pending(pending)
    }

    /// Notes that a payload is used up: once, whoever brings it and in whichever flow. One that is older than
    /// its flow's departure was meant for another.
    fn spend(
        &self,
        pending: &PendingFlow,
        signed: &Signed,
        left: Timestamp,
        now: Timestamp,
    ) -> bool {
        let ahead = MAX_AHEAD_S.saturating_mul(1000);
        let meant = signed.made.millis_since(left) >= ahead.saturating_mul(-1);
        meant && self.with(now, |inner| inner.spent.spend(pending.org(), signed, now))
    }

    /// Ends a flow whose answer could not be checked.
    pub fn abandon(&self, signed: &SignedFlow, failure: Failure, now: Timestamp) -> Taken {
        self.refuse(&signed.pending, failure, now)
    }

    /// What is done with an answer: it waits for whoever began, or is redeemed.
    #[must_use]
    pub fn arrive(&self, pending: PendingFlow, now: Timestamp) -> Arrival {
        if matches!(pending.tell(), Tell::Code) {
            return Arrival::Redeem(Box::new(pending));
        }
        self.with(now, |inner| {
            let (flow, key) = (pending.flow, pending.key());
            let members = [
                ("flow", &*flow.to_string()),
                ("ticket", pending.ticket.as_str()),
            ];
            let onward = onward(&self.url, &flow, pending.tell(), &members);
            let ticket = digest(What::Ticket, &pending.ticket);
            let found = inner.flows.get_mut(&key.0);
            if let Some(found) = found.filter(|found| matches!(found.stage, Stage::Working)) {
                found.until = pending.deadline.min(now.plus_millis(LIFE));
                found.stage = Stage::Held(Box::new(Held { pending, ticket }));
            }
            Arrival::Onward(onward)
        })
    }

    fn refuse(&self, pending: &PendingFlow, failure: Failure, now: Timestamp) -> Taken {
        self.with(now, |inner| match inner.flows.get_mut(&pending.key().0) {
            Some(flow) => self.failed(flow, failure, None, now),
            None => Taken::Unknown,
        })
    }

    fn failed(
        &self,
        flow: &mut Flow,
        failure: Failure,
        said: Option<String>,
        now: Timestamp,
    ) -> Taken {
        flow.end(Outcome::Failed(failure), said, now);
        let id = flow.id.to_string();
        let members = [("flow", id.as_str()), ("error", failure.code())];
        Taken::Failed {
            facts: flow.ask.facts(flow.id),
            failure,
            onward: onward(&self.url, &flow.id, &flow.ask.tell, &members),
        }
    }
}

/// Where the browser goes: to the program or dashboard that waits, or to our own page. A window of
/// its own stays, and tells the one that opened it.
fn onward(url: &PublicUrl, flow: &super::FlowId, tell: &Tell, members: &[(&str, &str)]) -> String {
    let elsewhere = tell.onward(members).filter(|_| !tell.is_popup());
    elsewhere.unwrap_or_else(|| url.result(flow))
}

impl Inner {
    /// The flow that a callback is of, when that is under way.
    fn find(&self, query: &CallbackQuery, now: Timestamp) -> Option<FlowKey> {
        let state = digest(What::State, query.get("state")?);
        let key = self.states.get(&state)?;
        let flow = self.flows.get(&key.0).filter(|flow| !flow.is_over(now))?;
        let Stage::Away(sent) = &flow.stage else {
            return None;
        };
        digests_match(&sent.state, &state).then_some(*key)
    }
}

/// What the answer is worth.
fn answer(
    url: &PublicUrl,
    flow: &Flow,
    sent: Sent,
    query: &CallbackQuery,
    ticket: Zeroizing<String>,
    now: Timestamp,
) -> Result<PendingFlow, Failure> {
    let (ask, provider) = (&flow.ask, &*flow.ask.provider);
    check_issuer(provider, flow, query)?;
    let rule = &provider.spec().callback;
    let code = query.get(&rule.code_param);
    if let Some(error) = query.get("error") {
        // An answer says one of both (RFC 6749 section 4.1.2).
        let failure = Failure::of_error(error);
        return Err(code.map_or(failure, |_| Failure::Answer));
    }
    let (brought, bound) = match &rule.payload {
        None => {
            let bound = ask.bound.capture_callback(provider, query.pairs());
            (Brought::Code(read_code(code)?), bound)
        }
        Some(member) => {
            let said = query.get(member).unwrap_or_default();
            // What Telegram says where others say access_denied.
            let denied = Failure::Denied;
            let payload = (said != "false").then_some(said).ok_or(denied)?;
            let payload = Payload::read(payload).ok_or(Failure::Answer)?;
            let pairs = payload.pairs().iter();
            let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
            let bound = ask.bound.capture_callback(provider, pairs);
            let left = sent.left;
            (Brought::Payload { payload, left }, bound)
        }
    };
    Ok(PendingFlow {
        flow: flow.id,
        ask: ask.clone(),
        bound: bound.map_err(|_| Failure::Answer)?,
        redirect_uri: url.redirect_uri(provider.id()),
        brought,
        verifier: sent.verifier,
        nonce: sent.nonce,
        deadline: now.plus_seconds(i64::from(rule.max_code_age_s)),
        ticket,
    })
}

/// Where a payload is to be found that the browser did not send along.
fn in_fragment(provider: &Provider, query: &CallbackQuery) -> Option<String> {
    let member = provider.spec().callback.payload.as_ref()?;
    let said = query.get(member).or_else(|| query.get("error"));
    said.is_none().then(|| member.clone())
}

/// RFC 6749, appendix A.11: visible ASCII and spaces.
fn read_code(code: Option<&str>) -> Result<Secret, Failure> {
    let plain = |code: &&str| code.bytes().all(|b| matches!(b, b' '..=b'~'));
    let code = code.filter(|code| (1..=MAX_CODE).contains(&code.len()));
    let code = code.filter(plain).ok_or(Failure::Answer)?;
    Ok(Secret::copy_of(code.as_bytes()))
}

/// RFC 9207 section 2.4: compared as text, on errors too. A file without an issuer expects none.
fn check_issuer(provider: &Provider, flow: &Flow, query: &CallbackQuery) -> Result<(), Failure> {
    let rule = provider.spec().callback.iss;
    let found = flow.ask.found.as_ref();
    let must = rule == Iss::Required || found.is_some_and(|found| found.names_itself);
    let said = match (rule, query.get("iss")) {
        (Iss::Off, _) => return Ok(()),
        (_, None) if must => return Err(Failure::Issuer),
        (_, None) => return Ok(()),
        (_, Some(said)) => said,
    };
    let file = provider.spec().issuer.as_ref().ok_or(Failure::Issuer)?;
    let expected = file.render(&Vars::of(&flow.ask.bound), Place::Body);
    let expected = expected.map_err(|_| Failure::Issuer)?;
    (*expected == said).then_some(()).ok_or(Failure::Issuer)
}
