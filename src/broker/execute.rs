//! Running a declared action: the whole life of a brokered call.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};
use tokio::time::error::Elapsed;

use crate::audit::{Code, Event, Outcome, Recorded};
use crate::clock::Clock;
use crate::directory::Recognised;
use crate::egress::{Egress, EgressError, Phase, check_method};
use crate::name::ActionName;
use crate::policy::{ExecuteTool, Permit, Principal};
use crate::tools::{Tool, aside};
use crate::vault::{Unsealed, VaultError};
use crate::wire::{self, Execution};

use super::answer::{self, NoAnswer};
use super::crossing::Crossing;
use super::handle::Ended;
use super::handles::Handles;
use super::holder::Gateway;
use super::intent::describe;
use super::judge::{Found, Judge, fingerprint};
use super::lane::{Aim, Loaded, Ready, Unready, Way};
use super::limits::LaneLimits;
use super::resolve::{Resolution, resolve};
use super::searchers::Searchers;
use super::sign::Tokens;
use super::stopped::{Stopped, unused};
use super::watch::{LOOK, Watch};
use super::{Ask, BrokerError};

/// Uses credentials for callers. Holds no secret but the searchers of the last minute.
#[derive(Debug)]
pub struct Broker {
    pub(super) egress: Egress,
    pub(super) judge: Arc<Judge>,
    pub(super) searchers: Searchers,
    pub(super) tokens: Tokens,
    pub(super) handles: Handles,
    pub(super) watch: Arc<Watch>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: LaneLimits,
    /// The proxy in front, where there is one.
    pub(super) gateway: Option<Arc<dyn Gateway>>,
    /// One more for each tunnel that is open there.
    pub(super) tunnels: Arc<()>,
}

/// One call: who, which tool and action, with what.
#[derive(Debug)]
pub struct Call<'a> {
    /// That the caller may run the tool.
    pub permit: &'a Permit<ExecuteTool>,
    /// The caller: they are looked at again before it is sent, and as long as it runs.
    pub seen: &'a Recognised,
    /// The tool.
    pub tool: &'a Tool,
    /// Its action.
    pub action: &'a ActionName,
    /// The action's parameters.
    pub params: Map<String, Value>,
    /// What the request brings for credential fields.
    pub ask: Ask,
}

impl Broker {
    /// A broker that goes out through `egress`, within `limits`. Who may still do what is asked of `judge`.
    #[must_use]
    pub fn new(egress: Egress, judge: Judge, clock: Arc<dyn Clock>, limits: LaneLimits) -> Self {
        let judge = Arc::new(judge);
        Self {
            egress,
            watch: Arc::new(Watch::new(Arc::clone(&judge))),
            judge,
            searchers: Searchers::default(),
            tokens: Tokens::default(),
            handles: Handles::within(&limits),
            clock,
            limits,
            gateway: None,
            tunnels: Arc::default(),
        }
    }

    /// The way out of the process.
    #[must_use]
    pub const fn egress(&self) -> &Egress {
        &self.egress
    }

    /// What calls may take.
    #[must_use]
    pub const fn limits(&self) -> &LaneLimits {
        &self.limits
    }

    /// Forgets handles that were over long ago. To be called every minute.
    pub fn tidy(&self) {
        self.handles.tidy(Instant::now());
    }

    /// Forgets what could be forgotten, at sealing. Every handle dies.
    pub fn forget(&self) {
        self.handles.end_all(Ended::Sealed);
        self.searchers.forget();
        self.tokens.forget();
        self.egress.close_idle();
    }

    /// The organisation's policy, where a run of `tool` asks for it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn policy_for(
        &self,
        vault: &Unsealed,
        principal: &Principal,
        tool: &Tool,
    ) -> Result<wire::OrgSettings, BrokerError> {
        self.judge.policy_for(vault, principal, tool).await
    }

    /// Where a call would take its credentials from. Uses nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn explain(
        &self,
        vault: &Unsealed,
        permit: &Permit<ExecuteTool>,
        tool: &Tool,
        ask: Ask,
    ) -> Result<Resolution, BrokerError> {
        resolve(vault, self.judge.places(), permit.principal(), tool, ask).await
    }

    /// Runs an action. `event` is the caller's own: who, in which request.
    ///
    /// # Errors
    /// [`BrokerError`] when the call is refused; nothing was sent, and the refusal is in the journal.
    /// What goes wrong at the upstream is part of the result.
    pub async fn execute(
        &self,
        vault: &Unsealed,
        call: Call<'_>,
        event: Event,
    ) -> Result<Execution, BrokerError> {
        let started = Instant::now();
        let (tool, seen) = (call.tool, call.seen);
        let event = event.tool(tool.spec.slug.clone());
        // A word that names no action may be anything, also a value in the wrong place.
        let event = match tool.spec.action(call.action) {
            Ok(_) => event.tool_action(call.action.clone()),
            Err(_) => event,
        };
        let mut aim = Aim::Nowhere;
        // Pinned here: what is handed on by value is kept twice, and this is large.
        let ready = {
            let ready = pin!(self.rendered(vault, call, &mut aim));
            vault.while_open(ready).await
        };
        let ready = ready.unwrap_or(Err(Unready::Refused(BrokerError::Sealed)));
        let event = aim.state(event);
        let (ready, pick) = match ready {
            Ok(ready) => ready,
            Err(unready) => {
                let error = self.unready(vault, event, unready).await?;
                return Ok(failed(error.to_error(), started));
            }
        };
        let event = describe(event, &ready);
        let recorded = vault.journal().record(event).await;
        let recorded = recorded.map_err(VaultError::from)?;
        self.use_it(vault, seen, (ready, pick), (recorded, started))
            .await
    }

    /// Renders the action and makes it ready. Also says what part of the answer is its result.
    async fn rendered<'a>(
        &self,
        vault: &Unsealed,
        call: Call<'a>,
        aim: &mut Aim,
    ) -> Result<(Ready<'a>, Option<String>), Unready> {
        let Call {
            permit,
            seen,
            tool,
            action,
            params,
            ask,
        } = call;
        let (name, params) = (action, Value::Object(params));
        let action = tool.spec.action(name)?;
        let rendered = if action.is_quick(&params) {
            action.render(&params)
        } else {
            let (spec, name) = (Arc::clone(&tool.spec), name.clone());
            aside(move || spec.action(&name)?.render(&params)).await
        }?;
        *aim = Aim::of(&rendered.host, tool.spec.declares(&rendered.host));
        check_method(&rendered.method).map_err(BrokerError::Egress)?;
        let crossing = Crossing::rendered(rendered)?;
        let principal = permit.principal();
        let (wishes, given, looked) = (ask.wishes(), ask.given(), Instant::now());
        let resolution = resolve(vault, self.judge.places(), principal, tool, ask).await?;
        let found = Found {
            tool,
            wishes: &wishes,
            given: &given,
            fingerprint: fingerprint(&resolution, &given),
        };
        let way = Way {
            principal,
            tool,
            handle: None,
        };
        let ready = self.ready(vault, &way, crossing, resolution, aim).await?;
        let found = (looked.elapsed() >= LOOK).then_some(&found);
        self.judge.still(vault, seen, found).await?;
        let http = action.http.as_ref();
        let pick = http.and_then(|http| http.result().map(str::to_owned));
        Ok((ready, pick))
    }

    /// Opens, places, sends, searches. The intent is on disk.
    async fn use_it(
        &self,
        vault: &Unsealed,
        seen: &Recognised,
        (ready, pick): (Ready<'_>, Option<String>),
        (recorded, started): (Recorded, Instant),
    ) -> Result<Execution, BrokerError> {
        let exchange = async {
            let Loaded {
                outgoing,
                peer,
                patterns,
                lent,
                kept,
                ..
            } = self.load(ready, &recorded).await?;
            let incoming = peer.send(outgoing).await.map_err(NoAnswer::from)?;
            let answer = answer::read(incoming, &patterns).await?;
            Ok((answer, patterns, (lent, kept)))
        };
        let without = |code: Code| Outcome::failed(code).duration_ms(millis(started));
        // Sealing drops the exchange, and its connection with it: no value outlives the keys.
        let answered = {
            let exchange = pin!(exchange);
            let exchange = self.while_known(vault, seen, exchange);
            let exchange = pin!(tokio::time::timeout(self.limits.whole, exchange));
            vault.while_open(exchange).await
        };
        let (answer, patterns, tokens) = match answered.map(out_of_time) {
            Ok(Ok(answered)) => answered,
            Ok(Err(Stopped::Refused(error))) => return Err(unused(recorded, error)),
            Ok(Err(Stopped::NoAnswer(error))) => {
                let error = error.to_error();
                let code = Code::parse(&error.code);
                recorded.outcome(without(code.unwrap_or_else(|| "upstream_failed".into())));
                return Ok(failed(error, started));
            }
            Err(_) => {
                recorded.outcome(without(BrokerError::Sealed.code().into()));
                return Err(BrokerError::Sealed);
            }
        };
        self.answered(vault, &tokens, answer.status, &recorded)
            .await;
        let result = answer.result(&patterns, pick.as_deref()).await;
        recorded.outcome(
            Outcome::success()
                .http_status(answer.status)
                .duration_ms(millis(started))
                .scrub_hits(answer.hits.total()),
        );
        Ok(Execution {
            success: answer.succeeded(),
            result,
            duration_ms: millis(started),
            error: answer.error(),
        })
    }
}

impl Broker {
    /// Waits for an exchange for as long as the caller may have what comes of it.
    async fn while_known<T>(
        &self,
        vault: &Unsealed,
        seen: &Recognised,
        mut exchange: Pin<&mut impl Future<Output = Result<T, Stopped>>>,
    ) -> Result<T, Stopped> {
        loop {
            if let Ok(ended) = tokio::time::timeout(LOOK, exchange.as_mut()).await {
                return ended;
            }
            // Where the store fails, the next look asks again.
            if let Err(BrokerError::Changed) = self.judge.still(vault, seen, None).await {
                return Err(Stopped::Refused(BrokerError::Withdrawn));
            }
        }
    }
}

/// What came in time, or that nothing did.
fn out_of_time<T>(answered: Result<Result<T, Stopped>, Elapsed>) -> Result<T, Stopped> {
    answered.unwrap_or_else(|_| Err(EgressError::Timeout { phase: Phase::Body }.into()))
}

pub(super) fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn failed(error: wire::ExecutionError, started: Instant) -> Execution {
    let duration_ms = millis(started);
    Execution {
        success: false,
        result: Value::Null,
        duration_ms,
        error: Some(error),
    }
}
