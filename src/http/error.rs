//! The one place where failures become answers: status, code, sentence, next step.
//!
//! No match here has a wildcard arm over our own errors, so that a new failure does not compile until
//! somebody decided what a person hears. Input and upstream text never get here: error types hold none.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::directory::DirectoryError;
use crate::policy::Denied;
use crate::tools::HubError;
use crate::vault::{Counted, VaultError};
use crate::wire;

use super::request;

/// A failure as it is answered.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    hint: Cow<'static, str>,
    retry_after: Option<u64>,
    connect_url: Option<String>,
}

impl ApiError {
    /// A failure with this status, code, sentence and next step.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: hint.into(),
            retry_after: None,
            connect_url: None,
        }
    }

    /// A request that breaks a rule.
    #[must_use]
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            message,
            "Correct the request; /v1/openapi.json describes what is accepted.",
        )
    }

    /// What does not exist, and what is somebody else's: one answer.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing of that name or id that you may see.",
            "Check the name or id, and whether it is organisation-wide (--org-wide, in the API orgWide=true).",
        )
    }

    /// Nobody was recognised.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "The request carries no API key that is valid now.",
            "Send X-API-Key or Authorization: Bearer with a valid key, or sign in with runtools login.",
        )
    }

    /// The vault is sealed.
    #[must_use]
    pub fn sealed() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "sealed",
            "The vault is sealed.",
            "The operator unseals it with runtools-broker unseal.",
        )
    }

    /// Something that is our fault.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The broker could not finish the request.",
            "Try again; if it stays so, look up the request id in the broker's log.",
        )
    }

    /// The same failure with another next step.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Cow::Borrowed(hint);
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Says how long to wait, in whole seconds: what is left of one counts as one.
    #[must_use]
    pub(super) fn wait(self, left: std::time::Duration) -> Self {
        let begun = u64::from(left.subsec_nanos() > 0);
        self.retry_after(left.as_secs().saturating_add(begun).max(1))
    }

    /// Says where the flow is begun that puts it right.
    #[must_use]
    pub(super) fn connect_url(mut self, path: Option<String>) -> Self {
        self.connect_url = path;
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl ApiError {
    /// In how many seconds to try again.
    pub(super) const fn waits(&self) -> Option<u64> {
        self.retry_after
    }

    /// What its answer says.
    pub(super) fn detail(self) -> wire::FailureDetail {
        wire::FailureDetail {
            code: self.code.to_owned(),
            message: self.message.into_owned(),
            hint: Some(self.hint.into_owned()).filter(|hint| !hint.is_empty()),
            connect_url: self.connect_url.map(String::into_boxed_str),
            request_id: Some(request::id_text()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, after) = (self.status, self.retry_after);
        let error = self.detail();
        let mut response = (status, Json(wire::Failure { error })).into_response();
        go_with(status, after, response.headers_mut());
        response
    }
}

/// Adds the headers that go with an answer of this status.
pub(super) fn go_with(status: StatusCode, after: Option<u64>, headers: &mut HeaderMap) {
    if let Some(seconds) = after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        let bearer = HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, bearer);
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110, 15.5.22; RFC 6455, 4.2.2.
        let version = HeaderValue::from_static("13");
        headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}

fn forbidden(code: &'static str, denied: Denied, hint: &'static str) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        code,
        capital(&denied.to_string()),
        hint,
    )
}

/// Our errors are phrases; an answer is a sentence.
pub(super) fn capital(phrase: &str) -> String {
    let mut letters = phrase.chars();
    let mut sentence: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Scope(_) => forbidden(
                "missing_scope",
                denied,
                "Use a key with that scope: runtools auth keys create NAME --scope SCOPE.",
            ),
            Denied::Service => forbidden(
                "not_for_services",
                denied,
                "The user does this with their own key, and not through a service.",
            ),
            Denied::AdminOnly => {
                forbidden("admin_only", denied, "Ask an admin of your organisation.")
            }
            Denied::OperatorOnly => forbidden(
                "operator_only",
                denied,
                "Run the command on the broker's machine, as the user it runs as or as root.",
            ),
            Denied::OrgPolicy => forbidden(
                "policy_denied",
                denied,
                "An admin can change the organisation's settings.",
            ),
            Denied::Escalation => forbidden(
                "scope_escalation",
                denied,
                "Ask for scopes that your own key has, or use a key with more.",
            ),
            Denied::NotFound => Self::not_found(),
        }
    }
}

impl From<HubError> for ApiError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::NotFound => Self::not_found(),
            HubError::Shipped => Self::new(
                StatusCode::CONFLICT,
                "slug_taken",
                capital(&error.to_string()),
                "Choose another slug for your own tool.",
            ),
            HubError::Spec(error) => Self::new(
                StatusCode::BAD_REQUEST,
                "bad_spec",
                if error.pointer().is_empty() {
                    format!("The tool's spec breaks a rule: {error}.")
                } else {
                    format!("The tool's spec breaks a rule at {error}.")
                },
                error.hint(),
            ),
            HubError::Vault(error) => error.into(),
        }
    }
}

/// What to do where there are as many as there may be.
fn room_for(what: Counted) -> &'static str {
    match what {
        Counted::Secrets => {
            "Destroy what is not needed (runtools secret delete NAME --destroy), or ask the operator for a higher quota."
        }
        Counted::Tools => "Delete a tool that is not needed (runtools tool delete SLUG).",
        Counted::Keys => {
            "Revoke a key that is not needed (runtools auth keys revoke ID), or ask the operator for a higher quota."
        }
        Counted::KeysOfADay => {
            "Use one of the keys that there are, try again tomorrow, or ask the operator for a higher quota."
        }
    }
}

/// What a rotation of keys has to say: it is under way, or does not come on.
fn of_rotation(error: &VaultError) -> ApiError {
    let (code, message, hint) = match error {
        VaultError::Stuck(_) => (
            "records_left",
            capital(&error.to_string()),
            "Both keys go on opening, and the work is tried again by itself. The operator finds what is left in the broker's log.",
        ),
        _ => (
            "rotating",
            "A rotation of this organisation's keys is not over.".to_owned(),
            "Wait for it, or resume it if it is paused: runtools key rotate status.",
        ),
    };
    ApiError::new(StatusCode::CONFLICT, code, message, hint)
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Sealed => Self::sealed(),
            VaultError::NotFound => Self::not_found(),
            VaultError::Denied(denied) => denied.into(),
            VaultError::Stale => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "stale",
                "It was changed by somebody else in the meantime, so nothing was done.",
                "Read it again, and send its etag in If-Match.",
            ),
            VaultError::Exists => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "exists",
                "It exists already, and If-None-Match: * asked for a new one.",
                "Choose another name, or send its etag in If-Match to replace it.",
            ),
            VaultError::NotRevealable => Self::new(
                StatusCode::FORBIDDEN,
                "not_revealable",
                "This secret was set as not revealable.",
                "Tools can use it. To see a value again, set it anew with a new value and revealable true.",
            ),
            VaultError::Expired => Self::new(
                StatusCode::CONFLICT,
                "secret_expired",
                "This secret has expired.",
                "Rotate it, or set a new expiry.",
            ),
            VaultError::Rule(rule) => Self::bad_request(capital(rule)),
            VaultError::Quota { what, .. } => Self::new(
                StatusCode::CONFLICT,
                "quota_reached",
                capital(&error.to_string()),
                room_for(what),
            ),
            VaultError::Rotating | VaultError::Stuck(_) => of_rotation(&error),
            VaultError::Store(error) => error.into(),
            VaultError::Audit(error) => error.into(),
            VaultError::Custody(error) => error.into(),
            VaultError::Crypto(_)
            | VaultError::Form
            | VaultError::StoreGone
            | VaultError::RingGone
            | VaultError::JournalMismatch { .. }
            | VaultError::InOrder
            | VaultError::Io { .. } => {
                tracing::error!(error = %error, "the vault failed");
                Self::internal()
            }
        }
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::NotFound => Self::not_found(),
            DirectoryError::Exists(text) => Self::new(
                StatusCode::CONFLICT,
                "exists",
                capital(text),
                "Choose another one.",
            ),
            DirectoryError::LastAdmin => Self::new(
                StatusCode::CONFLICT,
                "last_admin",
                capital(&error.to_string()),
                "Make somebody else an admin first.",
            ),
            DirectoryError::Unrecognised => Self::unauthorized(),
            DirectoryError::Rule(rule) => Self::bad_request(capital(rule)),
            DirectoryError::Denied(denied) => denied.into(),
            DirectoryError::Vault(error) => error.into(),
        }
    }
}
