//! What the operating system said, in a message between two processes: by its description, those that are told apart.

use std::io;

use serde::{Deserialize, Deserializer, Serializer};

const KNOWN: [io::ErrorKind; 14] = [
    io::ErrorKind::ArgumentListTooLong,
    io::ErrorKind::ExecutableFileBusy,
    io::ErrorKind::InvalidData,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::IsADirectory,
    io::ErrorKind::NotADirectory,
    io::ErrorKind::NotFound,
    io::ErrorKind::OutOfMemory,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::ReadOnlyFilesystem,
    io::ErrorKind::ResourceBusy,
    io::ErrorKind::StaleNetworkFileHandle,
    io::ErrorKind::StorageFull,
    io::ErrorKind::WouldBlock,
];

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) fn serialize<S: Serializer>(kind: &io::ErrorKind, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(kind)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<io::ErrorKind, D::Error> {
    let text = String::deserialize(from)?;
    let known = KNOWN.into_iter().find(|kind| kind.to_string() == text);
    Ok(known.unwrap_or(io::ErrorKind::Other))
}
