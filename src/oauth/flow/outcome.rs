//! How a flow ends.

use crate::id::ConnectionId;

/// The end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The account is connected.
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// What its provider calls the account: a name, for people to read.
        account: String,
        /// Whether it was there before, and has a new grant.
        renewed: bool,
        /// Required scopes that were not granted: the connection is limited.
        missing: Vec<String>,
    },
    /// It is not.
    Failed(Failure),
}

/// Why an account is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The person said no at the provider.
    Denied,
    /// The provider does not give what was asked for.
    Scope,
    /// The provider does not accept the client, or what it sends.
    Client,
    /// The provider is out of order.
    Unavailable,
    /// The provider needed the person, who was not there.
    Interaction,
    /// The provider said an error that no standard knows.
    Provider,
    /// The answer names another issuer than the one that was asked, or none where it must (RFC 9207).
    Issuer,
    /// The answer came to another provider's path.
    OtherProvider,
    /// The answer lacks what belongs in it.
    Answer,
    /// The answer's signature is wrong, or too old.
    Signature,
    /// The signed answer was used before.
    Replayed,
    /// The code from the terminal was wrong too often.
    Tries,
    /// Whoever began it ended it.
    Cancelled,
    /// The same user began too many others.
    Superseded,
    /// The provider's code was not redeemed in its time.
    Late,
    /// The provider did not answer when the code was redeemed; it is not tried twice (B11).
    TryAgain,
    /// The provider refused the code.
    Refused,
    /// Another account than the one to be connected again.
    Mismatch,
    /// The user is no member of the organisation any more.
    NotMember,
    /// The provider did not say whose account it is.
    NoIdentity,
    /// The provider's answer cannot be understood.
    Protocol,
    /// The provider has no device flow for this client.
    NotEnabled,
    /// The person did not come in time.
    Expired,
    /// The vault is sealed.
    Sealed,
    /// It could not be recorded or stored.
    Internal,
}

impl Failure {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Denied => "access_denied",
            Self::Scope => "invalid_scope",
            Self::Client => "client_config",
            Self::Unavailable => "provider_unavailable",
            Self::Interaction => "interaction_required",
            Self::Provider => "provider_error",
            Self::Issuer => "wrong_issuer",
            Self::OtherProvider => "wrong_provider",
            Self::Answer => "bad_answer",
            Self::Signature => "bad_signature",
            Self::Replayed => "replayed",
            Self::Tries => "too_many_tries",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Late => "code_expired",
            Self::TryAgain => "try_again",
            Self::Refused => "provider_refused",
            Self::Mismatch => "account_mismatch",
            Self::NotMember => "not_member",
            Self::NoIdentity => "no_identity",
            Self::Protocol => "protocol",
            Self::NotEnabled => "device_not_enabled",
            Self::Expired => "expired",
            Self::Sealed => "sealed",
            Self::Internal => "internal_error",
        }
    }

    /// What an error callback says (RFC 6749 section 4.1.2.1, `OpenID` Connect Core 3.1.2.6, RFC 8707,
    /// and what well-known providers say in their place). The text itself goes nowhere (B7).
    pub(super) fn of_error(error: &str) -> Self {
        match error {
            "access_denied"
            | "user_denied"
            | "consent_denied"
            | "user_cancelled_login"
            | "user_cancelled_authorize" => Self::Denied,
            "invalid_scope" => Self::Scope,
            "invalid_request"
            | "unauthorized_client"
            | "invalid_client"
            | "unsupported_response_type"
            | "unsupported_response_mode"
            | "redirect_uri_mismatch"
            | "invalid_request_uri"
            | "invalid_request_object"
            | "request_not_supported"
            | "request_uri_not_supported"
            | "registration_not_supported"
            | "application_suspended"
            | "invalid_target" => Self::Client,
            "server_error" | "temporarily_unavailable" => Self::Unavailable,
            "interaction_required"
            | "login_required"
            | "account_selection_required"
            | "consent_required" => Self::Interaction,
            _ => Self::Provider,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn b7_a_provider_s_error_is_one_of_a_list() {
        for (error, failure) in [
            ("access_denied", Failure::Denied),
            ("invalid_scope", Failure::Scope),
            ("unauthorized_client", Failure::Client),
            ("server_error", Failure::Unavailable),
            ("consent_required", Failure::Interaction),
            ("ACCESS_DENIED", Failure::Provider),
            ("<script>", Failure::Provider),
            ("", Failure::Provider),
        ] {
            assert_eq!(Failure::of_error(error), failure, "{error}");
        }
    }
}
