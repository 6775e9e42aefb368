//! What opens a key ring where no broker serves: that of a backup, or of an installation that is stopped.

use std::path::Path;

use runtools_broker::client::{ClientError, Session, stdin_is_piped};
use runtools_broker::clock::SystemClock;
use runtools_broker::config::Config;
use runtools_broker::crypto::Key;
use runtools_broker::custody::{
    Custodians, CustodyError, Gathered, Gathering, Provider, Ring, Share, SlotKind, Split,
    Unattended,
};
use runtools_broker::secret::Secret;

use crate::operator::passphrase;

/// How to give shares without being asked.
const SHARES_INSTEAD: &str = "pipe the shares in, a line each";

fn refused(error: &CustodyError) -> ClientError {
    ClientError::coded(error.code(), error.to_string(), error.hint())
}

/// Opens the ring of a backup: by the key file that is named, else by the installation's own and those who hold
/// a key for it, else by a passphrase or by shares, where somebody can be asked. `None` when nothing does.
pub(crate) fn of_backup(
    ring: &Ring,
    key_file: Option<&Path>,
    config: &Config,
    session: &Session,
) -> Result<Option<Key>, ClientError> {
    if let Some(file) = key_file {
        let opened = ring.open(Provider::KeyFile(file));
        return opened.map(Some).map_err(|error| refused(&error));
    }
    let own: Custodians = config.custodians();
    // One that is lost, or another's, is no reason not to ask a person.
    if let Ok(opened) = ring.open_unattended(&own)
        && let Some(root) = opened.opened()
    {
        return Ok(Some(root));
    }
    if !takes_a_person(ring) {
        return Ok(None);
    }
    match by_person(ring, session) {
        // Nobody can be asked: nothing is known.
        Err(ClientError::NoTerminal { .. }) => Ok(None),
        asked => asked.map(Some),
    }
}

/// Opens the ring of a stopped installation as a start and a person after it do: by the key file and those who
/// hold a key for it, else by a passphrase or by shares.
pub(crate) fn of_installation(
    ring: &Ring,
    config: &Config,
    session: &Session,
) -> Result<Key, ClientError> {
    let opened = ring.open_unattended(&config.custodians());
    match opened.map_err(|error| refused(&error))? {
        Unattended::Opened(root) => Ok(root),
        Unattended::Waits(lost) => match lost.first() {
            Some(lost) if !takes_a_person(ring) => Err(refused(lost)),
            _ => by_person(ring, session),
        },
    }
}

fn takes_a_person(ring: &Ring) -> bool {
    ring.slots().iter().any(|slot| slot.kind.takes_a_person())
}

/// By what somebody types or pipes in: a passphrase; or shares, one after the other, since whoever works on what
/// is stopped has them all.
pub(crate) fn by_person(ring: &Ring, session: &Session) -> Result<Key, ClientError> {
    let has = |kind| ring.has(kind);
    let question = match (has(SlotKind::Passphrase), has(SlotKind::Shares)) {
        (true, true) => "passphrase, or a share, of the key ring",
        (false, true) => "share",
        (true, false) => "passphrase of the key ring",
        (false, false) => {
            return Err(ClientError::usage(
                "no passphrase and no shares open the key ring, and who opens it alone does not now",
                "after a lockdown, start the broker and unseal it first; else `runtools-broker doctor` says what is \
                 the matter with the key file, the credential or the custodian",
            ));
        }
    };
    let words = passphrase(question, session)?;
    if has(SlotKind::Passphrase) && !Share::is_like(&words) {
        let opened = ring.open(Provider::Passphrase(&words));
        return opened.map_err(|error| refused(&error));
    }
    by_shares(ring, &words, session)
}

/// By shares: the lines of `first`, and then those that are asked for, where somebody can be.
fn by_shares(ring: &Ring, first: &Secret, session: &Session) -> Result<Key, ClientError> {
    let splits: Vec<Split> = ring
        .slots()
        .into_iter()
        .filter_map(|slot| slot.split)
        .collect();
    let (mut lines, mut gathering) = (Share::lines(first).into_iter(), Gathering::default());
    loop {
        let line = match lines.next() {
            Some(line) => line,
            None if stdin_is_piped() => return Err(too_few(&gathering)),
            None => session.prompts.hidden("share", SHARES_INSTEAD)?,
        };
        let taken = Share::parse(&line).and_then(|share| {
            if splits.iter().any(|split| split.has(&share)) {
                gathering.take(share, &SystemClock)
            } else {
                Err(CustodyError::ShareForeign)
            }
        });
        match taken {
            Ok(Gathered::Enough(shares)) => {
                let opened = ring.open(Provider::Shares(&shares));
                return opened.map_err(|error| refused(&error));
            }
            Ok(Gathered::Waits(progress)) => session.out.note(format!(
                "{} of {} shares are there",
                progress.given, progress.needed
            )),
            Err(error) if stdin_is_piped() => return Err(refused(&error)),
            // Whoever types can type again; what was given before stays.
            Err(error) => session.out.error(&refused(&error)),
        }
    }
}

fn too_few(gathering: &Gathering) -> ClientError {
    let said = gathering.progress().map_or_else(
        || "no share was given".to_owned(),
        |there| format!("only {} of {} shares were given", there.given, there.needed),
    );
    ClientError::usage(
        said,
        "pipe them in together, a line each, or run it at a terminal",
    )
}
