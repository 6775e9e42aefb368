//! Whose signature a backup has to have.
//!
//! Whoever knows a recipient can make a file that opens, with any signature. So the one it should have is
//! told by something that they do not have: the public key that the operator wrote down, or the root key,
//! under which the signing key is sealed in the backup itself.

use std::io::Read;

use super::{BackupError, Head, Identities, Opened, Part, read};
use crate::crypto::{Key, PublicKey};
use crate::custody::Ring;
use crate::store::{Class, Engine, MemoryEngine, Write};
use crate::vault::backup_signers;

/// More bytes of the installation's own keys than a backup ever has, which are kept in memory: there are two more
/// of them, of less than two hundred bytes, whenever the journal's keys are replaced.
const MOST_OF_KEYS: usize = 32 << 20;

/// What tells whose signature it has to be.
pub enum Sought<'a> {
    /// This key's.
    Signer(PublicKey),
    /// That of the broker whose ring this opens; `None` when it opens nothing.
    Opener(&'a dyn Fn(&Ring) -> Result<Option<Key>, BackupError>),
}

impl std::fmt::Debug for Sought<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signer(key) => write!(f, "Signer({key:?})"),
            Self::Opener(_) => f.write_str("Opener"),
        }
    }
}

/// A backup that is whole, and signed by whom it should be.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says of itself.
    pub opened: Opened,
}

/// Reads a backup to its end, restores nothing, and answers whether it is whole and signed by the one who
/// is sought.
///
/// # Errors
/// As [`read`]; [`BackupError::Forged`]; [`BackupError::SignerUnknown`] when nothing opens its ring; what
/// the opener reports.
pub fn verify(
    input: impl Read,
    identities: &Identities,
    sought: &Sought<'_>,
) -> Result<Verified, BackupError> {
    let (mut ring, keys, mut room) = (Vec::new(), MemoryEngine::new(), MOST_OF_KEYS);
    let opened = read(input, identities, &mut |_| Ok(()), &mut |part| {
        match part {
            Part::Ring(bytes) => ring = bytes.to_vec(),
            // The keys of the installation: what its signing key is sealed in is among them.
            Part::Record(write) if is_system_key(&write) => {
                room = room
                    .checked_sub(weight(&write))
                    .ok_or(BackupError::Damaged {
                        what: "it has more keys of its installation than there are",
                    })?;
                keys.apply(&[write])?;
            }
            Part::Record(_) | Part::Settings(_) | Part::Journal(_) => {}
        }
        Ok(())
    })?;
    let signers = match sought {
        Sought::Signer(signer) => vec![*signer],
        Sought::Opener(open) => {
            let ring = Ring::of_file(ring)?;
            let root = open(&ring)?.ok_or(BackupError::SignerUnknown)?;
            signers_of(&root, &ring, &opened.head, &keys)?
        }
    };
    if signers.contains(&opened.head.signer) {
        Ok(Verified { opened })
    } else {
        Err(BackupError::Forged)
    }
}

fn is_system_key(write: &Write<'_>) -> bool {
    let (Write::Put(key, _) | Write::Delete(key)) = write;
    key.first() == Some(&Class::SystemKey.byte())
}

fn weight(write: &Write<'_>) -> usize {
    match write {
        Write::Put(key, record) => key.len().saturating_add(record.len()),
        Write::Delete(key) => key.len(),
    }
}

/// Whose signature it may be when `root` opened its ring.
pub(super) fn signers_of(
    root: &Key,
    ring: &Ring,
    head: &Head,
    engine: &dyn Engine,
) -> Result<Vec<PublicKey>, BackupError> {
    if ring.store() != head.outer.store {
        return Err(BackupError::Forged);
    }
    // Records that this root key did not seal are somebody else's.
    backup_signers(root, ring.store(), engine).map_err(|_| BackupError::Forged)
}
