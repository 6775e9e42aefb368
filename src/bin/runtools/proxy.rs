//! Asking for a handle that works at the egress proxy, and showing what a program needs to go there.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use runtools_broker::client::{
    Bundle, Client, ClientError, Exit, Outcome, Proxied, Route, Session, Shell, Variable, body,
    seconds,
};
use runtools_broker::clock::{Clock, SystemClock, Timestamp};
use runtools_broker::id::ResolutionId;
use runtools_broker::name::ToolSlug;
use runtools_broker::wire::{Done, Resolved};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::tool_runs::{AccountArg, overrides};

/// The egress proxy.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Print the variables by which programs go through it, with a tool's placeholders
    ///
    /// The variables work until the handle in them ends: for 15 minutes at most. They are a right to use the
    /// credentials, so keep them out of logs and files.
    Env {
        #[command(flatten)]
        asked: AskedArgs,
        /// For which shell
        #[arg(long, value_name = "SHELL", default_value = "sh")]
        shell: Format,
    },
}

/// How long and how often a handle works unless something else is asked for.
const USUAL_SECONDS: u64 = 15 * 60;
const USUAL_USES: u32 = 1000;

/// Which credentials, and for how long.
#[derive(Args, Debug)]
pub(crate) struct AskedArgs {
    /// The tool whose credentials are used
    #[arg(long, value_name = "SLUG", value_parser = ToolSlug::parse)]
    tool: ToolSlug,
    /// Take a field from this secret; may be repeated
    #[arg(long = "credential-override", value_name = "FIELD=SECRET")]
    overrides: Vec<String>,
    #[command(flatten)]
    account: AccountArg,
    /// For how long: seconds, or minutes such as 5m; 15m at most
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = seconds)]
    ttl: u64,
    /// For how many requests; 1000 at most
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    uses: u32,
}

/// How variables are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// bash, zsh and all that read the same
    Sh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
    /// One JSON object
    Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResolveBody<'a> {
    tool: &'a ToolSlug,
    lane: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    credential_overrides: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    max_uses: u32,
    ttl_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: ResolutionId,
    expires_at: Timestamp,
    variables: Map<String, Value>,
}

impl AskedArgs {
    /// What was asked for besides the tool, as it would be written again.
    fn words(&self, shell: Shell) -> String {
        let mut words = String::new();
        for field in &self.overrides {
            words.extend([" --credential-override ", &shell.quoted(field)]);
        }
        if let Some(account) = &self.account.account {
            words.extend([" --account ", &shell.quoted(account)]);
        }
        if self.ttl != USUAL_SECONDS {
            words.push_str(&format!(" --ttl {}", self.ttl));
        }
        if self.uses != USUAL_USES {
            words.push_str(&format!(" --uses {}", self.uses));
        }
        words
    }

    /// Asks for a handle.
    pub(crate) async fn ask(
        &self,
        client: &Client,
        session: &Session,
    ) -> Result<Proxied, ClientError> {
        let body = body::plain(&ResolveBody {
            tool: &self.tool,
            lane: "proxy",
            credential_overrides: overrides(&self.overrides)?,
            account: self.account.account.as_deref(),
            max_uses: self.uses,
            ttl_seconds: self.ttl,
        })?;
        let route = Route::new("/v1/resolve");
        let answer: Resolved = client.call(Method::POST, &route, Some(body)).await?;
        if !session.place()?.is_here() {
            session.out.hint(
                "the proxy listens on the broker's own machine: forward its port, \
                 such as with `ssh -L 8421:127.0.0.1:8421`",
            );
        }
        Proxied::of(answer)
    }
}

/// What a program is given: its variables, and the files of roots that they name.
pub(crate) fn equipped(
    proxied: &Proxied,
    session: &Session,
) -> Result<(Vec<Variable>, Bundle), ClientError> {
    let env = session.env();
    let now = SystemClock.now();
    let bundle = Bundle::write(env, proxied.id, proxied.authority(), now)?;
    let variables = proxied.variables(&bundle, env)?;
    Ok((variables, bundle))
}

/// Ends a handle, and what is open by right of it.
pub(crate) async fn release(client: &Client, id: ResolutionId) -> Result<(), ClientError> {
    let route = Route::new("/v1/resolutions").then(id.to_string());
    let done: Result<Done, _> = client.call(Method::DELETE, &route, None).await;
    match done {
        // It was over already.
        Err(ClientError::Refused { status: 404, .. }) => Ok(()),
        done => done.map(drop),
    }
}

/// Runs one of the verbs.
pub(crate) async fn run(command: ProxyCommand, session: &Session) -> Outcome {
    match command {
        ProxyCommand::Env { asked, shell } => env(&asked, shell, session).await,
    }
}

async fn env(asked: &AskedArgs, format: Format, session: &Session) -> Outcome {
    let client = session.client()?;
    let proxied = asked.ask(&client, session).await?;
    let shown = match equipped(&proxied, session) {
        Ok((variables, bundle)) => {
            let shown = show(&proxied, &variables, (asked, format), session);
            shown.map(|()| bundle.keep())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = shown {
        // Nobody has it, so nobody is to find it.
        drop(release(&client, proxied.id).await);
        return Err(error);
    }
    Ok(Exit::Ok)
}

fn show(
    proxied: &Proxied,
    variables: &[Variable],
    (asked, format): (&AskedArgs, Format),
    session: &Session,
) -> Result<(), ClientError> {
    let object = || {
        let pair = |it: &Variable| (it.name.to_string(), Value::String(it.value.clone()));
        variables.iter().map(pair).collect::<Map<_, _>>()
    };
    let shell = match format {
        Format::Sh => Shell::Sh,
        Format::Fish => Shell::Fish,
        Format::Powershell => Shell::Powershell,
        Format::Json => {
            let text = serde_json::to_string_pretty(&object()).unwrap_or_default();
            return session.out.text(&format!("{text}\n"));
        }
    };
    let shown = Shown {
        id: proxied.id,
        expires_at: proxied.ends,
        variables: object(),
    };
    session.out.show(&shown, || {
        let (tool, ends) = (&asked.tool, proxied.ends);
        let name = match shell {
            Shell::Sh => String::new(),
            Shell::Fish => " --shell fish".to_owned(),
            Shell::Powershell => " --shell powershell".to_owned(),
        };
        let command = format!(
            "runtools proxy env --tool {tool}{}{name}",
            asked.words(shell)
        );
        let taken_in = shell.taken_in(&command);
        let lines = shell.lines(variables, proxied.empty());
        format!("# {tool}, through the broker's proxy, until {ends}\n# {taken_in}\n{lines}")
    })
}
