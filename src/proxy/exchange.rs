//! One request of tool code's, by right of its handle: what tunnels and plain requests have in common.

use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::limits::{BODY_IDLE, GATHER, HEAD_FIELDS, LONGEST};
use crate::audit::Action;
use crate::broker::{BrokerError, Errand, Holder, Relayed};
use crate::egress::{Url, check_method};
use crate::http::serve::RequestBody;
use crate::http::{ApiError, App, event_of};

/// Sends `request` to `url`, with values where its placeholders stand. It was counted before.
///
/// # Errors
/// What the holder hears.
pub(super) async fn exchange(
    app: &App,
    holder: &Holder,
    url: Url,
    request: Request<Incoming>,
) -> Result<Relayed, ApiError> {
    let vault = app.vault()?;
    let turn = app.began(holder)?;
    let (parts, body) = request.into_parts();
    check_method(&parts.method).map_err(ApiError::target)?;
    if parts.headers.contains_key(UPGRADE) {
        return Err(upgrade_refused());
    }
    if parts.headers.len() > HEAD_FIELDS {
        return Err(too_many_fields());
    }
    let length = body.size_hint().exact().filter(|length| *length > 0);
    let body = RequestBody::new(body, BODY_IDLE, Instant::now() + LONGEST);
    let gathered = Errand::gather(parts.method, url, parts.headers, body, length);
    let gathered = timeout(GATHER, vault.while_open(gathered)).await;
    let errand = gathered.map_err(|_| too_slow(GATHER))??;
    let event = event_of(&vault, holder, Action::BrokerExchange);
    let relayed = app
        .lanes()
        .relay_for(&vault, holder, errand?.swapping(), event, turn)
        .await;
    app.metered(relayed.as_ref().map(|relayed| relayed.status).map_err(drop));
    relayed.map_err(|error: BrokerError| app.refused(holder, error))
}

fn upgrade_refused() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "upgrade_refused",
        "The proxy does not switch to another protocol.",
        "Send the request without Upgrade; a WebSocket goes through /v1/egress.",
    )
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
