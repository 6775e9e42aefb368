//! Running a tool, and asking what a run would use.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::Args;
use http::Method;
use runtools_broker::client::body::{self, Lent};
use runtools_broker::client::text::{Visible, visible_json};
use runtools_broker::client::{
    ClientError, Exit, Outcome, Session, Table, credential_fields, read_stdin, stdin_is_piped,
};
use runtools_broker::name::{ActionName, FieldName, SecretName};
use runtools_broker::secret::Secret;
use runtools_broker::wire::{Execution, Explanation, FieldExplanation, FieldSource};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::tools::OneTool;

/// How to give a value without being asked.
const PIPE: &str = "pipe the value in; only one --credential can be read from standard input";

/// Runs a tool's action.
#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    tool: OneTool,
    /// Which action
    #[arg(long, value_name = "NAME", value_parser = ActionName::parse)]
    action: ActionName,
    /// What to run it with: a JSON object, @FILE, or `-` for standard input
    #[arg(
        long,
        value_name = "JSON",
        default_value = "{}",
        hide_default_value = true
    )]
    params: String,
    #[command(flatten)]
    given: GivenArgs,
}

/// Asks what a run would use.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    tool: OneTool,
    /// As if this secret were named for this field; may be repeated
    #[arg(long = "credential-override", value_name = "FIELD=SECRET")]
    overrides: Vec<String>,
    #[command(flatten)]
    account: AccountArg,
}

/// Which connected account.
#[derive(Args, Debug)]
pub(crate) struct AccountArg {
    /// Use this connected account, not the default one: its name, e-mail address or id
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
}

#[derive(Args, Debug)]
struct GivenArgs {
    /// Take a field from this secret, for this run; may be repeated
    #[arg(long = "credential-override", value_name = "FIELD=SECRET")]
    overrides: Vec<String>,
    /// Give a field's value for this run: asked for, or piped in; may be repeated
    #[arg(long = "credential", value_name = "FIELD")]
    fields: Vec<String>,
    #[command(flatten)]
    account: AccountArg,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecBody<'a> {
    action: &'a ActionName,
    params: Map<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    credentials: BTreeMap<&'a str, Lent<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    credential_overrides: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExplainBody {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    credential_overrides: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

/// Runs the action and prints what the upstream answered. A run that failed ends with code 1.
pub(crate) async fn exec(args: ExecArgs, session: &Session) -> Outcome {
    credential_fields(&args.given.fields)?;
    let credential_overrides = overrides(&args.given.overrides)?;
    let client = session.client()?;
    let params = params(&args.params)?;
    let values = values(&args.given.fields, args.params == "-", session)?;
    let credentials = values
        .iter()
        .map(|(field, value)| (*field, Lent(value)))
        .collect();
    let action = &args.action;
    let body = body::secret(&ExecBody {
        action,
        params,
        credentials,
        credential_overrides,
        account: args.given.account.account.as_deref(),
    })?;
    drop(values);
    let route = args.tool.route().then("execute");
    let run = client.call(Method::POST, &route, Some(body)).await;
    let run: Execution = run.map_err(|error| about(error, args.tool.slug().as_str()))?;
    session.out.show(&run, || result(&run.result))?;
    if run.success {
        return Ok(Exit::Ok);
    }
    if let Some(error) = &run.error {
        let status = error
            .status_code
            .map_or_else(String::new, |code| format!(", HTTP {code}"));
        session.out.note(format!(
            "the run failed: {} ({}{status})",
            error.message, error.code
        ));
    } else {
        session.out.note("the run failed");
    }
    Ok(Exit::Failed)
}

/// A refusal whose next step names this tool: the broker's own words say SLUG.
fn about(error: ClientError, slug: &str) -> ClientError {
    let ClientError::Refused { status, mut detail } = error else {
        return error;
    };
    detail.hint = detail.hint.map(|hint| hint.replace("SLUG", slug));
    ClientError::Refused { status, detail }
}

fn result(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => {
            let mut lines: Vec<String> =
                text.lines().map(|line| Visible(line).to_string()).collect();
            lines.push(String::new());
            lines.join(
                "
",
            )
        }
        other => {
            let json = serde_json::to_string_pretty(other).unwrap_or_default();
            format!("{}\n", visible_json(&json))
        }
    }
}

/// Asks where each field would come from.
pub(crate) async fn explain(args: ExplainArgs, session: &Session) -> Outcome {
    let credential_overrides = overrides(&args.overrides)?;
    let body = body::plain(&ExplainBody {
        credential_overrides,
        account: args.account.account,
    })?;
    let route = args.tool.route().then("explain");
    let found: Explanation = session
        .client()?
        .call(Method::POST, &route, Some(body))
        .await?;
    session.out.table(&found, "it needs no credentials", || {
        let mut table = Table::new(&["FIELD", "REQUIRED", "FROM", "SECRET", "LOOKED FOR"]);
        for field in &found.fields {
            let looked = field.looked_for.iter().map(|place| {
                let name = place.name.as_ref().map(|name| format!(" {name}"));
                let name = name.unwrap_or_default();
                format!("{}{name}: {}", source(place.source), place.outcome)
            });
            let looked: Vec<String> = looked.collect();
            table.row(&[
                field.field.as_str(),
                if field.required { "yes" } else { "-" },
                source(field.source),
                field.secret.as_deref().unwrap_or("-"),
                &looked.join(", "),
            ]);
        }
        table
    })?;
    let slug = args.tool.slug();
    if found.ready {
        session.out.note(format!("{slug} has what it needs"));
        return Ok(Exit::Ok);
    }
    session.out.note(format!("{slug} lacks a credential"));
    let missing =
        |field: &&FieldExplanation| field.required && field.source == FieldSource::Missing;
    for field in found.fields.iter().filter(missing) {
        session.out.hint(ways(field, slug.as_str()));
    }
    Ok(Exit::Incomplete)
}

/// The ways to fill a field, the usual ones first.
fn ways(field: &FieldExplanation, slug: &str) -> String {
    let place = |source| field.looked_for.iter().find(|place| place.source == source);
    let looked = |source| place(source)?.name.as_deref();
    // An account that is there and does not do is not mended by connecting it as it was.
    let there = place(FieldSource::Connection)
        .filter(|place| !matches!(&*place.outcome, "no_connection" | "absent"));
    let unfit = there.zip(looked(FieldSource::Connection)).map(|(place, id)| {
        format!(
            "the account at {id} does not do ({}): `runtools tool exec {slug}` says what to do about it; or ",
            place.outcome
        )
    });
    let secret =
        looked(FieldSource::UserSecret).map(|name| format!("`runtools secret set {name}`"));
    let account = looked(FieldSource::Connection)
        .filter(|_| unfit.is_none())
        .map(|id| format!("`runtools oauth connect {id}`"));
    let stored = format!("`runtools tool credentials set {slug} {}`", field.field);
    let ways: Vec<_> = secret.into_iter().chain(account).chain([stored]).collect();
    let unfit = unfit.unwrap_or_default();
    format!(
        "{unfit}fill {} with one of: {}",
        field.field,
        ways.join(", ")
    )
}

const fn source(source: FieldSource) -> &'static str {
    match source {
        FieldSource::Request => "this request",
        FieldSource::Override => "override",
        FieldSource::Stored => "stored",
        FieldSource::UserSecret => "your secret",
        FieldSource::OrgSecret => "shared secret",
        FieldSource::Connection => "connection",
        FieldSource::Missing => "missing",
    }
}

fn params(text: &str) -> Result<Map<String, Value>, ClientError> {
    let read = if text == "-" {
        read_stdin()?.expose(|bytes| serde_json::from_slice(bytes).ok())
    } else if let Some(path) = text.strip_prefix('@') {
        let path = Path::new(path);
        let bytes = fs::read(path).map_err(|error| ClientError::file(path, &error))?;
        serde_json::from_slice(&bytes).ok()
    } else {
        serde_json::from_str(text).ok()
    };
    read.ok_or_else(|| {
        ClientError::usage(
            "--params is not a JSON object",
            "write --params '{\"name\": \"value\"}', --params @file.json or --params -",
        )
    })
}

/// Reads `field=SECRET` pairs. The right side is a name, so that a value never gets here; what was
/// written is not repeated.
pub(crate) fn overrides(pairs: &[String]) -> Result<BTreeMap<String, String>, ClientError> {
    let read = |pair: &String| {
        let (field, secret) = pair.split_once('=')?;
        let field = FieldName::parse(field).ok()?;
        let secret = SecretName::parse(secret).ok()?;
        Some((field.to_string(), secret.to_string()))
    };
    let read: Option<BTreeMap<_, _>> = pairs.iter().map(read).collect();
    read.ok_or_else(|| {
        ClientError::usage(
            "--credential-override takes FIELD=SECRET_NAME",
            "write the name of a stored secret, such as apiKey=CRM_KEY, not a value",
        )
    })
}

fn values<'a>(
    fields: &'a [String],
    stdin_taken: bool,
    session: &Session,
) -> Result<Vec<(&'a str, Secret)>, ClientError> {
    let piped = fields.len() == 1 && !stdin_taken && stdin_is_piped();
    let read = |field: &'a String| {
        let value = if piped {
            read_stdin()
        } else {
            session.prompts.hidden(field, PIPE)
        };
        value.map(|value| (field.as_str(), value))
    };
    fields.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::{overrides, params, result, ways};

    #[test]
    fn overrides_are_names_and_refusals_repeat_nothing() {
        let read = overrides(&["apiKey=crm_key".into(), "token=T".into()]).unwrap();
        assert_eq!(read["apiKey"], "CRM_KEY");
        for bad in ["apiKey", "apiKey=", "=X", "apiKey=sk-canary", "api key=X"] {
            let refused = overrides(&[bad.into()]).unwrap_err().detail();
            assert!(!format!("{refused:?}").contains("canary"), "{bad}");
        }
    }

    #[test]
    fn whoever_lacks_a_credential_is_told_every_way_to_fill_it() {
        let field = |looked: serde_json::Value| {
            let text = serde_json::json!({
                "field": "token", "required": true, "source": "missing", "lookedFor": looked,
            });
            ways(&serde_json::from_value(text).unwrap(), "github")
        };
        let place = |source: &str, name: &str| serde_json::json!({"source": source, "name": name, "outcome": "absent"});
        let told = field(serde_json::json!([
            place("user_secret", "GITHUB_TOKEN"),
            place("org_secret", "GITHUB_TOKEN"),
            place("connection", "github"),
        ]));
        assert_eq!(
            told,
            "fill token with one of: `runtools secret set GITHUB_TOKEN`, `runtools oauth connect \
             github`, `runtools tool credentials set github token`"
        );
        let short = serde_json::json!({"source": "connection", "name": "github", "outcome": "missing_scopes"});
        assert_eq!(
            field(serde_json::json!([short])),
            "the account at github does not do (missing_scopes): `runtools tool exec github` says what to do \
             about it; or fill token with one of: `runtools tool credentials set github token`"
        );
        let told = field(serde_json::json!([]));
        assert!(
            told.ends_with("one of: `runtools tool credentials set github token`"),
            "{told}"
        );
    }

    #[test]
    fn params_are_an_object_from_the_line_or_a_file() {
        assert_eq!(params(r#"{"a":1}"#).unwrap()["a"], 1);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"b":2}"#).unwrap();
        assert_eq!(
            params(&format!("@{}", file.path().display())).unwrap()["b"],
            2
        );
        for bad in ["", "[]", "1", "{", "a=b", "@/no/such/file"] {
            assert!(params(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_upstreams_text_steers_no_terminal() {
        assert_eq!(
            result(&"a\u{1b}]0;x\u{7}\nb".into()),
            "a\\u{1b}]0;x\\u{7}\nb\n"
        );
        assert!(!result(&serde_json::json!(["\u{9b}2J"])).contains('\u{9b}'));
    }
}
