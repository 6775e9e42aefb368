//! One request of tool code's, by right of its handle: what tunnels and plain requests have in common.

use std::pin::pin;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout};

use super::answer::{self, Answer};
use super::limits::{BODY_IDLE, GATHER, HEAD_FIELDS};
use super::tempo::Open;
use crate::audit::Action;
use crate::broker::{Errand, Handshake, Holder, Opened, RelayedSocket};
use crate::egress::{Url, check_method};
use crate::http::serve::RequestBody;
use crate::http::{ApiError, App, event_of};

/// What came of a request: the upstream's answer, or a WebSocket, which the connection becomes.
pub(super) struct Came {
    opened: Opened,
    upgraded: OnUpgrade,
}

impl Came {
    /// The answer that tells the client; and, of a WebSocket that the upstream agreed to, what the
    /// connection then becomes.
    pub(super) fn told(self, open: Open) -> (Response<Answer>, Option<Becoming>) {
        match self.opened {
            Opened::Answer(relayed) => (answer::relayed(*relayed, open), None),
            Opened::Socket(mut socket) => {
                let headers = std::mem::take(&mut socket.headers);
                let response = answer::agreed(headers, open);
                (response, Some((self.upgraded, socket)))
            }
        }
    }
}

/// A connection that becomes a WebSocket.
pub(super) type Becoming = (OnUpgrade, Box<RelayedSocket>);

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
    let errand = if let Some(handshake) = handshake {
        Errand::socket(url, parts.headers, handshake)
    } else {
        let length = body.size_hint().exact().filter(|length| *length > 0);
        let limits = app.lanes().limits();
        let body = RequestBody::new(body, BODY_IDLE, Instant::now() + limits.stream);
        let size = (length, limits.upload_bytes);
        let gathered = pin!(Errand::gather(parts.method, url, parts.headers, body, size));
        let gathered = timeout(GATHER, vault.while_open(gathered)).await;
        gathered.map_err(|_| too_slow(GATHER))???
    };
    let opened = app
        .lanes()
        .open_for(&vault, holder, errand.swapping(), event, turn)
        .await;
    app.metered(match &opened {
        Ok(Opened::Answer(relayed)) => Ok(relayed.status),
        Ok(Opened::Socket(_)) => Ok(StatusCode::SWITCHING_PROTOCOLS.as_u16()),
        Err(_) => Err(()),
    });
    let opened = opened.map_err(|error| app.refused(holder, error))?;
    Ok(Came { opened, upgraded })
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
