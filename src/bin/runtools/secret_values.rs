//! The verbs that hold a value: set, rotate, reveal.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::{
    ClientError, Exit, Generated, Outcome, Route, SHORTEST_LENT, Session, ValueSource, read_value,
    stdin_is_piped,
};
use runtools_broker::crypto::SystemRandom;
use runtools_broker::name::{HostPattern, SecretName};
use runtools_broker::secret::Secret;
use runtools_broker::wire::{Category, SecretMetadata, SecretOwner, SecretScope, SecretWasSet};
use serde::{Deserialize, Serialize};

use crate::secrets::{CategoryArg, ScopeArg, details, named, one};

const INPUT: &str = "\
The value is asked for, twice and hidden, unless it is piped in:
  runtools secret set GITHUB_TOKEN
  pass show github | runtools secret set GITHUB_TOKEN
  base64 -w0 key.pem | runtools secret set TLS_KEY
  runtools secret set WEBHOOK_SECRET --generate
A value is printable ASCII without line breaks: put anything else into base64, as above. One newline
at the end of piped or file input is taken off.";

/// Where the value comes from.
#[derive(Args, Debug)]
pub(crate) struct ValueArgs {
    /// The value, or `-` for standard input. On the command line other processes can see it
    #[arg(conflicts_with_all = ["from_file", "generate"])]
    value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    from_file: Option<PathBuf>,
    /// Make a value of LEN letters and digits, which nobody sees [default: 32]
    #[arg(
        long,
        value_name = "LEN",
        num_args = 0..=1,
        default_missing_value = "32",
        value_parser = clap::value_parser!(u16).range(
            i64::from(Generated::MIN)..=i64::from(Generated::MAX)
        )
    )]
    generate: Option<u16>,
}

/// Stores a value, or gives an existing secret a new one.
#[derive(Args, Debug)]
#[command(after_help = INPUT)]
pub(crate) struct SetArgs {
    /// The secret's name: a letter, then letters, digits and underscores
    name: String,
    #[command(flatten)]
    value: ValueArgs,
    /// What it is for
    #[arg(long)]
    category: Option<CategoryArg>,
    /// Free text
    #[arg(long)]
    description: Option<String>,
    /// Share it with the organisation, for admins
    #[arg(long)]
    org_wide: bool,
    /// Where it may be used
    #[arg(long)]
    scope: Option<ScopeArg>,
    /// A host that it may be sent to, such as api.github.com; may be repeated
    #[arg(long = "host", value_name = "HOST", value_parser = HostPattern::parse)]
    hosts: Option<Vec<HostPattern>>,
    /// When it stops being usable: a time, a span such as 90d, or never
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Its value can never be shown again, not even to you
    #[arg(long)]
    not_revealable: bool,
}

/// Gives a secret a new value.
#[derive(Args, Debug)]
#[command(after_help = INPUT)]
pub(crate) struct RotateArgs {
    /// The secret's name
    name: String,
    #[command(flatten)]
    value: ValueArgs,
    /// The organisation's secret, not your own
    #[arg(long)]
    org_wide: bool,
}

/// Shows a secret's details, or its value.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// The secret's name
    name: String,
    /// Print the value; this is recorded. Into a pipe it goes byte for byte, without a newline
    #[arg(long)]
    reveal: bool,
    /// The organisation's secret, not your own
    #[arg(long)]
    org_wide: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SetBody<'a> {
    name: &'a SecretName,
    value: Lent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_wide: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Category>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<SecretScope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Vec<HostPattern>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revealable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RotateBody<'a> {
    value: Lent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_wide: Option<bool>,
}

#[derive(Deserialize)]
struct Revealed {
    name: SecretName,
    value: Secret,
    version: u64,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a SecretName,
    value: Lent<'a>,
    version: u64,
}

impl ValueArgs {
    fn read(self, name: &SecretName, session: &Session) -> Result<Secret, ClientError> {
        let piped = stdin_is_piped();
        let source = ValueSource::choose(self.value, self.from_file, self.generate, piped);
        let question = format!("value of {name}");
        read_value(
            source,
            &question,
            session.prompts,
            &session.out,
            &SystemRandom,
        )
    }
}

/// Stores a value.
pub(crate) async fn set(args: SetArgs, session: &Session) -> Outcome {
    let name = named(&args.name)?;
    let client = session.client()?;
    let value = args.value.read(&name, session)?;
    let short = is_short(&value);
    let body = body::secret(&SetBody {
        name: &name,
        value: Lent(&value),
        org_wide: args.org_wide.then_some(true),
        category: args.category.map(CategoryArg::wire),
        scope: args.scope.map(ScopeArg::wire),
        description: args.description,
        hosts: args.hosts,
        revealable: args.not_revealable.then_some(false),
        expires: args.expires,
    })?;
    drop(value);
    let route = Route::new("/v1/secrets");
    let done: SecretWasSet = client.call(Method::POST, &route, Some(body)).await?;
    let secret = &done.secret;
    let words = if done.created {
        format!("stored {}, {}", secret.name, whose(secret))
    } else {
        format!(
            "rotated {} to version {}, {}",
            secret.name,
            secret.version,
            whose(secret)
        )
    };
    session.out.done(&done, words)?;
    tell_if(short, session);
    Ok(Exit::Ok)
}

fn is_short(value: &Secret) -> bool {
    value.len() < SHORTEST_LENT
}

/// Says that a value is kept in vain, where it is.
fn tell_if(short: bool, session: &Session) {
    if short {
        session.out.hint(format!(
            "a value of fewer than {SHORTEST_LENT} characters is never lent to a tool, because an \
             answer cannot be searched for it: rotate it to a longer one"
        ));
    }
}

/// Gives a secret a new value.
pub(crate) async fn rotate(args: RotateArgs, session: &Session) -> Outcome {
    let name = named(&args.name)?;
    let client = session.client()?;
    let value = args.value.read(&name, session)?;
    let (short, org_wide) = (is_short(&value), args.org_wide.then_some(true));
    let body = body::secret(&RotateBody {
        value: Lent(&value),
        org_wide,
    })?;
    drop(value);
    let route = one(&name).then("rotate");
    let secret: SecretMetadata = client.call(Method::POST, &route, Some(body)).await?;
    let words = format!("rotated {} to version {}", secret.name, secret.version);
    session.out.done(&secret, words)?;
    tell_if(short, session);
    Ok(Exit::Ok)
}

/// Shows a secret's details, or its value.
pub(crate) async fn get(args: GetArgs, session: &Session) -> Outcome {
    let name = named(&args.name)?;
    let client = session.client()?;
    if !args.reveal {
        let route = one(&name).flag("orgWide", args.org_wide);
        let secret: SecretMetadata = client.get(&route).await?;
        session.out.show(&secret, || details(&secret))?;
        return Ok(Exit::Ok);
    }
    let route = one(&name).then("reveal").flag("orgWide", args.org_wide);
    let Revealed {
        name,
        value,
        version,
    } = client.call(Method::POST, &route, None).await?;
    if session.out.is_json() {
        let shown = Shown {
            name: &name,
            value: Lent(&value),
            version,
        };
        session.out.show(&shown, String::new)?;
    } else {
        session.out.value(&value)?;
    }
    Ok(Exit::Ok)
}

const fn whose(secret: &SecretMetadata) -> &'static str {
    match secret.owner {
        SecretOwner::User => "private to you",
        SecretOwner::Org => "shared with the organisation",
    }
}
