//! Every action, with its scope, object and rule. One table: what is not in it cannot be done.

use super::principal::VOUCHING;
use super::{Action, Denied, Principal, Scopes};
use crate::crypto::{Owner, OwnerKind};
use crate::id::{OrgId, ServiceId, UserId};
use crate::name::{SecretName, ToolSlug};
use crate::wire::OrgSettings;

/// A secret, by owner and name, within the caller's organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// Whose it is.
    pub owner: Owner,
    /// Its name.
    pub name: SecretName,
}

/// Which secrets to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// The caller's own.
    Own,
    /// The organisation's.
    Shared,
    /// Both of these.
    OwnAndShared,
    /// Every member's too: metadata only.
    Everyone,
}

/// A tool's slug and, for a custom one, whose it is and whether all may see it.
#[derive(Clone, Debug)]
pub struct ToolRef {
    /// The slug.
    pub slug: ToolSlug,
    /// The owner of a custom tool.
    pub owner: Option<UserId>,
    /// Whether every member sees it.
    pub shared: bool,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a rule of the table, like the others"
)]
fn anyone(_: &Principal) -> Result<(), Denied> {
    Ok(())
}

fn admin(principal: &Principal) -> Result<(), Denied> {
    if principal.is_admin() {
        Ok(())
    } else {
        Err(Denied::AdminOnly)
    }
}

fn operator(principal: &Principal) -> Result<(), Denied> {
    if principal.is_operator() {
        Ok(())
    } else {
        Err(Denied::OperatorOnly)
    }
}

/// One's own freely, the organisation's as an admin, another member's never.
fn owner_or_admin_of_shared(principal: &Principal, owner: Owner) -> Result<(), Denied> {
    match owner.kind {
        OwnerKind::User if owner == principal.owner() => Ok(()),
        OwnerKind::OrgShared => admin(principal),
        OwnerKind::User | OwnerKind::System => Err(Denied::NotFound),
    }
}

/// One's own and the organisation's, another member's never.
fn own_or_shared(principal: &Principal, owner: Owner) -> Result<(), Denied> {
    if owner == principal.owner() || owner.kind == OwnerKind::OrgShared {
        Ok(())
    } else {
        Err(Denied::NotFound)
    }
}

/// One's own freely, another member's as an admin; to others it does not exist.
fn self_or_admin(principal: &Principal, owner: UserId) -> Result<(), Denied> {
    if owner == principal.user() || principal.is_admin() {
        Ok(())
    } else {
        Err(Denied::NotFound)
    }
}

fn visible(principal: &Principal, tool: &ToolRef) -> Result<(), Denied> {
    match tool.owner {
        Some(owner) if !tool.shared && owner != principal.user() => Err(Denied::NotFound),
        _ => Ok(()),
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident($scope:literal, $code:literal, $object:ty)
        = |$principal:ident, $target:ident| $rule:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Action for $name {
            type Object = $object;
            const SCOPE: &'static str = $scope;
            const NAME: &'static str = $code;

            fn rule($principal: &Principal, $target: &Self::Object) -> Result<(), Denied> {
                $rule
            }
        }
    )+};
}

actions! {
    /// Make or rotate a secret.
    SetSecret("secret:write", "secret.set", SecretRef) = |p, s| owner_or_admin_of_shared(p, s.owner);
    /// Change a secret's metadata, or bring an older version back.
    UpdateSecret("secret:write", "secret.update", SecretRef) = |p, s| owner_or_admin_of_shared(p, s.owner);
    /// Delete, restore or destroy a secret.
    DeleteSecret("secret:write", "secret.delete", SecretRef) = |p, s| owner_or_admin_of_shared(p, s.owner);
    /// Read a secret's metadata.
    ReadSecret("secret:read", "secret.read", SecretRef) = |p, s| own_or_shared(p, s.owner);
    /// List secrets' metadata.
    ListSecrets("secret:read", "secret.list", Listing) = |p, listing| match listing {
        Listing::Everyone => admin(p),
        Listing::Own | Listing::Shared | Listing::OwnAndShared => anyone(p),
    };
    /// Show a secret's value.
    RevealSecret("secret:reveal", "secret.reveal", (SecretRef, OrgSettings)) = |p, object| {
        let (secret, settings) = object;
        own_or_shared(p, secret.owner)?;
        let shared = secret.owner.kind == OwnerKind::OrgShared;
        let allowed = settings.reveal_enabled
            && (!shared || p.is_admin() || settings.members_reveal_shared);
        if allowed { Ok(()) } else { Err(Denied::OrgPolicy) }
    };

    /// Read one's organisation.
    ReadOrg("org:read", "org.read", ()) = |p, _o| anyone(p);
    /// Make an organisation.
    CreateOrg("org:write", "org.create", ()) = |p, _o| operator(p);
    /// Delete an organisation, whichever it is.
    DeleteOrg("admin:resources", "org.delete", ()) = |p, _o| operator(p);
    /// Remove somebody from every organisation.
    DeleteUser("admin:resources", "user.delete", ()) = |p, _o| operator(p);
    /// Change the organisation's name or policy.
    UpdateOrg("org:write", "org.update", ()) = |p, _o| admin(p);
    /// List members.
    ReadMembers("org:read", "member.list", ()) = |p, _o| anyone(p);
    /// Add, change or remove members.
    ManageMembers("org:members", "member.manage", ()) = |p, _o| admin(p);
    /// Tie a member to a user id of the machine.
    BindLocalUser("org:members", "member.bind", ()) = |p, _o| operator(p);

    /// Replace the organisation's keys and its owners', and look how far that has come.
    RotateKeys("org:write", "key.rotate", ()) = |p, _o| admin(p);

    /// List one's own keys, or (true) every member's.
    ListApiKeys("api-key:read", "api_key.list", bool) = |p, all| if *all { admin(p) } else { anyone(p) };
    /// Read a key's metadata; the object is its owner.
    ReadApiKey("api-key:read", "api_key.read", UserId) = |p, owner| self_or_admin(p, *owner);
    /// Make a key for oneself with these scopes.
    CreateApiKey("api-key:write", "api_key.create", Scopes) = |p, scopes| {
        if p.scopes().cover(scopes) { Ok(()) } else { Err(Denied::Escalation) }
    };
    /// Change a key's name, project or (to these) scopes.
    UpdateApiKey("api-key:write", "api_key.update", (UserId, Option<Scopes>)) = |p, object| {
        let (owner, scopes) = object;
        self_or_admin(p, *owner)?;
        let covered = scopes.as_ref().is_none_or(|scopes| p.scopes().cover(scopes));
        if covered { Ok(()) } else { Err(Denied::Escalation) }
    };
    /// Revoke a key; the object is its owner.
    RevokeApiKey("api-key:write", "api_key.revoke", UserId) = |p, owner| self_or_admin(p, *owner);
    /// Replace a key of one's own; the object is its owner and its scopes, which the new one gets.
    RotateApiKey("api-key:write", "api_key.rotate", (UserId, Scopes)) = |p, object| {
        let (owner, scopes) = object;
        if *owner != p.user() {
            return Err(Denied::NotFound);
        }
        if p.scopes().cover(scopes) { Ok(()) } else { Err(Denied::Escalation) }
    };

    /// Make a service of this organisation, replace its credentials, or remove it.
    OperateServices("admin:resources", "service.operate", OrgId) = |p, _o| operator(p);
    /// List the services of every organisation.
    ReadAllServices("admin:resources", "service.list_all", ()) = |p, _o| operator(p);
    /// List the organisation's services, and for whom they may act without a token.
    ReadServices("org:read", "service.list", ()) = |p, _o| admin(p);
    /// Remove a service of the organisation.
    RemoveService("org:members", "service.remove", ServiceId) = |p, _o| admin(p);
    /// Let a service act for a member without a token of theirs, or end that.
    Delegate("org:members", "service.delegate", (ServiceId, UserId)) = |p, _o| admin(p);

    /// List and read tools.
    ReadTools("tool:read", "tool.list", ()) = |p, _o| anyone(p);
    /// Read one tool.
    ReadTool("tool:read", "tool.read", ToolRef) = |p, tool| visible(p, tool);
    /// Install or uninstall a tool, and store credentials for it.
    InstallTool("tool:write", "tool.install", ToolRef) = |p, tool| visible(p, tool);
    /// Make or change a custom tool. True when it grants a private address range.
    WriteTool("tool:write", "tool.create", (ToolRef, bool)) = |p, object| {
        let (tool, grants_private) = object;
        if tool.owner.is_some_and(|owner| owner != p.user()) {
            // A tool that all can see says so; one that only its owner sees does not exist.
            return if tool.shared { admin(p) } else { Err(Denied::NotFound) };
        }
        if *grants_private || tool.shared {
            admin(p)?;
        }
        if *grants_private && !p.vouches() {
            return Err(Denied::Scope(VOUCHING));
        }
        Ok(())
    };
    /// Show a custom tool to every member, or to its owner only.
    PublishTool("tool:write", "tool.visibility", ToolRef) = |p, tool| {
        visible(p, tool)?;
        admin(p)
    };
    /// Run a tool, or ask where a run would take its credentials from.
    ExecuteTool("tool:execute", "tool.execute", ToolRef) = |p, tool| visible(p, tool);

    /// Resolve a tool's credentials into a handle.
    ResolveTool("broker:resolve", "broker.resolve", ToolRef) = |p, tool| visible(p, tool);
    /// Use a handle. Whose it is, the handle knows.
    UseHandle("broker:resolve", "broker.exchange", ()) = |p, _o| anyone(p);
    /// End a handle of one's own.
    ReleaseHandle("broker:resolve", "broker.release", ()) = |p, _o| anyone(p);

    /// List providers, and look at one's own connections.
    ReadConnections("oauth:read", "oauth.list", bool) = |p, all| if *all { admin(p) } else { anyone(p) };
    /// Connect an account of one's own.
    Connect("oauth:write", "oauth.start", ()) = |p, _o| anyone(p);
    /// Forget a connection; the object is its owner.
    Disconnect("oauth:write", "oauth.disconnect", UserId) = |p, owner| self_or_admin(p, *owner);
    /// Choose which connection is used when none is named; the object is its owner.
    ChooseDefault("oauth:write", "oauth.default", UserId) = |p, owner| {
        if *owner == p.user() { Ok(()) } else { Err(Denied::NotFound) }
    };
    /// See which OAuth clients the organisation has of its own.
    ReadClients("oauth:read", "oauth.clients", ()) = |p, _o| admin(p);
    /// Set or remove the organisation's own OAuth client of a provider.
    WriteClients("oauth:write", "oauth.client_set", ()) = |p, _o| admin(p);
    /// Set or remove the installation's OAuth clients.
    WriteSharedClients("admin:resources", "oauth.client_set", ()) = |p, _o| operator(p);

    /// Read the organisation's audit journal.
    ReadAudit("audit:read", "audit.read", ()) = |p, _o| admin(p);
    /// Read every organisation's audit journal, and what belongs to none.
    ReadWholeAudit("audit:read", "audit.read_whole", ()) = |p, _o| operator(p);
    /// Seal the vault and manage key slots.
    OperateVault("admin:resources", "vault.operate", ()) = |p, _o| operator(p);
}
