//! What using a credential reports, as answers. As in `error`, no status has a wildcard arm.

use http::StatusCode;

use crate::broker::{BrokerError, HandleFault, HandshakeFault, NoAnswer};
use crate::egress::EgressError;

use super::ApiError;
use super::error::capital;

/// What a caller hears whose request for another protocol is refused.
impl From<HandshakeFault> for ApiError {
    fn from(fault: HandshakeFault) -> Self {
        let (status, code, hint) = match fault {
            HandshakeFault::Protocol => (
                StatusCode::NOT_IMPLEMENTED,
                "upgrade_refused",
                "Send the request without Upgrade, or with Upgrade: websocket.",
            ),
            HandshakeFault::Version => (
                StatusCode::UPGRADE_REQUIRED,
                "websocket_version",
                "Open it with Sec-WebSocket-Version: 13.",
            ),
            HandshakeFault::Malformed(_) => (
                StatusCode::BAD_REQUEST,
                "websocket_refused",
                "Open it with a client that keeps RFC 6455, 4.1.",
            ),
        };
        Self::new(status, code, capital(&fault.to_string()), hint)
    }
}

impl From<BrokerError> for ApiError {
    fn from(error: BrokerError) -> Self {
        let (code, mut message, mut hint) =
            (error.code(), capital(&error.to_string()), error.hint());
        if let BrokerError::Tool(error) = &error {
            error.call_hint().clone_into(&mut hint);
            if !error.pointer().is_empty() {
                message = format!("The parameters break a rule at {error}.");
            }
        }
        let connect = connect_path(&error);
        let after = after(&error);
        let status = match error {
            BrokerError::Vault(error) => return error.into(),
            BrokerError::Hub(error) => return error.into(),
            BrokerError::Directory(error) => return error.into(),
            BrokerError::Handle(HandleFault::Unknown) => StatusCode::NOT_FOUND,
            BrokerError::Handle(_) => StatusCode::GONE,
            BrokerError::NoAnswer(NoAnswer::Egress(EgressError::Timeout { .. })) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            BrokerError::Sealed
            | BrokerError::TokenUnavailable { .. }
            | BrokerError::NoAnswer(NoAnswer::Egress(EgressError::Busy)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            BrokerError::NoAnswer(_) => StatusCode::BAD_GATEWAY,
            BrokerError::Egress(EgressError::Share) | BrokerError::Handles => {
                StatusCode::TOO_MANY_REQUESTS
            }
            BrokerError::UnknownField
            | BrokerError::Tool(_)
            | BrokerError::Egress(EgressError::Upload) => StatusCode::BAD_REQUEST,
            BrokerError::OverrideUnavailable { .. } | BrokerError::AccountUnavailable { .. } => {
                StatusCode::NOT_FOUND
            }
            BrokerError::OverrideUnusable { .. }
            | BrokerError::Unbound
            | BrokerError::Misplaced(_)
            | BrokerError::AnotherRequest
            | BrokerError::Withdrawn
            | BrokerError::Steering(_)
            | BrokerError::Egress(_) => StatusCode::FORBIDDEN,
            BrokerError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BrokerError::NoAuthority(_) => StatusCode::INTERNAL_SERVER_ERROR,
            BrokerError::NoProxy
            | BrokerError::Changed
            | BrokerError::Missing { .. }
            | BrokerError::Misfit { .. }
            | BrokerError::NeedsConnect { .. }
            | BrokerError::NeedsReauth { .. }
            | BrokerError::AmbiguousAccount { .. }
            | BrokerError::MissingScopes { .. } => StatusCode::CONFLICT,
            BrokerError::Placement(_) | BrokerError::Scrub(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let answer = Self::new(status, code, message, capital(&hint)).connect_url(connect);
        match after {
            Some(seconds) => answer.retry_after(seconds),
            None => answer,
        }
    }
}

/// In how many seconds it may be otherwise, where that is known.
const fn after(error: &BrokerError) -> Option<u64> {
    match error {
        BrokerError::TokenUnavailable { again_s, .. } => *again_s,
        BrokerError::Egress(EgressError::Share) | BrokerError::Handles => Some(1),
        _ => None,
    }
}

/// Where the flow is begun that puts an error right, as a path of this API.
fn connect_path(error: &BrokerError) -> Option<String> {
    let again = |provider, connection| format!("/v1/oauth/start/{provider}?reconnect={connection}");
    let encoded = |scopes: &[String]| -> String {
        let scopes = scopes.join(" ");
        url::form_urlencoded::byte_serialize(scopes.as_bytes()).collect()
    };
    match error {
        BrokerError::NeedsConnect {
            provider, scopes, ..
        } if scopes.is_empty() => Some(format!("/v1/oauth/start/{provider}")),
        BrokerError::NeedsConnect {
            provider, scopes, ..
        } => Some(format!(
            "/v1/oauth/start/{provider}?scopes={}",
            encoded(scopes)
        )),
        BrokerError::NeedsReauth {
            provider,
            connection,
            ..
        } => Some(again(provider, connection)),
        BrokerError::MissingScopes {
            provider,
            connection,
            missing,
        } => {
            let again = again(provider, connection);
            Some(format!("{again}&scopes={}", encoded(missing)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http::header::RETRY_AFTER;

    use super::ApiError;
    use crate::broker::BrokerError;
    use crate::egress::EgressError;

    /// The status, and in how many seconds to come again.
    fn told(answer: ApiError) -> (u16, Option<u64>) {
        let response = answer.into_response();
        let header = response.headers().get(RETRY_AFTER);
        let seconds = header.map(|value| value.to_str().unwrap().parse().unwrap());
        (response.status().as_u16(), seconds)
    }

    #[test]
    fn who_has_their_share_of_connections_hears_when_to_try_again() {
        let answer = ApiError::from(BrokerError::Egress(EgressError::Share));
        assert_eq!(answer.code(), "egress_share");
        assert_eq!(told(answer), (429, Some(1)));
    }

    #[test]
    fn who_waits_for_a_token_gets_the_time_in_the_header_of_that_name() {
        for again_s in [Some(91), None] {
            let provider = crate::name::ProviderId::parse("issuer").unwrap();
            let why = "token_unavailable";
            let answer = ApiError::from(BrokerError::TokenUnavailable {
                provider,
                why,
                again_s,
            });
            assert_eq!(told(answer), (503, again_s));
        }
    }
}
