//! Where a vault's files are.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use super::VaultError;
use crate::clock::Timestamp;
use crate::crypto::{Key, Random};
use crate::custody::{KEY_FILE, NewSlot, RING_FILE, Ring};
use crate::failpoint::{Failpoint, reached};
use crate::id::StoreId;
use crate::store::{AnchorFiles, anchor_was_used};

fn io(error: &std::io::Error) -> VaultError {
    VaultError::Io {
        what: "the data directory",
        kind: error.kind(),
    }
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    /// The data directory: store, anchor, journal.
    pub data: PathBuf,
    /// The keys directory: ring and key file.
    pub keys: PathBuf,
    /// One more anchor file, elsewhere.
    pub external_anchor: Option<PathBuf>,
}

impl Places {
    /// The key file that a broker makes for itself.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.keys.join(KEY_FILE)
    }

    /// The store's files.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// The journal's segments.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.data.join("audit")
    }

    /// Sealed records that the store did not take.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// The store's anchor file.
    #[must_use]
    pub fn anchor(&self) -> PathBuf {
        self.data.join("anchor")
    }

    /// All anchor files of the store.
    #[must_use]
    pub fn anchors(&self) -> AnchorFiles {
        AnchorFiles {
            own: self.anchor(),
            external: self.external_anchor.clone(),
        }
    }

    /// Refuses to begin afresh where a ring tells of a store that was in use: called before anything
    /// is made, so that a volume that is not mounted stays as empty as it is.
    ///
    /// # Errors
    /// [`VaultError::StoreGone`]; what the operating system reports.
    pub fn refuse_gone(&self) -> Result<(), VaultError> {
        let ring = self.keys.join(RING_FILE);
        if ring.exists() && !self.store().exists() && !self.starting()? {
            return Err(VaultError::StoreGone);
        }
        Ok(())
    }

    /// Stands while a first start is under way.
    fn first_start(&self) -> PathBuf {
        self.data.join("first-start")
    }

    /// Whether a first start is under way: with it, an empty store is no loss. A marker beside an anchor
    /// that has seen a store tells of no start, but of a loss.
    pub(super) fn starting(&self) -> Result<bool, VaultError> {
        Ok(self.first_start().exists() && !anchor_was_used(&self.anchor())?)
    }

    /// A first start begins, durably.
    fn begin_start(&self) -> Result<(), VaultError> {
        let begun = File::create(self.first_start()).and_then(|marker| marker.sync_all());
        begun.map_err(|error| io(&error))?;
        self.sync()
    }

    /// Begins a first start: draws a root key, and makes the ring that `slot` opens. A kill from here to the
    /// end of that start leaves what a later start goes on with.
    ///
    /// # Errors
    /// What custody reports: [`CustodyError::RingExists`](crate::custody::CustodyError::RingExists) above all.
    pub fn make_ring(
        &self,
        slot: &NewSlot<'_>,
        random: &dyn Random,
    ) -> Result<(Ring, Key), VaultError> {
        self.begin_start()?;
        reached(Failpoint::StartMarked);
        let store = StoreId::from_random(random.bytes()?);
        let made = Ring::create(&self.keys, store, slot, random)?;
        reached(Failpoint::StartRing);
        Ok(made)
    }

    /// The first start is over, durably; nothing happens when it was over before.
    pub(super) fn end_start(&self) -> Result<(), VaultError> {
        if !self.first_start().exists() {
            return Ok(());
        }
        std::fs::remove_file(self.first_start()).map_err(|error| io(&error))?;
        reached(Failpoint::StartEnds);
        self.sync()
    }

    /// Puts the journal of a first start that was cut short aside: its keys are lost with that start.
    pub(super) fn set_journal_aside(&self) -> Result<(), VaultError> {
        if !self.audit().exists() {
            return Ok(());
        }
        let mut asides = (1_u32..).map(|n| self.data.join(format!("audit.unfinished-{n}")));
        let free = asides.find(|aside| !aside.exists());
        let free = free.ok_or(VaultError::Form)?;
        std::fs::rename(self.audit(), free).map_err(|error| io(&error))?;
        self.sync()
    }

    /// Stands from a lockdown until somebody unseals.
    fn lockdown(&self) -> PathBuf {
        self.data.join("lockdown")
    }

    /// A lockdown begins, durably: no start unseals by itself any more.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn lock_down(&self, now: Timestamp) -> Result<(), VaultError> {
        let write = |mut marker: File| {
            // Twice, so that one damaged byte is no other moment.
            write!(marker, "{now}\n{now}\n")?;
            marker.sync_all()
        };
        let begun = File::create(self.lockdown()).and_then(write);
        begun.map_err(|error| io(&error))?;
        self.sync()
    }

    /// Whether a lockdown keeps the vault sealed, and since when, where that can be read.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn locked_down(&self) -> Result<Option<Option<Timestamp>>, VaultError> {
        match std::fs::read(self.lockdown()) {
            Ok(text) => {
                let text = str::from_utf8(&text).unwrap_or_default();
                let half = text.get(..text.len() / 2).unwrap_or_default();
                let whole = half.repeat(2) == text;
                let at = half.strip_suffix('\n').filter(|_| whole);
                Ok(Some(at.and_then(|at| Timestamp::parse(at).ok())))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&error)),
        }
    }

    /// Somebody has unsealed: the lockdown is over, durably.
    pub(super) fn lift_lockdown(&self) -> Result<(), VaultError> {
        match std::fs::remove_file(self.lockdown()) {
            Ok(()) => {
                reached(Failpoint::LockdownLifted);
                self.sync()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io(&error)),
        }
    }

    fn sync(&self) -> Result<(), VaultError> {
        let synced = File::open(&self.data).and_then(|dir| dir.sync_all());
        synced.map_err(|error| io(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::Places;
    use crate::clock::Timestamp;
    use crate::damage::Harm;

    #[test]
    fn a_damaged_marker_still_locks_down_and_names_no_other_moment() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            data: folder.path().to_owned(),
            keys: folder.path().to_owned(),
            external_anchor: None,
        };
        assert_eq!(places.locked_down().unwrap(), None);
        let now = Timestamp::parse("2026-11-23T09:30:00.120Z").unwrap();
        places.lock_down(now).unwrap();
        assert_eq!(places.locked_down().unwrap(), Some(Some(now)));
        let marker = std::fs::read(places.lockdown()).unwrap();
        for harm in Harm::every(marker.len()) {
            std::fs::write(places.lockdown(), harm.of(&marker)).unwrap();
            let found = places.locked_down().unwrap();
            assert_eq!(found, Some(None), "{harm:?}");
        }
    }
}
