//! Who belongs to the organisation: the verbs of `runtools member`, over the socket.

#[path = "../runtools/members.rs"]
mod shared;

use runtools_broker::client::{Outcome, Session};

pub(crate) use self::shared::MemberCommand;

/// Runs one of the verbs.
pub(crate) async fn run(command: MemberCommand, session: &Session) -> Outcome {
    shared::run(command, &session.local()?, session).await
}
