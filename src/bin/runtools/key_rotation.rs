//! Replacing the organisation's keys.

use clap::{Args, Subcommand};
use http::Method;
use runtools_broker::client::meter::{Stand, counted};
use runtools_broker::client::text::{Fields, minute, minute_or_none};
use runtools_broker::client::{Client, ClientError, Exit, Outcome, Route, Session, body};
use runtools_broker::id::UserId;
use runtools_broker::wire::{KeyLevel, KeyRotation, KeyRotations, RotateKeys, RotationPhase};

const ROTATION: &str = "/v1/key-rotation";

/// Keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Replace keys while everybody is served, for admins
    #[command(subcommand)]
    Rotate(RotateCommand),
}

/// What is done with a rotation.
#[derive(Debug, Subcommand)]
pub(crate) enum RotateCommand {
    /// Replace the keys that wrap a key for each value: of all owners, or of one
    Owner(OwnerArgs),
    /// Replace the organisation's key, which wraps its owners' keys and seals its directory
    Org(WaitArgs),
    /// Show how far a rotation has come
    Status,
    /// Have it wait; the old keys and the new ones open meanwhile
    Pause,
    /// Go on with one that waits
    Resume(WaitArgs),
}

/// Whose keys.
#[derive(Args, Debug)]
pub(crate) struct OwnerArgs {
    /// Of this member alone
    #[arg(long, value_name = "ID", value_parser = UserId::parse, conflicts_with = "shared")]
    user: Option<UserId>,
    /// Of what the organisation shares alone
    #[arg(long)]
    shared: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Whether the end is waited for.
#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
}

/// Runs one of the verbs.
pub(crate) async fn run(command: KeyCommand, session: &Session) -> Outcome {
    let KeyCommand::Rotate(command) = command;
    match command {
        RotateCommand::Owner(args) => {
            let asked = RotateKeys {
                level: KeyLevel::Owner,
                user_id: args.user,
                shared: args.shared,
            };
            begin(asked, &args.wait, session).await?;
        }
        RotateCommand::Org(args) => {
            let asked = RotateKeys {
                level: KeyLevel::Org,
                user_id: None,
                shared: false,
            };
            begin(asked, &args, session).await?;
        }
        RotateCommand::Status => status(session).await?,
        RotateCommand::Pause => {
            let paused = changed("pause", &session.client()?).await?;
            let words = "it waits; go on with `runtools key rotate resume`";
            session.out.done(&paused, words)?;
        }
        RotateCommand::Resume(args) => {
            let client = session.client()?;
            let resumed = changed("resume", &client).await?;
            ended(resumed, &client, &args, session).await?;
        }
    }
    Ok(Exit::Ok)
}

async fn changed(verb: &'static str, client: &Client) -> Result<KeyRotation, ClientError> {
    let route = Route::new(ROTATION).then(verb);
    client.call(Method::POST, &route, None).await
}

async fn begin(asked: RotateKeys, args: &WaitArgs, session: &Session) -> Result<(), ClientError> {
    let client = session.client()?;
    let body = Some(body::plain(&asked)?);
    let begun: KeyRotation = client
        .call(Method::POST, &Route::new(ROTATION), body)
        .await?;
    ended(begun, &client, args, session).await
}

/// Waits for the end, unless that is not wanted, and says so.
async fn ended(
    begun: KeyRotation,
    client: &Client,
    args: &WaitArgs,
    session: &Session,
) -> Result<(), ClientError> {
    if args.detach {
        let words = "it goes on by itself; see `runtools key rotate status`";
        return session.out.done(&begun, words);
    }
    let id = begun.id;
    let followed = session.follow(
        Followed::By(begun),
        |now| match now {
            Followed::By(now) if now.phase != RotationPhase::Finished && !now.paused => {
                Some(stand(now))
            }
            _ => None,
        },
        async |before: Followed| {
            let found: KeyRotations = client.get(&Route::new(ROTATION)).await?;
            let before = before.rotation();
            let Some(now) = found.rotation.filter(|now| now.id == id) else {
                return Ok(Followed::Over(before));
            };
            if let Some(code) = now.trouble.as_deref().filter(|_| now.trouble != before.trouble) {
                session.out.redraw("");
                session.out.note(format!(
                    "it does not come on ({code}), and is tried again by itself; Ctrl-C leaves it running"
                ));
            }
            Ok(Followed::By(now))
        },
    );
    match followed.await? {
        Followed::Over(last) => {
            let words = "it is over: another was begun since; see `runtools key rotate status`";
            session.out.done(&last, words)
        }
        Followed::By(now) if now.paused => {
            let words = "somebody paused it: go on with `runtools key rotate resume`";
            session.out.done(&now, words)
        }
        Followed::By(now) => {
            let words = "the keys are replaced, and the old ones destroyed";
            session.out.done(&now, words)
        }
    }
}

/// A rotation whose end is waited for.
enum Followed {
    /// As it stands.
    By(KeyRotation),
    /// As it stood when it was last seen: the broker tells of another by now.
    Over(KeyRotation),
}

impl Followed {
    fn rotation(self) -> KeyRotation {
        match self {
            Self::By(rotation) | Self::Over(rotation) => rotation,
        }
    }
}

const fn stand(rotation: &KeyRotation) -> Stand {
    Stand {
        doing: phase(rotation.phase),
        done: rotation.done,
        total: rotation.total,
    }
}

const fn phase(phase: RotationPhase) -> &'static str {
    match phase {
        RotationPhase::Prepare => "preparing",
        RotationPhase::Rewrap => "sealing anew",
        RotationPhase::Verify => "verifying",
        RotationPhase::Retire => "destroying the old keys",
        RotationPhase::Finished => "finished",
    }
}

const fn level(rotation: &KeyRotation) -> &'static str {
    match (rotation.level, rotation.shared, rotation.user_id) {
        (KeyLevel::Org, ..) => "the organisation's key",
        (KeyLevel::Owner, true, _) => "the key of what is shared",
        (KeyLevel::Owner, false, Some(_)) => "one member's key",
        (KeyLevel::Owner, false, None) => "all owners' keys",
    }
}

async fn status(session: &Session) -> Result<(), ClientError> {
    let found: KeyRotations = session.client()?.get(&Route::new(ROTATION)).await?;
    let Some(rotation) = &found.rotation else {
        return session.out.done(&found, "no key was replaced yet");
    };
    session.out.show(&found, || {
        let looked = counted(rotation.done, rotation.total);
        let (began, ended) = (
            minute(rotation.started_at),
            minute_or_none(rotation.finished_at),
        );
        let user = rotation.user_id.map(|user| user.to_string());
        let mut lines = vec![("replaces", level(rotation))];
        lines.extend(user.as_deref().map(|user| ("member", user)));
        lines.push(("phase", phase(rotation.phase)));
        if rotation.finished_at.is_none() {
            lines.push(("records", &looked));
            lines.push(("paused", if rotation.paused { "yes" } else { "no" }));
        }
        let trouble = rotation.trouble.as_deref();
        lines.extend(trouble.map(|code| ("does not come on", code)));
        lines.push(("began (UTC)", &began));
        lines.push(("ended (UTC)", &ended));
        Fields(&lines).to_string()
    })
}
