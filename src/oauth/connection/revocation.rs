//! What is kept of tokens that are still to be revoked.

use serde::{Deserialize, Serialize};

use super::record::Connection;
use crate::clock::Timestamp;
use crate::id::ConnectionId;

/// Tokens that are to be revoked: those that stand at the places of a connection that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The connection's id, which is this one's as well.
    pub id: ConnectionId,
    /// What the connection was.
    pub connection: Connection,
    /// Read only, and of no more use: versions before this told here that no connection was forgotten with
    /// these tokens.
    #[serde(default, alias = "replaced", skip_serializing)]
    pub(in crate::oauth) unkept: Option<bool>,
    /// When it was forgotten, or renewed.
    pub created: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Not before.
    pub next: Timestamp,
}

/// What became of a revocation upstream (V3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The provider says that the tokens are dead.
    Revoked,
    /// It offers no way to revoke them.
    Unsupported,
    /// Another connection lives on the same grant, and would end with them: they end there with the last.
    Shared,
    /// It could not be reached, and is tried again for a day.
    Pending,
    /// It refused.
    Failed,
}

impl Upstream {
    /// A stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Unsupported => "unsupported",
            Self::Shared => "shared",
            Self::Pending => "pending",
            Self::Failed => "failed",
        }
    }
}
