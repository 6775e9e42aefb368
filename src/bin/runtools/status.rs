//! Whether the broker answers, and what tool code elsewhere comes by.

use runtools_broker::client::text::{Fields, minute};
use runtools_broker::client::{Exit, Outcome, Place, Route, Session};
use runtools_broker::wire::{BackupStanding, Lanes, Status};

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
        let mut lines = vec![
            ("broker", at.as_str()),
            ("version", status.version.as_str()),
            ("vault", if status.sealed { "sealed" } else { "unsealed" }),
        ];
        let proxy = status.lanes.as_ref().map(proxy);
        let backup = status.backup.as_ref().map(backup);
        let handles = status.lanes.as_ref().map(|it| it.handles.to_string());
        lines.extend(proxy.as_deref().map(|text| ("egress proxy", text)));
        lines.extend(handles.as_deref().map(|text| ("handles", text)));
        lines.extend(backup.as_deref().map(|text| ("last backup", text)));
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

/// When the last backup was made, and whether there should be a newer one.
fn backup(known: &BackupStanding) -> String {
    let last = known
        .last_at
        .map_or_else(|| "none known".to_owned(), minute);
    match &known.failing {
        Some(code) => format!("{last}; the last try failed ({code})"),
        None => last,
    }
}

/// Where the egress proxy listens, and for how many.
fn proxy(lanes: &Lanes) -> String {
    let Some(proxy) = &lanes.proxy else {
        return "none".to_owned();
    };
    let tunnels = match proxy.tunnels {
        1 => "1 tunnel".to_owned(),
        count => format!("{count} tunnels"),
    };
    format!("{} and {}, {tunnels}", proxy.address, proxy.socket)
}
