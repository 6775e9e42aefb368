//! How secrets are kept.

use serde::{Deserialize, Serialize};

use crate::vault::Quotas;

/// Secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretSettings {
    /// Days in which a deleted secret can be restored.
    pub delete_retention_days: u32,
    /// How many secrets one member may have, deleted ones among them.
    pub per_member: usize,
    /// How many an organisation may share.
    pub shared: usize,
}

impl SecretSettings {
    /// The quotas as the vault takes them.
    #[must_use]
    pub const fn quotas(&self) -> Quotas {
        Quotas {
            member_secrets: self.per_member,
            shared_secrets: self.shared,
        }
    }
}

impl Default for SecretSettings {
    fn default() -> Self {
        let Quotas {
            member_secrets,
            shared_secrets,
        } = Quotas::default();
        Self {
            delete_retention_days: 30,
            per_member: member_secrets,
            shared: shared_secrets,
        }
    }
}
