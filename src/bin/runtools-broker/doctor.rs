//! `doctor`: is this installation well, and what is to be done if not?

use clap::Args;
use runtools_broker::client::{Exit, Outcome, Session};
use runtools_broker::config::{Config, Env, Flags};
use runtools_broker::daemon::doctor::{
    Finding, Level, Mend, Surroundings, examine, refused_settings,
};
use runtools_broker::hardening::Report;

use crate::layout::{Paint, Screen, wrapped};
use crate::serve::ServeArgs;

/// What is done about it.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Put right what can be put right without a risk: rights that others have to the broker's own files are taken away
    #[arg(long)]
    pub(crate) fix: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// Examines, mends where that is asked for, shows, and fails when something is not as it must be.
pub(crate) async fn run(fix: bool, flags: &Flags, report: &Report, session: &Session) -> Outcome {
    let found = match Config::load(flags, &Env::of_process()) {
        Err(error) => refused_settings(&error),
        Ok(config) => {
            let around = Surroundings::observe(&config, report).await;
            let found = examine(&config, &around);
            let mends = found.mends();
            if fix && !mends.is_empty() {
                mend(&mends, around.uid, session);
                examine(&config, &around)
            } else {
                found
            }
        }
    };
    session
        .out
        .show(&found, || tree(&found, Screen::of(&session.out)))?;
    Ok(match found.level {
        Level::Ok | Level::Unexamined | Level::Warn => Exit::Ok,
        Level::Fail => Exit::Failed,
    })
}

/// Applies each, and says so. One that cannot be applied is found again, with its advice.
fn mend(mends: &[&Mend], uid: u32, session: &Session) {
    for mend in mends {
        match mend.apply(uid) {
            Ok(done) => session.out.note(format!("did: {done}")),
            Err(error) => session.out.note(format!("could not be mended: {error}")),
        }
    }
    session
        .out
        .hint("whoever could read a key before may have it: `runtools-broker key rotate root`");
}

/// The findings as a tree, and a line that counts them.
fn tree(found: &Finding, screen: Screen) -> String {
    let mut text = format!("{} {}\n", label(found.level, screen), found.check);
    branches(found, "", screen, &mut text);
    let (warn, fail) = (count(found, Level::Warn), count(found, Level::Fail));
    let unexamined = match count(found, Level::Unexamined) {
        0 => String::new(),
        count => format!(", {count} not examined"),
    };
    let verdict = match (fail, warn) {
        // What was not looked at is not said to work.
        (0, _) if !unexamined.is_empty() => {
            let text = format!("Nothing to mend was found; {warn} to better{unexamined}.");
            screen.paint(Paint::Careful, &text)
        }
        (0, 0) => screen.paint(Paint::Good, "All is well."),
        (0, _) => screen.paint(Paint::Careful, &format!("It works; {warn} to better.")),
        _ => {
            let text = format!("{fail} to mend, {warn} to better{unexamined}.");
            screen.paint(Paint::Bad, &text)
        }
    };
    text.extend([format!("\n{verdict}\n")]);
    text
}

fn branches(found: &Finding, indent: &str, screen: Screen, text: &mut String) {
    for (index, part) in found.parts.iter().enumerate() {
        let is_last = index + 1 == found.parts.len();
        let (fork, trunk) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let below = format!("{indent}{trunk}");
        // The branch, the label and a space after it.
        let room = screen.width().saturating_sub(below.chars().count() + 5);
        let words = if part.text.is_empty() {
            part.check.to_owned()
        } else {
            format!("{}: {}", part.check, part.text)
        };
        for (line, words) in wrapped(&words, room).iter().enumerate() {
            if line == 0 {
                let label = label(part.level, screen);
                text.extend([format!("{indent}{fork}{label} {words}\n")]);
            } else {
                text.extend([format!("{below}     {words}\n")]);
            }
        }
        if let Some(fix) = &part.fix {
            for (line, words) in wrapped(fix, room.saturating_sub(2)).iter().enumerate() {
                let mark = if line == 0 { "→" } else { " " };
                text.extend([format!("{below}     {mark} {words}\n")]);
            }
        }
        branches(part, &below, screen, text);
    }
}

fn label(level: Level, screen: Screen) -> String {
    match level {
        Level::Ok => screen.paint(Paint::Good, "OK  "),
        Level::Unexamined => screen.paint(Paint::Careful, "SKIP"),
        Level::Warn => screen.paint(Paint::Careful, "WARN"),
        Level::Fail => screen.paint(Paint::Bad, "FAIL"),
    }
}

/// How many checks, groups aside, came to `level`.
fn count(found: &Finding, level: Level) -> usize {
    if found.parts.is_empty() {
        usize::from(found.level == level)
    } else {
        found.parts.iter().map(|part| count(part, level)).sum()
    }
}
