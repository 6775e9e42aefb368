//! Secrets: the verbs, and those that only read.

use clap::{Args, Subcommand, ValueEnum};
use runtools_broker::client::text::{Fields, minute, minute_or_none};
use runtools_broker::client::{ClientError, Exit, Outcome, Route, Session, Table};
use runtools_broker::name::{SecretName, SecretNameError};
use runtools_broker::wire::{Category, SecretMetadata, SecretOwner, SecretScope, SecretVersion};

use crate::secret_changes::{self, DeleteArgs, RestoreArgs, RollbackArgs, UpdateArgs};
use crate::secret_values::{self, GetArgs, RotateArgs, SetArgs};

/// Secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Store a value, or give an existing secret a new one
    Set(SetArgs),
    /// List secrets, without their values
    List(ListArgs),
    /// Show a secret's details, or its value with --reveal
    Get(GetArgs),
    /// Change what a secret is for and where it may go, not its value
    Update(Box<UpdateArgs>),
    /// Give a secret a new value
    Rotate(RotateArgs),
    /// Delete a secret; it can be restored for a while
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
    /// Take a deletion back
    Restore(RestoreArgs),
    /// List a secret's versions, without their values
    Versions(OneArgs),
    /// Put an earlier version back into use
    Rollback(RollbackArgs),
    /// Tell by the exit code whether a secret exists: 0 or 9
    Exists(OneArgs),
}

/// Which secret.
#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// The secret's name
    name: String,
    /// The organisation's secret, not your own
    #[arg(long)]
    org_wide: bool,
}

/// Which secrets.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct ListArgs {
    /// Your own only
    #[arg(long, conflicts_with_all = ["org_only", "all_org"])]
    user_only: bool,
    /// The organisation's only
    #[arg(long, conflicts_with = "all_org")]
    org_only: bool,
    /// Everybody's, for admins
    #[arg(long)]
    all_org: bool,
    /// Of this category only
    #[arg(long)]
    category: Option<CategoryArg>,
    /// Of this scope only
    #[arg(long)]
    scope: Option<ScopeArg>,
    /// The deleted ones that can be restored
    #[arg(long)]
    deleted: bool,
}

/// What kind of thing a secret is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CategoryArg {
    /// A key of a model or service provider
    Provider,
    /// A credential of a tool
    Tool,
    /// Anything else
    Custom,
}

/// Where a secret may be used.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ScopeArg {
    /// Everywhere
    All,
    /// By agents
    Agents,
    /// By tools
    Tools,
    /// In sandboxes
    Sandboxes,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: SecretCommand, session: &Session) -> Outcome {
    match command {
        SecretCommand::Set(args) => secret_values::set(args, session).await,
        SecretCommand::List(args) => list(args, session).await,
        SecretCommand::Get(args) => secret_values::get(args, session).await,
        SecretCommand::Update(args) => secret_changes::update(*args, session).await,
        SecretCommand::Rotate(args) => secret_values::rotate(args, session).await,
        SecretCommand::Delete(args) => secret_changes::delete(args, session).await,
        SecretCommand::Restore(args) => secret_changes::restore(args, session).await,
        SecretCommand::Versions(args) => versions(&args, session).await,
        SecretCommand::Rollback(args) => secret_changes::rollback(args, session).await,
        SecretCommand::Exists(args) => exists(&args, session).await,
    }
}

/// Reads a name. What was written is not repeated when it may hold a value.
pub(crate) fn named(text: &str) -> Result<SecretName, ClientError> {
    SecretName::parse(text).map_err(|error| {
        let hint = match &error {
            _ if text.contains('=') => {
                "write the name alone; the value is asked for, or piped in".to_owned()
            }
            SecretNameError::Alphabet {
                nearest: Some(name),
            } => format!("perhaps {name}"),
            _ => "write a name such as GITHUB_TOKEN".to_owned(),
        };
        ClientError::usage(error.to_string(), hint)
    })
}

/// The route of one secret.
pub(crate) fn one(name: &SecretName) -> Route {
    Route::new("/v1/secrets").then(name.as_str())
}

impl OneArgs {
    /// The name, and whether the organisation's is meant.
    pub(crate) fn read(&self) -> Result<(SecretName, bool), ClientError> {
        named(&self.name).map(|name| (name, self.org_wide))
    }
}

impl CategoryArg {
    /// As the API says it.
    pub(crate) const fn wire(self) -> Category {
        match self {
            Self::Provider => Category::Provider,
            Self::Tool => Category::Tool,
            Self::Custom => Category::Custom,
        }
    }
}

impl ScopeArg {
    /// As the API says it.
    pub(crate) const fn wire(self) -> SecretScope {
        match self {
            Self::All => SecretScope::All,
            Self::Agents => SecretScope::Agents,
            Self::Tools => SecretScope::Tools,
            Self::Sandboxes => SecretScope::Sandboxes,
        }
    }
}

const fn category(category: Category) -> &'static str {
    match category {
        Category::Provider => "provider",
        Category::Tool => "tool",
        Category::Custom => "custom",
    }
}

const fn scope(scope: SecretScope) -> &'static str {
    match scope {
        SecretScope::All => "all",
        SecretScope::Agents => "agents",
        SecretScope::Tools => "tools",
        SecretScope::Sandboxes => "sandboxes",
    }
}

const fn owner(owner: SecretOwner) -> &'static str {
    match owner {
        SecretOwner::User => "user",
        SecretOwner::Org => "org",
    }
}

async fn list(args: ListArgs, session: &Session) -> Outcome {
    let owner_word = match (args.user_only, args.org_only) {
        (true, _) => Some("user"),
        (_, true) => Some("org"),
        _ => None,
    };
    let route = Route::new("/v1/secrets")
        .maybe("owner", owner_word)
        .flag("all", args.all_org)
        .maybe("category", args.category.map(|word| category(word.wire())))
        .maybe("scope", args.scope.map(|word| scope(word.wire())))
        .flag("deleted", args.deleted);
    let mut secrets: Vec<SecretMetadata> = session.client()?.list(&route).await?;
    secrets.sort_by(|a, b| a.name.cmp(&b.name).then(a.org_wide.cmp(&b.org_wide)));
    let none = if args.deleted {
        "no deleted secrets"
    } else {
        "no secrets"
    };
    session
        .out
        .table(&secrets, none, || table(&secrets, args.deleted))?;
    Ok(Exit::Ok)
}

fn table(secrets: &[SecretMetadata], deleted: bool) -> Table {
    let last = if deleted {
        "RESTORE UNTIL (UTC)"
    } else {
        "UPDATED (UTC)"
    };
    let mut table = Table::new(&["NAME", "OWNER", "CATEGORY", "SCOPE", "DESCRIPTION", last]);
    for secret in secrets {
        let time = if deleted {
            secret.purge_at
        } else {
            Some(secret.updated_at)
        };
        table.row(&[
            secret.name.as_str(),
            owner(secret.owner),
            category(secret.category),
            scope(secret.scope),
            secret.description.as_deref().unwrap_or("-"),
            &minute_or_none(time),
        ]);
    }
    table
}

/// One secret's details, a line each.
pub(crate) fn details(secret: &SecretMetadata) -> String {
    let hosts: Vec<String> = secret.hosts.iter().map(ToString::to_string).collect();
    let hosts = if hosts.is_empty() {
        "as the tool binds it".into()
    } else {
        hosts.join(", ")
    };
    let lines = [
        ("name", secret.name.as_str()),
        ("owner", owner(secret.owner)),
        ("category", category(secret.category)),
        ("scope", scope(secret.scope)),
        ("description", secret.description.as_deref().unwrap_or("-")),
        ("hosts", &hosts),
        ("revealable", if secret.revealable { "yes" } else { "no" }),
        ("version", &secret.version.to_string()),
        ("expires", &minute_or_none(secret.expires_at)),
        ("created", &minute(secret.created_at)),
        ("updated", &minute(secret.updated_at)),
        ("rotated", &minute_or_none(secret.last_rotated_at)),
        ("etag", &secret.etag),
    ];
    Fields(&lines).to_string()
}

async fn versions(args: &OneArgs, session: &Session) -> Outcome {
    let (name, org_wide) = args.read()?;
    let route = one(&name).then("versions").flag("orgWide", org_wide);
    let versions: Vec<SecretVersion> = session.client()?.list(&route).await?;
    session.out.table(&versions, "no versions", || {
        let mut table = Table::new(&["VERSION", "MADE (UTC)", "IN USE"]);
        for version in &versions {
            let used = if version.current { "yes" } else { "-" };
            table.row(&[
                &version.version.to_string(),
                &minute(version.created_at),
                used,
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

async fn exists(args: &OneArgs, session: &Session) -> Outcome {
    let (name, org_wide) = args.read()?;
    let route = one(&name).flag("orgWide", org_wide);
    let asked: Result<SecretMetadata, ClientError> = session.client()?.get(&route).await;
    let exists = match asked {
        Ok(_) => true,
        // The broker's own answer, not that of whatever else listens there.
        Err(ClientError::Refused { status: 404, .. }) => false,
        Err(error) => return Err(error),
    };
    session.out.show(
        &serde_json::json!({ "name": name.as_str(), "exists": exists }),
        || format!("{}\n", if exists { "yes" } else { "no" }),
    )?;
    Ok(if exists { Exit::Ok } else { Exit::NotFound })
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_value_beside_a_name_is_refused_and_not_repeated() {
        let refused = named("GITHUB_TOKEN=ghp_canary").unwrap_err().detail();
        assert!(!format!("{refused:?}").contains("canary"));
        assert_eq!(
            named("my-key").unwrap_err().detail().hint.as_deref(),
            Some("perhaps MY_KEY")
        );
        assert_eq!(named("my_key").unwrap().as_str(), "MY_KEY");
    }
}
