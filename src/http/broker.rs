//! Handles: resolving for tool code that runs elsewhere, and one request by right of a handle.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::audit::Action;
use crate::broker::{
    Ask, BrokerError, Errand, HandleFault, Misplaced, Only, Patience, Used, Wanted,
};
use crate::egress::{Url, check_method};
use crate::id::{ResolutionId, UserId};
use crate::policy::{ReleaseHandle, ResolveTool, UseHandle};
use crate::wire;

use super::body::{self, Input};
use super::caller::Caller;
use super::error::capital;
use super::serve::RequestDeadline;
use super::{ApiError, App, reply};

/// The most uses and seconds that may be asked for.
const MOST_USES: u64 = 1_000;
const MOST_SECONDS: u64 = 900;
/// The longest name of a tool call.
const LONGEST_CALL: usize = 128;

/// A number within its bounds, or which field is not.
fn within(number: Option<u64>, most: u64, what: &'static str) -> Result<Option<u64>, ApiError> {
    match number {
        Some(number) if number == 0 || number > most => Err(ApiError::bad_request(what)),
        number => Ok(number),
    }
}

/// The name of a tool call: an id, not a text.
pub(super) fn call_id(text: Option<String>) -> Result<Option<String>, ApiError> {
    let sound = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        (1..=LONGEST_CALL).contains(&text.len()) && text.bytes().all(plain)
    };
    match text {
        Some(text) if !sound(&text) => Err(ApiError::bad_request(
            "callId is 1 to 128 letters, digits and - _ . :",
        )),
        text => Ok(text),
    }
}

/// Unmodified code names no tool call, so that nothing could be held to one.
fn no_call_there() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "bad_request",
        "A handle of the proxy cannot be held to a tool call.",
        "Leave callId out, or use the default lane.",
    )
}

/// The one request that a handle is to be for.
fn only(intent: &wire::Intent) -> Result<Only, ApiError> {
    Ok(Only::new(method(&intent.method)?, read_url(&intent.url)?))
}

impl Caller {
    /// Refuses a request that is meant for another user than the one it is made for.
    async fn acts_for(&self, user: &str) -> Result<(), ApiError> {
        let own = UserId::parse(user).is_ok_and(|user| user == self.principal.user());
        if own {
            return Ok(());
        }
        let event = self.event(Action::BrokerResolve).denied("another_user");
        self.vault.journal().note(event).await?;
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "another_user",
            "This is asked for on behalf of another user than the one who is calling.",
            "onBehalfOf is checked against the caller, and gives no right. A service names its user with their key in X-RunTools-Subject-Token.",
        ))
    }

    /// What a caller hears when their request by right of a handle is refused. Who guesses, slows down.
    pub(super) fn refused(&self, error: BrokerError) -> ApiError {
        let guess = matches!(
            error,
            BrokerError::Handle(HandleFault::Unknown) | BrokerError::Misplaced(Misplaced::Unknown)
        );
        if guess && let Err(slower) = self.app.misses.count(self.principal.user()) {
            self.app.meter.rate_limited("handle");
            return slower;
        }
        error.into()
    }
}

/// Finds what fills each field of a tool, and gives a handle for it.
#[utoipa::path(post, path = "/v1/resolve", tag = "broker", request_body = wire::ResolveTool,
    responses((status = 201, description = "A handle, shown this once", body = wire::Answer<wire::Resolved>)))]
pub(super) async fn resolve(
    caller: Caller,
    State(app): State<App>,
    Input(body): Input<wire::ResolveTool>,
) -> Result<Response, ApiError> {
    caller.scoped::<ResolveTool>().await?;
    let tool = caller.tool(&body.tool).await?;
    let permit = caller.may::<ResolveTool>(tool.as_ref()).await?;
    let tool = tool.seen_by(permit.principal());
    if let Some(user) = &body.on_behalf_of {
        caller.acts_for(user).await?;
    }
    let settings = caller.policy_for(&tool).await?;
    let ask = Ask::new(&tool, settings, BTreeMap::new(), &body.credential_overrides)?
        .with_account(body.account);
    let uses = within(
        body.max_uses.map(u64::from),
        MOST_USES,
        "maxUses is 1 to 1000.",
    )?;
    let seconds = within(body.ttl_seconds, MOST_SECONDS, "ttlSeconds is 1 to 900.")?;
    let (call, is_proxied) = (call_id(body.call_id)?, body.lane == wire::Lane::Proxy);
    if is_proxied && call.is_some() {
        return Err(no_call_there());
    }
    let wanted = Wanted {
        permit: &permit,
        tool,
        ask,
        call,
        only: body.intent.as_ref().map(only).transpose()?,
        life: seconds.map(Duration::from_secs),
        uses: uses.and_then(|uses| u32::try_from(uses).ok()),
        proxied: is_proxied.then(|| caller.seen().clone()),
    };
    let event = caller.event(Action::BrokerResolve);
    let (mut resolved, token) = app.broker.resolve(&caller.vault, wanted, event).await?;
    let text = token
        .into_secret()
        .expose(|text| String::from_utf8(text.to_vec()));
    resolved.handle = text.map_err(|_| ApiError::internal())?;
    Ok(reply::once(reply::created(resolved)))
}

/// Ends a handle of the caller's, and whatever runs with it.
#[utoipa::path(delete, path = "/v1/resolutions/{id}", tag = "broker", params(("id" = String, Path)),
    responses((status = 200, description = "Ended", body = wire::Answer<wire::Done>)))]
pub(super) async fn release(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let permit = caller.may::<ReleaseHandle>(()).await?;
    let id = ResolutionId::parse(&id).map_err(|_| ApiError::not_found())?;
    let event = caller.event(Action::BrokerRelease);
    let released = app.broker.release(&caller.vault, &permit, id, event).await;
    match released {
        Ok(()) => Ok(reply::data(wire::Done::OK)),
        // An id is no handle, and gives no right: nobody is slowed down for a wrong one.
        Err(BrokerError::Handle(HandleFault::Unknown)) => Err(ApiError::not_found()),
        Err(error) => Err(error.into()),
    }
}

/// Sends one request by right of a handle. The broker puts the credentials in.
#[utoipa::path(post, path = "/v1/execute", tag = "broker", request_body = wire::ExecuteRequest,
    responses((status = 200, description = "What the upstream answered, searched",
        body = wire::Answer<wire::Exchange>)))]
pub(super) async fn execute(
    caller: Caller,
    State(app): State<App>,
    deadline: Option<axum::Extension<RequestDeadline>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    body::json_only(&parts.headers)?;
    let bytes = body::read(body, body::MAX_SPEC, parts.extensions.remove()).await?;
    let mut body: wire::ExecuteRequest = body::parse(&bytes)?;
    caller.scoped::<UseHandle>().await?;
    let permit = caller.may::<UseHandle>(()).await?;
    let _turn = app.running.enter(&caller.principal)?;
    let patience = patience(&body)?;
    let content = body.body.take();
    let errand = errand(&body, content).await?;
    if let Some(axum::Extension(deadline)) = deadline {
        deadline.lift();
    }
    let handle = body.handle.expose(|text| Zeroizing::new(text.to_vec()));
    let call = call_id(body.call_id)?;
    let used = Used {
        permit: &permit,
        seen: caller.seen(),
        handle: &handle,
        call: call.as_deref(),
    };
    let event = caller.event(Action::BrokerExchange);
    let done = app
        .broker
        .exchange(&caller.vault, used, errand, patience, event)
        .await;
    app.meter.execution(match &done {
        Ok(done) if done.status < 400 => "success",
        Ok(_) => "failed",
        Err(_) => "refused",
    });
    done.map(reply::data).map_err(|error| caller.refused(error))
}

/// The request that a template asks for, with `content` as its body.
async fn errand(
    template: &wire::ExecuteRequest,
    content: Option<wire::RequestBody>,
) -> Result<Errand, ApiError> {
    let method = method(&template.method)?;
    let url = url(&template.url, &template.query)?;
    let headers = headers(&template.headers)?;
    let bytes = match content {
        None => Vec::new(),
        Some(wire::RequestBody::Json(value)) => {
            return Ok(Errand::json(method, url, headers, value));
        }
        Some(wire::RequestBody::Text(text)) => text.into_bytes(),
        Some(wire::RequestBody::Base64(text)) => BASE64
            .decode(text.as_bytes())
            .map_err(|_| ApiError::bad_request("body.base64 is not base64 with its padding."))?,
    };
    let body_of = Full::<bytes::Bytes>::from(bytes);
    Ok(Errand::gather(method, url, headers, body_of, (None, u64::MAX)).await?)
}

fn patience(body: &wire::ExecuteRequest) -> Result<Patience, ApiError> {
    const SECONDS: &str = "timeoutSeconds is 1 to 900.";
    const BYTES: &str = "maxResponseBytes is 1 to 8388608.";
    let time = within(body.timeout_seconds, MOST_SECONDS, SECONDS)?;
    let bytes = within(body.max_response_bytes, 8 << 20, BYTES)?;
    Ok(Patience {
        time: time.map(Duration::from_secs),
        bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()),
    })
}

fn method(text: &str) -> Result<Method, ApiError> {
    let method = Method::from_bytes(text.as_bytes());
    let method = method.map_err(|_| ApiError::bad_request("method is no HTTP method."))?;
    sendable(&method)?;
    Ok(method)
}

/// Refuses the methods that make an upstream show a request, or a tunnel of a connection.
pub(super) fn sendable(method: &Method) -> Result<(), ApiError> {
    check_method(method).map_err(|error| {
        ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            error.code(),
            capital(&error.to_string()),
            capital(error.hint()),
        )
    })
}

/// A URL that has one reading.
pub(super) fn read_url(text: &str) -> Result<Url, ApiError> {
    Url::parse(text).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            error.code(),
            capital(&error.to_string()),
            capital(error.hint()),
        )
    })
}

fn url(text: &str, query: &BTreeMap<String, String>) -> Result<Url, ApiError> {
    let mut text = text.to_owned();
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC_BUT).to_string();
    for (name, value) in query {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(&encode(name));
        text.push('=');
        text.push_str(&encode(value));
    }
    read_url(&text)
}

/// Everything but the unreserved characters (RFC 3986, 2.3).
const NON_ALPHANUMERIC_BUT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn headers(named: &BTreeMap<String, String>) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(value);
        match name.ok().zip(value.ok()) {
            Some((name, value)) => drop(headers.append(name, value)),
            None => {
                return Err(ApiError::bad_request(
                    "headers has a name or value that cannot be sent: values are visible ASCII, without line breaks.",
                ));
            }
        }
    }
    Ok(headers)
}
