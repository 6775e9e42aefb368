//! Every route with its scope, and who may.

/// Who may, given the scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Anybody, without a credential.
    Open,
    /// Every member.
    Member,
    /// Admins of the organisation.
    Admin,
    /// The operator, recognised over the Unix socket, with the scope that a key would need besides.
    Operator,
    /// The operator, recognised by the Unix socket alone: it works while the vault is sealed.
    Socket,
}

use Who::{Admin, Member, Open, Operator, Socket};

/// Every scope that a key can have.
pub(crate) const SCOPES: &[&str] = &[
    "secret:read",
    "secret:write",
    "secret:reveal",
    "tool:read",
    "tool:write",
    "tool:execute",
    "api-key:read",
    "api-key:write",
    "org:read",
    "org:write",
    "org:members",
    "audit:read",
    "oauth:read",
    "oauth:write",
    "broker:resolve",
    "admin:resources",
    "sandbox:create",
    "sandbox:read",
    "sandbox:write",
    "agent:run",
    "agent:read",
    "agent:write",
    "files:read",
    "files:write",
    "workflow:read",
    "workflow:write",
    "workflow:run",
    "ssh-key:read",
    "ssh-key:write",
    "runmesh:read",
    "runmesh:write",
    "activity:read",
];

/// One row: the route, its query, its JSON body, the scope, and who may.
pub(crate) type Row = (&'static str, &'static str, &'static str, &'static str, Who);

/// The table. A body of `TOOL` is a custom tool that only an admin may make.
#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    ("GET /v1/status", "", "", "", Open),
    ("GET /livez", "", "", "", Open),
    ("GET /readyz", "", "", "", Open),
    ("GET /metrics", "", "", "audit:read", Admin),
    ("GET /v1/me", "", "", "", Member),
    ("POST /v1/organizations", "", r#"{"name":"Acme"}"#, "org:write", Operator),
    ("GET /v1/organizations", "", "", "org:read", Member),
    ("GET /v1/organizations/{id}", "", "", "org:read", Member),
    ("PATCH /v1/organizations/{id}", "", "{}", "org:write", Admin),
    ("GET /v1/organizations/{id}/members", "", "", "org:read", Member),
    ("POST /v1/organizations/{id}/members", "", r#"{"name":"Carl"}"#, "org:members", Admin),
    ("POST /v1/organizations/{id}/members", "", r#"{"name":"Dan","uid":65000}"#, "org:members", Operator),
    ("PATCH /v1/organizations/{id}/members/{member}", "", r#"{"role":"member"}"#, "org:members", Admin),
    ("DELETE /v1/organizations/{id}/members/{member}", "", "", "org:members", Admin),
    ("POST /v1/api-keys", "", r#"{"name":"x","scopes":["api-key:write"]}"#, "api-key:write", Member),
    ("GET /v1/api-keys", "", "", "api-key:read", Member),
    ("GET /v1/api-keys", "?all=true", "", "api-key:read", Admin),
    ("GET /v1/api-keys/{id}", "", "", "api-key:read", Member),
    ("PATCH /v1/api-keys/{id}", "", "{}", "api-key:write", Member),
    ("DELETE /v1/api-keys/{id}", "", "", "api-key:write", Member),
    ("POST /v1/api-keys/{id}/rotate", "", "", "api-key:write", Member),
    ("POST /v1/secrets", "", r#"{"name":"KEY","value":"v"}"#, "secret:write", Member),
    ("POST /v1/secrets", "", r#"{"name":"KEY","value":"v","orgWide":true}"#, "secret:write", Admin),
    ("GET /v1/secrets", "", "", "secret:read", Member),
    ("GET /v1/secrets", "?all=true", "", "secret:read", Admin),
    ("GET /v1/secrets/{name}", "", "", "secret:read", Member),
    ("GET /v1/secrets/{name}", "?orgWide=true", "", "secret:read", Member),
    ("PATCH /v1/secrets/{name}", "", "{}", "secret:write", Member),
    ("PATCH /v1/secrets/{name}", "?orgWide=true", "{}", "secret:write", Admin),
    ("DELETE /v1/secrets/{name}", "", "", "secret:write", Member),
    ("DELETE /v1/secrets/{name}", "?orgWide=true", "", "secret:write", Admin),
    ("POST /v1/secrets/{name}/reveal", "?orgWide=false", "", "secret:reveal", Member),
    ("POST /v1/secrets/{name}/rotate", "", r#"{"value":"w"}"#, "secret:write", Member),
    ("POST /v1/secrets/{name}/rotate", "?orgWide=true", r#"{"value":"w"}"#, "secret:write", Admin),
    ("POST /v1/secrets/{name}/restore", "", "", "secret:write", Member),
    ("POST /v1/secrets/{name}/restore", "?orgWide=true", "", "secret:write", Admin),
    ("GET /v1/secrets/{name}/versions", "", "", "secret:read", Member),
    ("POST /v1/secrets/{name}/versions/{version}/restore", "", "", "secret:write", Member),
    ("POST /v1/secrets/{name}/versions/{version}/restore", "?orgWide=true", "", "secret:write", Admin),
    ("GET /v1/tools", "", "", "tool:read", Member),
    ("GET /v1/tools/{slug}", "", "", "tool:read", Member),
    ("POST /v1/tools/{slug}/install", "", "", "tool:write", Member),
    ("DELETE /v1/tools/{slug}/install", "", "", "tool:write", Member),
    ("PUT /v1/tools/{slug}/credentials", "", r#"{"apiKey":"v"}"#, "tool:write", Member),
    ("GET /v1/tools/{slug}/credentials", "", "", "tool:read", Member),
    ("DELETE /v1/tools/{slug}/credentials", "", "", "tool:write", Member),
    ("POST /v1/tools/{slug}/explain", "", "", "tool:execute", Member),
    ("POST /v1/tools/{slug}/execute", "", r#"{"action":"none"}"#, "tool:execute", Member),
    ("POST /v1/tools/custom", "", "TOOL", "tool:write", Admin),
    ("DELETE /v1/tools/custom/{slug}", "", "", "tool:write", Member),
    ("PATCH /v1/tools/custom/{slug}/visibility", "", r#"{"visibility":"org"}"#, "tool:write", Admin),
    ("GET /v1/oauth/providers", "", "", "oauth:read", Member),
    ("GET /v1/oauth/start/{provider}", "", "", "oauth:write", Member),
    ("GET /v1/oauth/flows/{id}", "", "", "oauth:write", Member),
    ("POST /v1/oauth/flows/{id}/finish", "", r#"{"ticket":"x"}"#, "oauth:write", Member),
    ("DELETE /v1/oauth/flows/{id}", "", "", "oauth:write", Member),
    ("GET /v1/audit", "", "", "audit:read", Admin),
    ("GET /v1/audit", "?all=true", "", "audit:read", Operator),
    ("GET /v1/audit/head", "", "", "audit:read", Admin),
    ("POST /v1/audit/verify", "", "", "audit:read", Admin),
    ("GET /v1/audit/export", "", "", "audit:read", Operator),
    ("POST /v1/operator/unseal", "", r#"{"passphrase":"wrong words"}"#, "", Socket),
    ("POST /v1/operator/seal", "", "", "admin:resources", Operator),
    ("GET /v1/operator/slots", "", "", "", Socket),
    ("POST /v1/operator/slots", "", r#"{"kind":"no-such-kind"}"#, "admin:resources", Operator),
    ("POST /v1/operator/slots/{id}/test", "", "", "", Socket),
    ("DELETE /v1/operator/slots/{id}", "", "", "admin:resources", Operator),
];
