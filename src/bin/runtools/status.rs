//! How the broker is, on one screen: whether it answers, and to its operator what there is to look after.

use std::time::Duration;

use clap::Args;
use runtools_broker::client::text::{Fields, minute};
use runtools_broker::client::{Exit, Outcome, Place, Route, Session};
use runtools_broker::wire::{AccountsStanding, BackupStanding, Installation, Lanes, Status};

/// How often it is looked at again.
const EVERY: Duration = Duration::from_secs(2);
/// The terminal, wiped from its top.
const WIPE: &str = "\u{1b}[2J\u{1b}[H";

/// How it is shown.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Look again every two seconds, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

/// Shows the broker's state. A sealed vault ends with code 10.
pub(crate) async fn run(args: StatusArgs, session: &Session) -> Outcome {
    if !args.watch {
        return once(session).await;
    }
    session.out.in_lines();
    loop {
        if session.out.width().is_some() && !session.out.is_json() {
            session.out.text(WIPE)?;
        }
        match once(session).await {
            Ok(_) => {}
            // It may come back.
            Err(error) if error.exit() == Exit::Unreachable => session.out.error(&error),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(session: &Session) -> Outcome {
    let place = session.place()?;
    let at = match &place {
        Place::Socket(path) => path.display().to_string(),
        Place::Origin { url, .. } => url.clone(),
    };
    let client = session.client_at(place)?;
    let status: Status = client.get_bare(&Route::new("/v1/status")).await?;
    session.out.show(&status, || screen(&at, &status))?;
    if status.sealed {
        session
            .out
            .hint("an operator unseals it with `runtools-broker unseal`");
        return Ok(Exit::Sealed);
    }
    Ok(Exit::Ok)
}

fn screen(at: &str, status: &Status) -> String {
    let mut lines = vec![
        ("broker", at.to_owned()),
        ("version", status.version.clone()),
        (
            "vault",
            if status.sealed { "sealed" } else { "unsealed" }.to_owned(),
        ),
    ];
    if let Some(lanes) = &status.lanes {
        lines.push(("egress proxy", proxy(lanes)));
        lines.push(("handles", lanes.handles.to_string()));
    }
    lines.extend(status.backup.as_ref().map(|it| ("last backup", backup(it))));
    lines.extend(status.installation.iter().flat_map(installation));
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    Fields(&lines).to_string()
}

/// What the operator sees besides.
fn installation(it: &Installation) -> Vec<(&'static str, String)> {
    let since = it.oldest_slot_at.map_or_else(String::new, |at| {
        let at = minute(at);
        format!(", since {}", at.split(' ').next().unwrap_or_default())
    });
    let slots = match it.slots {
        1 => "1 slot".to_owned(),
        count => format!("{count} slots"),
    };
    let mut lines = vec![(
        "root key",
        format!("generation {}, {slots}{since}", it.root_key),
    )];
    lines.extend(it.audit_head.as_ref().map(|head| {
        let hash = head.hash.get(..16).unwrap_or_default();
        ("audit head", format!("{} {hash}", head.seq))
    }));
    let certificate = it.certificate_ends_at;
    let certificate =
        certificate.map_or_else(|| "none".to_owned(), |end| format!("until {}", minute(end)));
    lines.push(("certificate", certificate));
    lines.push((
        "hardening",
        match &it.not_enforced[..] {
            [] => "all in force".to_owned(),
            lacking => format!("without {}", lacking.join(", ")),
        },
    ));
    lines.extend(it.accounts.map(|accounts| {
        let AccountsStanding { connected, failing } = accounts;
        let failing = match failing {
            0 => String::new(),
            failing => format!(", {failing} failing"),
        };
        ("accounts", format!("{connected}{failing}"))
    }));
    lines
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
