//! Credentials stored for an installed tool.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::{
    ClientError, Exit, Outcome, Session, Table, credential_fields, read_file, read_stdin,
    stdin_is_piped,
};
use runtools_broker::secret::Secret;
use runtools_broker::wire::CredentialStatus;
use serde_json::Value;

use crate::tools::OneTool;

const INSTEAD: &str = "pipe one field's value in, or pass --from-file FILE with a JSON object";

/// Credentials stored for an installed tool.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Store the values of fields: asked for, or piped in
    Set(SetArgs),
    /// Show which fields have a value, never the values
    Status(OneTool),
    /// Destroy the stored values
    Clear {
        #[command(flatten)]
        tool: OneTool,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
    },
}

/// Which fields, and from where.
#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    tool: OneTool,
    /// The fields; each value is asked for. The value of a single one can be piped in
    #[arg(value_name = "FIELD", required_unless_present = "from_file")]
    fields: Vec<String>,
    /// A JSON object, field to value; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    from_file: Option<PathBuf>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: CredentialsCommand, session: &Session) -> Outcome {
    match command {
        CredentialsCommand::Set(args) => set(args, session).await,
        CredentialsCommand::Status(tool) => status(&tool, session).await,
        CredentialsCommand::Clear { tool, yes } => clear(&tool, yes, session).await,
    }
}

async fn set(args: SetArgs, session: &Session) -> Outcome {
    credential_fields(&args.fields)?;
    let client = session.client()?;
    let values = match args.from_file {
        Some(path) => from_document(&path)?,
        None => ask(args.fields, session)?,
    };
    let fields: BTreeMap<&str, Lent<'_>> = values
        .iter()
        .map(|(field, value)| (field.as_str(), Lent(value)))
        .collect();
    let body = body::secret(&fields)?;
    let count = values.len();
    drop(values);
    let route = args.tool.route().then("credentials");
    let done: Value = client.call(Method::PUT, &route, Some(body)).await?;
    let fields = if count == 1 { "field" } else { "fields" };
    session.out.done(
        &done,
        format!("stored {count} {fields} for {}", args.tool.slug()),
    )?;
    Ok(Exit::Ok)
}

fn from_document(path: &Path) -> Result<BTreeMap<String, Secret>, ClientError> {
    let document = if path.as_os_str() == "-" {
        read_stdin()?
    } else {
        read_file(path)?
    };
    let read = document.expose(|bytes| serde_json::from_slice(bytes).ok());
    read.ok_or_else(|| {
        ClientError::usage(
            "the file is not a JSON object of texts",
            "write {\"field\": \"value\"} into it",
        )
    })
}

fn ask(fields: Vec<String>, session: &Session) -> Result<BTreeMap<String, Secret>, ClientError> {
    let piped = fields.len() == 1 && stdin_is_piped();
    let read = |field: String| {
        let value = if piped {
            read_stdin()
        } else {
            session.prompts.hidden_twice(&field, INSTEAD)
        };
        value.map(|value| (field, value))
    };
    fields.into_iter().map(read).collect()
}

async fn status(tool: &OneTool, session: &Session) -> Outcome {
    let route = tool.route().then("credentials");
    let status: CredentialStatus = session.client()?.get(&route).await?;
    session.out.table(&status, "it needs no credentials", || {
        let mut table = Table::new(&["FIELD", "REQUIRED", "STORED"]);
        let word = |yes| if yes { "yes" } else { "-" };
        for field in &status.fields {
            table.row(&[
                field.field.as_str(),
                word(field.required),
                word(field.stored),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

async fn clear(tool: &OneTool, yes: bool, session: &Session) -> Outcome {
    let slug = tool.slug();
    let client = session.client()?;
    if !yes {
        let warning = format!("This destroys the credentials stored for {slug}.");
        session
            .prompts
            .confirm(&warning, slug.as_str(), "pass --yes")?;
    }
    let route = tool.route().then("credentials");
    let done: Value = client.call(Method::DELETE, &route, None).await?;
    session
        .out
        .done(&done, format!("cleared the credentials stored for {slug}"))?;
    Ok(Exit::Ok)
}
