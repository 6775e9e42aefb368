//! What opens the vault when all else is lost: taken from people or given to them, and proved.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use runtools_broker::client::{ClientError, Session, read_file, read_stdin, stdin_is_piped};
use runtools_broker::crypto::{Random, SystemRandom};
use runtools_broker::custody::{CustodyError, Share, check_passphrase};
use runtools_broker::daemon::init::{Answers, Made, Plan, Way};
use runtools_broker::secret::Secret;

use super::failed;

/// How to give a passphrase without being asked.
const PASSPHRASE_INSTEAD: &str = "pipe it in, or name its file: slots.passphrase_file";
/// How to be given shares without a terminal.
const SHARES_INSTEAD: &str = "name a folder for them: slots.shares_to";
/// How many groups of letters a share has.
const GROUPS: u8 = 11;

/// Refuses, before anything is made, shares that nobody could be shown.
pub(super) fn refuse_unshowable(
    plan: &Plan,
    answers: &Answers,
    session: &Session,
) -> Result<(), ClientError> {
    let dealt = plan.ways().iter().any(|way| matches!(way, Way::Shares(..)));
    let to = &answers.slots.shares_to;
    if !dealt {
        return Ok(());
    }
    if to.as_os_str().is_empty() {
        return session.prompts.reach(SHARES_INSTEAD);
    }
    let mut there = fs::read_dir(to).into_iter().flatten();
    if there.next().is_some() {
        return Err(ClientError::coded(
            "shares_there",
            format!("{} has files in it already", to.display()),
            "name another folder; shares of an init that was cut short open nothing, and can be deleted",
        ));
    }
    Ok(())
}

/// The passphrase of a slot, if there is to be one.
pub(super) fn passphrase(
    plan: &Plan,
    answers: &Answers,
    asked: bool,
    session: &Session,
) -> Result<Option<Secret>, ClientError> {
    if !plan.ways().contains(&Way::Passphrase) {
        return Ok(None);
    }
    let file = &answers.slots.passphrase_file;
    let words = if !file.as_os_str().is_empty() {
        of_file(file)?
    } else if !asked && stdin_is_piped() {
        read_stdin()?
    } else {
        return typed(session).map(Some);
    };
    check_passphrase(&words).map_err(|error| custody(&error))?;
    Ok(Some(words))
}

fn custody(error: &CustodyError) -> ClientError {
    ClientError::coded(error.code(), error.to_string(), error.hint())
}

fn of_file(path: &Path) -> Result<Secret, ClientError> {
    let found = fs::metadata(path).map_err(|error| ClientError::file(path, &error))?;
    if found.mode().trailing_zeros() < 6 {
        let path = path.to_owned();
        return Err(ClientError::Exposed { path, mode: "600" });
    }
    read_file(path)
}

/// Typed twice, and long enough: what is asked for again costs no answer that was given before.
fn typed(session: &Session) -> Result<Secret, ClientError> {
    loop {
        let words = session
            .prompts
            .hidden_twice("new passphrase", PASSPHRASE_INSTEAD);
        let refused = match words {
            Ok(words) => match check_passphrase(&words) {
                Ok(()) => return Ok(words),
                Err(error) => custody(&error),
            },
            Err(differ @ ClientError::Usage { .. }) => differ,
            Err(other) => return Err(other),
        };
        session.out.error(&refused);
    }
}

/// Gives the shares that were dealt to those who are there, or into a folder.
pub(super) fn hand_out(made: &Made, to: &Path, session: &Session) -> Result<(), ClientError> {
    let count = made.dealt().len();
    if count == 0 {
        return Ok(());
    }
    if !to.as_os_str().is_empty() {
        return put(made.dealt(), to, session);
    }
    for (index, share) in made.dealt().iter().enumerate() {
        show(share, index + 1, count, session)?;
    }
    Ok(())
}

/// Shows one until its holder proves to have it.
fn show(share: &Share, number: usize, count: usize, session: &Session) -> Result<(), ClientError> {
    loop {
        let words = format!(
            "Share {number} of {count}, for one person, who keeps it apart from the others. It is shown this once."
        );
        session
            .prompts
            .show_once(&words, &share.text(), SHARES_INSTEAD)?;
        let [first, second] = two_groups()?;
        let question = format!("groups {first} and {second} of share {number}");
        let typed = session.prompts.hidden(&question, SHARES_INSTEAD);
        match typed {
            Ok(typed) if share.has_groups([first, second], &typed) => return Ok(()),
            Ok(_) | Err(ClientError::Cancelled) => {
                session
                    .out
                    .note("that is not what stands there; here it is again");
            }
            Err(other) => return Err(other),
        }
    }
}

/// Two of the groups, by chance, the lower first.
fn two_groups() -> Result<[usize; 2], ClientError> {
    let random: &dyn Random = &SystemRandom;
    let drawn: Result<[u8; 2], _> = random.bytes();
    let [one, other] = drawn.map_err(|error| failed(&CustodyError::from(error).into()))?;
    let first = one % GROUPS;
    let second = (first + 1 + other % (GROUPS - 1)) % GROUPS;
    let mut both = [usize::from(first) + 1, usize::from(second) + 1];
    both.sort_unstable();
    Ok(both)
}

fn put(dealt: &[Share], to: &Path, session: &Session) -> Result<(), ClientError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(to);
    made.map_err(|error| ClientError::file(to, &error))?;
    for (index, share) in dealt.iter().enumerate() {
        let path = to.join(format!("share-{}", index + 1));
        let put = share.put(&path).map_err(|error| custody(&error))?;
        if !put {
            return Err(ClientError::file(
                &path,
                &std::io::ErrorKind::AlreadyExists.into(),
            ));
        }
    }
    session.out.note(format!(
        "{} shares are in {}: give each to another person, and delete it here",
        dealt.len(),
        to.display()
    ));
    Ok(())
}
