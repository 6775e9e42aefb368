//! Shredding: what was destroyed is taken out of reach of old bytes.

use clap::Args;
use runtools_broker::client::meter::{Stand, counted};
use runtools_broker::client::text::minute;
use runtools_broker::client::{ClientError, Exit, Outcome, Route, Session};
use runtools_broker::wire::{DeletionLevel, Shred, ShredState, ShredStep};

use crate::lending::turn_root;

/// Takes what was destroyed before out of reach of old bytes, too.
///
/// Every owner's key is replaced, then every organisation's, then the root key; what opens the key ring is, where
/// nobody is needed for it; and what is live is copied into fresh files. Everybody is served meanwhile. The answer
/// names the level that was reached (database or provider), and what is left to do.
#[derive(Args, Debug)]
pub(crate) struct ShredArgs {
    /// Only show how far it has come, or what the last one has reached by now
    #[arg(long)]
    status: bool,
}

/// Shreds, once everybody has lent what opens their slot.
pub(crate) async fn run(args: ShredArgs, session: &Session) -> Outcome {
    let client = session.local()?;
    let route = Route::new("/v1/operator/shred");
    if args.status {
        let now: Shred = client.get(&route).await?;
        told(&now, session)?;
        return Ok(Exit::Ok);
    }
    let Some(begun) = turn_root::<Shred>(&route, session).await? else {
        return Ok(Exit::Ok);
    };
    let running = |now: &Shred| (now.state == ShredState::Running).then(|| stand(now));
    let asking = async |_| client.get(&route).await;
    let now = session.follow(begun, running, asking).await?;
    if now.state == ShredState::Failed {
        let code = now.error.clone().unwrap_or_default();
        return Err(ClientError::failed(
            format!("the level is still `logical`: {code}"),
            now.hint.clone().unwrap_or_default(),
        ));
    }
    told(&now, session)?;
    Ok(Exit::Ok)
}

fn told(now: &Shred, session: &Session) -> Result<(), ClientError> {
    session.out.done(now, words(now))?;
    for slot in now.slots.iter().filter(|slot| !slot.renewed) {
        let todo = slot.todo.as_deref().unwrap_or_default();
        session.out.note(format!(
            "slot {} ({}, {}): {todo}",
            slot.id, slot.kind, slot.label
        ));
    }
    if let Some(at) = now
        .gone_before
        .filter(|_| now.level != Some(DeletionLevel::Provider))
    {
        session.out.note(format!(
            "what was destroyed before {} (UTC) has the level provider",
            minute(at)
        ));
    }
    if now.slots.iter().any(|slot| !slot.renewed) {
        session.out.hint(
            "once each of these is replaced, `shred --status` says provider; no other shred is needed for that",
        );
    }
    if now.state == ShredState::Done {
        session.out.hint(
            "backups that were made before open with their own keys: destroy those, or wait until they expire",
        );
    }
    Ok(())
}

fn words(now: &Shred) -> String {
    match (now.state, now.level) {
        (ShredState::Idle, _) => "nothing was shredded yet".to_owned(),
        (ShredState::Running, _) => {
            let Stand { doing, done, total } = stand(now);
            format!("{doing}: {}", counted(done, total))
        }
        (ShredState::Done, Some(DeletionLevel::Provider)) => {
            "level reached: provider. Old bytes of the database and of the key ring open with no key that there is now"
                .to_owned()
        }
        (ShredState::Done, _) => {
            "level reached: database. Old bytes of the database open only with the key ring of that time; that ring still opens with these slots:"
                .to_owned()
        }
        (ShredState::Failed, _) => format!(
            "level: logical, for it did not come to an end: {}",
            now.error.as_deref().unwrap_or_default()
        ),
    }
}

fn stand(now: &Shred) -> Stand {
    let doing = match now.step {
        Some(ShredStep::Owners) => "replacing the keys of owners",
        Some(ShredStep::Organizations) => "replacing the keys of organisations",
        Some(ShredStep::Root) => "replacing the root key",
        Some(ShredStep::Slots) => "replacing what opens the key ring",
        Some(ShredStep::Files) => "copying what is live into fresh files",
        None => "ending",
    };
    let (done, total) = (now.done, now.total);
    Stand { doing, done, total }
}
