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

/// Writes the failures down once: what they are called here, what callers know them by, and all of them.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why an account is not connected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Failure {
            $($(#[$doc])* $name,)*
        }

        impl Failure {
            /// Every one, in the order in which a flow can meet them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

failures! {
    /// The person said no at the provider.
    Denied = "access_denied",
    /// The provider does not give what was asked for.
    Scope = "invalid_scope",
    /// The provider does not accept the client, or what it sends.
    Client = "client_config",
    /// The provider is out of order.
    Unavailable = "provider_unavailable",
    /// The provider needed the person, who was not there.
    Interaction = "interaction_required",
    /// The provider said an error that no standard knows.
    Provider = "provider_error",
    /// The answer names another issuer than the one that was asked, or none where it must (RFC 9207).
    Issuer = "wrong_issuer",
    /// The answer came to another provider's path.
    OtherProvider = "wrong_provider",
    /// The answer lacks what belongs in it.
    Answer = "bad_answer",
    /// The answer's signature is wrong, or too old.
    Signature = "bad_signature",
    /// The code from the terminal was wrong too often.
    Tries = "too_many_tries",
    /// Whoever began it ended it.
    Cancelled = "cancelled",
    /// The same user began too many others.
    Superseded = "superseded",
    /// The provider's code was not redeemed in its time.
    Late = "code_expired",
    /// The provider did not answer when the code was redeemed; it is not tried twice (B11).
    TryAgain = "try_again",
    /// The provider refused the code.
    Refused = "provider_refused",
    /// Another account than the one to be connected again.
    Mismatch = "account_mismatch",
    /// The user is no member of the organisation any more.
    NotMember = "not_member",
    /// The provider did not say whose account it is.
    NoIdentity = "no_identity",
    /// The provider's answer cannot be understood.
    Protocol = "protocol",
    /// The provider has no device flow for this client.
    NotEnabled = "device_not_enabled",
    /// The person did not come in time.
    Expired = "expired",
    /// The vault is sealed.
    Sealed = "sealed",
    /// It could not be recorded or stored.
    Internal = "internal_error",
    /// The member, or the organisation, has as many accounts connected as may be.
    TooMany = "too_many_accounts",
    /// What was granted could not be stored, and perhaps not be revoked either.
    Unkept = "not_kept",
}

impl Failure {
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
    fn no_two_failures_have_the_same_code() {
        let codes: std::collections::HashSet<_> =
            Failure::ALL.iter().map(|failure| failure.code()).collect();
        assert_eq!(codes.len(), Failure::ALL.len());
        assert!(codes.contains("access_denied") && codes.contains("internal_error"));
    }

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
