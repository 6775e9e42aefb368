//! Tools: the verbs, and those that find, install, make and publish.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use runtools_broker::client::text::Visible;
use runtools_broker::client::{
    Client, ClientError, Exit, Outcome, Payload, Route, Session, Table, body, read_stdin,
};
use runtools_broker::name::ToolSlug;
use runtools_broker::wire::{
    MAX_SPEC_BYTES, ToolInstalled, ToolSummary, UpdateVisibility, Visibility,
};
use serde_json::Value;

use crate::tool_credentials::{self, CredentialsCommand};
use crate::tool_runs::{self, ExecArgs, ExplainArgs};

const TOOLS: &str = "/v1/tools";

/// Tools.
#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// Look for tools by words, best first
    Search {
        /// Words that all occur in its name, its slug, its actions' names or its description
        #[arg(required = true, value_name = "WORD")]
        words: Vec<String>,
    },
    /// List tools
    List {
        /// Those you installed only
        #[arg(long)]
        installed: bool,
        /// Those the organisation made only
        #[arg(long)]
        custom: bool,
    },
    /// Show a tool: its actions, and what it needs
    Get(OneTool),
    /// Install a tool
    Install(OneTool),
    /// Uninstall a tool; its stored credentials go with it
    Uninstall {
        #[command(flatten)]
        tool: OneTool,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
    },
    /// Run a tool's action with your credentials, which stay in the broker
    Exec(ExecArgs),
    /// Say where a run would take its credentials from, without running
    Explain(ExplainArgs),
    /// Make a tool from a specification, or change it
    Create {
        /// A TOML or JSON file, or `-` for standard input
        file: PathBuf,
    },
    /// Delete a tool that the organisation made
    #[command(visible_alias = "rm")]
    Delete {
        #[command(flatten)]
        tool: OneTool,
        /// Do not ask
        #[arg(long, visible_alias = "force")]
        yes: bool,
    },
    /// Show a tool to the organisation, or take it back
    Publish(PublishArgs),
    /// Credentials stored for an installed tool
    #[command(subcommand)]
    Credentials(CredentialsCommand),
}

/// Which tool.
#[derive(Args, Debug)]
pub(crate) struct OneTool {
    /// The tool's slug, such as github
    #[arg(value_parser = ToolSlug::parse)]
    slug: ToolSlug,
}

/// Who is to see a tool.
#[derive(Args, Debug)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    tool: OneTool,
    /// Every member of the organisation: what is done anyway
    #[arg(long)]
    org: bool,
    /// Only you again
    #[arg(long, conflicts_with = "org")]
    unpublish: bool,
}

impl OneTool {
    /// The route of the tool.
    pub(crate) fn route(&self) -> Route {
        Route::new(TOOLS).then(self.slug.as_str())
    }

    /// The slug.
    pub(crate) const fn slug(&self) -> &ToolSlug {
        &self.slug
    }
}

/// Runs one of the verbs.
pub(crate) async fn run(command: ToolCommand, session: &Session) -> Outcome {
    match command {
        ToolCommand::Search { words } => {
            let route = Route::new(TOOLS).with("search", words.join(" "));
            let found: Vec<ToolSummary> = session.client()?.list(&route).await?;
            table(&found, session)
        }
        ToolCommand::List { installed, custom } => {
            let route = Route::new(TOOLS)
                .flag("installed", installed)
                .flag("custom", custom);
            let mut tools: Vec<ToolSummary> = session.client()?.list(&route).await?;
            tools.sort_by(|a, b| a.slug.cmp(&b.slug));
            table(&tools, session)
        }
        ToolCommand::Get(tool) => get(&tool, session).await,
        ToolCommand::Install(tool) => install(&tool, session).await,
        ToolCommand::Uninstall { tool, yes } => uninstall(&tool, yes, session).await,
        ToolCommand::Exec(args) => tool_runs::exec(args, session).await,
        ToolCommand::Explain(args) => tool_runs::explain(args, session).await,
        ToolCommand::Create { file } => create(file, session).await,
        ToolCommand::Delete { tool, yes } => delete(&tool, yes, session).await,
        ToolCommand::Publish(args) => publish(&args, session).await,
        ToolCommand::Credentials(command) => tool_credentials::run(command, session).await,
    }
}

fn table(tools: &[ToolSummary], session: &Session) -> Outcome {
    session.out.table(&tools, "no tools", || {
        let mut table = Table::new(&["SLUG", "NAME", "INSTALLED", "ACTIONS", "DESCRIPTION"]);
        for tool in tools {
            let installed = if tool.installed { "yes" } else { "-" };
            let actions = tool.actions.len().to_string();
            table.row(&[
                &tool.slug,
                &tool.name,
                installed,
                &actions,
                &tool.description,
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

async fn get(tool: &OneTool, session: &Session) -> Outcome {
    let found: Value = session.client()?.get(&tool.route()).await?;
    session.out.show(&found, || outline(&found, 0))?;
    Ok(Exit::Ok)
}

/// A document as indented lines: for shapes that are read by people and may grow.
fn outline(value: &Value, depth: usize) -> String {
    const DEEPEST: usize = 16;
    let line = |name: &str, value: &Value| {
        let (pad, name) = ("  ".repeat(depth), Visible(name));
        match value {
            Value::Object(_) | Value::Array(_) if depth < DEEPEST && !plain_list(value) => {
                format!("{pad}{name}:\n{}", outline(value, depth + 1))
            }
            Value::String(word) => format!("{pad}{name}: {}\n", Visible(word)),
            Value::Array(items) if plain_list(value) => {
                let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                format!("{pad}{name}: {}\n", Visible(&words.join(", ")))
            }
            other => format!("{pad}{name}: {}\n", Visible(&other.to_string())),
        }
    };
    let lines: Vec<String> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| line(name, value))
            .collect(),
        Value::Array(items) => items.iter().map(|value| line("-", value)).collect(),
        other => vec![line("-", other)],
    };
    lines.concat()
}

fn plain_list(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(Value::is_string))
}

async fn install(tool: &OneTool, session: &Session) -> Outcome {
    let route = tool.route().then("install");
    let done: ToolInstalled = session.client()?.call(Method::POST, &route, None).await?;
    session
        .out
        .done(&done, format!("installed {}", done.slug))?;
    if done.credentials_required {
        let fields = done.required_credential_fields.join(", ");
        session.out.hint(format!(
            "it needs: {fields}; see `runtools tool explain {}`",
            done.slug
        ));
    }
    Ok(Exit::Ok)
}

async fn uninstall(tool: &OneTool, yes: bool, session: &Session) -> Outcome {
    let slug = tool.slug();
    let client = session.client()?;
    if !yes {
        let warning = format!("This uninstalls {slug} and destroys its stored credentials.");
        session
            .prompts
            .confirm(&warning, slug.as_str(), "pass --yes")?;
    }
    let route = tool.route().then("install");
    let done: Value = client.call(Method::DELETE, &route, None).await?;
    session.out.done(&done, format!("uninstalled {slug}"))?;
    Ok(Exit::Ok)
}

async fn create(file: PathBuf, session: &Session) -> Outcome {
    let client = session.client()?;
    let text = if file.as_os_str() == "-" {
        read_stdin()?.expose(<[u8]>::to_vec)
    } else {
        let size = fs::metadata(&file)
            .map_err(|error| ClientError::file(&file, &error))?
            .len();
        if usize::try_from(size).unwrap_or(usize::MAX) > MAX_SPEC_BYTES {
            return Err(ClientError::usage(
                format!("the specification is over {} KiB", MAX_SPEC_BYTES / 1024),
                "make it smaller",
            ));
        }
        fs::read(&file).map_err(|error| ClientError::file(&file, &error))?
    };
    let kind = kind(&file, &text)?;
    let made = send_spec(&client, text, kind).await?;
    let slug = made
        .get("slug")
        .and_then(Value::as_str)
        .unwrap_or("the tool")
        .to_owned();
    session.out.done(&made, format!("made {slug}"))?;
    session
        .out
        .hint(format!("install it with `runtools tool install {slug}`"));
    Ok(Exit::Ok)
}

/// What a specification is written in: as its name ends, else as it begins.
fn kind(file: &Path, text: &[u8]) -> Result<&'static str, ClientError> {
    const TOML: &str = "application/toml";
    const JSON: &str = "application/json";
    let end = file.extension().unwrap_or_default().to_ascii_lowercase();
    match end.to_str() {
        Some("toml") => Ok(TOML),
        Some("json") => Ok(JSON),
        Some("yaml" | "yml") => Err(ClientError::usage(
            "a tool's specification is TOML or JSON; this is neither",
            "write it as TOML, in a file whose name ends in .toml: the manual page \"tools\" shows one",
        )),
        _ if text.trim_ascii_start().starts_with(b"{") => Ok(JSON),
        _ => Ok(TOML),
    }
}

async fn send_spec(
    client: &Client,
    text: Vec<u8>,
    kind: &'static str,
) -> Result<Value, ClientError> {
    let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(kind))];
    let route = Route::new(TOOLS).then("custom");
    client
        .call_with(
            Method::POST,
            &route,
            headers,
            Some(Payload::Plain(text.into())),
        )
        .await
}

fn custom(tool: &OneTool) -> Route {
    Route::new(TOOLS).then("custom").then(tool.slug().as_str())
}

async fn delete(tool: &OneTool, yes: bool, session: &Session) -> Outcome {
    let slug = tool.slug();
    let client = session.client()?;
    if !yes {
        let warning = format!("This deletes the tool {slug} for everybody who uses it.");
        session
            .prompts
            .confirm(&warning, slug.as_str(), "pass --yes")?;
    }
    let done: Value = client.call(Method::DELETE, &custom(tool), None).await?;
    session.out.done(&done, format!("deleted {slug}"))?;
    Ok(Exit::Ok)
}

async fn publish(args: &PublishArgs, session: &Session) -> Outcome {
    let visibility = if args.unpublish {
        Visibility::Private
    } else {
        Visibility::Org
    };
    let body = body::plain(&UpdateVisibility { visibility })?;
    let route = custom(&args.tool).then("visibility");
    let done: Value = session
        .client()?
        .call(Method::PATCH, &route, Some(body))
        .await?;
    let slug = args.tool.slug();
    let words = match visibility {
        Visibility::Org => format!("every member can see {slug}"),
        Visibility::Private => format!("only you can see {slug}"),
    };
    session.out.done(&done, words)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::outline;

    #[test]
    fn an_outline_shows_every_field_and_steers_no_terminal() {
        let value = serde_json::json!({
            "slug": "crm", "actions": [{ "name": "find\u{1b}[2J", "n": 1 }], "tags": ["a", "b"],
        });
        let text = outline(&value, 0);
        assert_eq!(
            text,
            "actions:\n  -:\n    n: 1\n    name: find\\u{1b}[2J\nslug: crm\ntags: a, b\n"
        );
    }
}
