//! Whether the broker answers.

use runtools_broker::client::text::Fields;
use runtools_broker::client::{Exit, Outcome, Place, Route, Session};
use runtools_broker::wire::Status;

/// Shows the broker's state. A sealed vault ends with code 10.
pub(crate) async fn run(session: &Session) -> Outcome {
    let place = session.place()?;
    let at = match &place {
        Place::Socket(path) => path.display().to_string(),
        Place::Origin { url, .. } => url.clone(),
    };
    let client = session.client_at(place)?;
    let status: Status = client.get_bare(&Route::new("/v1/status")).await?;
    session.out.show(&status, || {
        let lines = [
            ("broker", at.as_str()),
            ("version", status.version.as_str()),
            ("vault", if status.sealed { "sealed" } else { "unsealed" }),
        ];
        Fields(&lines).to_string()
    })?;
    if status.sealed {
        session
            .out
            .hint("an operator unseals it with `runtools-broker unseal`");
        return Ok(Exit::Sealed);
    }
    Ok(Exit::Ok)
}
