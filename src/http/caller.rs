//! Who is calling, and the three things every handler does: decide, record, act.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

use crate::audit::{Action as Recordable, Actor, Event, Outcome, Recorded};
use crate::directory::Rejected;
use crate::policy::{self, Action, Denied, Permit, Principal};
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
        let vault = app.lifecycle.gate().unsealed()?;
        let peer = parts.extensions.get::<Peer>().copied();
        let principal = match (credential(&parts.headers)?, peer) {
            (Some(text), peer) => by_key(app, &vault, text, peer).await?,
            (None, Some(Peer::Unix { uid, .. })) => by_uid(app, &vault, uid).await?,
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
        Err(rejected) => {
            let locked = app.lockout.failed(text, peer, vault.now());
            if locked {
                app.meter.locked_out();
            }
            app.meter.auth_failed("api_key", rejected.code());
            rejection(vault, Actor::Unknown, rejected, locked).await?;
            Err(ApiError::unauthorized())
        }
    }
}

async fn by_uid(app: &App, vault: &Unsealed, uid: u32) -> Result<Principal, ApiError> {
    match app.directory.by_uid(vault, uid, app.operator_uid).await? {
        Ok(principal) => Ok(principal),
        Err(rejected) => {
            app.meter.auth_failed("local", rejected.code());
            rejection(vault, Actor::Operator { uid }, rejected, false).await?;
            Err(ApiError::new(
                http::StatusCode::UNAUTHORIZED,
                "unknown_local_user",
                "This user of the machine is no member of an organisation here.",
                "The operator adds you: runtools-broker member add NAME --uid UID. Or send an API key.",
            ))
        }
    }
}

async fn rejection(
    vault: &Unsealed,
    actor: Actor,
    rejected: Rejected,
    locked: bool,
) -> Result<(), ApiError> {
    let action = if locked {
        Recordable::AuthLockout
    } else {
        Recordable::AuthFailed
    };
    let event = stamp(Event::new(action, actor)).denied(rejected.code());
    vault.journal().record(event).await?.is_all();
    Ok(())
}

fn stamp(event: Event) -> Event {
    match request::id() {
        Some(id) => event.request(id),
        None => event,
    }
}

impl Caller {
    /// Decides. A refusal is in the journal before it is answered.
    pub(super) async fn may<A: Action>(&self, object: A::Object) -> Result<Permit<A>, ApiError> {
        match policy::check::<A>(&self.principal, object) {
            Ok(permit) => Ok(permit),
            Err(denied) => Err(self.denied(A::NAME, denied).await?),
        }
    }

    async fn denied(&self, action: &'static str, denied: Denied) -> Result<ApiError, ApiError> {
        let error = ApiError::from(denied);
        let event = self
            .event(Recordable::AuthDenied)
            .code(action)
            .denied(error.code());
        self.vault.journal().record(event).await?.is_all();
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
