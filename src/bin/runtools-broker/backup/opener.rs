//! What opens the ring of a backup.

use std::path::Path;

use runtools_broker::backup::BackupError;
use runtools_broker::client::{ClientError, Session, stdin_is_piped};
use runtools_broker::config::Config;
use runtools_broker::crypto::Key;
use runtools_broker::custody::{Custodians, Provider, Ring, Share, SlotKind, Split};
use runtools_broker::secret::Secret;

use crate::operator::{INSTEAD, passphrase};

/// Opens `ring`: by the key file that is named, else by the installation's own and those who hold a key for
/// it, else by a passphrase or by shares, where somebody can be asked. `None` when nothing does.
pub(super) fn open(
    ring: &Ring,
    key_file: Option<&Path>,
    config: &Config,
    session: &Session,
) -> Result<Option<Key>, ClientError> {
    let custody = |error| super::failed(&BackupError::Custody(error));
    if let Some(file) = key_file {
        return ring
            .open(Provider::KeyFile(file))
            .map(Some)
            .map_err(custody);
    }
    let own: Custodians = config.custodians();
    // One that is lost, or another's, is no reason not to ask a person.
    if let Ok(opened) = ring.open_unattended(&own)
        && let Some(root) = opened.opened()
    {
        return Ok(Some(root));
    }
    if !ring.has(SlotKind::Passphrase) && !ring.has(SlotKind::Shares) {
        return Ok(None);
    }
    match by_person(ring, session) {
        // Nobody can be asked: nothing is known.
        Err(ClientError::NoTerminal { .. }) => Ok(None),
        asked => asked.map(Some),
    }
}

/// By what somebody types or pipes in: a passphrase; or shares, one after the other, since whoever restores has
/// them all.
fn by_person(ring: &Ring, session: &Session) -> Result<Key, ClientError> {
    let custody = |error| super::failed(&BackupError::Custody(error));
    let question = match (ring.has(SlotKind::Passphrase), ring.has(SlotKind::Shares)) {
        (true, true) => "passphrase, or a share, of the backup's key ring",
        (true, false) => "passphrase of the backup's key ring",
        _ => "share",
    };
    let words = passphrase(question, session)?;
    let only_shares = !ring.has(SlotKind::Passphrase);
    if !only_shares && !Share::is_like(&words) {
        return ring.open(Provider::Passphrase(&words)).map_err(custody);
    }
    let parse = |line: &Secret| Share::parse(line).map_err(custody);
    let mut shares: Vec<Share> = Share::lines(&words)
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()?;
    drop(words);
    let slots = ring.slots().into_iter().filter_map(|slot| slot.split);
    let of_first = |split: &Split| shares.first().is_some_and(|share| split.has(share));
    let needed = slots.filter(of_first).map(|split| split.threshold).min();
    while !stdin_is_piped() && shares.len() < usize::from(needed.unwrap_or_default()) {
        shares.push(parse(&session.prompts.hidden("share", INSTEAD)?)?);
    }
    ring.open(Provider::Shares(&shares)).map_err(custody)
}
