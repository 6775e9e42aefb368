//! OAuth clients at providers: an organisation's own, or the installation's. The same verbs in both
//! binaries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::text::minute;
use runtools_broker::client::{
    Client, ClientError, Exit, Outcome, Route, Session, Table, named_value, read_file,
    read_stdin_or, scope_list, stdin_is_piped,
};
use runtools_broker::name::ProviderId;
use runtools_broker::secret::Secret;
use runtools_broker::wire::{Done, OauthConfig};
use serde::Serialize;

/// How to give a secret without being asked.
const INSTEAD: &str =
    "pass --client-secret-stdin, --client-secret-file FILE, --public or --keep-secret";

/// OAuth clients.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Set the client of a provider; its secret is asked for, or piped in
    Set(SetArgs),
    /// List the clients, never their secrets
    List,
    /// Remove a client; accounts that it connected stay until they are disconnected
    #[command(visible_alias = "rm")]
    Remove {
        /// The provider
        #[arg(value_parser = ProviderId::parse)]
        provider: ProviderId,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
    },
}

/// What a client is.
#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    /// The provider, such as github
    #[arg(value_parser = ProviderId::parse)]
    provider: ProviderId,
    /// The provider's name for the client
    #[arg(long, value_name = "ID")]
    client_id: String,
    #[command(flatten)]
    secret: SecretArgs,
    /// Ask for these scopes, with spaces or commas between them; left out, they stay
    #[arg(long = "scopes", visible_alias = "scope", value_name = "SCOPES")]
    scopes: Option<String>,
    /// Tell which host the client belongs to, where the provider has several; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = named_value)]
    params: Vec<(String, String)>,
}

/// Where the client's secret comes from.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct SecretArgs {
    /// Read the client's secret from standard input
    #[arg(long)]
    client_secret_stdin: bool,
    /// Read the client's secret from a file
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// The client has no secret
    #[arg(long)]
    public: bool,
    /// Leave the stored secret as it is
    #[arg(long)]
    keep_secret: bool,
}

/// Where clients are kept, and how one gets there.
#[derive(Debug)]
pub(crate) struct Shelf<'a> {
    /// The route of the list.
    pub route: &'static str,
    /// Whom to ask.
    pub client: &'a Client,
    /// The words before `set`, for hints.
    pub verbs: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SetBody<'a> {
    provider: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<Lent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<&'a str, &'a str>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: ClientCommand, shelf: &Shelf<'_>, session: &Session) -> Outcome {
    match command {
        ClientCommand::Set(args) => set(&args, shelf, session).await?,
        ClientCommand::List => list(shelf, session).await?,
        ClientCommand::Remove { provider, yes } => remove(&provider, yes, shelf, session).await?,
    }
    Ok(Exit::Ok)
}

async fn set(args: &SetArgs, shelf: &Shelf<'_>, session: &Session) -> Result<(), ClientError> {
    let secret = args.secret.read(&args.provider, session)?;
    let body = body::secret(&SetBody {
        provider: args.provider.as_str(),
        client_id: &args.client_id,
        client_secret: secret.as_ref().map(Lent),
        public: args.secret.public.then_some(true),
        scopes: args.scopes.as_ref().map(|text| scope_list(&[text])),
        params: args
            .params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
    })?;
    drop(secret);
    let route = Route::new(shelf.route);
    let set: OauthConfig = shelf.client.call(Method::POST, &route, Some(body)).await?;
    let kind = if set.has_secret {
        ""
    } else {
        ", without a secret"
    };
    session.out.done(
        &set,
        format!(
            "set the client of {} to {}{kind}",
            set.provider, set.client_id
        ),
    )?;
    session.out.hint(format!(
        "register this redirect URI with the client at {}: {}",
        set.provider, set.redirect_uri
    ));
    Ok(())
}

impl SecretArgs {
    /// The secret, unless there is none to be sent.
    fn read(
        &self,
        provider: &ProviderId,
        session: &Session,
    ) -> Result<Option<Secret>, ClientError> {
        if self.public || self.keep_secret {
            return Ok(None);
        }
        if let Some(path) = &self.client_secret_file {
            return read_file(path).map(Some);
        }
        if self.client_secret_stdin || stdin_is_piped() {
            return read_stdin_or(INSTEAD).map(Some);
        }
        let question = format!("client secret of {provider}");
        session.prompts.hidden_twice(&question, INSTEAD).map(Some)
    }
}

async fn list(shelf: &Shelf<'_>, session: &Session) -> Result<(), ClientError> {
    let mut all: Vec<OauthConfig> = shelf.client.list(&Route::new(shelf.route)).await?;
    all.sort_by(|a, b| a.provider.cmp(&b.provider));
    session.out.table(&all, "no clients", || {
        let mut table = Table::new(&[
            "PROVIDER",
            "CLIENT ID",
            "SECRET",
            "SCOPES",
            "CHANGED (UTC)",
            "REDIRECT URI",
        ]);
        for one in &all {
            let scopes = one.scopes.join(" ");
            table.row(&[
                one.provider.as_str(),
                &one.client_id,
                if one.has_secret { "yes" } else { "-" },
                if scopes.is_empty() { "-" } else { &scopes },
                &minute(one.updated_at),
                &one.redirect_uri,
            ]);
        }
        table
    })?;
    if all.is_empty() {
        session.out.hint(format!(
            "set one with `{} set PROVIDER --client-id ID`",
            shelf.verbs
        ));
    }
    Ok(())
}

async fn remove(
    provider: &ProviderId,
    yes: bool,
    shelf: &Shelf<'_>,
    session: &Session,
) -> Result<(), ClientError> {
    if !yes {
        let warning =
            format!("This removes the client of {provider}: no account can be connected with it.");
        session
            .prompts
            .confirm(&warning, provider.as_str(), "pass --yes")?;
    }
    let route = Route::new(shelf.route).then(provider.as_str());
    let done: Done = shelf.client.call(Method::DELETE, &route, None).await?;
    session
        .out
        .done(&done, format!("removed the client of {provider}"))
}
