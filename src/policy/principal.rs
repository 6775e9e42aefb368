//! Who is calling.

use std::sync::Arc;

use super::Scopes;
use crate::audit::{Acting, Actor};
use crate::crypto::Owner;
use crate::id::{ApiKeyId, OrgId, ServiceId, UserId};
use crate::wire::Role;

/// The scope of a key whose word counts for the organisation.
pub(super) const VOUCHING: &str = "admin:resources";

/// How a caller was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// By an API key.
    ApiKey(ApiKeyId),
    /// By the user id of the machine, over the Unix socket.
    Local {
        /// That user id.
        uid: u32,
    },
    /// By a service that may act for them.
    Service(Acting),
}

impl Via {
    /// The service that acts, if one does.
    #[must_use]
    pub const fn service(&self) -> Option<ServiceId> {
        match self {
            Self::Service(acting) => Some(acting.id),
            Self::ApiKey(_) | Self::Local { .. } => None,
        }
    }
}

/// A caller whose credential was checked. Organisation and user come from here, and never from a
/// query or a body.
#[derive(Clone, Debug)]
pub struct Principal {
    org: OrgId,
    user: UserId,
    role: Role,
    via: Via,
    scopes: Arc<Scopes>,
    operator: bool,
    term: u64,
}

impl Principal {
    /// A caller that authentication has recognised; only `directory` calls this.
    pub(crate) fn recognised(
        org: OrgId,
        user: UserId,
        role: Role,
        via: Via,
        scopes: Arc<Scopes>,
    ) -> Self {
        Self {
            org,
            user,
            role,
            via,
            scopes,
            operator: false,
            term: 0,
        }
    }

    /// The same caller, whose role has changed so often.
    pub(crate) const fn in_term(mut self, term: u64) -> Self {
        self.term = term;
        self
    }

    /// The same caller, who is also the one that runs this installation.
    pub(crate) fn operating(mut self) -> Self {
        self.operator = true;
        self
    }

    /// The organisation acted for.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// The caller.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The caller as an owner of private objects.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        Owner::user(self.user)
    }

    /// The caller's role in the organisation.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether the caller is an admin of the organisation.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Which term of office this is: it changes when the caller becomes an admin or stops being one.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// Whether the caller's word lends a tool the organisation's trust: an admin, with a credential
    /// that may stand for them in this. A key that may only write tools does not vouch for one.
    #[must_use]
    pub fn vouches(&self) -> bool {
        self.is_admin() && self.scopes.allow(VOUCHING)
    }

    /// Whether the caller runs this installation, and calls over its Unix socket.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        self.operator
    }

    /// How the caller was recognised.
    #[must_use]
    pub const fn via(&self) -> Via {
        self.via
    }

    /// What the credential may be used for.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The service that acts for the caller, if one does.
    #[must_use]
    pub const fn service(&self) -> Option<ServiceId> {
        self.via.service()
    }

    /// Who does it, for the audit journal: a service that acts for the caller, else the caller.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let via = match self.via {
            Via::ApiKey(id) => crate::audit::Via::ApiKey(id),
            Via::Local { uid } => crate::audit::Via::Local { uid },
            Via::Service(acting) => return Actor::Service(acting),
        };
        Actor::User { id: self.user, via }
    }
}
