//! Who did it, and how they proved who they are.

use serde::{Deserialize, Serialize};

use crate::id::{ApiKeyId, DelegationId, ServiceCredentialId, ServiceId, UserId};

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// The broker itself: timers, start, shutdown.
    System,
    /// The person who runs the broker on this machine.
    Operator {
        /// The user id that the kernel reported.
        uid: u32,
    },
    /// A user of the machine who is no member of any organisation.
    Local {
        /// The user id that the kernel reported.
        uid: u32,
    },
    /// A user of an organisation.
    User {
        /// Which one.
        id: UserId,
        /// How the user proved to be that one.
        via: Via,
    },
    /// A service of an organisation; `on_behalf_of` says for whom.
    Service(Acting),
    /// Nobody who could be told, as in a failed authentication.
    Unknown,
}

/// A service that acts, by which of its credentials, and who let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acting {
    /// Which service.
    pub id: ServiceId,
    /// By which of its keys and certificates.
    pub credential: ServiceCredentialId,
    /// By whose word; none where nobody's was good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub word: Option<Word>,
}

/// What lets a service act for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The user's own API key, which came with the request.
    ApiKey(ApiKeyId),
    /// An admin of the organisation, by this delegation.
    Delegation(DelegationId),
}

/// How a user proved an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// With an API key.
    ApiKey(ApiKeyId),
    /// Over the Unix socket.
    Local {
        /// The user id that the kernel reported.
        uid: u32,
    },
}
