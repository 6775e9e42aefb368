//! What is known of a request wherever it is needed: its id, who sent it, how its caller stands.

use std::cell::Cell;
use std::net::IpAddr;

use crate::id::RequestId;

use super::limits::Standing;

/// One request.
#[derive(Debug)]
pub(super) struct Running {
    id: RequestId,
    peer: Option<IpAddr>,
    standing: Cell<Option<Standing>>,
}

tokio::task_local! {
    static RUNNING: Running;
}

/// Runs `work` as the request `id`, sent from `peer`.
pub(super) async fn within<F: Future>(id: RequestId, peer: Option<IpAddr>, work: F) -> F::Output {
    let standing = Cell::new(None);
    RUNNING.scope(Running { id, peer, standing }, work).await
}

/// The id of the running request.
pub(super) fn id() -> Option<RequestId> {
    RUNNING.try_with(|running| running.id).ok()
}

/// The address that the running request came from, over the network.
pub(super) fn peer() -> Option<IpAddr> {
    RUNNING.try_with(|running| running.peer).ok().flatten()
}

/// Notes how the caller stands with their rate.
pub(super) fn note_standing(standing: Standing) {
    // Outside of a request there is nobody to tell.
    RUNNING
        .try_with(|running| running.standing.set(Some(standing)))
        .unwrap_or_default();
}

/// How the caller stands with their rate, once that was asked.
pub(super) fn standing() -> Option<Standing> {
    RUNNING
        .try_with(|running| running.standing.get())
        .ok()
        .flatten()
}

/// The id as clients see it: `req_` and a UUID.
pub(super) fn id_text() -> String {
    id().map_or_else(|| "req_none".to_owned(), |id| format!("req_{id}"))
}

/// Reads an id that a client sent: our own form or a bare UUID, nothing else.
pub(super) fn parse(text: &str) -> Option<RequestId> {
    RequestId::parse(text.strip_prefix("req_").unwrap_or(text)).ok()
}
