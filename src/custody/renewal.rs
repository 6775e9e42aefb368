//! Another key in the key file, while the ring stays open by it at every moment.
//!
//! ```text
//! marked   which slot the file opens                       killed here or later: the next renewal, or start, goes on
//! added    a slot for another file beside it; both open
//! placed   that file takes the name, in one rename         the old key is in no file from here on
//! removed  the slot that it opened
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::means::{Provider, SlotKind};
use super::slot::NewSlot;
use super::{CustodyError, Ring, disk};
use crate::clock::Timestamp;
use crate::crypto::{Key, Random};
use crate::failpoint::{Failpoint, reached};
use crate::id::ObjectId;

/// The longest marker: an id.
const MARKER: u64 = 64;
/// The length of a key file.
const LENGTH: usize = 32;

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Which slot is being given another key, if a renewal was cut short.
fn marked(path: &Path) -> Result<Option<ObjectId>, CustodyError> {
    let marker = named(path, ".renewing");
    match disk::read_private(&marker, MARKER) {
        Ok(text) => Ok(std::str::from_utf8(&text)
            .ok()
            .and_then(|text| ObjectId::parse(text).ok())),
        Err(CustodyError::File {
            fault: super::FileFault::Missing,
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Ring {
    /// Whether a renewal of the key file at `path` was cut short.
    #[must_use]
    pub fn is_renewing(path: &Path) -> bool {
        named(path, ".renewing").exists()
    }

    /// Gives the slot that the key file at `path` opens another key, in a file of the same name. Answers the id
    /// that the slot has now; nothing when the file opens none. One that was cut short is gone on with.
    ///
    /// # Errors
    /// As [`add_slot`](Self::add_slot) and [`remove_slot`](Self::remove_slot); what the operating system reports.
    pub fn renew_key_file(
        &mut self,
        root: &Key,
        path: &Path,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Option<ObjectId>, CustodyError> {
        let io = |error: io::Error| disk::io_fault(path, &error);
        let (next, marker) = (named(path, ".next"), named(path, ".renewing"));
        let old = if let Some(old) = marked(path)? {
            old
        } else {
            let Some(old) = self.opened_by(path) else {
                return Ok(None);
            };
            disk::replace(&marker, old.to_string().as_bytes())?;
            old
        };
        let new = match self.opened_by(path) {
            Some(opened) if opened != old => opened,
            _ => {
                let new = self.slot_of(&next, old, root, now, random)?;
                reached(Failpoint::KeyFileAdded);
                let before = open_to_wipe(path);
                fs::rename(&next, path).map_err(io)?;
                sync_beside(path).map_err(io)?;
                reached(Failpoint::KeyFilePlaced);
                // Where the disk writes in place, nothing is left of it but copies.
                if let Err(error) = before.and_then(wipe) {
                    tracing::warn!(kind = %error.kind(), "the old key file was not overwritten");
                }
                new
            }
        };
        match self.remove_slot(root, old) {
            Ok(()) | Err(CustodyError::NoSlot(_)) => {}
            Err(error) => return Err(error),
        }
        reached(Failpoint::KeyFileRemoved);
        fs::remove_file(&marker).map_err(io)?;
        sync_beside(path).map_err(io)?;
        Ok(Some(new))
    }

    /// The slot that the key file at `path` opens.
    fn opened_by(&self, path: &Path) -> Option<ObjectId> {
        let slots = self.slots().into_iter();
        let mut files = slots.filter(|slot| slot.kind == SlotKind::KeyFile);
        let opens = |id| self.test_slot(Provider::KeyFile(path), id).is_ok();
        files.find(|slot| opens(slot.id)).map(|slot| slot.id)
    }

    /// The slot of the file `next`, which has the place of `old`.
    fn slot_of(
        &mut self,
        next: &Path,
        old: ObjectId,
        root: &Key,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<ObjectId, CustodyError> {
        if let Some(made) = self.opened_by(next) {
            return Ok(made);
        }
        match fs::remove_file(next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(disk::io_fault(next, &error));
            }
            _ => {}
        }
        let slots = self.slots();
        let label = slots.iter().find(|slot| slot.id == old);
        let label = label.map_or("key file", |slot| &slot.label);
        let slot = NewSlot::new(Provider::KeyFile(next), label, now);
        self.add_slot(root, &slot, random)
    }
}

fn open_to_wipe(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)
}

fn wipe(mut file: File) -> io::Result<()> {
    file.write_all(&[0; LENGTH])?;
    file.sync_all()
}

fn sync_beside(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Ring;
    use crate::clock::Timestamp;
    use crate::crypto::SystemRandom;
    use crate::custody::{CustodyError, KEY_FILE, NewSlot, Provider};
    use crate::id::StoreId;
    use crate::secret::Secret;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn the_key_file_gets_another_key_and_the_old_one_opens_nothing_of_the_ring() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let file = keys.join(KEY_FILE);
        let slot = NewSlot::new(Provider::KeyFile(&file), "first", NOW);
        let store = StoreId::from_bytes([1; 16]);
        let (mut ring, root) = Ring::create(&keys, store, &slot, &SystemRandom).unwrap();
        let words = Secret::copy_of(b"correct horse battery staple");
        let spare = NewSlot::new(Provider::Passphrase(&words), "spare", NOW).cheap();
        let kept = ring.add_slot(&root, &spare, &SystemRandom).unwrap();
        let (before, old) = (fs::read(&file).unwrap(), ring.slots()[0].id);
        let new = ring.renew_key_file(&root, &file, NOW, &SystemRandom);
        let new = new.unwrap().unwrap();
        let ids: Vec<_> = ring.slots().iter().map(|slot| slot.id).collect();
        assert_eq!(ids, [kept, new]);
        assert!(new != old && fs::read(&file).unwrap() != before);
        let ring = Ring::load(&keys).unwrap();
        let opened = ring.open(Provider::KeyFile(&file)).unwrap();
        assert!(opened.same_as(&root));
        assert!(ring.open(Provider::Passphrase(&words)).is_ok());
        assert_eq!(ring.slots()[1].label, "first");
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 2);
        // Whoever kept the old one.
        fs::write(&file, &before).unwrap();
        let opened = ring.open(Provider::KeyFile(&file));
        assert!(
            matches!(opened, Err(CustodyError::WrongKeyFile)),
            "{opened:?}"
        );
    }
}
