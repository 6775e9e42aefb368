//! The request's id: made or taken once, then wherever it is needed.

use crate::id::RequestId;

tokio::task_local! {
    static ID: RequestId;
}

/// Runs `work` as the request `id`.
pub(super) async fn within<F: Future>(id: RequestId, work: F) -> F::Output {
    ID.scope(id, work).await
}

/// The id of the running request.
pub(super) fn id() -> Option<RequestId> {
    ID.try_with(|id| *id).ok()
}

/// The id as clients see it: `req_` and a UUID.
pub(super) fn id_text() -> String {
    id().map_or_else(|| "req_none".to_owned(), |id| format!("req_{id}"))
}

/// Reads an id that a client sent: our own form or a bare UUID, nothing else.
pub(super) fn parse(text: &str) -> Option<RequestId> {
    RequestId::parse(text.strip_prefix("req_").unwrap_or(text)).ok()
}
