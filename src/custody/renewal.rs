//! Another key in the key file, while the ring stays open by it at every moment.
//!
//! ```text
//! marked   which slot the file opens                       killed here or later: the next renewal, or start, goes on
//! added    a slot for another file beside it; both open
//! placed   that file takes the name, in one rename         the old one has a second name until it is overwritten
//! wiped    the old one is overwritten and removed
//! removed  the slot that it opened
//! ```
//!
//! A renewal that says it is done has wiped the old key, whatever was killed on the way.

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

/// The longest marker: an id, twice.
const MARKER: u64 = 128;
/// The length of a key file.
const LENGTH: usize = 32;

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A marker that names a slot twice, so that one damaged byte neither names another one nor none.
fn marker_of(slot: ObjectId) -> String {
    format!("{slot}\n{slot}\n")
}

/// The slots that a marker names: one, unless it is damaged.
fn named_in(marker: &[u8]) -> Vec<ObjectId> {
    let lines = marker.split(|byte| *byte == b'\n');
    let texts = lines.filter_map(|line| std::str::from_utf8(line).ok());
    texts
        .filter_map(|text| ObjectId::parse(text).ok())
        .collect()
}

impl Ring {
    /// Whether a renewal of the key file at `path` was cut short.
    #[must_use]
    pub fn is_renewing(path: &Path) -> bool {
        named(path, ".renewing").exists()
    }

    /// Which slot is being given another key, if a renewal was cut short. Of a damaged marker what counts is a slot
    /// that is there; where none is, the one that the old file opens, or the one in its place while there is a next.
    ///
    /// # Errors
    /// [`CustodyError::File`] when nothing tells how far it had come.
    fn marked(&self, path: &Path) -> Result<Option<ObjectId>, CustodyError> {
        let marker = match disk::read_private(&named(path, ".renewing"), MARKER) {
            Err(CustodyError::File {
                fault: super::FileFault::Missing,
                ..
            }) => return Ok(None),
            marker => marker?,
        };
        let slots = named_in(&marker);
        let there = slots.iter().find(|slot| !self.is_gone(**slot));
        // A slot that is gone is believed where it stands as it was written: older markers have it once.
        let sound = |slot: &&ObjectId| {
            let once = slot.to_string();
            marker == once.as_bytes() || marker == marker_of(**slot).as_bytes()
        };
        let gone = slots.first().filter(sound);
        let old = there.or(gone).copied();
        let old = old.or_else(|| self.opened_by(&named(path, ".old")));
        let old = old.or_else(|| {
            let next = self.opened_by(&named(path, ".next"));
            next.and_then(|_| self.opened_by(path))
        });
        let told = CustodyError::file(&named(path, ".renewing"), super::FileFault::Marker);
        old.map(Some).ok_or(told)
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
        let before = named(path, ".old");
        let old = if let Some(old) = self.marked(path)? {
            old
        } else {
            let Some(old) = self.opened_by(path) else {
                return Ok(None);
            };
            disk::replace(&marker, marker_of(old).as_bytes())?;
            old
        };
        let new = match self.opened_by(path) {
            Some(opened) if opened != old => opened,
            // Somebody removed the slot meanwhile, and it does not come back under another key.
            None if self.is_gone(old) && self.opened_by(&next).is_none() => {
                gone(&next).and_then(|()| wipe(&before)).map_err(io)?;
                gone(&marker).map_err(io)?;
                sync_beside(path).map_err(io)?;
                return Ok(None);
            }
            _ => {
                let new = self.slot_of(&next, old, root, now, random)?;
                reached(Failpoint::KeyFileAdded);
                gone(&before).map_err(io)?;
                match fs::hard_link(path, &before) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
                    _ => {}
                }
                fs::rename(&next, path).map_err(io)?;
                sync_beside(path).map_err(io)?;
                reached(Failpoint::KeyFilePlaced);
                new
            }
        };
        // Where the disk writes in place, nothing is left of it but copies.
        wipe(&before).map_err(io)?;
        match self.remove_slot(root, old) {
            Ok(()) | Err(CustodyError::NoSlot(_)) => {}
            Err(error) => return Err(error),
        }
        reached(Failpoint::KeyFileRemoved);
        gone(&marker).map_err(io)?;
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

    fn is_gone(&self, slot: ObjectId) -> bool {
        !self.slots().iter().any(|there| there.id == slot)
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
        gone(next).map_err(|error| disk::io_fault(next, &error))?;
        let slots = self.slots();
        let label = slots.iter().find(|slot| slot.id == old);
        let label = label.map_or("key file", |slot| &slot.label);
        let slot = NewSlot::new(Provider::KeyFile(next), label, now);
        self.add_slot(root, &slot, random)
    }
}

/// Removes a file, if it is there.
fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Overwrites a key file and removes it, if it is there.
fn wipe(path: &Path) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path);
    let mut file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    file.write_all(&[0; LENGTH])?;
    file.sync_all()?;
    gone(path)
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
    use std::path::{Path, PathBuf};

    use super::{Ring, named};
    use crate::clock::Timestamp;
    use crate::crypto::{Key, SystemRandom};
    use crate::custody::{CustodyError, KEY_FILE, NewSlot, Provider};
    use crate::damage::Harm;
    use crate::id::{ObjectId, StoreId};
    use crate::secret::Secret;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// A ring that a key file and a passphrase open: the file, the ring, the root key, the passphrase's slot.
    fn made(folder: &Path, words: &Secret) -> (PathBuf, Ring, Key, ObjectId) {
        let keys = folder.join("keys");
        let file = keys.join(KEY_FILE);
        let slot = NewSlot::new(Provider::KeyFile(&file), "first", NOW);
        let store = StoreId::from_bytes([1; 16]);
        let (mut ring, root) = Ring::create(&keys, store, &slot, &SystemRandom).unwrap();
        let spare = NewSlot::new(Provider::Passphrase(words), "spare", NOW).cheap();
        let kept = ring.add_slot(&root, &spare, &SystemRandom).unwrap();
        (file, ring, root, kept)
    }

    fn words() -> Secret {
        Secret::copy_of(b"correct horse battery staple")
    }

    /// What a renewal has written down when it is killed at once.
    fn mark(file: &Path, old: ObjectId) {
        let marker = named(file, ".renewing");
        super::disk::replace(&marker, super::marker_of(old).as_bytes()).unwrap();
    }

    fn beside(file: &Path) -> usize {
        fs::read_dir(file.parent().unwrap()).unwrap().count()
    }

    #[test]
    fn the_key_file_gets_another_key_and_the_old_one_opens_nothing_of_the_ring() {
        let (folder, words) = (tempfile::tempdir().unwrap(), words());
        let (file, mut ring, root, kept) = made(folder.path(), &words);
        let (before, old) = (fs::read(&file).unwrap(), ring.slots()[0].id);
        let new = ring.renew_key_file(&root, &file, NOW, &SystemRandom);
        let new = new.unwrap().unwrap();
        let ids: Vec<_> = ring.slots().iter().map(|slot| slot.id).collect();
        assert_eq!(ids, [kept, new]);
        assert!(new != old && fs::read(&file).unwrap() != before);
        let ring = Ring::load(file.parent().unwrap()).unwrap();
        let opened = ring.open(Provider::KeyFile(&file)).unwrap();
        assert!(opened.same_as(&root));
        assert!(ring.open(Provider::Passphrase(&words)).is_ok());
        assert_eq!(ring.slots()[1].label, "first");
        assert_eq!(beside(&file), 2);
        // Whoever kept the old one.
        fs::write(&file, &before).unwrap();
        let opened = ring.open(Provider::KeyFile(&file));
        assert!(
            matches!(opened, Err(CustodyError::WrongKeyFile)),
            "{opened:?}"
        );
    }

    #[test]
    fn no_renewal_is_done_while_the_old_key_is_in_a_file() {
        let (folder, words) = (tempfile::tempdir().unwrap(), words());
        let (file, mut ring, root, kept) = made(folder.path(), &words);
        let old = ring.slots()[0].id;
        // Killed when the new file had the name, and the old one its second.
        let (before, next) = (named(&file, ".old"), named(&file, ".next"));
        mark(&file, old);
        let new = ring.slot_of(&next, old, &root, NOW, &SystemRandom).unwrap();
        fs::hard_link(&file, &before).unwrap();
        fs::rename(&next, &file).unwrap();
        let held = fs::File::open(&before).unwrap();
        let renewed = ring.renew_key_file(&root, &file, NOW, &SystemRandom);
        assert_eq!(renewed.unwrap(), Some(new));
        assert_eq!(beside(&file), 2);
        let ids: Vec<_> = ring.slots().iter().map(|slot| slot.id).collect();
        assert_eq!(ids, [kept, new]);
        let left = std::io::read_to_string(held).unwrap();
        assert_eq!(left.into_bytes(), [0; super::LENGTH]);
        // What cannot be overwritten is told, and what opens the old slot stays.
        mark(&file, new);
        fs::create_dir(&before).unwrap();
        let refused = ring.renew_key_file(&root, &file, NOW, &SystemRandom);
        assert!(matches!(refused, Err(CustodyError::File { .. })));
        assert!(ring.slots().iter().any(|slot| slot.id == new));
        fs::remove_dir(&before).unwrap();
        let renewed = ring.renew_key_file(&root, &file, NOW, &SystemRandom);
        assert!(renewed.unwrap().is_some_and(|newer| newer != new));
        assert_eq!(beside(&file), 2);
    }

    #[test]
    fn a_slot_that_was_removed_meanwhile_does_not_come_back() {
        let (folder, words) = (tempfile::tempdir().unwrap(), words());
        let (file, mut ring, root, kept) = made(folder.path(), &words);
        let old = ring.slots()[0].id;
        mark(&file, old);
        ring.remove_slot(&root, old).unwrap();
        let renewed = ring.renew_key_file(&root, &file, NOW, &SystemRandom);
        assert_eq!(renewed.unwrap(), None);
        let ids: Vec<_> = ring.slots().iter().map(|slot| slot.id).collect();
        assert_eq!(ids, [kept]);
        assert!(!Ring::is_renewing(&file));
    }

    /// A keys directory as a kill left it, after so many of the steps.
    fn cut_short(folder: &Path, words: &Secret, steps: usize) -> (PathBuf, Ring, Key, ObjectId) {
        let (file, mut ring, root, _) = made(folder, words);
        let old = ring.slots()[0].id;
        let (before, next) = (named(&file, ".old"), named(&file, ".next"));
        mark(&file, old);
        if steps > 0 {
            ring.slot_of(&next, old, &root, NOW, &SystemRandom).unwrap();
        }
        if steps > 1 {
            fs::hard_link(&file, &before).unwrap();
            fs::rename(&next, &file).unwrap();
        }
        if steps > 2 {
            super::wipe(&before).unwrap();
        }
        if steps > 3 {
            ring.remove_slot(&root, old).unwrap();
        }
        (file, ring, root, old)
    }

    #[test]
    fn whatever_becomes_of_the_marker_a_renewal_that_says_it_is_done_is_done() {
        let words = words();
        let length = super::marker_of(ObjectId::from_bytes([7; 16])).len();
        for steps in 0..=4 {
            for harm in Harm::of_each_byte(length) {
                let folder = tempfile::tempdir().unwrap();
                let (file, mut ring, root, old) = cut_short(folder.path(), &words, steps);
                let marker = named(&file, ".renewing");
                let sound = fs::read(&marker).unwrap();
                fs::write(&marker, harm.of(&sound)).unwrap();
                let what = format!("{steps} steps, {harm:?}");
                let renewed = ring.renew_key_file(&root, &file, NOW, &SystemRandom);
                let ring = Ring::load(file.parent().unwrap()).unwrap();
                // There is always a way in.
                assert!(ring.open(Provider::KeyFile(&file)).is_ok(), "{what}");
                assert!(ring.open(Provider::Passphrase(&words)).is_ok(), "{what}");
                match renewed {
                    Ok(Some(new)) => {
                        let ids: Vec<_> = ring.slots().iter().map(|slot| slot.id).collect();
                        assert!(ids.contains(&new) && !ids.contains(&old), "{what}");
                        assert_eq!(beside(&file), 2, "{what}");
                    }
                    Ok(None) => panic!("{what}: nothing was renewed"),
                    Err(CustodyError::File { .. }) => {}
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        }
    }
}
