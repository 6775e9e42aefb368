//! `health`, for whoever looks after a container and asks every few seconds.

use runtools_broker::client::{Exit, Outcome, Route, Session};
use runtools_broker::wire::Status;

/// Says whether the broker answers. A sealed one does, and waits for a person: to start it again would only seal
/// it again, so that this is no failure.
pub(crate) async fn run(session: &Session) -> Outcome {
    let client = session.local()?;
    let status: Status = client.get_bare(&Route::new("/v1/status")).await?;
    let words = if status.sealed {
        "it answers, and is sealed"
    } else {
        "it answers"
    };
    session.out.done(&status, words)?;
    Ok(Exit::Ok)
}
