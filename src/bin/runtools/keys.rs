//! API keys.

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::text::{Visible, minute, minute_or_none};
use runtools_broker::client::{ClientError, Exit, Outcome, Route, Session, Table, body};
use runtools_broker::id::ApiKeyId;
use runtools_broker::wire::{
    ApiKey, ApiKeyStatus, CreateApiKey, CreatedApiKey, RotateApiKey, UpdateApiKey,
};
use serde_json::Value;

const KEYS: &str = "/v1/api-keys";

/// API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List your keys
    List {
        /// Everybody's keys, for admins
        #[arg(long)]
        all_org: bool,
    },
    /// Make a key; its text is shown this once
    Create(CreateArgs),
    /// Show a key's details
    Get {
        /// The key's id
        #[arg(value_parser = ApiKeyId::parse)]
        id: ApiKeyId,
    },
    /// Change a key's name, scopes or project
    Update(UpdateArgs),
    /// Refuse a key from now on
    Revoke {
        /// The key's id
        #[arg(value_parser = ApiKeyId::parse)]
        id: ApiKeyId,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
    },
    /// Replace a key by a new one; its text is shown this once
    Rotate(RotateArgs),
}

/// What a new key is.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// What to call it
    name: String,
    /// What it may be used for, such as tool:*; may be repeated. Default: everything you may do
    #[arg(
        long = "scope",
        visible_alias = "scopes",
        value_name = "SCOPE",
        value_delimiter = ','
    )]
    scopes: Vec<String>,
    /// When it ends: 30d, 6m, 1y or never
    #[arg(long, value_name = "SPAN")]
    expires_in: Option<String>,
    /// Make a key for tests: it begins with `rt_test_`
    #[arg(long)]
    test: bool,
    /// The project to file it under
    #[arg(long, value_name = "ID")]
    project: Option<String>,
}

/// What changes about a key.
#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The key's id
    #[arg(value_parser = ApiKeyId::parse)]
    id: ApiKeyId,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// New scopes, instead of the old ones; may be repeated
    #[arg(
        long = "scope",
        visible_alias = "scopes",
        value_name = "SCOPE",
        value_delimiter = ','
    )]
    scopes: Option<Vec<String>>,
    /// Another project
    #[arg(long, value_name = "ID", conflicts_with = "no_project")]
    project: Option<String>,
    /// No project
    #[arg(long)]
    no_project: bool,
}

/// What becomes of the old key.
#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// The key's id
    #[arg(value_parser = ApiKeyId::parse)]
    id: ApiKeyId,
    /// The new key's name
    #[arg(long)]
    name: Option<String>,
    /// How long the old key still works, in seconds, up to 604800 (7 days)
    #[arg(long, value_name = "SECONDS")]
    grace_seconds: Option<u32>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: KeysCommand, session: &Session) -> Outcome {
    match command {
        KeysCommand::List { all_org } => list(all_org, session).await,
        KeysCommand::Create(args) => create(args, session).await,
        KeysCommand::Get { id } => {
            let key: ApiKey = session.client()?.get(&one(id)).await?;
            session
                .out
                .table(&key, "", || table(std::slice::from_ref(&key)))?;
            Ok(Exit::Ok)
        }
        KeysCommand::Update(args) => update(args, session).await,
        KeysCommand::Revoke { id, yes } => revoke(id, yes, session).await,
        KeysCommand::Rotate(args) => rotate(args, session).await,
    }
}

fn one(id: ApiKeyId) -> Route {
    Route::new(KEYS).then(id.to_string())
}

async fn list(all_org: bool, session: &Session) -> Outcome {
    let route = Route::new(KEYS).flag("all", all_org);
    let keys: Vec<ApiKey> = session.client()?.list(&route).await?;
    session.out.table(&keys, "no API keys", || table(&keys))?;
    Ok(Exit::Ok)
}

fn table(keys: &[ApiKey]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "BEGINS",
        "STATUS",
        "SCOPES",
        "ENDS",
        "LAST USED",
    ]);
    for key in keys {
        let status = match key.status {
            ApiKeyStatus::Active => "active",
            ApiKeyStatus::Revoked => "revoked",
            ApiKeyStatus::Expired => "expired",
        };
        table.row(&[
            &key.id.to_string(),
            &key.name,
            &key.key_prefix,
            status,
            &key.scopes.join(","),
            &minute_or_none(key.expires_at),
            &minute_or_none(key.last_used_at),
        ]);
    }
    table
}

async fn create(args: CreateArgs, session: &Session) -> Outcome {
    let body = body::plain(&CreateApiKey {
        name: args.name,
        scopes: args.scopes,
        expires_in: args.expires_in,
        is_test: args.test.then_some(true),
        project_id: args.project,
    })?;
    let made: CreatedApiKey = session
        .client()?
        .call(Method::POST, &Route::new(KEYS), Some(body))
        .await?;
    show_new(&made, session)
}

async fn rotate(args: RotateArgs, session: &Session) -> Outcome {
    let body = body::plain(&RotateApiKey {
        name: args.name,
        grace_seconds: args.grace_seconds,
    })?;
    let route = one(args.id).then("rotate");
    let made: CreatedApiKey = session
        .client()?
        .call(Method::POST, &route, Some(body))
        .await?;
    show_new(&made, session)
}

fn show_new(made: &CreatedApiKey, session: &Session) -> Outcome {
    session
        .out
        .show(made, || format!("{}\n", Visible(&made.key)))?;
    let ends = made
        .api_key
        .expires_at
        .map_or_else(|| "never".to_owned(), minute);
    session
        .out
        .note(format!("made API key {} (ends: {ends})", made.api_key.id));
    session.out.hint("the key is shown this once: store it now");
    Ok(Exit::Ok)
}

async fn update(args: UpdateArgs, session: &Session) -> Outcome {
    let project_id = if args.no_project {
        Some(None)
    } else {
        args.project.map(Some)
    };
    let change = UpdateApiKey {
        name: args.name,
        scopes: args.scopes,
        project_id,
    };
    let body = body::change(&change)?;
    // The answer has two documented forms, the key or a bare success.
    let done: Value = session
        .client()?
        .call(Method::PATCH, &one(args.id), Some(body))
        .await?;
    session
        .out
        .done(&done, format!("changed API key {}", args.id))?;
    Ok(Exit::Ok)
}

async fn revoke(id: ApiKeyId, yes: bool, session: &Session) -> Outcome {
    if !yes {
        let key: ApiKey = session.client()?.get(&one(id)).await?;
        let warning = format!(
            "This revokes the API key \"{}\" ({}).",
            key.name, key.key_prefix
        );
        session.prompts.confirm(&warning, &key.name, "pass --yes")?;
    }
    let done: Value = session
        .client()?
        .call(Method::DELETE, &one(id), None)
        .await?;
    session.out.done(&done, format!("revoked API key {id}"))?;
    Ok::<_, ClientError>(Exit::Ok)
}
