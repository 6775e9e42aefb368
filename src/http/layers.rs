//! What happens to every request: an id, a line in the log, questions before any route.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tower::{Layer, Service};

use crate::id::RequestId;

use super::limits::Door;
use super::serve::Peer;
use super::templates::Templates;
use super::{ApiError, App, egress, idempotency, path, request};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything that happens around a route, in one piece: each layer of its own would cost every
/// request a box and a copy of the routes.
#[derive(Clone, Debug)]
pub(super) struct Surround {
    pub(super) app: App,
    pub(super) templates: Templates,
}

impl Layer<Route> for Surround {
    type Service = Surrounded;

    fn layer(&self, route: Route) -> Surrounded {
        let surround = self.clone();
        Surrounded { surround, route }
    }
}

/// A route with everything that happens around it.
#[derive(Clone, Debug)]
pub(super) struct Surrounded {
    surround: Surround,
    route: Route,
}

impl Service<Request> for Surrounded {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A route is ready at any time.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let (surround, next) = (self.surround.clone(), Next(self.route.clone()));
        let Some(id) = identify(&request) else {
            return Box::pin(async { Ok(ApiError::internal().into_response()) });
        };
        let peer = match request.extensions().get::<Peer>() {
            Some(Peer::Tcp { addr, .. }) => Some(addr.ip().to_canonical()),
            Some(Peer::Unix { .. }) | None => None,
        };
        let seat = request.extensions_mut().remove();
        // Handed to one block, which keeps it once: what is handed on from function to function is kept by each.
        let answer = async move {
            let Surround { app, templates } = &surround;
            Ok(finished(observe(app, templates, request, next).await))
        };
        Box::pin(request::within(id, (peer, seat), answer))
    }
}

/// The route that a request goes on to.
#[derive(Debug)]
pub(super) struct Next(Route);

impl Next {
    pub(super) fn run(mut self, request: Request) -> impl Future<Output = Response> {
        let answer = self.0.call(request);
        answer.map(|answer| match answer {
            Ok(response) => response,
            Err(never) => match never {},
        })
    }
}

/// The answer with the headers that every one has.
fn finished(mut response: Response) -> Response {
    let ours = response
        .extensions()
        .get::<egress::FromUpstream>()
        .is_none();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(request::id_text()) {
        headers.insert(REQUEST_ID, id);
    }
    // An upstream's answer keeps what the upstream says of its own rates.
    if let Some(standing) = request::standing().filter(|_| ours) {
        standing.state(headers);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The request's id: the client's own when it is one, else a new one.
fn identify(request: &Request) -> Option<RequestId> {
    let sent = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok());
    sent.and_then(request::parse).or_else(request::new_id)
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "OTHER",
    }
}

/// Counts the request and logs it, by its route's template and never by its path.
async fn observe(app: &App, templates: &Templates, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (route, method) = (templates.label(&request), method(request.method()));
    let response = match guard(app, templates, &request) {
        Ok(()) => act(app.clone(), request, next).await,
        Err(refusal) => refusal,
    };
    let (status, took) = (response.status(), started.elapsed());
    app.meter.request(route, method, status.as_u16(), took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    let id = request::id_text;
    // One line per success would cost more than the request: they are at debug.
    if status >= 500 {
        tracing::warn!(route, method, status, micros, request = %id(), "request failed");
    } else if status >= 400 {
        tracing::info!(route, method, status, micros, request = %id(), "request refused");
    } else {
        tracing::debug!(route, method, status, micros, request = %id(), "request answered");
    }
    response
}

/// Whether the request may be made for this host, at this rate, by this path, with this query.
#[expect(clippy::result_large_err, reason = "a refusal is an answer")]
fn guard(app: &App, templates: &Templates, request: &Request) -> Result<(), Response> {
    let peer = request.extensions().get::<Peer>().copied();
    if let Err(error) = app.rates.source(peer, Door::Api) {
        app.meter.rate_limited("source");
        return Err(error.into_response());
    }
    if names_another_host(request) {
        return Err(closing(ApiError::bad_request(
            "The request's target names another host than its Host header.",
        )));
    }
    // A page of another origin can reach a loopback port by a name of its own (DNS rebinding); it
    // cannot reach a Unix socket.
    if !matches!(peer, Some(Peer::Unix { .. }))
        && let Some(refusal) = wrong_host(app, request)
    {
        return Err(refusal);
    }
    let target = request.uri().path();
    if egress::is_relayed(target) {
        return Ok(());
    }
    let sound = path::check(target).and_then(|()| templates.check_query(request));
    sound.map_err(ApiError::into_response)
}

/// Lets a change run to its end when its client goes away: what is committed must also take effect
/// in memory, and an upstream that was sent a credential must be listened to until its outcome is
/// on record. A handler that panics is a 500 here, and nobody else's.
fn act(app: App, request: Request, next: Next) -> impl Future<Output = Response> {
    // What is relayed ends when its caller is gone, and its Idempotency-Key is the upstream's.
    if request.method().is_safe() || egress::is_relayed(request.uri().path()) {
        return next.run(request).left_future();
    }
    let change = async move { idempotency::apply(&app, request, next).await };
    let done = request::to_its_end(change);
    done.map(|done| done.unwrap_or_else(|| ApiError::internal().into_response()))
        .right_future()
}

fn wrong_host(app: &App, request: &Request) -> Option<Response> {
    match only_host(request) {
        Some(host) if is_known(app, host) => None,
        Some(_) => Some(
            ApiError::new(
                StatusCode::MISDIRECTED_REQUEST,
                "unknown_host",
                "This broker does not answer for that Host.",
                "Use the address it listens on, or add the name to public_hosts.",
            )
            .into_response(),
        ),
        // RFC 9112, 3.2: whoever sends none or two may mean another request than we read.
        None => Some(closing(ApiError::bad_request(
            "The request has no Host header, or several.",
        ))),
    }
}

/// Whether the target is a whole URL of another authority than `Host`: one reader goes by this, the
/// next by that (RFC 9112, 3.2.2), so that neither alone says for whom the request is.
fn names_another_host(request: &Request) -> bool {
    request.uri().authority().is_some_and(|target| {
        let host = only_host(request).and_then(|host| host.to_str().ok());
        !host.is_some_and(|host| host.eq_ignore_ascii_case(target.as_str()))
    })
}

/// A refusal after which nothing more is read from the connection.
fn closing(error: ApiError) -> Response {
    let mut response = error.into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

fn only_host(request: &Request) -> Option<&HeaderValue> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host),
        _ => None,
    }
}

fn is_known(app: &App, host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    app.hosts
        .iter()
        .any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(name))
}
