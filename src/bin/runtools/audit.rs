//! The audit journal.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use http::Method;
use runtools_broker::audit::{Head, Verdict, VerifyReport, verify_export_knowing};
use runtools_broker::client::text::{Fields, Visible, counted};
use runtools_broker::client::{ClientError, Exit, Outcome, Route, Session, Table};
use runtools_broker::crypto::PublicKey;
use runtools_broker::wire::{AuditHead, AuditVerification};
use serde_json::Value;

mod export;

/// The audit journal.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what was done, newest first
    List(ListArgs),
    /// Check that nothing in the journal was altered: exit code 0, 6 (altered) or 7 (incomplete)
    Verify(VerifyArgs),
    /// Show the journal's end: keep it elsewhere, so that a cut shows
    Head,
    /// Write the journal out as JSON lines, which can be verified anywhere
    Export {
        /// Write to this file instead of standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which records.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Done by, or for, this member: id, name, e-mail address or user id of the machine; or by
    /// this service: id or name
    #[arg(long, value_name = "MEMBER")]
    actor: Option<String>,
    /// Touching this secret
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Done through this tool
    #[arg(long, value_name = "SLUG")]
    tool: Option<String>,
    /// Of this kind, such as secret.reveal
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// From this time on: 2026-11-23T09:30:00Z, a date (UTC), or how long ago, such as 24h or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time, in the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most this many
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with = "all"
    )]
    limit: u32,
    /// All there are, however many
    #[arg(long)]
    all: bool,
    /// Of the whole journal, for the operator: every organisation, and the vault's own records,
    /// such as vault.unseal
    #[arg(long)]
    whole: bool,
}

/// What is verified, and with which key.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Check this export here, without a broker
    #[arg(long, value_name = "EXPORT", requires = "public_key")]
    file: Option<PathBuf>,
    /// The key that signs the journal's checkpoints, in hex, kept from `audit head`
    #[arg(long, value_name = "HEX", requires = "file")]
    public_key: Option<String>,
    /// A record that has to be in it, with the hash that it had, kept from `audit head`: what shows a journal
    /// that was cut off, put back, or written anew with its own key
    #[arg(long, value_name = "RECORD:HASH", requires = "file")]
    known: Option<String>,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: AuditCommand, session: &Session) -> Outcome {
    match command {
        AuditCommand::List(args) => list(args, session).await,
        AuditCommand::Verify(VerifyArgs {
            file: Some(file),
            public_key: Some(key),
            known,
        }) => {
            let (found, signer) = offline(&file, &key, known.as_deref())?;
            if signer != key.to_ascii_lowercase() {
                session.out.hint(format!(
                    "the journal's keys were replaced: from there on it is signed by {signer}, so keep that key"
                ));
            }
            verdict(&found, session)
        }
        AuditCommand::Verify(_) => {
            let route = Route::new("/v1/audit/verify");
            let found = session.client()?.call(Method::POST, &route, None).await?;
            verdict(&found, session)
        }
        AuditCommand::Head => head(session).await,
        AuditCommand::Export { output } => export::run(output, session).await,
    }
}

async fn list(args: ListArgs, session: &Session) -> Outcome {
    let most = if args.all {
        usize::MAX
    } else {
        usize::try_from(args.limit).unwrap_or(usize::MAX)
    };
    let route = Route::new("/v1/audit")
        .maybe("actor", args.actor)
        .maybe("secret", args.secret)
        .maybe("tool", args.tool)
        .maybe("action", args.action)
        .maybe("since", args.since)
        .maybe("until", args.until)
        .flag("all", args.whole)
        .with("limit", most.clamp(1, 500).to_string());
    let entries: Vec<Value> = session.client()?.list_up_to(&route, most).await?;
    session.out.table(&entries, "no records", || {
        let mut table = Table::new(&[
            "TIME (UTC)",
            "ACTION",
            "WHAT",
            "BY",
            "TOOL",
            "HOST",
            "SOURCE",
            "OUTCOME",
        ]);
        for entry in &entries {
            table.row(&row(entry));
        }
        table
    })?;
    Ok(Exit::Ok)
}

/// A record's cells. Records may grow: what is not there is a hyphen, what is new is not shown.
fn row(entry: &Value) -> [String; 8] {
    let at = |path: &str| entry.pointer(path).and_then(Value::as_str);
    let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let time = at("/time")
        .and_then(|time| time.get(..19))
        .map(|time| time.replace('T', " "));
    let what = at("/targets/0/name")
        .or_else(|| at("/targets/0/id"))
        .or_else(|| at("/targets/0/kind"));
    let actor = at("/actor/name").or_else(|| at("/actor/id"));
    let by = match at("/actor/type") {
        Some("user") => actor.map(str::to_owned),
        Some("service") => {
            let whom = at("/on_behalf_of_name").or_else(|| at("/on_behalf_of"));
            let service = actor.unwrap_or("service");
            Some(whom.map_or_else(
                || service.to_owned(),
                |whom| format!("{service} for {whom}"),
            ))
        }
        other => other.map(str::to_owned),
    };
    let sources = entry.pointer("/sources").and_then(Value::as_object);
    let sources = sources.map(|fields| {
        let each = fields
            .iter()
            .map(|(field, source)| format!("{field}: {}", source.as_str().unwrap_or_default()));
        each.collect::<Vec<_>>().join(", ")
    });
    // Nothing follows a page that was opened, or agreed to: its own word tells which.
    let page = at("/code").filter(|_| at("/action") == Some("oauth.open"));
    let outcome = match entry.pointer("/decision/denied") {
        Some(_) => Some("denied"),
        None => at("/outcome/status").or(page),
    };
    [
        time.unwrap_or_else(|| "-".to_owned()),
        or_none(at("/action")),
        or_none(what),
        or_none(by.as_deref()),
        or_none(at("/tool")),
        or_none(at("/host")),
        sources.unwrap_or_else(|| "-".to_owned()),
        or_none(outcome),
    ]
}

async fn head(session: &Session) -> Outcome {
    let head: AuditHead = session.client()?.get(&Route::new("/v1/audit/head")).await?;
    session.out.show(&head, || {
        let seq = head.seq.to_string();
        let lines = [
            ("record", seq.as_str()),
            ("hash", &head.hash),
            ("public key", &head.public_key),
        ];
        Fields(&lines).to_string()
    })?;
    Ok(Exit::Ok)
}

/// What was found, and who signs at the export's end.
fn offline(
    file: &Path,
    key: &str,
    known: Option<&str>,
) -> Result<(AuditVerification, String), ClientError> {
    let key = HEXLOWER_PERMISSIVE.decode(key.as_bytes()).ok();
    let key: [u8; 32] = key.and_then(|key| key.try_into().ok()).ok_or_else(|| {
        ClientError::usage(
            "the public key is not 64 hex digits",
            "take it from `audit head`",
        )
    })?;
    let reader = File::open(file).map_err(|error| ClientError::file(file, &error))?;
    let known = known.map(position).transpose()?;
    let report = verify_export_knowing(BufReader::new(reader), &PublicKey(key), known);
    let report = report.map_err(|error| ClientError::failed(error.to_string(), error.hint()))?;
    let signer = HEXLOWER.encode(&report.signer.0);
    Ok((shape(&report), signer))
}

/// A record's number and its hash.
fn position(text: &str) -> Result<Head, ClientError> {
    let read = |text: &str| {
        let (seq, hash) = text.split_once(':')?;
        let hash = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).ok()?;
        Some(Head {
            seq: seq.parse().ok()?,
            hash: hash.try_into().ok()?,
        })
    };
    read(text).ok_or_else(|| {
        ClientError::usage(
            "what is known is not a record's number, a colon and 64 hex digits",
            "take both from `audit head`",
        )
    })
}

fn shape(report: &VerifyReport) -> AuditVerification {
    let fault = match report.verdict {
        Verdict::Tampered(fault) => Some(fault),
        Verdict::Intact | Verdict::Incomplete { .. } => None,
    };
    let state = match report.verdict {
        Verdict::Intact => "intact",
        Verdict::Incomplete { .. } => "incomplete",
        Verdict::Tampered(_) => "tampered",
    };
    AuditVerification {
        state: state.to_owned(),
        records: report.records,
        checkpoints: report.checkpoints,
        covered: report
            .last_checkpoint
            .map_or(0, |checkpoint| checkpoint.head.seq),
        first_bad: fault.map(|fault| fault.first),
        finding: fault.map(|fault| fault.problem.to_string()),
    }
}

fn verdict(found: &AuditVerification, session: &Session) -> Outcome {
    session.out.show(found, || {
        let records = counted(found.records, "record");
        let checkpoints = counted(found.checkpoints, "checkpoint");
        let state = Visible(&found.state);
        let more = match (found.first_bad, found.finding.as_deref()) {
            (Some(first), Some(finding)) => format!("record {first} {}\n", Visible(finding)),
            (Some(first), None) => format!("record {first} is not as it was written\n"),
            _ if found.state == "incomplete" => {
                format!(
                    "no checkpoint covers what follows record {}\n",
                    found.covered
                )
            }
            _ => String::new(),
        };
        format!("{state}: {records}, {checkpoints}\n{more}")
    })?;
    Ok(match found.state.as_str() {
        "intact" => Exit::Ok,
        "incomplete" => Exit::Incomplete,
        // A word that is not known here proves nothing.
        _ => Exit::NotVerified,
    })
}

#[cfg(test)]
mod tests {
    use super::{offline, row};

    #[test]
    fn a_record_of_any_shape_has_a_cell_for_each_column() {
        let entry = serde_json::json!({
            "seq": 7, "time": "2026-11-23T09:30:05.120Z", "action": "secret.use",
            "actor": { "type": "user", "id": "u-1" },
            "targets": [{ "kind": "secret", "name": "CRM_KEY" }],
            "tool": "crm", "host": "api.example.com", "decision": "allowed",
            "outcome": { "status": "success" },
        });
        let cells = row(&entry).join("|");
        assert_eq!(
            cells,
            "2026-11-23 09:30:05|secret.use|CRM_KEY|u-1|crm|api.example.com|-|success"
        );
        // Pages that were opened and agreed to are one action, and two things.
        for word in ["opened", "agreed"] {
            let entry = serde_json::json!({"action": "oauth.open", "code": word});
            assert_eq!(row(&entry)[7], word);
        }
        // A use of which no end is recorded shows that, whatever it was of.
        let entry = serde_json::json!({"action": "oauth.client.set", "code": "organization"});
        assert_eq!(row(&entry)[7], "-");
        assert_eq!(row(&serde_json::json!(null)).join("|"), "-|-|-|-|-|-|-|-");
        let acting = serde_json::json!({
            "actor": { "type": "service", "id": "s-1", "name": "tool-hub" },
            "on_behalf_of": "u-1", "on_behalf_of_name": "Bob",
        });
        assert_eq!(row(&acting)[3], "tool-hub for Bob");
    }

    #[test]
    fn what_is_no_export_is_not_verified() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}\n").unwrap();
        assert!(offline(file.path(), &"ab".repeat(32), None).is_err());
        assert!(offline(file.path(), "ab", None).is_err());
    }
}
