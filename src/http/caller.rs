//! Who is calling, and the three things every handler does: decide, record, act.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::audit::{Action as Recordable, Event, Outcome, Recorded};
use crate::directory::Recognised;
use crate::policy::{self, Action, Denied, Permit, Principal, RevealSecret, SecretRef};
use crate::vault::Unsealed;

use super::recognition::Came;
use super::{ApiError, App, request};

// What is to be done when a caller is refused is put on the heap here: a future has room for whatever it may come to
// wait for, and each of a request's is allocated, handed on and wiped.

/// A recognised caller, with the unsealed vault the request works on. What they are is as it was when the
/// request began: each decision asks who they are by now.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Who it was. For what they may do, [`Caller::by_now`] is asked.
    pub(super) principal: Principal,
    pub(super) vault: Unsealed,
    pub(super) app: App,
    came: Came,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // Recognised before, when a repetition was looked for: once is enough.
        if let Some(caller) = parts.extensions.remove::<Self>() {
            return Ok(caller);
        }
        let vault = app.lifecycle.gate().unsealed()?;
        let came = Came::recognised(parts, app, &vault).await?;
        let principal = came.seen.principal().clone();
        app.rates
            .principal(&principal)
            .inspect_err(|_| app.meter.rate_limited("principal"))?;
        // Only a change has a body to wait for.
        if !parts.method.is_safe() {
            parts.extensions.insert(vault.closing());
        }
        Ok(Self {
            principal,
            vault,
            app: app.clone(),
            came,
        })
    }
}

/// The event with the request's id, and the address that it came from.
pub(super) fn stamp(mut event: Event) -> Event {
    if let Some(id) = request::id() {
        event = event.request(id);
    }
    if let Some(peer) = request::peer() {
        event = event.peer(peer);
    }
    event
}

impl Caller {
    /// Who it was, so that it can be asked later whether they still are.
    pub(super) const fn seen(&self) -> &Recognised {
        &self.came.seen
    }

    /// Who the caller is now. The request may have arrived slowly, and they may have lost meanwhile what
    /// they had when it began: then they are refused as if they had come now.
    pub(super) async fn by_now(&self) -> Result<Principal, ApiError> {
        match self
            .app
            .directory
            .again(&self.vault, &self.came.seen)
            .await?
        {
            Ok(still) => Ok(still.principal().clone()),
            Err(refused) => {
                let refusal = self.came.refuse(&self.app, &self.vault, refused);
                Err(Box::pin(refusal).await?)
            }
        }
    }

    /// Asks for the scope of `A` before its object is looked for: a key without it must not learn
    /// whether the object exists.
    pub(super) async fn scoped<A: Action>(&self) -> Result<(), ApiError> {
        match policy::check_scope::<A>(&self.by_now().await?) {
            Ok(()) => Ok(()),
            Err(denied) => Err(Box::pin(self.denied(A::NAME, denied)).await?),
        }
    }

    /// Decides. A refusal is in the journal before it is answered.
    pub(super) async fn may<A: Action>(&self, object: A::Object) -> Result<Permit<A>, ApiError> {
        match policy::check::<A>(&self.by_now().await?, object) {
            Ok(permit) => Ok(permit),
            Err(denied) => Err(Box::pin(self.denied(A::NAME, denied)).await?),
        }
    }

    /// Whether the caller might be shown the value of `secret`. Nothing is refused or recorded by asking.
    pub(super) async fn might_reveal(
        &self,
        secret: &SecretRef,
    ) -> Result<Result<Permit<RevealSecret>, Denied>, ApiError> {
        let directory = &self.app.directory;
        let settings = directory.settings(&self.vault, &self.principal).await?;
        let object = (secret.clone(), settings);
        Ok(policy::check::<RevealSecret>(&self.by_now().await?, object))
    }

    async fn denied(&self, action: &'static str, denied: Denied) -> Result<ApiError, ApiError> {
        let error = ApiError::from(denied);
        let event = self
            .event(Recordable::AuthDenied)
            .code(action)
            .denied(error.code());
        self.vault.journal().note(event).await?;
        Ok(error)
    }

    /// An event of this caller's, in this request.
    pub(super) fn event(&self, action: Recordable) -> Event {
        let event = stamp(Event::new(action, self.principal.actor()))
            .org(self.principal.org())
            .store_generation(self.vault.store().generation());
        match self.principal.service() {
            Some(_) => event.on_behalf_of(self.principal.user()),
            None => event,
        }
    }

    /// Records `event`, then acts, then records how it ended. Nothing happens unless the record is
    /// on disk.
    pub(super) async fn audited<T, E: Into<ApiError>>(
        &self,
        event: Event,
        act: impl AsyncFnOnce(&Recorded) -> Result<T, E>,
    ) -> Result<T, ApiError> {
        let operation = event.action.code();
        let recorded = self.vault.journal().record(event).await?;
        match act(&recorded).await {
            Ok(done) => {
                recorded.outcome(Outcome::success());
                self.app.meter.operation(operation, "success");
                Ok(done)
            }
            Err(error) => {
                let error = error.into();
                recorded.outcome(Outcome::failed(error.code()));
                self.app.meter.operation(operation, "failed");
                Err(error)
            }
        }
    }
}
