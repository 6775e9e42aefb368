//! The verbs that change a secret without a value: update, delete, restore, rollback.

use clap::Args;
use http::Method;
use http::header::{HeaderName, HeaderValue, IF_MATCH};
use runtools_broker::client::text::minute;
use runtools_broker::client::{ClientError, Exit, Outcome, Session, body};
use runtools_broker::name::HostPattern;
use runtools_broker::wire::{DeletionLevel, SecretDeletion, SecretMetadata, UpdateSecret};

use crate::secrets::{CategoryArg, ScopeArg, details, named, one};

/// What changes about a secret. What is left out stays.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct UpdateArgs {
    /// The secret's name
    name: String,
    /// The organisation's secret, not your own
    #[arg(long)]
    org_wide: bool,
    /// What it is for
    #[arg(long)]
    category: Option<CategoryArg>,
    /// Where it may be used
    #[arg(long)]
    scope: Option<ScopeArg>,
    /// Free text
    #[arg(long, conflicts_with = "no_description")]
    description: Option<String>,
    /// No description
    #[arg(long)]
    no_description: bool,
    /// The hosts that it may be sent to, instead of the old ones; may be repeated
    #[arg(
        long = "host",
        value_name = "HOST",
        value_parser = HostPattern::parse,
        conflicts_with = "any_host"
    )]
    hosts: Option<Vec<HostPattern>>,
    /// No limit of its own: the tool's binding decides
    #[arg(long)]
    any_host: bool,
    /// Its value can be shown again, where policy allows
    #[arg(long, conflicts_with = "not_revealable")]
    revealable: bool,
    /// Its value cannot be shown again until it is rotated
    #[arg(long)]
    not_revealable: bool,
    /// When it stops being usable: a time, a span such as 90d, or never
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Only if the secret still has this etag; else exit code 8
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

/// How a secret is deleted.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The secret's name
    name: String,
    /// The organisation's secret, not your own
    #[arg(long)]
    org_wide: bool,
    /// For good: it cannot be restored
    #[arg(long)]
    destroy: bool,
    /// Do not ask
    #[arg(long, visible_alias = "force")]
    yes: bool,
}

/// What is taken back.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The secret's name
    name: String,
    /// The organisation's secret, not your own
    #[arg(long)]
    org_wide: bool,
    /// Only if the deleted secret still has this etag; else exit code 8
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

/// Which version is put back.
#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    /// The secret's name
    name: String,
    /// The version whose value is wanted again; see `secret versions`
    #[arg(long, value_name = "VERSION")]
    to: u64,
    /// The organisation's secret, not your own
    #[arg(long)]
    org_wide: bool,
}

/// The header that says which state of a secret is meant; `hint` says where an etag comes from.
fn condition(
    etag: Option<String>,
    hint: &'static str,
) -> Result<Vec<(HeaderName, HeaderValue)>, ClientError> {
    let Some(etag) = etag else {
        return Ok(Vec::new());
    };
    let etag = HeaderValue::try_from(etag).map_err(|_| ClientError::usage("not an etag", hint))?;
    Ok(vec![(IF_MATCH, etag)])
}

/// Changes metadata.
pub(crate) async fn update(args: UpdateArgs, session: &Session) -> Outcome {
    let name = named(&args.name)?;
    let description = if args.no_description {
        Some(None)
    } else {
        args.description.map(Some)
    };
    let hosts = if args.any_host {
        Some(Vec::new())
    } else {
        args.hosts
    };
    let revealable = match (args.revealable, args.not_revealable) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let body = body::change(&UpdateSecret {
        category: args.category.map(CategoryArg::wire),
        scope: args.scope.map(ScopeArg::wire),
        description,
        hosts,
        revealable,
        expires: args.expires,
    })?;
    let headers = condition(args.if_match, "take it from `runtools secret get`")?;
    let route = one(&name).flag("orgWide", args.org_wide);
    let client = session.client()?;
    let secret: SecretMetadata = client
        .call_with(Method::PATCH, &route, headers, Some(body))
        .await?;
    session.out.show(&secret, || details(&secret))?;
    Ok(Exit::Ok)
}

/// Deletes, after the name was typed or `--yes` given.
pub(crate) async fn delete(args: DeleteArgs, session: &Session) -> Outcome {
    let name = named(&args.name)?;
    let client = session.client()?;
    if !args.yes {
        let whose = if args.org_wide {
            "the organisation's secret"
        } else {
            "your secret"
        };
        let warning = if args.destroy {
            format!("This destroys {whose} {name} and all its versions for good.")
        } else {
            format!("This deletes {whose} {name}. It can be restored for a while.")
        };
        session
            .prompts
            .confirm(&warning, name.as_str(), "pass --yes")?;
    }
    let route = one(&name)
        .flag("orgWide", args.org_wide)
        .flag("destroy", args.destroy);
    let gone: SecretDeletion = client.call(Method::DELETE, &route, None).await?;
    let words = match (gone.level, gone.purge_at) {
        (DeletionLevel::Recoverable, Some(until)) => {
            format!(
                "deleted {name}; it can be restored until {} UTC",
                minute(until)
            )
        }
        (DeletionLevel::Recoverable, None) => format!("deleted {name}; it can be restored"),
        // No answer to a deletion reaches further.
        (DeletionLevel::Logical | DeletionLevel::Database | DeletionLevel::Provider, _) => {
            format!("destroyed {name}")
        }
    };
    session.out.done(&gone, words)?;
    Ok(Exit::Ok)
}

/// Takes a deletion back.
pub(crate) async fn restore(args: RestoreArgs, session: &Session) -> Outcome {
    let name = named(&args.name)?;
    let hint = "take it from `runtools secret list --deleted --json`";
    let headers = condition(args.if_match, hint)?;
    let route = one(&name).then("restore").flag("orgWide", args.org_wide);
    let client = session.client()?;
    let secret: SecretMetadata = client
        .call_with(Method::POST, &route, headers, None)
        .await?;
    session
        .out
        .done(&secret, format!("restored {}", secret.name))?;
    Ok(Exit::Ok)
}

/// Puts an earlier version back into use.
pub(crate) async fn rollback(args: RollbackArgs, session: &Session) -> Outcome {
    let name = named(&args.name)?;
    let route = one(&name)
        .then("versions")
        .then(args.to.to_string())
        .then("restore")
        .flag("orgWide", args.org_wide);
    let secret: SecretMetadata = session.client()?.call(Method::POST, &route, None).await?;
    let words = format!(
        "{name} has the value of version {} again, as version {}",
        args.to, secret.version
    );
    session.out.done(&secret, words)?;
    Ok(Exit::Ok)
}
