//! What a failure means. The order of the questions is the whole of it: whoever asks the body before
//! the status declares connections dead because a gateway was down.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::code::{CLIENT, Code, GONE, codes_in};
use super::reply::{Document, Reply, Subject, response_of};
use super::retry_after::read_retry_after;
use crate::clock::Timestamp;
use crate::egress::{EgressError, Phase};
use crate::oauth::provider::Provider;
use crate::oauth::provider::spec::{self, Map};

/// What a failure means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// It may work later.
    #[serde(rename = "transient")]
    Transient,
    /// It makes no sense. It may work later, and is counted apart: five in a row over six hours are
    /// worth a notice.
    #[serde(rename = "suspicious")]
    Suspicious,
    /// The grant may be gone. It is, when under the lease the stored token is still the one that was
    /// sent and a second answer agrees.
    #[serde(rename = "revoked")]
    RevokedCandidate,
    /// The client is wrong: an operator or an admin must act. No connection is to blame (R11).
    #[serde(rename = "client_config")]
    Client,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// The address is not one that requests go to, or the request was none.
    Refused,
    /// The name has no address.
    Dns,
    /// No connection came about, or none was free.
    Connect,
    /// The peer did not prove who it is.
    Tls,
    /// The answer took too long.
    Timeout,
    /// The connection ended early.
    Closed,
    /// The answer was over its bounds.
    TooLarge,
    /// The answer was no HTTP.
    Protocol,
}

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Nothing.
    NoReply(NoReply),
    /// An answer.
    Reply {
        /// The answer.
        reply: &'a Reply,
        /// To what.
        subject: Subject,
    },
}

/// What to make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it means.
    pub class: Class,
    /// What it is called.
    pub code: Option<Code>,
    /// When to come again, where the provider says so.
    pub retry_after: Option<Duration>,
    /// Whether the provider finds that it is asked too often: the pace of its host goes down.
    pub rate_limited: bool,
}

impl Class {
    /// The word for it, as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Suspicious => "suspicious",
            Self::RevokedCandidate => "revoked",
            Self::Client => "client_config",
        }
    }
}

impl NoReply {
    /// A stable word for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused_here",
            Self::Dns => "name_not_found",
            Self::Connect => "connect_failed",
            Self::Tls => "tls_failed",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::TooLarge => "too_large",
            Self::Protocol => "not_http",
        }
    }
}

impl From<&EgressError> for NoReply {
    fn from(error: &EgressError) -> Self {
        match error {
            EgressError::BadUrl { .. }
            | EgressError::Refused { .. }
            | EgressError::Metadata
            | EgressError::Circular
            | EgressError::Cleartext
            | EgressError::Method
            | EgressError::HeaderValue
            | EgressError::Root => Self::Refused,
            EgressError::NameNotFound
            | EgressError::Timeout {
                phase: Phase::Resolve,
            } => Self::Dns,
            EgressError::Connect
            | EgressError::Busy
            | EgressError::Share
            | EgressError::Timeout {
                phase: Phase::Connect,
            } => Self::Connect,
            EgressError::Tls { .. }
            | EgressError::Timeout {
                phase: Phase::Handshake,
            } => Self::Tls,
            EgressError::Timeout {
                phase: Phase::Head | Phase::Body,
            } => Self::Timeout,
            EgressError::Upload | EgressError::Closed => Self::Closed,
            EgressError::TooLarge => Self::TooLarge,
            EgressError::UpstreamProtocol => Self::Protocol,
        }
    }
}

/// Says what a failure means. It is asked for everything that gave no tokens.
#[must_use]
pub fn classify(provider: &Provider, told: Told<'_>, now: Timestamp) -> Verdict {
    let (reply, subject) = match told {
        Told::NoReply(kind) => {
            return Verdict {
                class: Class::Transient,
                code: Some(Code::own(kind.as_str())),
                retry_after: None,
                rate_limited: false,
            };
        }
        Told::Reply { reply, subject } => (reply, subject),
    };
    let failure = Failure::of(provider, reply, subject);
    let (class, rate_limited) = failure.class();
    let retry_after = reply.retry_after.as_deref();
    Verdict {
        class,
        code: failure.code(),
        retry_after: retry_after.and_then(|header| read_retry_after(header, now)),
        rate_limited,
    }
}

/// A status with the codes beside it.
pub(super) struct Failure<'p> {
    status: u16,
    codes: Vec<String>,
    own: Option<&'p Map<spec::Meaning>>,
}

impl<'p> Failure<'p> {
    pub(super) fn of(provider: &'p Provider, reply: &Reply, subject: Subject) -> Self {
        let response = response_of(provider.spec(), subject);
        let codes = response.and_then(|response| {
            let document = Document::read_as(reply, response.format)?;
            Some(codes_in(response, document.value()))
        });
        Self {
            status: reply.status,
            codes: codes.unwrap_or_default(),
            own: provider.spec().token.as_ref().map(|token| &token.errors),
        }
    }

    /// The class, and whether we come too often.
    fn class(&self) -> (Class, bool) {
        if self.is_passing() {
            return (Class::Transient, self.status == 429);
        }
        if let Some(class) = self.files_word() {
            return match class {
                spec::Class::Revoked | spec::Class::Denied => (Class::RevokedCandidate, false),
                spec::Class::Client => (Class::Client, false),
                spec::Class::Suspicious => (Class::Suspicious, false),
                spec::Class::RateLimited | spec::Class::SlowDown => (Class::Transient, true),
                spec::Class::Transient | spec::Class::Pending => (Class::Transient, false),
            };
        }
        // An error inside an answer of success is one all the same.
        let told = matches!(self.status, 400 | 401 | 200..=299);
        if told && self.says(&GONE).is_some() {
            return (Class::RevokedCandidate, false);
        }
        if self.says(&CLIENT).is_some() {
            return (Class::Client, false);
        }
        (Class::Suspicious, false)
    }

    /// Whatever the body says: a status that passes (R9).
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..)
    }

    /// What the file says of one of the codes.
    pub(super) fn files_word(&self) -> Option<spec::Class> {
        let own = self.own?;
        let mut known = self.codes.iter().filter_map(|code| own.get(code));
        let meant = known.find(|it| it.statuses.is_empty() || it.statuses.contains(&self.status));
        meant.map(|meaning| meaning.class)
    }

    /// The first code that is in the list.
    pub(super) fn says(&self, list: &[&str]) -> Option<&str> {
        let mut codes = self.codes.iter().map(String::as_str);
        codes.find(|code| list.contains(code))
    }

    /// The code that decided; otherwise the first that may be kept.
    pub(super) fn code(&self) -> Option<Code> {
        let none = Map::new();
        let own = self.own.unwrap_or(&none);
        let decided = self.codes.iter().find(|code| own.contains_key(*code));
        let decided = decided.map(String::as_str);
        let known = decided
            .or_else(|| self.says(&GONE))
            .or_else(|| self.says(&CLIENT));
        let mut codes = known
            .into_iter()
            .chain(self.codes.iter().map(String::as_str));
        codes.find_map(|code| Code::of(code, own))
    }
}
