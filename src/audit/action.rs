//! What was done, in codes that stay the same for ever.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no action's code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an audit action: write a code such as secret.reveal")]
pub struct ActionError;

macro_rules! actions {
    ($($name:ident = $code:literal,)+) => {
        /// What was done. Shown and stored as a dotted code, e.g. `secret.reveal`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Action {
            $(#[doc = concat!("`", $code, "`")] $name,)+
        }

        impl Action {
            /// Every action, in the order of the source.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

actions! {
    SecretSet = "secret.set",
    SecretRotate = "secret.rotate",
    SecretReveal = "secret.reveal",
    SecretUpdate = "secret.update",
    SecretDelete = "secret.delete",
    SecretDestroy = "secret.destroy",
    SecretRestore = "secret.restore",
    SecretRollback = "secret.rollback",
    ToolCreate = "tool.create",
    ToolUpdate = "tool.update",
    ToolDelete = "tool.delete",
    ToolInstall = "tool.install",
    ToolUninstall = "tool.uninstall",
    ToolVisibility = "tool.visibility",
    ToolExecute = "tool.execute",
    ToolCredentialsSet = "tool.credentials.set",
    ToolCredentialsClear = "tool.credentials.clear",
    BrokerResolve = "broker.resolve",
    BrokerRelease = "broker.release",
    BrokerExchange = "broker.exchange",
    BrokerConnect = "broker.connect",
    OauthStart = "oauth.start",
    OauthOpen = "oauth.open",
    OauthDeny = "oauth.deny",
    OauthConnect = "oauth.connect",
    OauthRefresh = "oauth.refresh",
    OauthOver = "oauth.over",
    OauthRevoke = "oauth.revoke",
    OauthDisconnect = "oauth.disconnect",
    OauthDefault = "oauth.default",
    OauthClientSet = "oauth.client_set",
    OauthClientRemove = "oauth.client_remove",
    OauthClientRefused = "oauth.client_refused",
    ApiKeyCreate = "api_key.create",
    ApiKeyUpdate = "api_key.update",
    ApiKeyRotate = "api_key.rotate",
    ApiKeyRevoke = "api_key.revoke",
    ServiceAdd = "service.add",
    ServiceRotate = "service.rotate",
    ServiceRemove = "service.remove",
    ServiceDelegate = "service.delegate",
    ServiceUndelegate = "service.undelegate",
    OrgCreate = "org.create",
    OrgUpdate = "org.update",
    OrgDelete = "org.delete",
    MemberAdd = "member.add",
    MemberRole = "member.role",
    MemberRemove = "member.remove",
    AuthFailed = "auth.failed",
    AuthLockout = "auth.lockout",
    AuthDenied = "auth.denied",
    VaultInit = "vault.init",
    VaultUnseal = "vault.unseal",
    VaultUnsealFailed = "vault.unseal_failed",
    VaultSeal = "vault.seal",
    VaultLockdown = "vault.lockdown",
    KeySlotAdd = "key.slot_add",
    KeySlotTest = "key.slot_test",
    KeySlotLend = "key.slot_lend",
    KeySlotRemove = "key.slot_remove",
    KeyRotate = "key.rotate",
    KeyRotatePause = "key.rotate_pause",
    KeyRotateResume = "key.rotate_resume",
    KeyRotateFinish = "key.rotate_finish",
    KeyDestroy = "key.destroy",
    VaultShred = "vault.shred",
    StoreCompact = "store.compact",
    StoreCompactStop = "store.compact_stop",
    StoreMigrate = "store.migrate",
    StoreAcceptRollback = "store.accept_rollback",
    BackupCreate = "backup.create",
    BackupRestore = "backup.restore",
    AuditExport = "audit.export",
    AuditRepaired = "audit.repaired",
    AuditHandOver = "audit.hand_over",
    ServerStart = "server.start",
    ServerShutdown = "server.shutdown",
}

impl Action {
    /// Reads a code.
    ///
    /// # Errors
    /// [`ActionError`] for any other text.
    pub fn parse(code: &str) -> Result<Self, ActionError> {
        let found = Self::ALL.iter().find(|action| action.code() == code);
        found.copied().ok_or(ActionError)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Action;

    #[test]
    fn codes_are_unique_and_read_back() {
        let codes: HashSet<_> = Action::ALL.iter().map(|action| action.code()).collect();
        assert_eq!(codes.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(Action::parse(action.code()).unwrap(), *action);
        }
        assert!(Action::parse("secret.*").is_err());
    }
}
