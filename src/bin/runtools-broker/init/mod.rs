//! `init`: an installation, made of answers that a file gives or a person.

mod questions;
mod recovery;

use std::path::PathBuf;

use clap::Args;
use runtools_broker::client::text::Fields;
use runtools_broker::client::{ClientError, Exit, Outcome, Session};
use runtools_broker::config::{Env, Flags};
use runtools_broker::daemon::doctor::Surroundings;
use runtools_broker::daemon::init::{Answers, InitError, Plan, Planned};
use runtools_broker::failpoint;
use runtools_broker::hardening::Report;

use crate::serve::{ServeArgs, shell};

/// How to answer without being asked.
const INSTEAD: &str = "give the answers in a file: --answers FILE";

/// Makes an installation: keys, store, first organisation, the ways to unseal it, and its settings file.
///
/// At a terminal it asks; `--answers` takes a TOML file instead, which src/manual/operations.md describes. What a broker
/// would not start with is refused before anything is made. It may be killed at any moment: no broker starts with the
/// half of it, and the next init begins anew. Where there is something already, nothing is touched.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// The answers, in place of questions
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Say what would be made, and make nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

pub(super) fn failed(error: &InitError) -> ClientError {
    ClientError::coded(error.code(), error.to_string(), error.hint())
}

/// Plans, asks, makes, and hands over.
pub(crate) async fn run(
    args: InitArgs,
    before: ServeArgs,
    socket: Option<PathBuf>,
    report: &Report,
    session: &Session,
) -> Outcome {
    failpoint::arm()
        .map_err(|error| ClientError::usage(error.to_string(), "src/failpoint/places.rs"))?;
    let (flags, env) = (args.serve.over(before).flags(socket), Env::of_process());
    let answers = match &args.answers {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| ClientError::file(path, &error))?;
            Answers::parse(&text).map_err(|error| failed(&error))?
        }
        None => questions::ask(&flags, &env, session)?,
    };
    let plan = planned(&answers, &flags, &env, report).await?;
    let told = plan.told();
    if args.dry_run {
        session.out.show(&told, || shown(&told))?;
        return Ok(Exit::Ok);
    }
    recovery::refuse_unshowable(&plan, &answers, session)?;
    let asked = args.answers.is_none();
    if asked {
        session.out.instruct(&shown(&told));
        session
            .prompts
            .confirm("This is what is going to be made.", "yes", INSTEAD)?;
    }
    let passphrase = recovery::passphrase(&plan, &answers, asked, session)?;
    let made = plan
        .make(passphrase)
        .await
        .map_err(|error| failed(&error))?;
    if made.cut_short() {
        session.out.note("an earlier init was cut short here: what it made is gone, and what it showed opens nothing");
    }
    recovery::hand_out(&made, &answers.slots.shares_to, session)?;
    made.finish().map_err(|error| failed(&error))?;
    session.out.done(&told, "the installation is made")?;
    next(&told, session);
    Ok(Exit::Ok)
}

async fn planned(
    answers: &Answers,
    flags: &Flags,
    env: &Env,
    report: &Report,
) -> Result<Plan, ClientError> {
    let plan = Plan::of(answers, flags, env).map_err(|error| failed(&error))?;
    let around = Surroundings::observe(plan.config(), report).await;
    plan.refuse_unsound(&around)
        .map_err(|error| failed(&error))?;
    Ok(plan)
}

fn shown(told: &Planned) -> String {
    let settings = if told.settings_change {
        format!("{}, to be written", told.settings)
    } else {
        format!("{}, as it is", told.settings)
    };
    let (listen, slots) = (told.listen.join(", "), told.slots.join(", "));
    let mut lines = vec![
        ("settings", settings.as_str()),
        ("data", &told.data),
        ("keys", &told.keys),
    ];
    lines.extend(told.owner.as_deref().map(|owner| ("run by", owner)));
    lines.extend([
        ("listens on", listen.as_str()),
        ("socket", &told.socket),
        ("organisation", &told.organization),
        ("its admin", &told.admin),
        ("unsealed by", &slots),
        ("backups", &told.backups),
        ("hardening", told.hardening),
    ]);
    Fields(&lines).to_string()
}

/// What is left to do.
fn next(told: &Planned, session: &Session) {
    let file = shell(std::path::Path::new(&told.settings));
    if told.slots.iter().any(|slot| slot == "key file") {
        session.out.hint(format!(
            "keep a copy of {}/root.key apart from the backups: whoever has both reads everything",
            told.keys
        ));
    }
    if told.backups == "none yet" {
        session
            .out
            .hint("nobody can open a backup yet: src/manual/backup.md says how to begin");
    }
    session.out.hint(format!(
        "start it: `runtools-broker --config {file}`; look at it: `runtools-broker --config {file} doctor`"
    ));
}
