//! The audit journal, for admins of an organisation.

use std::collections::HashMap;
use std::io::Write;

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use serde_json::Value;

use crate::audit::{Action, Journal, Scope, Verdict};
use crate::directory::MemberEntry;
use crate::id::ServiceId;
use crate::name::ServiceName;
use crate::policy::{ReadAudit, ReadWholeAudit};
use crate::wire;

use super::audit_query::AuditQuery;
use super::body::QueryString;
use super::caller::Caller;
use super::pieces::pieces;
use super::{ApiError, App, reply};

/// Runs `read` where reading from disk does not hold up other requests.
async fn off_the_loop<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| ApiError::internal())
}

/// Lists what was done in the organisation, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page", body = wire::List<Object>)))]
pub(super) async fn list(
    caller: Caller,
    QueryString(query): QueryString<AuditQuery>,
) -> Result<Response, ApiError> {
    caller.may::<ReadAudit>(()).await?;
    let org = caller.vault.org(caller.principal.org())?;
    let directory = &caller.app.directory;
    let members = directory.all_members(&caller.vault, &org).await?;
    let services = directory.service_names(&caller.vault, &org).await?;
    let mut filter = query.filter(&caller, &members, &services)?;
    if query.all.unwrap_or(false) {
        caller.may::<ReadWholeAudit>(()).await?;
        filter.scope = Scope::All;
    }
    let vault = caller.vault.clone();
    let page = off_the_loop(move || vault.journal().query(&filter)).await??;
    let names = names(&members, &services);
    let mut entries = Vec::with_capacity(page.entries.len());
    for entry in &page.entries {
        let mut entry = serde_json::to_value(entry).map_err(|_| ApiError::internal())?;
        let called = |id: Option<&Value>| {
            let id = id.and_then(Value::as_str);
            id.and_then(|id| names.get(id)).cloned()
        };
        if let Some(whom) = called(entry.get("on_behalf_of"))
            && let Some(entry) = entry.as_object_mut()
        {
            entry.insert("on_behalf_of_name".to_owned(), whom.into());
        }
        let actor = entry.get_mut("actor").and_then(Value::as_object_mut);
        if let Some(actor) = actor
            && let Some(name) = called(actor.get("id"))
        {
            actor.insert("name".to_owned(), name.into());
        }
        entries.push(entry);
    }
    Ok(reply::list(entries, page.next.map(|seq| seq.to_string())))
}

/// What the organisation's members and services are called: the journal itself keeps ids.
fn names(
    members: &[MemberEntry],
    services: &[(ServiceId, ServiceName)],
) -> HashMap<String, String> {
    let members = members
        .iter()
        .map(|m| (m.user().to_string(), m.name().to_owned()));
    let services = services
        .iter()
        .map(|(id, name)| (id.to_string(), name.to_string()));
    members.chain(services).collect()
}

/// Reads the journal's head: keep it somewhere else, so that a cut tail shows.
#[utoipa::path(get, path = "/v1/audit/head", tag = "audit",
    responses((status = 200, description = "The head", body = wire::Answer<wire::AuditHead>)))]
pub(super) async fn head(caller: Caller) -> Result<Response, ApiError> {
    caller.may::<ReadAudit>(()).await?;
    Ok(reply::data(told(caller.vault.journal())))
}

/// Where a journal stands.
pub(super) fn told(journal: &Journal) -> wire::AuditHead {
    let (head, public) = (journal.head(), journal.public_key());
    wire::AuditHead {
        seq: head.seq,
        hash: data_encoding::HEXLOWER.encode(&head.hash),
        public_key: data_encoding::HEXLOWER.encode(&public.0),
    }
}

/// Checks the whole journal: chain, signatures, seals.
#[utoipa::path(post, path = "/v1/audit/verify", tag = "audit",
    responses((status = 200, description = "What was found", body = wire::Answer<wire::AuditVerification>)))]
pub(super) async fn verify(caller: Caller) -> Result<Response, ApiError> {
    caller.may::<ReadAudit>(()).await?;
    let vault = caller.vault.clone();
    let mark = vault.store().journal_mark();
    let known = crate::audit::Head {
        seq: mark.seq,
        hash: mark.head,
    };
    let known = (mark.seq > 0).then_some(known);
    let report = off_the_loop(move || {
        // Signed now, so that what was just recorded is covered too.
        vault.journal().checkpoint()?;
        vault.journal().verify(known)
    })
    .await??;
    let fault = match report.verdict {
        Verdict::Tampered(fault) => Some(fault),
        Verdict::Intact | Verdict::Incomplete { .. } => None,
    };
    Ok(reply::data(wire::AuditVerification {
        state: match report.verdict {
            Verdict::Intact => "intact",
            Verdict::Incomplete { .. } => "incomplete",
            Verdict::Tampered(_) => "tampered",
        }
        .to_owned(),
        records: report.records,
        checkpoints: report.checkpoints,
        covered: report
            .last_checkpoint
            .as_ref()
            .map_or(0, |checkpoint| checkpoint.head.seq),
        first_bad: fault.map(|fault| fault.first),
        finding: fault.map(|fault| fault.problem.to_string()),
    }))
}

/// Exports the whole journal as JSONL with its checkpoints, to be verified offline with the public
/// key alone. It spans every organisation of the installation, so only its operator may.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit",
    responses((status = 200, description = "JSON lines", body = String)))]
pub(super) async fn export(caller: Caller, State(app): State<App>) -> Result<Response, ApiError> {
    caller.may::<ReadWholeAudit>(()).await?;
    let turn = app.running.enter(&caller.principal)?;
    let event = caller.event(Action::AuditExport);
    caller.vault.journal().note(event).await?;
    let vault = caller.vault.clone();
    let (pieces, whole, written) = pieces(vault.closing());
    let exporting = tokio::task::spawn_blocking(move || {
        let mut out = std::io::BufWriter::with_capacity(64 * 1024, pieces);
        // Who does not read on must not keep the vault open.
        vault.journal().export(1, &mut out).is_ok() && out.flush().is_ok()
    });
    tokio::spawn(async move {
        if exporting.await.unwrap_or(false) {
            whole.say();
        } else {
            tracing::warn!("an audit export was broken off");
        }
    });
    let kind = HeaderValue::from_static("application/jsonl; charset=utf-8");
    Ok(written.response(kind, turn))
}
