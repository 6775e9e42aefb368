//! Why somebody is not recognised: said to the journal, and not to them.

use crate::audit::Acting;
use crate::id::{ApiKeyId, OrgId};

/// Why a caller was not recognised. The caller hears one answer for all; the journal hears which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The text cannot be a key.
    Malformed,
    /// No such key exists.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key's time is over.
    Expired,
    /// Its owner is no member any more.
    NotAMember,
    /// This user id of the machine belongs to no member.
    UnknownUid,
    /// The service is the one it says, and may not act for the user that it names.
    Subject(Unfit),
}

/// Why a service may not act for a user. The caller hears one answer for all but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It named nobody.
    Nobody,
    /// The text cannot be a user's key.
    Malformed,
    /// No such key exists.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key's time is over.
    Expired,
    /// They are no member any more.
    NotAMember,
    /// They are of another organisation.
    Elsewhere,
    /// No admin lets it, or does not any more.
    NotDelegated,
}

impl Unfit {
    const fn code(self) -> &'static str {
        match self {
            Self::Nobody => "subject_missing",
            Self::Malformed => "subject_malformed",
            Self::Unknown => "subject_unknown",
            Self::Revoked => "subject_revoked",
            Self::Expired => "subject_expired",
            Self::NotAMember => "subject_not_a_member",
            Self::Elsewhere => "subject_elsewhere",
            Self::NotDelegated => "not_delegated",
        }
    }
}

impl Rejected {
    /// A stable word for audit and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotAMember => "not_a_member",
            Self::UnknownUid => "unknown_uid",
            Self::Subject(unfit) => unfit.code(),
        }
    }
}

/// A key that was refused, and which one it is, where that is known.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// Why.
    pub why: Rejected,
    /// The organisation and the key.
    pub key: Option<(OrgId, ApiKeyId)>,
    /// The organisation and the service.
    pub service: Option<(OrgId, Acting)>,
}

impl From<Rejected> for Refused {
    fn from(why: Rejected) -> Self {
        Self {
            why,
            key: None,
            service: None,
        }
    }
}
