//! Resolving for somebody who runs tool code elsewhere, and what they do with the handle.

use std::collections::BTreeSet;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use crate::audit::{Event, Outcome, Target, TargetKind};
use crate::crypto::{Ahead, Random};
use crate::directory::Recognised;
use crate::egress::check_method;
use crate::id::ResolutionId;
use crate::name::Fields;
use crate::policy::{Permit, ReleaseHandle};
use crate::vault::{Unsealed, VaultError};
use crate::wire;

use super::crossing::Crossing;
use super::errand::{Errand, Used, Wanted};
use super::execute::Broker;
use super::handle::{
    Ended, Handle, HandleFault, HandleToken, Owner, Purpose, Terms, USUAL_LIFE, Wishes,
};
use super::handles::Missing;
use super::intent::{self, describe};
use super::judge::{Standing, fingerprint};
use super::lane::{Aim, Unready, Way};
use super::placeholder::Placeholder;
use super::resolve::{Resolution, resolve};
use super::sending::{Arrived, ends};
use super::socket::{Beginnings, Opened};
use super::unsaid::Unsaid;
use super::{BrokerError, shown};

impl Broker {
    /// Finds what fills each field, and makes a handle for it. `event` is the caller's own.
    ///
    /// # Errors
    /// [`BrokerError`] when a field that is needed has nothing to fill it; the refusal is in the journal.
    pub fn resolve<'a>(
        &'a self,
        vault: &'a Unsealed,
        mut wanted: Wanted<'a>,
        event: Event,
    ) -> impl Future<Output = Result<(wire::Resolved, HandleToken), BrokerError>> + Send + 'a {
        let event = event.tool(wanted.tool.spec.slug.clone());
        // An async function would keep twice what it is handed, once as it came and once as it uses it.
        async move {
            let (ask, principal) = (mem::take(&mut wanted.ask), wanted.permit.principal());
            let wishes = ask.wishes();
            let found = resolve(vault, self.judge.places(), principal, &wanted.tool, ask).await;
            let made = found.and_then(|found| self.made(vault, wanted, (wishes, found)));
            let (handle, token, resolution) = match made {
                Ok(made) => made,
                Err(error) => {
                    let denied = vault.journal().note(event.denied(error.code()));
                    denied.await.map_err(VaultError::from)?;
                    return Err(error);
                }
            };
            let event = intent::sources(event.allowed(), &resolution.filled);
            let target = Target::new(TargetKind::Resolution).id(handle.id.bytes());
            let recorded = vault.journal().record(event.target(target)).await;
            let recorded = recorded.map_err(VaultError::from)?;
            let mut resolved = shown::resolved(&handle, &resolution, (vault.now(), &self.limits));
            resolved.proxy = self.place_of(&handle);
            let kept = self.handles.keep(token.digest(), handle, Instant::now());
            if kept.is_err() {
                recorded.outcome(Outcome::failed(BrokerError::Handles.code()));
                return Err(BrokerError::Handles);
            }
            recorded.outcome(Outcome::success());
            Ok((resolved, token))
        }
    }

    /// A handle for what was found.
    fn made(
        &self,
        vault: &Unsealed,
        wanted: Wanted<'_>,
        (wishes, found): (Wishes, Resolution),
    ) -> Result<(Arc<Handle>, HandleToken, Resolution), BrokerError> {
        let principal = wanted.permit.principal();
        let tool = wanted.tool;
        let resolution = found.ready()?;
        if let Some(only) = &wanted.only {
            only.check(&tool, resolution.filled.iter())?;
        }
        let random = Ahead::of(vault.random());
        let random: &dyn Random = &random;
        let drawn = |error| BrokerError::Vault(VaultError::Crypto(error));
        let mut placeholders = Fields::new();
        for field in resolution.filled.keys() {
            let spec = tool.spec.credentials.fields.get(field);
            let prefix = spec.and_then(|spec| spec.placeholder_prefix.as_deref());
            let placeholder = Placeholder::draw(prefix, random).map_err(drawn)?;
            placeholders.insert(field.clone(), placeholder);
        }
        let token = HandleToken::draw(random).map_err(drawn)?;
        let id = ResolutionId::from_random(random.bytes().map_err(drawn)?);
        let proxied = match wanted.proxied {
            Some(seen) => {
                let reach = shown::reach(&tool, &resolution);
                let bound = shown::bound(&tool, &resolution);
                Some(Arc::new(self.proxied(
                    seen,
                    id,
                    (reach, bound),
                    wanted.life,
                )?))
            }
            None => None,
        };
        let purpose = Purpose {
            owner: Owner::from(principal),
            call: wanted.call.map(Into::into),
            only: wanted.only,
            tool,
            wishes,
            fingerprint: fingerprint(&resolution, &BTreeSet::new()),
            placeholders,
            proxied,
        };
        let terms = Terms {
            life: wanted.life.unwrap_or(USUAL_LIFE),
            uses: wanted.uses.unwrap_or(1),
        };
        let handle = Handle::new(id, purpose, terms, Instant::now());
        Ok((Arc::new(handle), token, resolution))
    }

    /// Ends a resolution of the caller's, and every exchange that runs with it.
    ///
    /// # Errors
    /// [`HandleFault::Unknown`] for one that is not there, or somebody else's.
    pub async fn release(
        &self,
        vault: &Unsealed,
        permit: &Permit<ReleaseHandle>,
        id: ResolutionId,
        event: Event,
    ) -> Result<(), BrokerError> {
        let principal = permit.principal();
        let (org, user) = (principal.org(), principal.user());
        let found = self.handles.of_user(id, org, user);
        let found = found.or_else(|| self.watch.of_user(id, org, user));
        // A user ends what anybody asked for in their name; a service only its own.
        let theirs = |handle: &Arc<Handle>| {
            let by = principal.service();
            by.is_none() || handle.purpose.owner.via.service() == by
        };
        let handle = found.filter(theirs).ok_or(HandleFault::Unknown)?;
        let target = Target::new(TargetKind::Resolution).id(id.bytes());
        let event = event
            .tool(handle.purpose.tool.spec.slug.clone())
            .target(target);
        let recorded = vault.journal().record(event).await;
        let recorded = recorded.map_err(VaultError::from)?;
        handle.end(Ended::Released);
        recorded.outcome(Outcome::success());
        Ok(())
    }

    /// Sends a request by right of a handle, be it one for a WebSocket. The answer is searched as it
    /// streams, or what is said in the WebSocket; `held` is dropped when it is over.
    ///
    /// # Errors
    /// [`BrokerError`] when it is refused, with nothing sent, unless it is for a placeholder far back in a
    /// body that was too long to be held; [`BrokerError::NoAnswer`] when the upstream fails, or agrees to
    /// something else than a WebSocket that it was asked for. Either is in the journal.
    pub async fn open(
        &self,
        vault: &Unsealed,
        used: Used<'_>,
        errand: Errand,
        event: Event,
        held: Box<dyn std::any::Any + Send>,
    ) -> Result<Opened, BrokerError> {
        let arrived = self.arrived(vault, used, errand, event, held);
        arrived.await?.opened()
    }

    /// The head of the upstream's answer, unsearched.
    pub(super) async fn arrived(
        &self,
        vault: &Unsealed,
        used: Used<'_>,
        errand: Errand,
        event: Event,
        held: Box<dyn std::any::Any + Send>,
    ) -> Result<Arrived, BrokerError> {
        let event = event.method(errand.method.as_str());
        let handle = match self.handle_of(&used) {
            Ok(handle) => handle,
            Err(missing) => return Err(self.unknown(vault, event, missing).await?),
        };
        let by = (&handle, used.seen);
        // On the heap: what callers wait for would be too large to be handed around.
        Box::pin(self.arrived_by(vault, by, errand, event, held)).await
    }

    /// The same, by right of a handle that was found.
    pub(super) async fn arrived_by(
        &self,
        vault: &Unsealed,
        (handle, seen): (&Arc<Handle>, &Recognised),
        mut errand: Errand,
        event: Event,
        held: Box<dyn std::any::Any + Send>,
    ) -> Result<Arrived, BrokerError> {
        let started = Instant::now();
        let event = event.method(errand.method.as_str());
        let target = Target::new(TargetKind::Resolution).id(handle.id.bytes());
        let event = event
            .tool(handle.purpose.tool.spec.slug.clone())
            .target(target);
        let mut aim = Aim::of(
            errand.url.host(),
            handle.purpose.tool.spec.declares(errand.url.host()),
        );
        // Before it is looked at: a change that is too late for the look is seen by the watch.
        let watching = self.watch.over(Arc::clone(handle), seen.clone());
        let standing = self.standing(vault, (handle, seen), &mut errand).await;
        let (standing, beginnings) = match standing {
            Ok(standing) => standing,
            Err(error) => {
                let unready = Unready::Refused(error);
                let error = self.unready(vault, aim.state(event), unready).await?;
                return Err(error.into());
            }
        };
        watching.judged(standing.until);
        let patience = errand.patience.unwrap_or(self.limits.stream);
        let crossing = errand.crossing();
        let way = Way {
            principal: &standing.principal,
            tool: &standing.tool,
            handle: Some(handle),
        };
        let unsaid = Unsaid::new(vault.journal(), aim.clone().state(event.clone()));
        // Pinned here: what is handed on by value is kept twice, and this is large.
        let ready = {
            let ready = self.ready(vault, &way, crossing, standing.resolution, &mut aim);
            let ready = pin!(ready);
            vault.while_open(ready).await
        };
        let ready = ready.unwrap_or(Err(Unready::Refused(BrokerError::Sealed)));
        let event = aim.state(event);
        let ready = match ready {
            Ok(ready) => ready,
            Err(unready) => {
                unsaid.said();
                return Err(self.unready(vault, event, unready).await?.into());
            }
        };
        let recorded = vault.journal().record(describe(event, &ready)).await;
        unsaid.said();
        let recorded = recorded.map_err(VaultError::from)?;
        let ends = ends(vault, handle, patience);
        self.sent(
            vault,
            (ready, beginnings),
            (recorded, started),
            ends,
            Box::new((watching, held)),
        )
        .await
    }

    /// The handle that a caller sends, if it is theirs and belongs to this call.
    fn handle_of(&self, used: &Used<'_>) -> Result<Arc<Handle>, Missing> {
        let owner = Owner::from(used.permit.principal());
        let handle = self.handles.find(used.handle, &owner)?;
        if handle
            .purpose
            .call
            .as_deref()
            .is_some_and(|call| Some(call) != used.call)
        {
            return Err(Missing::Foreign(handle));
        }
        Ok(handle)
    }

    /// Writes down that a handle is none of the caller's; of one that is somebody else's, whose. Where that is
    /// another organisation's, each hears of its own, and both at once: it takes no longer than for no handle.
    async fn unknown(
        &self,
        vault: &Unsealed,
        event: Event,
        missing: Missing,
    ) -> Result<BrokerError, BrokerError> {
        let error = BrokerError::Handle(HandleFault::Unknown);
        let theirs = missing.elsewhere(&event);
        let ours = missing.state(event).denied(error.code());
        let ours = vault.journal().note(ours);
        let theirs = async {
            match theirs {
                Some(event) => vault.journal().note(event.denied(error.code())).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(ours, theirs).map_err(VaultError::from)?;
        Ok(error)
    }

    async fn standing(
        &self,
        vault: &Unsealed,
        (handle, seen): (&Handle, &Recognised),
        errand: &mut Errand,
    ) -> Result<(Standing, Option<Beginnings>), BrokerError> {
        check_method(&errand.method).map_err(BrokerError::Egress)?;
        Crossing::check_headers(&errand.headers)?;
        errand.cargo.check()?;
        handle.check(Instant::now())?;
        let standing = self.judge.again(vault, handle, seen).await?;
        let socket = errand.handshake.take();
        let beginnings = socket.map(|handshake| Beginnings::of(vault, handshake, &self.limits));
        Ok((standing, beginnings.transpose()?))
    }
}
