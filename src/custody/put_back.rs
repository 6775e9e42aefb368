//! The ring's file for a backup, and back out of one.

use std::path::Path;

use super::{CustodyError, Ring, disk, key_file, ring};
use crate::crypto::KeyRef;
use crate::id::ObjectId;

impl Ring {
    /// The ring's file as it stands in `dir` at this moment: a change of it replaces it whole.
    ///
    /// # Errors
    /// As [`Ring::load`].
    pub fn file(dir: &Path) -> Result<Vec<u8>, CustodyError> {
        ring::read(dir)
    }

    /// The ring whose file has these bytes, wherever they are from. Nothing is trusted yet: the MAC is
    /// checked when a slot opens.
    ///
    /// # Errors
    /// [`CustodyError::RingForm`] and [`CustodyError::RingVersion`] for what is no ring of ours.
    pub fn of_file(bytes: Vec<u8>) -> Result<Self, CustodyError> {
        Self::parse(Path::new(""), bytes)
    }

    /// Writes a ring that was kept elsewhere to `dir`, which is made when it is missing, durably.
    ///
    /// # Errors
    /// As [`Ring::of_file`]; [`CustodyError::RingExists`] when there is one; what the operating system
    /// refuses.
    pub fn put_back(dir: &Path, bytes: Vec<u8>) -> Result<Self, CustodyError> {
        let ring = Self::parse(dir, bytes)?;
        let held = disk::directory_made(dir)?;
        disk::lock(dir, &held)?;
        let path = dir.join(ring::RING_FILE);
        if disk::write_new(&path, ring.bytes())? {
            Ok(ring)
        } else {
            Err(CustodyError::RingExists(path))
        }
    }
}

/// Copies the key file `from` to `to`, durably.
///
/// # Errors
/// [`CustodyError::File`] when it is none that only its owner may read; [`CustodyError::KeyFileExists`];
/// what the operating system refuses.
pub fn put_key_file_back(from: &Path, to: &Path) -> Result<(), CustodyError> {
    let anybody = KeyRef {
        id: ObjectId::from_bytes([0; 16]),
        version: 1,
    };
    let key = key_file::read(from, anybody)?;
    if key.expose(|bytes| disk::write_new(to, bytes))? {
        Ok(())
    } else {
        Err(CustodyError::KeyFileExists(to.to_owned()))
    }
}
