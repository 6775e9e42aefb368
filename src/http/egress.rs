//! The streaming lane: any request, by right of a handle, to where the path says.
//!
//! `/v1/egress/https/api.example.com/v1/things?q=1` goes to `https://api.example.com/v1/things?q=1`. The
//! caller's own credential and the handle stay here; the tool's credentials are put in on the way. Both
//! bodies stream, and a caller who goes away takes the upstream's connection with them.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};

use crate::audit::Action;
use crate::broker::{
    Errand, Handshake, Opened, RelayError, Relayed, RelayedBody, RelayedSocket, Used,
};
use crate::egress::Url;
use crate::policy::UseHandle;

use super::broker::{call_id, read_url, sendable};
use super::caller::Caller;
use super::running::Turn;
use super::serve::{RequestDeadline, Streaming, Switch};
use super::{ApiError, App};

/// The route as the table has it, and where it begins.
pub(super) const ROUTES: [&str; 3] = [
    "/v1/egress/{scheme}/{authority}",
    "/v1/egress/{scheme}/{authority}/",
    "/v1/egress/{scheme}/{authority}/{*path}",
];
const BEGINS: &str = "/v1/egress/";

const HANDLE: HeaderName = HeaderName::from_static("x-runtools-handle");
const CALL: HeaderName = HeaderName::from_static("x-runtools-call-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Stands in answers that are an upstream's; what the broker itself answers has none.
const ANSWER: HeaderName = HeaderName::from_static("x-runtools-answer");

/// In the extensions of an answer that is an upstream's.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromUpstream;

/// Whether a path is of this lane. Its rest is another server's, and read by the rules for that.
pub(super) fn is_relayed(path: &str) -> bool {
    path.starts_with(BEGINS)
}

/// Sends a request by right of the handle in `X-RunTools-Handle`, and streams the answer; or opens a WebSocket.
#[utoipa::path(method(get, head, post, put, patch, delete, options), path = "/v1/egress/{scheme}/{authority}/{path}",
    tag = "broker",
    params(("scheme" = String, Path, description = "`https` or `http`"),
        ("authority" = String, Path, description = "Host, and port where it is not the scheme's own"),
        ("path" = String, Path, description = "Path and query, as they are sent"),
        ("x-runtools-handle" = String, Header, description = "The handle"),
        ("x-runtools-call-id" = Option<String>, Header, description = "The tool call, where the handle is for one")),
    responses((status = 101, description = "The WebSocket that the upstream agreed to; frames are searched both ways"),
        (status = "2XX", description = "What the upstream answered, searched, of any status, with `X-RunTools-Answer: upstream`; without that, the broker's own answer")))]
pub(super) async fn relay(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &app).await?;
    caller.scoped::<UseHandle>().await?;
    let permit = caller.may::<UseHandle>(()).await?;
    sendable(&parts.method)?;
    let url = target(&parts.uri)?;
    let handle = only(&parts.headers, &HANDLE)?.ok_or_else(|| {
        ApiError::bad_request("The handle is missing: it is sent in X-RunTools-Handle.")
    })?;
    let call = only(&parts.headers, &CALL)?.and_then(|call| call.to_str().ok().map(str::to_owned));
    let call = call_id(call)?;
    let has_body = !body.is_end_stream();
    let handshake = Handshake::read(&parts.method, parts.version, &parts.headers, has_body)?;
    let turn = app.running.enter(&caller.principal)?;
    let length = body.size_hint().exact().filter(|length| *length > 0);
    let mut headers = std::mem::take(&mut parts.headers);
    // They are between the caller and the broker; other headers of ours are dropped on the way out.
    headers.remove(AUTHORIZATION);
    headers.remove(API_KEY);
    let errand = if let Some(handshake) = handshake {
        Errand::socket(url, headers, handshake)
    } else {
        let size = (length, app.broker.limits().upload_bytes);
        let gathered = pin!(Errand::gather(parts.method, url, headers, body, size));
        caller.vault.while_open(gathered).await??
    };
    // What was held back came within the time of any request; what follows may take longer.
    if let Some(deadline) = parts.extensions.get::<RequestDeadline>() {
        deadline.lift();
    }
    let used = Used {
        permit: &permit,
        seen: caller.seen(),
        handle: handle.as_bytes(),
        call: call.as_deref(),
    };
    let event = caller.event(Action::BrokerExchange);
    let (broker, vault, held) = (&app.broker, &caller.vault, Box::new(()));
    let opened = broker.open(vault, used, errand, event, held).await;
    app.meter.execution(match &opened {
        Ok(Opened::Answer(relayed)) if relayed.status >= 400 => "failed",
        Ok(_) => "success",
        Err(_) => "refused",
    });
    match opened.map_err(|error| caller.refused(error))? {
        Opened::Socket(socket) => Ok(switch(*socket, turn)),
        Opened::Answer(relayed) => answer(*relayed, turn),
    }
}

/// The URL that a path of this lane stands for.
fn target(uri: &Uri) -> Result<Url, ApiError> {
    let path = uri.path().strip_prefix(BEGINS).unwrap_or_default();
    let (scheme, rest) = path.split_once('/').unwrap_or((path, ""));
    let query = uri.query().map(|query| format!("?{query}"));
    read_url(&format!("{scheme}://{rest}{}", query.unwrap_or_default()))
}

/// A header that is sent once, or not at all.
fn only(headers: &HeaderMap, name: &HeaderName) -> Result<Option<HeaderValue>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(ApiError::bad_request(format!("{name} is sent twice."))),
        (value, None) => Ok(value.cloned()),
    }
}

/// The 101 to a caller whose WebSocket the upstream agreed to.
fn switch(mut socket: RelayedSocket, turn: Turn) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = std::mem::take(&mut socket.headers);
    state_whose(&mut response);
    let switch = Switch::to(move |io, leaving| async move {
        socket.run(io, leaving).await;
        drop(turn);
    });
    response.extensions_mut().insert(switch);
    response
}

/// States that an answer is an upstream's.
fn state_whose(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(ANSWER, HeaderValue::from_static("upstream"));
    response.extensions_mut().insert(FromUpstream);
}

fn answer(relayed: Relayed, turn: Turn) -> Result<Response, ApiError> {
    let Relayed {
        status,
        headers,
        body,
        ..
    } = relayed;
    let status = StatusCode::from_u16(status).map_err(|_| ApiError::internal())?;
    let body = Held { body, _turn: turn };
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    state_whose(&mut response);
    // A page of an upstream's must not act as one of the broker's, should a browser ever show it.
    response
        .headers_mut()
        .append(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response.extensions_mut().insert(Streaming);
    Ok(response)
}

/// An answer's body, and the caller's turn, which is over when the answer is.
struct Held {
    body: RelayedBody,
    _turn: Turn,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
