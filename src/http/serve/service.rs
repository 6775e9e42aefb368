//! What stands between hyper and the routes: checks that need no route, and the request's clock.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::Semaphore;
use tower::{Service, ServiceExt};

use super::body::{BoxError, Ending, RequestBody, ResponseBody, Seat};
use super::client_certificate::ClientCertificate;
use super::limits::ServeLimits;
use super::peer::Peer;
use super::pulse::Pulse;
use super::switch::{Next, Switch};

/// In the extensions of every request: the right to take longer than
/// [`ServeLimits::whole_request`].
#[derive(Clone, Debug)]
pub struct RequestDeadline(Pulse);

impl RequestDeadline {
    /// Lifts the limit on the whole length of this request, its body and its response. The limits
    /// on silence stay. Call it before the limit is reached.
    pub fn lift(&self) {
        self.0.lift();
    }
}

/// Put into the extensions of a response, lifts the limit on how long it may take to be sent. It is no longer
/// one of the requests in flight then: who streams counts what streams.
#[derive(Clone, Copy, Debug)]
pub struct Streaming;

/// The routes, as one connection sees them.
pub(super) struct Routes<S> {
    pub(super) service: S,
    pub(super) limits: ServeLimits,
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) peer: Peer,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) pulse: Pulse,
    /// What the connection becomes, when an answer switches protocols.
    pub(super) next: Next,
}

/// Why a request never reached its route, or was taken from it.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    UriTooLong,
    Busy,
    TooSlow,
}

type Answer<B> = Result<Response<ResponseBody<B>>, Infallible>;

impl<S, B> hyper::service::Service<Request<Incoming>> for Routes<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer<B>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let until = self.pulse.request_began();
        let mut ending = Ending {
            pulse: self.pulse.clone(),
            in_flight: None,
        };
        if uri_bytes(&request) > self.limits.uri_bytes && !is_written_by_others(&request) {
            return Box::pin(async { Ok(Refusal::UriTooLong.answer(ending)) });
        }
        let Ok(in_flight) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            return Box::pin(async { Ok(Refusal::Busy.answer(ending)) });
        };
        let seat = Seat::new(in_flight);
        ending.in_flight = Some(seat.clone());
        let switching = (request.extensions_mut().remove(), self.next.clone());
        let mut request = request.map(|body| {
            RequestBody::new(body, self.limits.body_idle, until).of(self.pulse.clone())
        });
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(seat);
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        request
            .extensions_mut()
            .insert(RequestDeadline(self.pulse.clone()));
        Box::pin(answer(self.service.clone(), request, ending, switching))
    }
}

/// Lets the routes answer until the connection says that the time is over.
async fn answer<S, B>(
    service: S,
    request: Request<RequestBody>,
    mut ending: Ending,
    (upgrade, next): (Option<OnUpgrade>, Next),
) -> Answer<B>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
{
    let mut answering = pin!(service.oneshot(request));
    // The route is asked first: a body that expired at this moment has better words than ours.
    let answered = poll_fn(|cx| match answering.as_mut().poll(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending if ending.pulse.is_expired() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    Ok(match answered.await {
        None => Refusal::TooSlow.answer(ending),
        Some(response) => {
            if response.extensions().get::<Streaming>().is_some() {
                ending.pulse.lift();
                ending.in_flight = None;
            }
            if let Some(switch) = response.extensions().get::<Switch>() {
                next.set(upgrade, switch);
                ending.in_flight = None;
            }
            response.map(|body| ResponseBody::service(body, ending))
        }
    })
}

/// A provider's answer is as long as its provider makes it, up to what a header may have in all: whoever
/// brings it is a person with a browser, and is owed a page that says what is wrong (B6).
fn is_written_by_others<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    ["/v1/oauth/callback/", "/oauth/callback/"]
        .iter()
        .any(|answers| path.starts_with(answers) && path.len() < 128)
}

fn uri_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    uri.path().len() + uri.query().map_or(0, |query| query.len() + 1)
}

impl Refusal {
    fn answer<B>(self, ending: Ending) -> Response<ResponseBody<B>> {
        let (status, text) = match self {
            Self::UriTooLong => (
                StatusCode::URI_TOO_LONG,
                r#"{"error":{"code":"uri_too_long","message":"The path and query are too long.","hint":"Send long values in the body."}}"#,
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"error":{"code":"busy","message":"Too many requests are running.","hint":"Try again after the seconds in Retry-After."}}"#,
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                r#"{"error":{"code":"request_timeout","message":"The request took too long.","hint":"Try again; what it asked for may or may not have been done."}}"#,
            ),
        };
        let body = Full::new(Bytes::from_static(text.as_bytes()));
        let mut response = Response::new(ResponseBody::refusal(body, ending));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Self::Busy = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
