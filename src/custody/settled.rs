//! A ring that is known to stay.

use std::path::Path;

use super::{CustodyError, RING_FILE, Ring, disk};

impl Ring {
    /// Puts `next` in this one's place, on disk and here. Where only the last step failed, that the new name is
    /// durable, it stands in the file all the same, and so it does here.
    pub(super) fn become_next(&mut self, next: Self) -> Result<(), CustodyError> {
        let file = self.dir.join(RING_FILE);
        disk::put(&file, next.bytes())?;
        *self = next;
        disk::sync_parent(&file)
    }

    /// Makes it durable that the file has this ring's bytes: they may have been read before that was known, since a
    /// name that was changed is seen at once, and a power cut may still take it back.
    ///
    /// # Errors
    /// [`CustodyError::RingChanged`] when the file has others, [`CustodyError::Busy`], or what the disk reports.
    pub fn settle(&self) -> Result<(), CustodyError> {
        let held = self.lock_unchanged()?;
        held.sync_all()
            .map_err(|error| disk::io_fault(Path::new(RING_FILE), &error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::DirBuilderExt;

    use crate::clock::Timestamp;
    use crate::crypto::SystemRandom;
    use crate::custody::{CustodyError, KEY_FILE, NewSlot, Provider, RING_FILE, Ring};
    use crate::id::StoreId;

    #[test]
    fn a_ring_is_settled_when_it_is_what_the_file_has() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        fs::DirBuilder::new().mode(0o700).create(&keys).unwrap();
        let key_file = keys.join(KEY_FILE);
        let slot = NewSlot::new(Provider::KeyFile(&key_file), "first", Timestamp::default());
        let store = StoreId::from_bytes([7; 16]);
        let (ring, _) = Ring::create(&keys, store, &slot, &SystemRandom).unwrap();
        ring.settle().unwrap();
        let file = keys.join(RING_FILE);
        let mut bytes = fs::read(&file).unwrap();
        bytes.push(0);
        fs::write(&file, bytes).unwrap();
        assert!(matches!(ring.settle(), Err(CustodyError::RingChanged)));
    }
}
