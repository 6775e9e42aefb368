//! The one way of every request with a credential, whichever lane it came by.
//!
//! First everything that can refuse it, with no value open and nothing sent ([`Broker::ready`]); then,
//! when its intent is on disk, the values ([`Broker::load`]). What is done with the answer is the lane's.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::audit::{Event, Recorded};
use crate::crypto::Digest;
use crate::egress::{EgressError, Origin, Outgoing, Private, Url, VerifiedPeer, check_method};
use crate::id::OrgId;
use crate::name::{FieldName, Fields, Host};
use crate::oauth::Lent;
use crate::policy::Principal;
use crate::tools::{Binding, Destination, PlaceName, Slot, Tool};
use crate::vault::{Unsealed, VaultError};

use super::answer::NoAnswer;
use super::crossing::{Cargo, Crossing};
use super::execute::Broker;
use super::guard::{Misplaced, Placeholders, Plan, refuse_any, settle};
use super::handle::Handle;
use super::resolve::{Filled, Filling, Resolution};
use super::scrub::Patterns;
use super::sign::{self, Pass, Surroundings, may_exchange};
use super::stopped::Stopped;
use super::unsaid::noted;
use super::upload::Progress;
use super::{BrokerError, account, lease, place};

/// A call that was decided on, with a peer that proved itself; no value is open yet.
pub(super) struct Ready<'a> {
    pub(super) crossing: Crossing,
    pub(super) binding: &'a Binding,
    /// What is opened: the fields that are placed, and those that the answer is searched for besides.
    pub(super) filled: Fields<Filled>,
    places: Vec<(usize, PlaceName)>,
    plan: Plan,
    peer: VerifiedPeer,
    pass: Pass,
    org: OrgId,
}

impl Ready<'_> {
    /// Where a token is fetched from for the call, if one is.
    pub(super) fn token_endpoint(&self) -> Option<&Host> {
        let (_, signer) = self.binding.signer()?;
        let url = signer.exchanged_at().filter(|_| self.pass.is_to_fetch())?;
        Some(url.host())
    }
}

/// A request with its values in place, and what to search the answer for.
pub(super) struct Loaded {
    pub(super) outgoing: Outgoing,
    pub(super) peer: VerifiedPeer,
    pub(super) patterns: Patterns,
    /// The tokens among the values, sealed: for when the API refuses them.
    pub(super) lent: Vec<Lent>,
    /// Under what the token is kept that was fetched for the call.
    pub(super) kept: Option<Digest>,
    pub(super) progress: Progress,
}

/// Who sends what through which tool.
pub(super) struct Way<'a> {
    pub(super) principal: &'a Principal,
    pub(super) tool: &'a Tool,
    /// What it is sent by right of, where that is not the caller's alone.
    pub(super) handle: Option<&'a Handle>,
}

/// Where a call would go, as far as the journal may say. A host that is not declared comes from the
/// caller, who may have put anything there, also a value.
#[derive(Clone)]
pub(super) enum Aim {
    Nowhere,
    Undeclared,
    At(Host),
}

impl Aim {
    pub(super) fn of(host: &Host, declared: bool) -> Self {
        if declared {
            Self::At(host.clone())
        } else {
            Self::Undeclared
        }
    }

    /// States it.
    pub(super) fn state(self, event: Event) -> Event {
        match self {
            Self::Nowhere => event,
            Self::Undeclared => event.code("another_host"),
            Self::At(host) => event.host(host),
        }
    }
}

/// Either refused, or tried without success before anything was sent.
pub(super) enum Unready {
    Refused(BrokerError),
    Failed(EgressError),
}

impl<E: Into<BrokerError>> From<E> for Unready {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Broker {
    /// Everything that comes before the intent is recorded. `aim` is where the call would go, as soon as
    /// that is known.
    pub(super) async fn ready<'a>(
        &self,
        vault: &Unsealed,
        way: &Way<'a>,
        crossing: Crossing,
        resolution: Resolution,
        aim: &mut Aim,
    ) -> Result<Ready<'a>, Unready> {
        let (tool, handle) = (way.tool, way.handle);
        check_method(&crossing.method).map_err(BrokerError::Egress)?;
        if let Some(only) = handle.and_then(|handle| handle.purpose.only.as_ref()) {
            only.admits(&crossing)?;
        }
        let filled = resolution.complete()?;
        let binding = bound(tool, &crossing.destination(), filled.iter());
        let binding = binding.filter(|binding| handle.is_none() || !binding.only_actions);
        let plan = planned(&crossing, binding, handle)?;
        let binding = binding.ok_or(BrokerError::Unbound)?;
        let streams = matches!(crossing.cargo, Cargo::Stream(_));
        sign::check_body(binding, &crossing.headers, streams)?;
        *aim = Aim::of(&crossing.host, true);
        if let Some(handle) = handle {
            handle.spend(Instant::now())?;
        }
        // Only what is placed is lent: a value without a slot here stays closed, but for those that
        // went to the same host before, which may be in any answer from there.
        let lent = lent(binding, &plan, handle, &crossing.origin());
        let filled: Fields<_> = filled
            .into_iter()
            .filter(|(field, _)| lent.contains(field))
            .collect();
        sign::check(binding, &filled)?;
        let filled = self
            .lend_accounts(vault, (binding, tool.vouched()), filled)
            .await?;
        let url = crossing.url().map_err(BrokerError::Egress)?;
        let (peer, pass) = self.reach(way, binding, url, &filled).await?;
        let places = crossing.places(binding);
        Ok(Ready {
            crossing,
            binding,
            filled,
            places,
            plan,
            peer,
            pass,
            org: way.principal.org(),
        })
    }

    /// Connects to where it goes, and to where a token is to be had for it.
    async fn reach(
        &self,
        way: &Way<'_>,
        binding: &Binding,
        url: Url,
        filled: &Fields<Filled>,
    ) -> Result<(VerifiedPeer, Pass), Unready> {
        let private = if way.tool.vouched() && !binding.private.is_empty() {
            Private::Granted(binding.private.clone())
        } else {
            Private::Nowhere
        };
        let org = way.principal.org();
        let egress = self.egress.for_org(org);
        let connected = async {
            let target = egress.admit(url, &private).await?;
            let peer = egress.connect(target).await?;
            let goes = (&egress, &private);
            let pass = Pass::ready(&self.tokens, goes, (org, binding), filled, self.clock.now());
            Ok((peer, pass.await?))
        };
        let connected = connected.await;
        // What is to be tried again in a moment has cost no use.
        if let (Some(handle), Err(EgressError::Share | EgressError::Busy)) =
            (way.handle, &connected)
        {
            handle.give_back();
        }
        connected.map_err(unsent)
    }

    /// Connected accounts become tokens that are fresh enough, still sealed.
    async fn lend_accounts(
        &self,
        vault: &Unsealed,
        (binding, vouched): (&Binding, bool),
        filled: Fields<Filled>,
    ) -> Result<Fields<Filled>, BrokerError> {
        let mut lent = Fields::new();
        for (field, Filled { filling, source }) in filled {
            let filling = match filling {
                Filling::Account(chosen) => {
                    if !chosen.may_go(binding, &field, vouched) {
                        return Err(BrokerError::Unbound);
                    }
                    let accounts = &self.judge.accounts;
                    Filling::Token(Box::new(chosen.lend(vault, accounts).await?))
                }
                other => other,
            };
            lent.insert(field, Filled { filling, source });
        }
        Ok(lent)
    }

    /// Opens the values, fetches the token if there must be one, places and signs. The intent is on disk.
    pub(super) async fn load(
        &self,
        ready: Ready<'_>,
        recorded: &Recorded,
    ) -> Result<Loaded, Stopped> {
        let Ready {
            crossing,
            binding,
            filled,
            places,
            plan,
            peer,
            pass,
            org,
        } = ready;
        let now = self.clock.now();
        let lease = lease::open(&self.searchers, org, filled, binding, recorded, now).await?;
        let kept = pass.key();
        let token = pass.token(&self.tokens, binding, &lease.spelled.values, now);
        let token = token.await?;
        let authority = peer.origin().authority();
        let around = Surroundings {
            authority: &authority,
            now,
            token: token.as_deref(),
        };
        let progress = Progress::default();
        let slots = (binding, &plan, &*places);
        let placed = place::place(crossing, slots, &lease.spelled.values, (&around, &progress));
        let (outgoing, made) = placed?;
        let searched = lease.search_also_for(&self.searchers, (made, token), now);
        let (patterns, lent) = searched.await?;
        Ok(Loaded {
            outgoing,
            peer,
            patterns,
            lent,
            kept,
            progress,
        })
    }

    /// Notes what an answer of this status says of the tokens that it was asked for with.
    pub(super) async fn answered(
        &self,
        vault: &Unsealed,
        (lent, kept): &(Vec<Lent>, Option<Digest>),
        status: u16,
        recorded: &Recorded,
    ) {
        account::answered(vault, &self.judge.accounts, (lent, status), recorded).await;
        // The credential is no good (RFC 6750, 3.1).
        if let Some(key) = kept.as_ref().filter(|_| status == 401) {
            self.tokens.refused(key);
        }
    }

    /// Writes a refusal or a failure down; what is left of it for the caller.
    pub(super) async fn unready(
        &self,
        vault: &Unsealed,
        event: Event,
        unready: Unready,
    ) -> Result<NoAnswer, BrokerError> {
        let event = match &unready {
            Unready::Refused(error) => event.denied(error.code()),
            Unready::Failed(error) => event.code(error.code()),
        };
        let noted = noted(vault.journal(), event).await;
        noted.map_err(VaultError::from)?;
        match unready {
            Unready::Refused(error) => Err(error),
            Unready::Failed(error) => Ok(error.into()),
        }
    }
}

/// The binding of `tool` that admits a request to `to` with what fills the fields.
pub(super) fn bound<'t, 'f>(
    tool: &'t Tool,
    to: &Destination<'_>,
    filled: impl Iterator<Item = (&'f FieldName, &'f Filled)>,
) -> Option<&'t Binding> {
    let hosts = filled.map(|(field, filled)| (field.clone(), filled.filling.hosts()));
    let hosts = hosts.collect();
    let binding = tool.spec.binding_for(to, &hosts);
    binding.filter(|binding| may_exchange(binding, &hosts))
}

/// Which slots are filled. Of a declared action all that there are: nobody wrote its request but its
/// template.
fn planned(
    crossing: &Crossing,
    binding: Option<&Binding>,
    handle: Option<&Handle>,
) -> Result<Plan, BrokerError> {
    let Some(handle) = handle else {
        refuse_any(crossing, binding)?;
        return Ok(binding.map_or_else(Plan::default, Plan::preferred));
    };
    let placeholders: &Placeholders = &handle.purpose.placeholders;
    let plan = settle(crossing, binding, placeholders).inspect_err(|misplaced| {
        if *misplaced == Misplaced::Unknown {
            handle.missed();
        }
    })?;
    // What has no slot but in the body can only stand where its placeholder does.
    let unplaced = |binding: &Binding| {
        let mut fields = binding.slots.keys();
        fields.all(|field| !plan.uses(field)) && !binding.slots.is_empty()
    };
    let written = matches!(
        crossing.cargo,
        Cargo::Whole(_) | Cargo::Stream(_) | Cargo::None
    );
    if written
        && crossing.placing == super::crossing::Placing::Fill
        && binding.is_some_and(unplaced)
    {
        return Err(BrokerError::Placement(
            "the credential stands in the body: write its placeholder there, in a body of at most 1 MiB",
        ));
    }
    Ok(plan)
}

/// The fields whose values are opened.
fn lent(
    binding: &Binding,
    plan: &Plan,
    handle: Option<&Handle>,
    origin: &Origin,
) -> BTreeSet<FieldName> {
    let mut fields = BTreeSet::new();
    for (field, slots) in binding.slots.iter().filter(|(field, _)| plan.uses(field)) {
        fields.insert(field.clone());
        for slot in slots {
            fields.extend(Slot::others(slot).into_iter().cloned());
        }
    }
    match handle {
        Some(handle) => handle.lend(origin, fields.into_iter()),
        None => fields,
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
