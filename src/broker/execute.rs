//! Running a declared action: the whole life of a brokered call.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::audit::{Code, Event, Outcome, Recorded};
use crate::clock::Clock;
use crate::egress::{Egress, EgressError, Private, Url, VerifiedPeer, check_method};
use crate::name::{ActionName, FieldName, Host};
use crate::oauth::Accounts;
use crate::policy::{ExecuteTool, Permit};
use crate::tools::{Binding, Hub, RenderedRequest, Tool};
use crate::vault::Unsealed;
use crate::wire::{self, Execution};

use super::account;
use super::answer::NoAnswer;
use super::intent::describe;
use super::lease::{self, Searchers};
use super::resolve::{Filled, Filling, Resolution, resolve};
use super::send::{Sending, Stopped, out_of_time, send, unused};
use super::sign::{self, Pass, Tokens, may_exchange};
use super::{Ask, BrokerError};

/// Uses credentials for callers. Holds no secret but the searchers of the last minute.
#[derive(Debug)]
pub struct Broker {
    egress: Egress,
    hub: Arc<Hub>,
    accounts: Arc<Accounts>,
    searchers: Searchers,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    total: Duration,
}

/// The status that says that the credential is no good (RFC 6750, 3.1).
const REFUSED: u16 = 401;

/// One call: who, which tool and action, with what.
#[derive(Debug)]
pub struct Call<'a> {
    /// That the caller may run the tool.
    pub permit: &'a Permit<ExecuteTool>,
    /// The tool.
    pub tool: &'a Tool,
    /// Its action.
    pub action: &'a ActionName,
    /// The action's parameters.
    pub params: Map<String, Value>,
    /// What the request brings for credential fields.
    pub ask: Ask,
}

/// A call that was decided on, with a peer that proved itself; no value is open yet.
pub(super) struct Ready<'a> {
    pub(super) rendered: RenderedRequest,
    binding: &'a Binding,
    pub(super) filled: BTreeMap<FieldName, Filled>,
    peer: VerifiedPeer,
    pass: Pass,
    pick: Option<String>,
}

/// Where a call would go, as far as the journal may say. A host that is not declared comes from the
/// caller, who may have put anything there, also a value.
enum Aim {
    Nowhere,
    Undeclared,
    At(Host),
}

impl Aim {
    fn of(host: &Host, declared: bool) -> Self {
        if declared {
            Self::At(host.clone())
        } else {
            Self::Undeclared
        }
    }
}

/// Either refused, or tried without success before anything was sent.
enum Unready {
    Refused(BrokerError),
    Failed(EgressError),
}

impl<E: Into<BrokerError>> From<E> for Unready {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Broker {
    /// A broker that goes out through `egress`; no exchange takes longer than `total`.
    #[must_use]
    pub fn new(
        egress: Egress,
        hub: Arc<Hub>,
        accounts: Arc<Accounts>,
        clock: Arc<dyn Clock>,
        total: Duration,
    ) -> Self {
        Self {
            egress,
            hub,
            accounts,
            searchers: Searchers::default(),
            tokens: Tokens::default(),
            clock,
            total,
        }
    }

    /// Forgets what could be forgotten, at sealing.
    pub fn forget(&self) {
        self.searchers.forget();
        self.tokens.forget();
        self.egress.close_idle();
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
        resolve(vault, (&self.hub, &self.accounts), permit, tool, ask).await
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
        let tool = call.tool;
        let event = event.tool(tool.spec.slug.clone());
        // A word that names no action may be anything, also a value in the wrong place.
        let event = match tool.spec.action(call.action) {
            Ok(_) => event.tool_action(call.action.clone()),
            Err(_) => event,
        };
        let mut aim = Aim::Nowhere;
        // Pinned here: what is handed on by value is kept twice, and this is large.
        let ready = {
            let ready = pin!(self.ready(vault, call, &mut aim));
            vault.while_open(ready).await
        };
        let ready = ready.unwrap_or(Err(Unready::Refused(BrokerError::Sealed)));
        let event = match aim {
            Aim::Nowhere => event,
            Aim::Undeclared => event.code("another_host"),
            Aim::At(host) => event.host(host),
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(Unready::Refused(error)) => {
                let event = event.denied(error.code());
                vault
                    .journal()
                    .record(event)
                    .await
                    .map_err(crate::vault::VaultError::from)?
                    .is_all();
                return Err(error);
            }
            Err(Unready::Failed(error)) => {
                let event = event.code(error.code());
                vault
                    .journal()
                    .record(event)
                    .await
                    .map_err(crate::vault::VaultError::from)?
                    .is_all();
                let error = NoAnswer::from(error).to_error();
                return Ok(failed(error, started));
            }
        };
        let event = describe(event, &ready);
        let recorded = vault
            .journal()
            .record(event)
            .await
            .map_err(crate::vault::VaultError::from)?;
        self.use_it(vault, ready, recorded, started).await
    }

    /// Everything that comes before the intent is recorded. `aim` is where the call would go, as
    /// soon as that is known.
    async fn ready<'a>(
        &self,
        vault: &Unsealed,
        call: Call<'a>,
        aim: &mut Aim,
    ) -> Result<Ready<'a>, Unready> {
        let Call {
            permit,
            tool,
            action,
            params,
            ask,
        } = call;
        let action = tool.spec.action(action)?;
        let rendered = action.render(&Value::Object(params))?;
        *aim = Aim::of(&rendered.host, tool.spec.declares(&rendered.host));
        check_method(&rendered.method).map_err(BrokerError::Egress)?;
        let resolution = resolve(vault, (&self.hub, &self.accounts), permit, tool, ask).await?;
        let filled = resolution.complete()?;
        let hosts = filled
            .iter()
            .map(|(field, filled)| (field.clone(), filled.filling.hosts()));
        let hosts = hosts.collect();
        let binding = tool.spec.binding_for(&rendered.destination(), &hosts);
        let binding = binding.filter(|binding| may_exchange(binding, &hosts));
        let binding = binding.ok_or(BrokerError::Unbound)?;
        *aim = Aim::of(&rendered.host, true);
        // Only what the binding places is lent: a value without a slot here stays closed.
        let filled: BTreeMap<_, _> = filled
            .into_iter()
            .filter(|(field, _)| binding.uses(field))
            .collect();
        sign::check(binding, &filled)?;
        let filled = self
            .lend_accounts(vault, (binding, tool.vouched()), filled)
            .await?;
        let private = if tool.vouched() && !binding.private.is_empty() {
            Private::Granted(binding.private.clone())
        } else {
            Private::Nowhere
        };
        let url = Url::parse(&rendered.url()).map_err(BrokerError::Egress)?;
        let egress = self.egress.for_org(permit.principal().org());
        let target = egress.admit(url, &private).await.map_err(unsent)?;
        let peer = egress.connect(target).await.map_err(unsent)?;
        let (goes, whose) = ((&egress, &private), (permit.principal().org(), binding));
        let pass = Pass::ready(&self.tokens, goes, whose, &filled, self.clock.now()).await;
        let pass = pass.map_err(unsent)?;
        let pick = action
            .http
            .as_ref()
            .and_then(|http| http.result().map(str::to_owned));
        Ok(Ready {
            rendered,
            binding,
            filled,
            peer,
            pass,
            pick,
        })
    }

    /// Connected accounts become tokens that are fresh enough, still sealed.
    async fn lend_accounts(
        &self,
        vault: &Unsealed,
        (binding, vouched): (&Binding, bool),
        filled: BTreeMap<FieldName, Filled>,
    ) -> Result<BTreeMap<FieldName, Filled>, BrokerError> {
        let mut lent = BTreeMap::new();
        for (field, Filled { filling, source }) in filled {
            let filling = match filling {
                Filling::Account(chosen) => {
                    if !chosen.may_go(binding, &field, vouched) {
                        return Err(BrokerError::Unbound);
                    }
                    Filling::Token(Box::new(chosen.lend(vault, &self.accounts).await?))
                }
                other => other,
            };
            lent.insert(field, Filled { filling, source });
        }
        Ok(lent)
    }

    /// Opens, places, sends, searches. The intent is on disk.
    async fn use_it(
        &self,
        vault: &Unsealed,
        ready: Ready<'_>,
        recorded: Recorded,
        started: Instant,
    ) -> Result<Execution, BrokerError> {
        let Ready {
            rendered,
            binding,
            filled,
            peer,
            pass,
            pick,
        } = ready;
        let now = self.clock.now();
        let mut lease = match lease::open(&self.searchers, filled, binding, &recorded, now) {
            Ok(lease) => lease,
            Err(error) => return Err(unused(recorded, error)),
        };
        let (lent, kept) = (std::mem::take(&mut lease.tokens), pass.key());
        let sending = Sending {
            rendered,
            binding,
            peer,
            pass,
        };
        let exchange = send(sending, lease, &self.tokens, now);
        let without = |code: Code| Outcome::failed(code).duration_ms(millis(started));
        // Sealing drops the exchange, and its connection with it: no value outlives the keys.
        let answered = {
            let exchange = pin!(tokio::time::timeout(self.total, exchange));
            vault.while_open(exchange).await
        };
        let (answer, patterns) = match answered.map(out_of_time) {
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
        let told = (&*lent, answer.status);
        account::answered(vault, &self.accounts, told, &recorded).await;
        if let Some(key) = kept.as_ref().filter(|_| answer.status == REFUSED) {
            self.tokens.refused(key);
        }
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

/// Refusals are the caller's; a target that is away is the call's result.
fn unsent(error: EgressError) -> Unready {
    match error {
        EgressError::Connect
        | EgressError::NameNotFound
        | EgressError::Timeout { .. }
        | EgressError::Tls { .. }
        | EgressError::UpstreamProtocol
        | EgressError::Closed
        | EgressError::TooLarge
        | EgressError::Upload
        | EgressError::Busy => Unready::Failed(error),
        EgressError::Share
        | EgressError::BadUrl { .. }
        | EgressError::Refused { .. }
        | EgressError::Metadata
        | EgressError::Circular
        | EgressError::Cleartext
        | EgressError::Method
        | EgressError::HeaderValue
        | EgressError::Root => Unready::Refused(BrokerError::Egress(error)),
    }
}

fn millis(started: Instant) -> u64 {
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
