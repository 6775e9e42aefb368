//! Who is calling, and the three things every handler does: decide, record, act.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

use crate::audit::{Action as Recordable, Actor, Event, Outcome, Recorded, Target, TargetKind};
use crate::directory::Rejected;
use crate::policy::{self, Action, Denied, Permit, Principal, RevealSecret, SecretRef};
use crate::vault::Unsealed;

use super::serve::Peer;
use super::{ApiError, App, request};

/// A recognised caller, with the unsealed vault the request works on.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) vault: Unsealed,
    pub(super) app: App,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // Recognised before, when a repetition was looked for: once is enough.
        if let Some(caller) = parts.extensions.remove::<Self>() {
            return Ok(caller);
        }
        let vault = app.lifecycle.gate().unsealed()?;
        let peer = parts.extensions.get::<Peer>().copied();
        let principal = match (credential(&parts.headers)?, peer) {
            (Some(text), peer) => by_key(app, &vault, text, peer).await?,
            (None, Some(Peer::Unix { uid, .. })) => by_uid(app, &vault, uid, peer).await?,
            (None, _) => return Err(ApiError::unauthorized()),
        };
        app.rates
            .principal(principal.user())
            .inspect_err(|_| app.meter.rate_limited("principal"))?;
        Ok(Self {
            principal,
            vault,
            app: app.clone(),
        })
    }
}

/// The key's text: `X-API-Key`, or `Authorization: Bearer`. Two that differ are refused.
fn credential(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let ambiguous = || ApiError::bad_request("The request carries more than one credential.");
    let mut found: Option<&[u8]> = None;
    let keys = headers
        .get_all("x-api-key")
        .iter()
        .map(|value| Some(value.as_bytes()));
    let bearers = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let (scheme, text) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(text)
    });
    for text in keys.chain(bearers) {
        let text = text.ok_or_else(ApiError::unauthorized)?;
        if found.is_some_and(|other| other != text) {
            return Err(ambiguous());
        }
        found = Some(text);
    }
    Ok(found)
}

async fn by_key(
    app: &App,
    vault: &Unsealed,
    text: &[u8],
    peer: Option<Peer>,
) -> Result<Principal, ApiError> {
    app.lockout.check(text, peer, vault.now())?;
    match app.directory.by_key(vault, text).await? {
        Ok(principal) => {
            app.lockout.succeeded(text, peer);
            Ok(principal)
        }
        Err(refused) => {
            app.meter.auth_failed("api_key", refused.why.code());
            app.rates
                .failure(peer)
                .inspect_err(|_| app.meter.rate_limited("failure"))?;
            let locked = app.lockout.failed(text, peer, vault.now());
            if locked {
                app.meter.locked_out();
            }
            // What cannot be a key is counted and fills no journal, but for a lock once in a while.
            if refused.why == Rejected::Malformed && !(locked && app.rates.guess(peer)) {
                return Err(ApiError::unauthorized());
            }
            let mut event = rejection(Actor::Unknown, refused.why, locked);
            if let Some((org, key)) = refused.key {
                let target = Target::new(TargetKind::ApiKey).id(key.bytes());
                event = event.org(org).target(target);
            }
            vault.journal().note(event).await?;
            Err(ApiError::unauthorized())
        }
    }
}

async fn by_uid(
    app: &App,
    vault: &Unsealed,
    uid: u32,
    peer: Option<Peer>,
) -> Result<Principal, ApiError> {
    match app.directory.by_uid(vault, uid, app.operator_uid).await? {
        Ok(principal) => Ok(principal),
        Err(rejected) => {
            app.meter.auth_failed("local", rejected.code());
            app.rates
                .failure(peer)
                .inspect_err(|_| app.meter.rate_limited("failure"))?;
            let event = rejection(Actor::Local { uid }, rejected, false);
            vault.journal().note(event).await?;
            Err(ApiError::new(
                http::StatusCode::UNAUTHORIZED,
                "unknown_local_user",
                "This user of the machine is no member of an organisation here.",
                "The operator adds you: runtools-broker member add NAME --uid UID. Or send an API key.",
            ))
        }
    }
}

fn rejection(actor: Actor, rejected: Rejected, locked: bool) -> Event {
    let action = if locked {
        Recordable::AuthLockout
    } else {
        Recordable::AuthFailed
    };
    stamp(Event::new(action, actor)).denied(rejected.code())
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
    /// Asks for the scope of `A` before its object is looked for: a key without it must not learn
    /// whether the object exists.
    pub(super) async fn scoped<A: Action>(&self) -> Result<(), ApiError> {
        match policy::check_scope::<A>(&self.principal) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.denied(A::NAME, denied).await?),
        }
    }

    /// Decides. A refusal is in the journal before it is answered.
    pub(super) async fn may<A: Action>(&self, object: A::Object) -> Result<Permit<A>, ApiError> {
        match policy::check::<A>(&self.principal, object) {
            Ok(permit) => Ok(permit),
            Err(denied) => Err(self.denied(A::NAME, denied).await?),
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
        Ok(policy::check::<RevealSecret>(&self.principal, object))
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
        stamp(Event::new(action, self.principal.actor()))
            .org(self.principal.org())
            .store_generation(self.vault.store().generation())
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
