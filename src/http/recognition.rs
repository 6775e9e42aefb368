//! How a caller came, and how one who is not recognised is refused.

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};

use crate::audit::{Action, Actor, Event, Target, TargetKind};
use crate::directory::{Recognised, Refused, Rejected, Shown, Subject, Token};
use crate::vault::Unsealed;

use super::caller::stamp;
use super::limits::Door;
use super::lockout::Tried;
use super::serve::{ClientCertificate, Peer};
use super::{ApiError, App, subject};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// By what a caller asks to be recognised.
#[derive(Clone, Copy, Debug)]
enum By {
    Key(Tried),
    Uid(u32),
    Service(Tried),
}

/// Who came, and how.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) seen: Recognised,
    by: By,
    peer: Option<Peer>,
}

impl Came {
    /// Recognises who sends the request with this head.
    pub(super) async fn recognised(
        parts: &Parts,
        app: &App,
        vault: &Unsealed,
    ) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<Peer>().copied();
        let came = Self::looked_at(parts, app, (vault, peer)).await;
        if came.is_err()
            && let Err(limited) = app.rates.stranger(peer, Door::Api)
        {
            app.meter.rate_limited("source");
            return Err(limited);
        }
        came
    }

    async fn looked_at(
        parts: &Parts,
        app: &App,
        (vault, peer): (&Unsealed, Option<Peer>),
    ) -> Result<Self, ApiError> {
        let subject = subject::named(&parts.headers)?;
        let text = credential(&parts.headers)?;
        let print = parts.extensions.get::<ClientCertificate>();
        let print = print.map(|certificate| certificate.fingerprint);
        let (tried, shown) = match (text, print) {
            (Some(text), _) => {
                let service = Token::is_of_service(text);
                (Tried::new(text, peer), service.then_some(Shown::Key(text)))
            }
            (None, Some(print)) => {
                let tried = Tried::new(&print, peer);
                (tried, Some(Shown::Certificate(print)))
            }
            (None, None) if subject.is_some() => return Err(subject::only_for_services()),
            (None, None) => return Self::by_uid(app, vault, peer).await,
        };
        app.lockout.check(&tried, vault.now())?;
        let directory = &app.directory;
        let (by, found) = match (shown, text) {
            (Some(shown), _) => {
                let subject = subject.unwrap_or(Subject::Nobody);
                let found = directory.by_service(vault, shown, subject).await?;
                (By::Service(tried), found)
            }
            (None, _) if subject.is_some() => return Err(subject::only_for_services()),
            (None, text) => {
                let found = directory.by_key(vault, text.unwrap_or_default()).await?;
                (By::Key(tried), found)
            }
        };
        if found.is_ok() {
            app.lockout.succeeded(&tried);
        }
        Self::of(app, vault, (by, peer), found).await
    }

    /// Recognises a user of the machine.
    async fn by_uid(app: &App, vault: &Unsealed, peer: Option<Peer>) -> Result<Self, ApiError> {
        let Some(Peer::Unix { uid, .. }) = peer else {
            return Err(ApiError::unauthorized());
        };
        let found = app.directory.by_uid(vault, uid, app.operator_uid).await?;
        let found = found.map_err(Refused::from);
        Self::of(app, vault, (By::Uid(uid), peer), found).await
    }

    async fn of(
        app: &App,
        vault: &Unsealed,
        (by, peer): (By, Option<Peer>),
        found: Result<Recognised, Refused>,
    ) -> Result<Self, ApiError> {
        match found {
            Ok(seen) => Ok(Self { seen, by, peer }),
            // On the heap: nearly nobody is refused, and every request would have room for it.
            Err(refused) => Err(Box::pin(refuse(app, vault, (by, peer), refused)).await?),
        }
    }

    /// Counts and records that who came is refused by now. Answers what they hear.
    pub(super) async fn refuse(
        &self,
        app: &App,
        vault: &Unsealed,
        refused: Refused,
    ) -> Result<ApiError, ApiError> {
        refuse(app, vault, (self.by, self.peer), refused).await
    }
}

/// The key's text: `X-API-Key`, or `Authorization: Bearer`. Two that differ are refused.
fn credential(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let ambiguous = || ApiError::bad_request("The request carries more than one credential.");
    let mut found: Option<&[u8]> = None;
    let keys = headers
        .get_all(API_KEY)
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

async fn refuse(
    app: &App,
    vault: &Unsealed,
    (by, peer): (By, Option<Peer>),
    refused: Refused,
) -> Result<ApiError, ApiError> {
    let way = match by {
        By::Key(_) => "api_key",
        By::Uid(_) => "local",
        By::Service(_) => "service",
    };
    app.meter.auth_failed(way, refused.why.code());
    // Counted before anything else is asked: who fails often enough to be limited is locked out all the same.
    let locked = match (by, refused.why) {
        // The service is the one it says: whoever it named must not be able to lock it out.
        (_, Rejected::Subject(_)) | (By::Uid(_), _) => false,
        (By::Key(tried) | By::Service(tried), _) => app.lockout.failed(&tried, vault.now()),
    };
    if locked {
        app.meter.locked_out();
    }
    if let Err(limited) = app.rates.failure(peer) {
        app.meter.rate_limited("failure");
        // The journal must not be filled, and still tell of locks: of one a minute.
        if locked && app.rates.guess(peer) {
            vault.journal().note(key_rejection(refused, locked)).await?;
        }
        return Err(limited);
    }
    match by {
        By::Key(_) | By::Service(_) => refuse_key(app, vault, (locked, peer), refused).await,
        By::Uid(uid) => {
            let event = rejection(Actor::Local { uid }, refused.why, false);
            vault.journal().note(event).await?;
            Ok(ApiError::new(
                http::StatusCode::UNAUTHORIZED,
                "unknown_local_user",
                "This user of the machine is no member of an organisation here.",
                "The operator adds you: runtools-broker member add NAME --uid UID. Or send an API key.",
            ))
        }
    }
}

async fn refuse_key(
    app: &App,
    vault: &Unsealed,
    (locked, peer): (bool, Option<Peer>),
    refused: Refused,
) -> Result<ApiError, ApiError> {
    // What cannot be a key is counted and fills no journal, but for a lock once in a while.
    if refused.why == Rejected::Malformed && !(locked && app.rates.guess(peer)) {
        return Ok(ApiError::unauthorized());
    }
    vault.journal().note(key_rejection(refused, locked)).await?;
    Ok(match refused.why {
        Rejected::Subject(why) => subject::refused(why),
        _ => ApiError::unauthorized(),
    })
}

fn key_rejection(refused: Refused, locked: bool) -> Event {
    let event = match refused.service {
        // Only who proved to be a service is written down as one.
        Some((org, acting)) if matches!(refused.why, Rejected::Subject(_)) => {
            rejection(Actor::Service(acting), refused.why, locked).org(org)
        }
        Some((org, acting)) => {
            let target = Target::new(TargetKind::Service).id(acting.id.bytes());
            let event = rejection(Actor::Unknown, refused.why, locked);
            event.org(org).target(target)
        }
        None => rejection(Actor::Unknown, refused.why, locked),
    };
    match refused.key {
        Some((org, key)) => {
            let target = Target::new(TargetKind::ApiKey).id(key.bytes());
            event.org(org).target(target)
        }
        None => event,
    }
}

fn rejection(actor: Actor, rejected: Rejected, locked: bool) -> Event {
    let action = if locked {
        Action::AuthLockout
    } else {
        Action::AuthFailed
    };
    stamp(Event::new(action, actor)).denied(rejected.code())
}
