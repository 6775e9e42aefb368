//! The installation's OAuth clients: the verbs of `runtools oauth configs`, over the socket.

#[path = "../runtools/oauth_clients.rs"]
mod shared;

use runtools_broker::client::{Outcome, Session};

pub(crate) use self::shared::ClientCommand;

/// Runs one of the verbs.
pub(crate) async fn run(command: ClientCommand, session: &Session) -> Outcome {
    let shelf = shared::Shelf {
        route: "/v1/operator/oauth-clients",
        client: &session.local()?,
        verbs: "runtools-broker oauth-client",
    };
    shared::run(command, &shelf, session).await
}
