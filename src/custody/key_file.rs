//! The key-file provider: 32 random bytes in a file that only the broker's user may read.
//!
//! The bytes are a slot's key as they are; each box derives its own key from them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::disk;
use super::{CustodyError, FileFault};
use crate::crypto::{Key, KeyRef, Random};

/// The length of a key file, in bytes.
const LENGTH: usize = 32;

/// Reads the key of slot `name` from the file at `path`.
///
/// # Errors
/// [`CustodyError::File`] when the file is missing, is a link, is not regular, may be read by
/// others, belongs to another user, or has not exactly 32 bytes.
pub(super) fn read(path: &Path, name: KeyRef) -> Result<Key, CustodyError> {
    take(disk::private_file(path)?, path, name)
}

/// Reads the 32 bytes of an open file, whose path is `path`, as the key called `name`.
///
/// # Errors
/// [`CustodyError::File`] when it has another length, or cannot be read.
pub(super) fn take(mut file: File, path: &Path, name: KeyRef) -> Result<Key, CustodyError> {
    let length = file
        .metadata()
        .map_err(|error| disk::io_fault(path, &error))?
        .len();
    if usize::try_from(length) != Ok(LENGTH) {
        return Err(CustodyError::file(path, FileFault::Length));
    }
    let mut bytes = Zeroizing::new([0; LENGTH]);
    file.read_exact(bytes.as_mut_slice())
        .map_err(|error| disk::io_fault(path, &error))?;
    Ok(Key::from_bytes(name, bytes.as_mut_slice())?)
}

/// Reads the key file at `path`, or makes it when there is none. One that is there is kept: a first
/// start that was killed after making it goes on with it, and an operator may bring one.
///
/// # Errors
/// As [`read`]; [`CustodyError::Crypto`] without randomness.
pub(super) fn read_or_make(
    path: &Path,
    name: KeyRef,
    random: &dyn Random,
) -> Result<Key, CustodyError> {
    match read(path, name) {
        Err(CustodyError::File {
            fault: FileFault::Missing,
            ..
        }) => {
            let mut bytes = Zeroizing::new([0; LENGTH]);
            random.fill(bytes.as_mut_slice())?;
            disk::write_new(path, bytes.as_slice())?;
            // Read back, so that what seals is what stands in the file, whoever made it.
            read(path, name)
        }
        outcome => {
            disk::clear_beside(path)?;
            outcome
        }
    }
}
