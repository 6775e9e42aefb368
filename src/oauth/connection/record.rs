//! What is kept of a connection.
//!
//! A *connection* says whose it is, to which account, and by which client; it rarely changes. Each of
//! its *token sets* has a state (versions, times, failures; no token) and a value (the tokens). They
//! are records of their own, so that a write to one never undoes a write to another, and only a write
//! that expects the state it read can change it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::oauth::client::ClientRef;
use crate::oauth::provider::Bound;

/// The name of the token set that every connection has.
pub const MAIN: &str = "main";

/// An account that a member authorised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The organisation.
    pub org: OrgId,
    /// Whose it is.
    pub user: UserId,
    /// Who issued its tokens.
    pub provider: ProviderId,
    /// The client that made it, and that alone can refresh it.
    pub client: ClientRef,
    /// Parameters and captured values.
    pub bound: Bound,
    /// Whose account it is.
    pub account: Account,
    /// The sites, tenants or accounts inside it that the grant is for, where the provider has such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// The scopes that were granted, as far as the provider says.
    pub scopes: Vec<String>,
    /// The scopes that were asked for.
    pub asked: Vec<String>,
    /// What was granted less than the provider's file requires.
    pub missing: Vec<String>,
    /// The token sets, by name.
    pub sets: Vec<String>,
    /// The ID token's issuer and subject, which a refresh must not change (OpenID Connect Core 12.2).
    #[serde(default)]
    pub subject: Option<Subject>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last authorised.
    pub authorized: Timestamp,
}

/// Whom an ID token spoke of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
}

/// An account, as its provider tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The provider's id for it: what makes two connections the same.
    pub id: String,
    /// What people call it: a login, an address, a name.
    #[serde(default)]
    pub label: Option<String>,
    /// Its e-mail address.
    #[serde(default)]
    pub email: Option<String>,
}

/// A site, tenant or account inside an account: requests to the API name one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The provider's id for it.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address, a https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Account {
    /// What to call it.
    #[must_use]
    pub fn shown(&self) -> &str {
        let label = self.label.as_deref().or(self.email.as_deref());
        label.unwrap_or(&self.id)
    }

    /// Whether this is what a person calls it.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        let names = [Some(&self.id), self.label.as_ref(), self.email.as_ref()];
        names.into_iter().flatten().any(|own| own == name)
    }
}

/// Why a grant is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// The provider says that the person took it back.
    UserRevoked,
    /// Its time was over.
    Expired,
    /// A refresh token was spent and its successor never arrived.
    RotationLost,
    /// The provider saw a spent refresh token again.
    ReuseDetected,
    /// The provider said so and gave no reason that we know.
    ProviderSaid,
}

impl Revoked {
    /// A stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UserRevoked => "user_revoked",
            Self::Expired => "expired",
            Self::RotationLost => "rotation_lost",
            Self::ReuseDetected => "reuse_detected",
            Self::ProviderSaid => "provider_said",
        }
    }
}

/// How a token set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It works.
    Active,
    /// Refreshing fails for now; the access token may still be valid.
    Degraded,
    /// Refreshing fails for the client's sake: an admin must act.
    ConfigError,
    /// The grant is over: the person must connect again.
    Revoked(Revoked),
}

/// A refresh that was sent, or was about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The number that the answer must still find.
    pub fence: u64,
    /// When.
    pub sent: Timestamp,
}

/// How the last refresh failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The class: `transient`, `suspicious`, `revoked_candidate`, `client`.
    pub class: String,
    /// The code that was found, at most 64 characters of `[a-z0-9_.:-]`.
    pub code: String,
    /// When.
    pub at: Timestamp,
}

/// The state of a token set. No token is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenState {
    /// Of which connection.
    pub connection: ConnectionId,
    /// Which of its sets.
    pub set: String,
    /// Grows with every new set of tokens.
    pub version: u64,
    /// Grows with every attempt to refresh, and when the connection is forgotten.
    pub fence: u64,
    /// How it is.
    pub health: Health,
    /// When the tokens were asked for.
    pub obtained: Timestamp,
    /// When the access token ends; `None` when it does not, or the provider does not say.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// When the refresh token ends, as far as is known.
    #[serde(default)]
    pub refresh_expires: Option<Timestamp>,
    /// Whether there is a refresh token.
    pub refreshable: bool,
    /// Until when the refresh token before this one still works.
    #[serde(default)]
    pub previous_until: Option<Timestamp>,
    /// Failures since the last success.
    #[serde(default)]
    pub failures: u32,
    /// Of these, the suspicious ones in a row, and when they began.
    #[serde(default)]
    pub suspicious: u32,
    /// When the first of the suspicious ones was.
    #[serde(default)]
    pub suspicious_since: Option<Timestamp>,
    /// When the provider first said that the grant is over; it is believed after a second time.
    #[serde(default)]
    pub doubted: Option<Timestamp>,
    /// Not before.
    #[serde(default)]
    pub next_attempt: Option<Timestamp>,
    /// How the last refresh failed, if it did.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// A refresh whose end nobody saw yet.
    #[serde(default)]
    pub attempt: Option<Attempt>,
    /// Whether an attempt was lost to a crash, and the spent token may be the only one we have.
    #[serde(default)]
    pub lost: bool,
    /// Whether the API refused the access token before its time.
    #[serde(default)]
    pub access_refused: bool,
}

impl TokenState {
    /// Whether the grant is over.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        matches!(self.health, Health::Revoked(_))
    }

    /// Milliseconds for which the access token still works; `None` for as long as can be told.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Option<i64> {
        if self.access_refused {
            return Some(0);
        }
        self.expires.map(|expires| expires.millis_since(now))
    }
}

/// What stands beside the tokens: it ties them to their state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenInfo {
    /// Of which connection.
    pub connection: ConnectionId,
    /// Which of its sets.
    pub set: String,
    /// The version of the state that they belong to.
    pub version: u64,
}
