//! Who used what: the uses of secrets and accounts in the journal, summed up.
//!
//! Made for the hour in which a key is known to be in the wrong hands: one line for each credential,
//! user, tool and host, with how often, and when first and last. The journal stays where it is; what a
//! line stands for is in `runtools audit list`.

use std::collections::BTreeMap;

use clap::Args;
use runtools_broker::client::{Exit, Outcome, Route, Session, Table};
use serde::Serialize;
use serde_json::Value;

/// What takes a credential to somebody or somewhere.
const USES: [&str; 7] = [
    // What somebody had no right to do: the record's code says what it was.
    "auth.denied",
    "secret.reveal",
    "tool.execute",
    "broker.resolve",
    "broker.exchange",
    "broker.connect",
    "oauth.connect",
];

/// Which part of the journal.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// From this time on: 2026-11-23T09:30:00Z, a date (UTC), or how long ago, such as 24h or 7d
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Before this time, in the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Done by, or for, this member: id, name, e-mail address or user id of the machine; or by
    /// this service: id or name
    #[arg(long, value_name = "MEMBER")]
    actor: Option<String>,
    /// Of this secret only
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
}

/// What uses have in common that are one line. The order is that of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// `secret`, `connection`, or what else was asked for.
    kind: String,
    /// Its name, else its id.
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    /// Who used it, and for whom.
    by: String,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
}

/// How often, and when.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    uses: u64,
    /// Of those, how many were refused.
    denied: u64,
    first: String,
    last: String,
}

#[derive(Debug, Serialize)]
struct Used<'a> {
    #[serde(flatten)]
    line: &'a Line,
    #[serde(flatten)]
    sum: &'a Sum,
}

/// The uses that were read so far.
#[derive(Debug, Default)]
struct Uses(BTreeMap<Line, Sum>);

fn text(entry: &Value, path: &str) -> Option<String> {
    entry
        .pointer(path)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

fn by(entry: &Value) -> String {
    let actor = text(entry, "/actor/name")
        .or_else(|| text(entry, "/actor/id"))
        .or_else(|| text(entry, "/actor/type"))
        .unwrap_or_default();
    let whom = text(entry, "/on_behalf_of_name").or_else(|| text(entry, "/on_behalf_of"));
    match whom {
        Some(whom) => format!("{actor} for {whom}"),
        None => actor,
    }
}

impl Uses {
    /// Adds a record, if it is one of a use.
    fn add(&mut self, entry: &Value) {
        let Some(action) = text(entry, "/action").filter(|code| USES.contains(&&**code)) else {
            return;
        };
        let all = entry["targets"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let of_use =
            |target: &&Value| matches!(target["kind"].as_str(), Some("secret" | "connection"));
        let mut used: Vec<&Value> = all.iter().filter(of_use).collect();
        if used.is_empty() {
            // Nothing was taken: what was asked for says the most.
            used.extend(all.first());
        }
        if used.is_empty() {
            used.push(&Value::Null);
        }
        let time = text(entry, "/time").unwrap_or_default();
        for target in used {
            let id = text(target, "/id");
            let line = Line {
                kind: text(target, "/kind").unwrap_or_default(),
                what: text(target, "/name")
                    .or_else(|| id.clone())
                    .or_else(|| text(entry, "/code"))
                    .unwrap_or_default(),
                id,
                org: text(entry, "/org"),
                by: by(entry),
                action: action.clone(),
                tool: text(entry, "/tool"),
                host: text(entry, "/host"),
            };
            let sum = self.0.entry(line).or_default();
            sum.uses += 1;
            sum.denied += u64::from(entry.pointer("/decision/denied").is_some());
            // Newest first.
            sum.first.clone_from(&time);
            if sum.last.is_empty() {
                sum.last.clone_from(&time);
            }
        }
    }

    fn table(&self) -> Table {
        let minute = |time: &String| {
            let minute = time.get(..16).unwrap_or(time);
            minute.replace('T', " ")
        };
        let mut table = Table::new(&[
            "WHAT",
            "BY",
            "ACTION",
            "TOOL",
            "HOST",
            "USES",
            "DENIED",
            "FIRST (UTC)",
            "LAST (UTC)",
        ]);
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        for (line, sum) in &self.0 {
            table.row(&[
                line.what.clone(),
                line.by.clone(),
                line.action.clone(),
                or_none(&line.tool),
                or_none(&line.host),
                sum.uses.to_string(),
                sum.denied.to_string(),
                minute(&sum.first),
                minute(&sum.last),
            ]);
        }
        table
    }
}

/// Sums up the uses.
pub(crate) async fn run(args: ReportArgs, session: &Session) -> Outcome {
    let route = Route::new("/v1/audit")
        .with("since", args.since)
        .maybe("until", args.until)
        .maybe("actor", args.actor)
        .maybe("secret", args.secret)
        .flag("all", true)
        .with("limit", "500");
    let mut uses = Uses::default();
    let client = session.local()?;
    client
        .each_page(&route, |entries: Vec<Value>| {
            for entry in &entries {
                uses.add(entry);
            }
        })
        .await?;
    let shown: Vec<_> = uses
        .0
        .iter()
        .map(|(line, sum)| Used { line, sum })
        .collect();
    session
        .out
        .table(&shown, "nothing was used", || uses.table())?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::Uses;
    use serde_json::json;

    #[test]
    fn uses_of_one_credential_by_one_user_are_one_line() {
        let mut uses = Uses::default();
        let entry = |time: &str, decision: serde_json::Value| {
            json!({
                "time": time, "action": "tool.execute", "decision": decision, "tool": "crm", "host": "api.example.com",
                "actor": {"type": "service", "id": "s-1", "name": "tool-hub"}, "on_behalf_of_name": "Bob",
                "targets": [{"kind": "tool", "name": "crm"}, {"kind": "secret", "name": "CRM_KEY"},
                            {"kind": "connection", "name": "github"}],
            })
        };
        uses.add(&entry("2026-11-23T09:31:00Z", json!("allowed")));
        uses.add(&entry("2026-11-23T09:30:00Z", json!({"denied": "policy"})));
        uses.add(
            &json!({"action": "secret.set", "targets": [{"kind": "secret", "name": "OTHER"}]}),
        );
        uses.add(&json!(null));
        let found: Vec<_> = uses.0.iter().collect();
        assert_eq!(found.len(), 2, "{found:?}");
        let (line, sum) = found[1];
        assert_eq!((&*line.what, &*line.by), ("CRM_KEY", "tool-hub for Bob"));
        assert_eq!((sum.uses, sum.denied), (2, 1));
        assert!(sum.first < sum.last);
    }

    #[test]
    fn who_was_refused_before_anything_was_taken_has_a_line_of_what_they_asked_for() {
        let mut uses = Uses::default();
        uses.add(&json!({"action": "broker.resolve", "time": "2026-11-23T09:30:00Z", "actor": {"type": "system"},
            "targets": [{"kind": "tool", "id": "t-1"}], "decision": {"denied": "another_user"}}));
        let (line, sum) = uses.0.first_key_value().unwrap();
        assert_eq!((&*line.what, &*line.by, sum.denied), ("t-1", "system", 1));
    }
}
