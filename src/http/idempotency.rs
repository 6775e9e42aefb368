//! `Idempotency-Key`: a change that is sent twice happens once.
//!
//! ```text
//! key unknown ─▶ "begun", on disk ─▶ act ─▶ the answer in its place       a kill in between leaves "begun"
//! ```
//!
//! What was answered is kept sealed for a day, under a keyed hash of organisation, caller and key. The
//! caller is the credential with the role and the scopes that it has now: nobody hears an answer
//! again that they would be refused today. The same key with another request is refused; two at
//! once, one is refused. An answer that showed a new API key is not kept, nor is a very long one: the
//! repetition says so instead of showing it again. Of a request that was begun and never answered, nobody knows what it
//! did: the repetition says that too, and does nothing.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

use crate::audit::{Acting, Word};
use crate::clock::Timestamp;
use crate::crypto::{Digest, Owner, sha256, sha256_parts};
use crate::policy::{Principal, Via};
use crate::store::{Batch, Class, Expect, StoreError, StoreKey};
use crate::vault::{OrgKeys, Unsealed, VaultError};
use crate::wire::Role;

use super::body;
use super::caller::Caller;
use super::kept::KEPT;
use super::layers::Next;
use super::{ApiError, App};

/// The longest answer that is kept, in bytes.
const LONGEST: usize = 32 * 1024;

/// How the routes begin that take no key.
pub(super) const OPERATORS: &str = "/v1/operator/";

/// Keys whose first request is still running.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashSet<StoreKey>>);

struct Turn<'a>(&'a InFlight, StoreKey);

impl InFlight {
    fn take(&self, key: &StoreKey) -> Option<Turn<'_>> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(key.clone()).then(|| Turn(self, key.clone()))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.1);
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    at: Timestamp,
    fingerprint: String,
    /// `None` while it is begun and not answered.
    status: Option<u16>,
    etag: Option<String>,
    /// `None` when it is not kept.
    body: Option<String>,
    /// It is not kept for what it is, and not because it showed something once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unwieldy: bool,
}

/// Set by handlers whose answer shows something once.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShownOnce;

/// Does the request once, however often it is sent with the same key.
pub(super) async fn apply(app: &App, request: Request, next: Next) -> Response {
    let changing = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    );
    let path = request.uri().path();
    // A value is never kept for a repetition. What has no route has no effect.
    let exempt = path.ends_with("/reveal") || request.extensions().get::<MatchedPath>().is_none();
    if !changing || exempt || !request.headers().contains_key("idempotency-key") {
        return next.run(request).await;
    }
    // They work while the vault is sealed, where nothing can be kept: that is said, and not ignored.
    if path.starts_with(OPERATORS) {
        return not_taken().into_response();
    }
    // Apart, so that the many requests without a key are no larger for it.
    match Box::pin(once(app, request, next)).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

fn not_taken() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "no_idempotency",
        "An operator's route takes no Idempotency-Key, and nothing was done.",
        "Send it without; if an answer was lost, look whether it was done before doing it again.",
    )
}

fn too_much_kept() -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_much_kept",
        "As much of your answers of today is kept for repetitions as may be, and nothing was done.",
        "Send it without an Idempotency-Key, or tomorrow.",
    )
    .retry_after(3600)
}

async fn once(app: &App, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let mut sent = parts.headers.get_all("idempotency-key").iter();
    let text = match (sent.next(), sent.next()) {
        (Some(key), None) => Some(key.as_bytes().to_vec()),
        _ => None,
    };
    let text = text.filter(|text| (1..=128).contains(&text.len()));
    let text = text.ok_or_else(|| {
        ApiError::bad_request("One Idempotency-Key is sent, of 1 to 128 characters.")
    })?;
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    let body = body::read(body, body::MAX_SPEC, parts.extensions.remove()).await?;
    // Nobody hears an answer again that they would be refused by now.
    let principal = caller.by_now().await?;
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let fingerprint = fingerprint(&parts.method, target, &body);
    let org = caller.vault.org(caller.principal.org())?;
    let place = place(&org, &principal, &text);
    let Some(_turn) = app.in_flight.take(&place) else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "still_running",
            "The first request with this Idempotency-Key is still running.",
            "Wait for its answer, then send it again.",
        ));
    };
    if let Some(kept) = read(&caller, &place).await? {
        return replay(kept, &fingerprint);
    }
    if !app.kept.begin(&principal, caller.vault.now()) {
        return Err(too_much_kept());
    }
    let begun = Kept {
        at: caller.vault.now(),
        fingerprint,
        status: None,
        etag: None,
        body: None,
        unwieldy: false,
    };
    write(&caller, &place, &begun).await?;
    let body = Body::from(Bytes::copy_from_slice(&body));
    parts.extensions.insert(caller.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    if did_nothing(response.status()) {
        return Ok(forget(&caller, place, response).await);
    }
    keep((app, &caller), &place, begun, response).await
}

/// Whether an answer of this status says that nothing was done, and that it may be tried again.
fn did_nothing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::METHOD_NOT_ALLOWED
    )
}

/// What an organisation's callers did once stands together, so that it can be forgotten.
fn prefix(org: &OrgKeys) -> StoreKey {
    let list = org.index().hash(&[b"once"]);
    StoreKey::new(Class::Idempotency, &[list.get(..16).unwrap_or_default()])
}

fn place(org: &OrgKeys, caller: &Principal, text: &[u8]) -> StoreKey {
    let list = org.index().hash(&[b"once"]);
    let (by, credential) = match caller.via() {
        Via::ApiKey(id) => (b"key", id.bytes().to_vec()),
        Via::Local { uid } => (b"uid", uid.to_be_bytes().to_vec()),
        Via::Service(acting) => (b"svc", of_service(&acting)),
    };
    let role = match caller.role() {
        Role::Admin => b"admin".as_slice(),
        Role::Member => b"member",
    };
    let scopes = caller.scopes().to_strings().join(" ");
    let user = caller.user();
    let one = org.index().hash(&[
        b"once",
        user.bytes(),
        by,
        &credential,
        role,
        scopes.as_bytes(),
        text,
    ]);
    StoreKey::new(
        Class::Idempotency,
        &[list.get(..16).unwrap_or_default(), &one],
    )
}

/// Which service acts, by which of its credentials, and by whose word.
fn of_service(acting: &Acting) -> Vec<u8> {
    let word = match &acting.word {
        Some(Word::ApiKey(key)) => key.bytes().as_slice(),
        Some(Word::Delegation(grant)) => grant.bytes(),
        None => &[],
    };
    [acting.id.bytes(), acting.credential.bytes(), word].concat()
}

/// Forgets what was answered more than a day ago.
pub(super) async fn forget_old(vault: &Unsealed) -> Result<(), ApiError> {
    for id in vault.org_ids() {
        let org = vault.org(id)?;
        let (prefix, mut after) = (prefix(&org), None);
        loop {
            let page = vault.store().scan(&prefix, after.as_ref(), 256).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let mut batch = Batch::new();
            for (place, record) in page {
                let kept: Kept =
                    vault.open_state(org.kek(), org.id(), Owner::SYSTEM, &place, &record)?;
                if vault.now().millis_since(kept.at) >= KEPT {
                    batch.expect(place.clone(), Expect::Exactly(sha256(record.as_bytes())));
                    batch.delete(place);
                }
            }
            if batch.is_empty() {
                continue;
            }
            match vault.commit_bookkeeping(batch).await {
                // A key was used afresh meanwhile: the page is left for the next round.
                Ok(()) | Err(VaultError::Store(StoreError::Precondition)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn fingerprint(method: &Method, target: &str, body: &[u8]) -> String {
    let digest: Digest = sha256_parts(&[
        method.as_str().as_bytes(),
        b" ",
        target.as_bytes(),
        b"\n",
        body,
    ]);
    BASE64.encode(&digest)
}

async fn read(caller: &Caller, place: &StoreKey) -> Result<Option<Kept>, ApiError> {
    let vault = &caller.vault;
    let org = vault.org(caller.principal.org())?;
    let Some(record) = vault.store().get(place).await? else {
        return Ok(None);
    };
    let owner = Owner::SYSTEM;
    let kept: Kept = vault.open_state(org.kek(), org.id(), owner, place, &record)?;
    Ok(Some(kept).filter(|kept| vault.now().millis_since(kept.at) < KEPT))
}

fn replay(kept: Kept, fingerprint: &str) -> Result<Response, ApiError> {
    if kept.fingerprint != fingerprint {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_mismatch",
            "This Idempotency-Key was used for another request.",
            "Use a new key for a new request.",
        ));
    }
    let Some(status) = kept.status else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "in_doubt",
            "A request with this Idempotency-Key was begun, and how it ended is not known.",
            "Look whether what it asked for has happened; to try again, use another key.",
        ));
    };
    if kept.unwieldy {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "answer_not_kept",
            "This was done before, and its answer was too long to be kept, or no text, or too much was kept already.",
            "Look at what it did; to do it once more, use another key.",
        ));
    }
    let Some(body) = kept.body else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "shown_once",
            "This was done before, and its answer is shown only once.",
            "If the answer was lost, revoke what it made and make another.",
        ));
    };
    let status = StatusCode::from_u16(status).map_err(|_| ApiError::internal())?;
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    if let Some(etag) = kept.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}

async fn write(caller: &Caller, place: &StoreKey, kept: &Kept) -> Result<(), ApiError> {
    let vault = &caller.vault;
    let org = vault.org(caller.principal.org())?;
    let record = vault.seal_state(org.kek(), org.id(), Owner::SYSTEM, place, kept)?;
    let mut batch = Batch::new();
    batch.put(place.clone(), record);
    Ok(vault.commit_bookkeeping(batch).await?)
}

/// Forgets that a request was begun which did nothing. If that fails, a repetition is refused, no more.
async fn forget(caller: &Caller, place: StoreKey, response: Response) -> Response {
    let mut batch = Batch::new();
    batch.delete(place);
    if let Err(error) = caller.vault.commit_bookkeeping(batch).await {
        tracing::warn!(error = %error, "a request stays in doubt that did nothing");
    }
    response
}

/// Keeps the answer. A failure of ours is not one: what the request did by then is not known.
async fn keep(
    (app, caller): (&App, &Caller),
    place: &StoreKey,
    begun: Kept,
    response: Response,
) -> Result<Response, ApiError> {
    if response.status().is_server_error() {
        return Ok(response);
    }
    let once = response.extensions().get::<ShownOnce>().is_some();
    let (parts, body) = response.into_parts();
    let bytes = body
        .collect()
        .await
        .map_err(|_| ApiError::internal())?
        .to_bytes();
    let text = String::from_utf8(bytes.to_vec()).ok();
    let etag = parts
        .headers
        .get(header::ETAG)
        .and_then(|etag| etag.to_str().ok());
    let (by, now) = (&caller.principal, caller.vault.now());
    let body =
        text.filter(|text| !once && text.len() <= LONGEST && app.kept.keep(by, text.len(), now));
    let kept = Kept {
        at: caller.vault.now(),
        status: Some(parts.status.as_u16()),
        etag: etag.map(str::to_owned),
        unwieldy: !once && body.is_none(),
        body,
        ..begun
    };
    write(caller, place, &kept).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}
