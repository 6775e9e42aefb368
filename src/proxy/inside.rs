//! Inside a tunnel: requests to the one origin that it goes to.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, Answer};
use super::exchange::{Came, exchange};
use super::switch::Next;
use super::target::{self, Astray};
use super::tempo::Tempo;
use crate::broker::{Holder, RelayedSocket};
use crate::egress::{Origin, Url};
use crate::http::serve::Peer;
use crate::http::{ApiError, App, as_request};

/// One tunnel, as its requests see it.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) app: App,
    pub(super) peer: Peer,
    pub(super) holder: Holder,
    pub(super) origin: Origin,
    pub(super) tempo: Arc<Tempo>,
    /// What the connection becomes, where it speaks HTTP/1.1.
    pub(super) next: Arc<Next<Box<RelayedSocket>>>,
    /// Whether one refusal can end the connection without ending other requests.
    pub(super) one_by_one: bool,
}

impl Inside {
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let open = self.tempo.begin();
        // On the heap by itself: it is large, and what is handed on by value is kept once more at each step.
        let work = Box::pin(self.relay(request));
        let came = as_request(self.peer, work).await;
        Ok(match came.flatten() {
            Ok(came) => {
                let (response, becoming) = came.told(open);
                if let Some((upgraded, socket)) = becoming {
                    self.next.set(upgraded, socket);
                }
                response
            }
            Err(error) => {
                let last = self.one_by_one && is_last(&error);
                answer::refusal(error, open, last)
            }
        })
    }

    async fn relay(&self, request: Request<Incoming>) -> Result<Came, ApiError> {
        self.app.counted(&self.holder)?;
        let text = target::inside(request.uri(), request.headers(), &self.origin);
        let text = text.map_err(|astray| astray_told(astray, &self.origin))?;
        let url = Url::parse(&text).map_err(ApiError::target)?;
        exchange(&self.app, &self.holder, url, request).await
    }
}

/// Whether nothing more can come of this connection.
fn is_last(error: &ApiError) -> bool {
    // What two readers may read differently is the end of what they read together (RFC 9112, 11.2).
    matches!(
        error.status(),
        StatusCode::GONE | StatusCode::MISDIRECTED_REQUEST
    )
}

fn astray_told(astray: Astray, origin: &Origin) -> ApiError {
    match astray {
        Astray::Elsewhere => ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong_authority",
            format!(
                "This tunnel goes to {}; the request is for somewhere else.",
                origin.authority()
            ),
            "Send Host (or :authority) as in the CONNECT, and open a tunnel for each host.",
        ),
        Astray::NoPath => ApiError::new(
            StatusCode::BAD_REQUEST,
            "no_path",
            "The request names no path.",
            "Send a path that begins with a slash. A tunnel carries no CONNECT and no OPTIONS *.",
        ),
    }
}
