//! Why a call was refused before it was sent, or cut off.

use crate::directory::DirectoryError;
use crate::egress::EgressError;
use crate::id::ConnectionId;
use crate::name::{FieldName, ProviderId, SecretName};
use crate::tools::{HubError, ToolError};
use crate::vault::VaultError;

use super::answer::NoAnswer;
use super::guard::Misplaced;
use super::handle::HandleFault;
use super::holder::NoAuthority;
use super::scrub::ScrubError;

/// A refusal: nothing was sent, but for [`BrokerError::Sealed`] and [`BrokerError::Withdrawn`]. What goes wrong after sending is part of the call's result.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The request names a field that the tool does not have.
    #[error("the tool has no credential field of that name")]
    UnknownField,
    /// A secret that the request names is not there, or not the caller's to use.
    #[error("the secret named for the field {field} is not available to you")]
    OverrideUnavailable {
        /// The field.
        field: FieldName,
    },
    /// A secret that the request names cannot be used for this.
    #[error("the secret named for the field {field} cannot be used here: {why}")]
    OverrideUnusable {
        /// The field.
        field: FieldName,
        /// Why not.
        why: &'static str,
    },
    /// Nothing fills a field that the tool cannot do without.
    #[error("nothing fills the credential fields that the tool needs: {}", list(.fields))]
    Missing {
        /// The fields.
        fields: Vec<FieldName>,
    },
    /// No account of the provider is connected.
    #[error("no account of the provider {provider} is connected")]
    NeedsConnect {
        /// The provider.
        provider: ProviderId,
        /// What the tool needs beyond what a connection always has.
        scopes: Vec<String>,
        /// The secret that would do in its place.
        secret: Option<SecretName>,
    },
    /// The account that the request names is not there.
    #[error("no account of the provider {provider} by that name is connected")]
    AccountUnavailable {
        /// The provider.
        provider: ProviderId,
    },
    /// An account must be connected again.
    #[error("the connection to {provider} is over ({why}): it must be made again")]
    NeedsReauth {
        /// The provider.
        provider: ProviderId,
        /// The connection.
        connection: ConnectionId,
        /// Why, in a word.
        why: &'static str,
    },
    /// Several accounts, and none is the default.
    #[error("several accounts of the provider {provider} are connected, and none is the default")]
    AmbiguousAccount {
        /// The provider.
        provider: ProviderId,
    },
    /// The account was connected with fewer rights than the tool needs.
    #[error("the connection to {provider} lacks scopes that the tool needs: {}", .missing.join(", "))]
    MissingScopes {
        /// The provider.
        provider: ProviderId,
        /// The connection.
        connection: ConnectionId,
        /// What is missing.
        missing: Vec<String>,
    },
    /// A token is not to be had for now.
    #[error("the connection to {provider} cannot be used for now ({why})")]
    TokenUnavailable {
        /// The provider.
        provider: ProviderId,
        /// Why, in a word.
        why: &'static str,
        /// Seconds until it is tried again, where that is known.
        again_s: Option<u64>,
    },
    /// The tool and the provider's file do not fit together.
    #[error("the tool cannot use an account of {provider}: {misfit}")]
    Misfit {
        /// The provider.
        provider: ProviderId,
        /// What does not fit.
        misfit: Misfit,
    },
    /// No binding lets these credentials go to this target.
    #[error("no binding of the tool lets these credentials go to this target")]
    Unbound,
    /// A slot cannot be filled.
    #[error("a credential cannot be placed: {0}")]
    Placement(&'static str),
    /// The parameters, or the tool, break a rule.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The tool hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The vault was sealed while the call ran. It may have been sent.
    #[error("the vault was sealed while the call ran")]
    Sealed,
    /// The caller, the tool or a credential is not what it was when the call came. Nothing was sent.
    #[error("what the call may do, its tool or a credential was changed before it was sent")]
    Changed,
    /// The caller may not have the answer any more. The call may have been sent.
    #[error("your access ended while the call ran")]
    Withdrawn,
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The target is refused, or a header cannot be sent.
    #[error(transparent)]
    Egress(EgressError),
    /// A handle cannot be used.
    #[error(transparent)]
    Handle(#[from] HandleFault),
    /// A handle for the proxy was asked for, and there is no proxy.
    #[error("this broker runs no egress proxy")]
    NoProxy,
    /// A certificate for the proxy could not be made.
    #[error(transparent)]
    NoAuthority(#[from] NoAuthority),
    /// There are as many handles as there may be, or their tools are as large.
    #[error(
        "there are as many handles as there may be, or their tools are as large as they may be together"
    )]
    Handles,
    /// A placeholder stands where it may not.
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    /// The request is not the one that the handle was asked for.
    #[error("the handle was made for another request than this")]
    AnotherRequest,
    /// The request's body is larger than one may be.
    #[error("the request's body has more than {most} bytes")]
    TooLarge {
        /// The most that one may have.
        most: u64,
    },
    /// A header would have the upstream take the request for another one.
    #[error("the header {0} would have the upstream take the request for another one")]
    Steering(&'static str),
    /// The upstream failed, or what it answered cannot be searched.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The directory refused or failed.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A value cannot be lent, because it could not be found in an answer.
    #[error(transparent)]
    Scrub(#[from] ScrubError),
}

/// What a tool wants of an account that no account has: trying again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The broker has no file for the provider.
    #[error("the broker has no file for that provider")]
    Provider,
    /// The connection has no token of the name that the tool maps.
    #[error("the connection has no token of the name that the tool asks for")]
    Token,
    /// The provider's file names no host of its API for this connection.
    #[error("its file names no host that the token may go to")]
    ApiHost,
}

impl Misfit {
    const fn code(self) -> &'static str {
        match self {
            Self::Provider => "no_such_provider",
            Self::Token => "no_such_token",
            Self::ApiHost => "no_api_host",
        }
    }

    fn hint(self, provider: &ProviderId) -> String {
        match self {
            Self::Provider => "Look at what there is: runtools oauth providers --all. The operator adds a file to oauth.providers_dir and restarts the broker; or correct the provider in the tool's spec.".to_owned(),
            Self::Token => format!(
                "Correct credentials.oauth in the tool's spec (access_token, or SET_access_token as {provider}'s file names its sets), or connect again if the provider gives that token only now: runtools oauth connect {provider}."
            ),
            Self::ApiHost => "The operator names the hosts in the provider's file, under [api] hosts, and restarts the broker. Until then its tokens go nowhere.".to_owned(),
        }
    }
}

/// What to do about a placeholder.
const fn put_right(misplaced: Misplaced) -> &'static str {
    match misplaced {
        Misplaced::Placement => {
            "Leave the placeholder only where the tool's binding has a slot for it; the answer to POST /v1/resolve lists them."
        }
        Misplaced::Occurrences => "Send each placeholder once.",
        Misplaced::AnotherHost => {
            "Send the request without the placeholder, or to a host that its field is bound to."
        }
        Misplaced::Unknown => "Use the placeholders of the handle that the request is sent with.",
    }
}

fn list(fields: &[FieldName]) -> String {
    fields
        .iter()
        .map(FieldName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

impl BrokerError {
    /// A stable word for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownField => "unknown_field",
            Self::OverrideUnavailable { .. } | Self::AccountUnavailable { .. } => "not_available",
            Self::OverrideUnusable { .. } => "policy_denied",
            Self::Missing { .. } => "missing_credentials",
            Self::NeedsConnect { .. } => "needs_connect",
            Self::NeedsReauth { .. } => "needs_reauth",
            Self::AmbiguousAccount { .. } => "ambiguous_account",
            Self::MissingScopes { .. } => "missing_scopes",
            Self::TokenUnavailable { .. } => "token_unavailable",
            Self::Misfit { misfit, .. } => misfit.code(),
            Self::Unbound => "binding_refused",
            Self::Placement(_) => "placement_refused",
            Self::Tool(_) => "bad_params",
            Self::Hub(_) => "tool_unavailable",
            Self::Sealed => "sealed",
            Self::Changed => "changed_meanwhile",
            Self::Withdrawn => "access_ended",
            Self::Vault(_) => "vault_refused",
            Self::Egress(error) => error.code(),
            Self::Handle(HandleFault::Unknown) => "handle_unknown",
            Self::Handle(HandleFault::Expired) => "handle_expired",
            Self::Handle(HandleFault::Spent) => "handle_spent",
            Self::Handle(HandleFault::Dead(_)) => "handle_dead",
            Self::NoProxy => "no_proxy",
            Self::NoAuthority(_) => "no_authority",
            Self::Handles => "too_many_handles",
            Self::Misplaced(Misplaced::Placement) => "placement",
            Self::Misplaced(Misplaced::Occurrences) => "occurrences",
            Self::Misplaced(Misplaced::AnotherHost) => "another_host",
            Self::Misplaced(Misplaced::Unknown) => "placeholder_unknown",
            Self::AnotherRequest => "another_request",
            Self::TooLarge { .. } => "too_large",
            Self::Steering(_) => "steering_header",
            Self::NoAnswer(error) => error.code(),
            Self::Directory(_) => "directory_refused",
            Self::Scrub(ScrubError::TooLong { .. }) => "values_too_long",
            Self::Scrub(_) => "unscrubbable",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownField => "Look up the tool's fields: runtools tool get SLUG.".to_owned(),
            Self::OverrideUnavailable { .. } => {
                "Look up the secret's name: runtools secret list.".to_owned()
            }
            Self::OverrideUnusable { why: "not_vouched", .. } => {
                "For a secret of your own, write the tool with a key that has secret:reveal: runtools tool create FILE. A shared one needs a tool that an admin made or published, with a key that has admin:resources.".to_owned()
            }
            Self::OverrideUnusable { why: "not_revealable" | "policy_denied" | "missing_scope", .. } => {
                "Nobody but you vouches for the tool, and it could show the value: that takes what revealing the secret takes. Have an admin make the tool and publish it.".to_owned()
            }
            Self::OverrideUnusable { .. } | Self::Unbound => {
                "Look at the tool's hosts and the secret's own binding, scope and expiry: runtools tool explain SLUG.".to_owned()
            }
            Self::Missing { .. } => {
                "See what was looked for: runtools tool explain SLUG. Then set the secret, or store the credential.".to_owned()
            }
            Self::NeedsConnect { provider, scopes, secret } => to_connect(provider, scopes, secret.as_ref()),
            Self::NeedsReauth { provider, connection, .. } => format!(
                "Connect it again: runtools oauth connect {provider} --reconnect {connection}."
            ),
            Self::AccountUnavailable { .. } => "Look up what your accounts are called: runtools oauth status.".to_owned(),
            Self::AmbiguousAccount { provider } => format!(
                "Name one with --account (account in the request), or choose: runtools oauth set-default {provider} ACCOUNT."
            ),
            Self::MissingScopes { provider, connection, missing } => format!(
                "Connect it again with them: runtools oauth connect {provider} --reconnect {connection} --scopes '{}'.",
                missing.join(" ")
            ),
            Self::TokenUnavailable { why: "client_config", .. } => {
                "An admin looks at the client: runtools oauth configs list; or the operator: runtools-broker oauth-client list.".to_owned()
            }
            Self::TokenUnavailable { again_s: Some(seconds), .. } => format!(
                "Try again in {seconds} seconds, when the broker has asked the provider again; runtools oauth status shows more."
            ),
            Self::TokenUnavailable { .. } => "Try again in a minute; runtools oauth status shows more.".to_owned(),
            Self::Misfit { provider, misfit } => misfit.hint(provider),
            Self::Placement(_) => "Correct the tool's spec, or the parameters.".to_owned(),
            Self::Tool(error) => error.hint().to_owned(),
            Self::Sealed => "Look whether the upstream did what was asked. The operator unseals with runtools-broker unseal.".to_owned(),
            Self::Changed => "Call again: nothing was sent.".to_owned(),
            Self::Withdrawn => "Look whether the upstream did what was asked, and ask an admin for access.".to_owned(),
            Self::NoProxy => "The operator turns it on: proxy.enabled = true in the settings, and a restart. Or leave lane out, and send requests to /v1/egress.".to_owned(),
            Self::Hub(_) | Self::Vault(_) | Self::Directory(_) | Self::NoAuthority(_) => "Try again.".to_owned(),
            Self::Handle(fault) => hint_of(*fault).to_owned(),
            Self::Handles => "Release those that are not needed: DELETE /v1/resolutions/ID. Others end by themselves. Or split large tools.".to_owned(),
            Self::Misplaced(misplaced) => put_right(*misplaced).to_owned(),
            Self::AnotherRequest => "Send the request that the intent named when the handle was asked for, or ask for another handle.".to_owned(),
            Self::TooLarge { .. } => "Send it in parts, where the upstream takes them. The operator sets the limit: limits.upload_mb in the settings.".to_owned(),
            Self::Steering(_) => "Send the method and the path that are meant, without that header.".to_owned(),
            Self::NoAnswer(error) => error.hint().to_owned(),
            Self::Egress(error) => error.hint().to_owned(),
            Self::Scrub(ScrubError::TooLong { .. } | ScrubError::TooMuch) => "Use shorter credentials, or fewer of them in one call: split the tool.".to_owned(),
            Self::Scrub(_) => "Use a longer credential.".to_owned(),
        }
    }
}

/// How to connect an account that has what the tool needs.
fn to_connect(provider: &ProviderId, scopes: &[String], secret: Option<&SecretName>) -> String {
    let mut hint = format!("Connect one: runtools oauth connect {provider}");
    if !scopes.is_empty() {
        hint.extend([" --scopes '", &scopes.join(" "), "'"]);
    }
    hint.push('.');
    if let Some(secret) = secret {
        hint.extend([
            " Or set the secret that does as well: runtools secret set ",
            secret.as_str(),
            ".",
        ]);
    }
    hint
}

/// What to do next with a handle that cannot be used.
const fn hint_of(fault: HandleFault) -> &'static str {
    match fault {
        HandleFault::Unknown => {
            "Resolve again: POST /v1/resolve. A handle works for the credential and the call that it was made for, and not after a restart."
        }
        HandleFault::Expired => "Resolve again; ttlSeconds asks for up to 900.",
        HandleFault::Spent => "Resolve again; maxUses asks for up to 1000.",
        HandleFault::Dead(_) => "Resolve again: POST /v1/resolve.",
    }
}
