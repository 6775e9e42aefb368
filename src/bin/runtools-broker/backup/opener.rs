//! What opens the ring of a backup.

use std::path::Path;

use runtools_broker::backup::BackupError;
use runtools_broker::client::{ClientError, Session, stdin_is_piped};
use runtools_broker::config::Config;
use runtools_broker::crypto::Key;
use runtools_broker::custody::{Custodians, Provider, Ring, Share, SlotKind};

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
    let asked = match (ring.has(SlotKind::Passphrase), ring.has(SlotKind::Shares)) {
        (true, _) => by_passphrase(ring, session),
        (false, true) => by_shares(ring, session),
        (false, false) => return Ok(None),
    };
    match asked {
        // Nobody can be asked: nothing is known.
        Err(ClientError::NoTerminal { .. }) => Ok(None),
        asked => asked.map(Some),
    }
}

fn by_passphrase(ring: &Ring, session: &Session) -> Result<Key, ClientError> {
    let words = passphrase("passphrase of the backup's key ring", session)?;
    ring.open(Provider::Passphrase(&words))
        .map_err(|error| super::failed(&BackupError::Custody(error)))
}

/// One after the other, at one terminal: whoever restores has them all.
fn by_shares(ring: &Ring, session: &Session) -> Result<Key, ClientError> {
    let custody = |error| super::failed(&BackupError::Custody(error));
    let threshold = ring
        .slots()
        .iter()
        .filter_map(|slot| slot.split)
        .map(|split| split.threshold)
        .min();
    let mut shares = Vec::new();
    if stdin_is_piped() {
        let piped = runtools_broker::client::read_stdin()?;
        for line in Share::lines(&piped) {
            shares.push(Share::parse(&line).map_err(custody)?);
        }
    } else {
        for _ in 0..threshold.unwrap_or(2) {
            let line = session.prompts.hidden("share", INSTEAD)?;
            shares.push(Share::parse(&line).map_err(custody)?);
        }
    }
    ring.open(Provider::Shares(&shares)).map_err(custody)
}
