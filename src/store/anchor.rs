//! The anchor file: what the store was last, told outside of the database.
//!
//! Two slots of 512 bytes are written in turn, each with a MAC, so a torn write spoils one of them and
//! the other still counts:
//!
//! ```text
//!   0  8  magic          24 88  the state: generation, count, digest, journal mark
//!   8 16  store id      112 32  HMAC-SHA-256 of all before; zeros up to 512
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::StoreError;
use super::error::Doing;
use super::files;
use super::state::State;
use crate::crypto::{MacKey, digests_match};
use crate::id::StoreId;

const MAGIC: &[u8; 8] = b"RTBANCH1";
const SLOT: usize = 512;
const SLOTS: usize = 2;
const LABEL: &[u8] = b"anchor slot";

/// The open anchor file.
#[derive(Debug)]
pub(super) struct Anchor {
    file: File,
    store: StoreId,
    mac: MacKey,
    /// The slot that does not hold the newest state.
    next: usize,
}

impl Anchor {
    /// Makes the file before the store: it says generation 0 until the first commit is durable, so that
    /// a creation that was cut short can be told from a store that was emptied.
    ///
    /// # Errors
    /// [`StoreError::Emptied`] when there is an anchor file that has seen a store.
    pub(super) fn create(path: &Path, store: StoreId, mac: MacKey) -> Result<Self, StoreError> {
        if let Some(old) = read_file(path)?
            && !never_used(&old)
        {
            return Err(StoreError::Emptied);
        }
        let file = files::open_private(path, true).doing("making the anchor file")?;
        let mut anchor = Self {
            file,
            store,
            mac,
            next: 0,
        };
        anchor.write(&State::nothing())?;
        anchor.write(&State::nothing())?;
        anchor.sync()?;
        files::sync_parent(path).doing("making the anchor file")?;
        Ok(anchor)
    }

    /// Makes a file of `state` in place of whatever stands there.
    pub(super) fn renew(
        path: &Path,
        store: StoreId,
        mac: MacKey,
        state: &State,
    ) -> Result<(), StoreError> {
        const MAKING: &str = "making the anchor file";
        let fresh = path.with_extension("new");
        let file = files::open_private(&fresh, true).doing(MAKING)?;
        file.set_len(0).doing(MAKING)?;
        let mut anchor = Self {
            file,
            store,
            mac,
            next: 0,
        };
        anchor.write(state)?;
        anchor.write(state)?;
        anchor.sync()?;
        std::fs::rename(&fresh, path).doing(MAKING)?;
        files::sync_parent(path).doing(MAKING)
    }

    /// Opens the file and reads the newest state in it; `None` when there is no file.
    ///
    /// # Errors
    /// [`StoreError::AnchorDamaged`] when neither slot is one of this store.
    pub(super) fn open(
        path: &Path,
        store: StoreId,
        mac: MacKey,
    ) -> Result<Option<(Self, State)>, StoreError> {
        let Some(bytes) = read_file(path)? else {
            return Ok(None);
        };
        let newest = newest(&bytes, store, &mac);
        let (at, state) = newest.ok_or(StoreError::AnchorDamaged)?;
        let file = files::open_private(path, false).doing("opening the anchor file")?;
        let anchor = Self {
            file,
            store,
            mac,
            next: (at + 1) % SLOTS,
        };
        Ok(Some((anchor, state)))
    }

    /// Writes `state` over the older slot. Not synced: the file may lag after a power cut.
    pub(super) fn write(&mut self, state: &State) -> Result<(), StoreError> {
        let slot = slot_of(state, self.store, &self.mac);
        let offset = if self.next == 0 { 0 } else { 512 };
        self.file
            .write_all_at(&slot, offset)
            .doing("writing the anchor file")?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().doing("syncing the anchor file")
    }
}

/// The bytes of a slot that says `state`.
pub(super) fn slot_of(state: &State, store: StoreId, mac: &MacKey) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(store.bytes());
    slot.extend_from_slice(&state.encode());
    let tag = mac.hash(&[LABEL, &[1], &slot]);
    slot.extend_from_slice(&tag);
    slot.resize(SLOT, 0);
    slot
}

/// The newest state that a file of these bytes says, and in which slot.
pub(super) fn newest(bytes: &[u8], store: StoreId, mac: &MacKey) -> Option<(usize, State)> {
    let slots = bytes.chunks_exact(SLOT).take(SLOTS).enumerate();
    slots
        .filter_map(|(at, slot)| Some((at, read_slot(slot, store, mac)?)))
        .max_by_key(|(_, state)| state.generation)
}

/// The file's first two slots, or as much of them as there is.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    use io::Read;
    let file = match files::open_private(path, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.doing("opening the anchor file")?,
    };
    let mut bytes = vec![];
    file.take(2 * 512)
        .read_to_end(&mut bytes)
        .doing("reading the anchor file")?;
    Ok(Some(bytes))
}

fn read_slot(slot: &[u8], store: StoreId, mac: &MacKey) -> Option<State> {
    let (signed, rest) = slot.split_at_checked(MAGIC.len() + 16 + State::LENGTH)?;
    let (tag, zeros) = rest.split_first_chunk()?;
    let state = signed.strip_prefix(MAGIC)?.strip_prefix(store.bytes())?;
    let sound = digests_match(&mac.hash(&[LABEL, &[1], signed]), tag)
        && zeros.iter().all(|byte| *byte == 0);
    sound.then(|| State::decode(state)).flatten()
}

/// Whether the anchor file at `path` has seen a store. One that is absent, or left over from a creation
/// that was cut short, has not.
///
/// # Errors
/// [`StoreError::Io`] when it cannot be read.
pub fn anchor_was_used(path: &Path) -> Result<bool, StoreError> {
    Ok(read_file(path)?.is_some_and(|bytes| !never_used(&bytes)))
}

/// Whether an anchor file is left over from a creation that never came to its first commit. The MAC
/// cannot be asked: its key was part of that commit. Who could forge this could as well delete the file.
fn never_used(bytes: &[u8]) -> bool {
    bytes.chunks(SLOT).all(|slot| {
        let blank = slot.iter().all(|byte| *byte == 0);
        let first = slot.starts_with(MAGIC) && slot.get(24..32) == Some(&[0; 8]);
        blank || first
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::StoreError;
    use super::super::state::State;
    use super::Anchor;
    use crate::crypto::{Key, KeyRef, MacKey};
    use crate::damage::Harm;
    use crate::id::{ObjectId, StoreId};

    const STORE: StoreId = StoreId::from_bytes([3; 16]);

    fn mac(byte: u8) -> MacKey {
        let name = KeyRef {
            id: ObjectId::from_bytes([1; 16]),
            version: 1,
        };
        MacKey::new(&Key::from_bytes(name, &mut [byte; 32]).unwrap()).unwrap()
    }

    fn state(generation: u64) -> State {
        State {
            generation,
            ..State::nothing()
        }
    }

    #[test]
    fn the_newest_slot_counts_and_a_torn_one_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        let mut anchor = Anchor::create(&path, STORE, mac(1)).unwrap();
        for generation in 1..=7 {
            anchor.write(&state(generation)).unwrap();
            let (_, read) = Anchor::open(&path, STORE, mac(1)).unwrap().unwrap();
            assert_eq!(read.generation, generation);
        }
        let sound = fs::read(&path).unwrap();
        assert_eq!(sound.len(), 1024);
        // Generation 6 stands in the second slot, 7 in the first.
        for harm in Harm::every(sound.len()) {
            fs::write(&path, harm.of(&sound)).unwrap();
            let opened = Anchor::open(&path, STORE, mac(1));
            let left = match harm {
                Harm::Flipped { at: ..512, .. } => 6,
                Harm::Cut(..512) => {
                    assert_eq!(opened.unwrap_err(), StoreError::AnchorDamaged, "{harm:?}");
                    continue;
                }
                _ => 7,
            };
            let (mut anchor, read) = opened.unwrap().unwrap();
            assert_eq!(read.generation, left, "{harm:?}");
            // The spoiled slot is the one that is written next.
            anchor.write(&state(8)).unwrap();
            let (_, read) = Anchor::open(&path, STORE, mac(1)).unwrap().unwrap();
            assert_eq!(read.generation, 8, "{harm:?}");
        }
    }

    #[test]
    fn with_the_same_byte_spoiled_in_both_slots_nothing_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        let mut anchor = Anchor::create(&path, STORE, mac(1)).unwrap();
        anchor.write(&state(1)).unwrap();
        anchor.write(&state(2)).unwrap();
        let sound = fs::read(&path).unwrap();
        for at in 0..512 {
            let mut spoiled = sound.clone();
            spoiled[at] ^= 1 << (at % 8);
            spoiled[512 + at] ^= 0x80;
            fs::write(&path, spoiled).unwrap();
            let refused = Anchor::open(&path, STORE, mac(1)).unwrap_err();
            assert_eq!(refused, StoreError::AnchorDamaged, "{at}");
        }
    }

    #[test]
    fn an_anchor_of_another_store_or_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        assert!(Anchor::open(&path, STORE, mac(1)).unwrap().is_none());
        let mut anchor = Anchor::create(&path, STORE, mac(1)).unwrap();
        anchor.write(&state(1)).unwrap();
        anchor.write(&state(2)).unwrap();
        let other = StoreId::from_bytes([4; 16]);
        for opened in [
            Anchor::open(&path, STORE, mac(2)),
            Anchor::open(&path, other, mac(1)),
        ] {
            assert_eq!(opened.unwrap_err(), StoreError::AnchorDamaged);
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(
            Anchor::open(&path, STORE, mac(1)).unwrap_err(),
            StoreError::AnchorDamaged
        );
    }

    #[test]
    fn an_unfinished_creation_may_be_repeated_and_a_used_anchor_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        drop(Anchor::create(&path, STORE, mac(1)).unwrap());
        let mut anchor = Anchor::create(&path, STORE, mac(2)).unwrap();
        anchor.write(&state(1)).unwrap();
        assert_eq!(
            Anchor::create(&path, STORE, mac(2)).unwrap_err(),
            StoreError::Emptied
        );
    }
}
