//! One request of tool code's, by right of its handle: what tunnels and plain requests have in common.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout};

use super::answer::{self, Answer};
use super::limits::{BODY_IDLE, GATHER, HEAD_FIELDS, LONGEST};
use super::tempo::Open;
use crate::audit::Action;
use crate::broker::{BrokerError, Errand, Handshake, Holder, Opened, Relayed, RelayedSocket};
use crate::egress::{Url, check_method};
use crate::http::serve::RequestBody;
use crate::http::{ApiError, App, event_of};

/// What came of a request.
pub(super) enum Came {
    /// The upstream's answer.
    Answer(Box<Relayed>),
    /// A WebSocket, which the connection becomes.
    Socket(Agreed),
}

/// A WebSocket that the upstream agreed to, and its client has not heard of.
pub(super) struct Agreed {
    socket: Box<RelayedSocket>,
    handshake: Handshake,
    upgraded: OnUpgrade,
}

impl Agreed {
    /// The answer that tells the client, and what the connection then becomes.
    pub(super) fn told(mut self, open: Open) -> (Response<Answer>, OnUpgrade, Box<RelayedSocket>) {
        let headers = std::mem::take(&mut self.socket.headers);
        let response = answer::agreed(headers, &self.handshake, open);
        (response, self.upgraded, self.socket)
    }
}

/// Sends `request` to `url`, with values where its placeholders stand. It was counted before.
///
/// # Errors
/// What the holder hears.
pub(super) async fn exchange(
    app: &App,
    holder: &Holder,
    url: Url,
    mut request: Request<Incoming>,
) -> Result<Came, ApiError> {
    let vault = app.vault()?;
    let turn = app.began(holder)?;
    let upgraded = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    check_method(&parts.method).map_err(ApiError::target)?;
    let has_body = !body.is_end_stream();
    let handshake = Handshake::read(&parts.method, parts.version, &parts.headers, has_body)?;
    if parts.headers.len() > HEAD_FIELDS {
        return Err(too_many_fields());
    }
    let event = event_of(&vault, holder, Action::BrokerExchange);
    let opened = if handshake.is_some() {
        let errand = Errand::socket(url, parts.headers).swapping();
        let lanes = app.lanes();
        lanes
            .relay_socket_for(&vault, holder, errand, event, turn)
            .await
    } else {
        let length = body.size_hint().exact().filter(|length| *length > 0);
        let body = RequestBody::new(body, BODY_IDLE, Instant::now() + LONGEST);
        let gathered = Errand::gather(parts.method, url, parts.headers, body, length);
        let gathered = timeout(GATHER, vault.while_open(gathered)).await;
        let errand = gathered.map_err(|_| too_slow(GATHER))??;
        let errand = errand?.swapping();
        let relayed = app.lanes().relay_for(&vault, holder, errand, event, turn);
        let relayed = relayed.await;
        relayed.map(|relayed| Opened::Answer(Box::new(relayed)))
    };
    app.metered(match &opened {
        Ok(Opened::Answer(relayed)) => Ok(relayed.status),
        Ok(Opened::Socket(_)) => Ok(StatusCode::SWITCHING_PROTOCOLS.as_u16()),
        Err(_) => Err(()),
    });
    let opened = opened.map_err(|error: BrokerError| app.refused(holder, error))?;
    match (opened, handshake) {
        (Opened::Answer(relayed), _) => Ok(Came::Answer(relayed)),
        (Opened::Socket(socket), Some(handshake)) => Ok(Came::Socket(Agreed {
            socket,
            handshake,
            upgraded,
        })),
        (Opened::Socket(_), None) => Err(ApiError::internal()),
    }
}

fn too_many_fields() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "too_many_headers",
        format!("The request has more than {HEAD_FIELDS} header fields."),
        "Send fewer.",
    )
}

fn too_slow(limit: Duration) -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "request_timeout",
        format!(
            "The body did not come within {} seconds. Nothing was sent.",
            limit.as_secs()
        ),
        "Try again.",
    )
}
