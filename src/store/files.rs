//! The data directory: who may use it, what it holds, and who may read it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::error::Doing;
use super::kind::Folder;
use super::{EngineKind, StoreError};
use crate::failpoint::{Failpoint, reached};

/// A data directory that no other process may use until this is dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Locks the directory, making it if need be.
    ///
    /// # Errors
    /// [`StoreError::Locked`], or what the operating system refuses.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        const LOCKING: &str = "locking the data directory";
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .doing("making the data directory")?;
        let lock = open_private(&path.join("LOCK"), true).doing(LOCKING)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked),
            locked => locked.doing(LOCKING)?,
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where the files of `folder` are.
    pub(super) fn at(&self, folder: Folder) -> PathBuf {
        self.path.join(folder.name())
    }

    /// The folder that the format marker names, whose files are the store's. Without a marker there is
    /// no store yet: it is written before an engine makes its first file, so files without one are not
    /// ours.
    ///
    /// # Errors
    /// [`StoreError::Format`], or what the operating system refuses.
    pub(super) fn live(&self) -> Result<Option<Folder>, StoreError> {
        match read_marker(&self.path)? {
            Some(marker) => Folder::of_marker(&marker)
                .map(Some)
                .ok_or(StoreError::Format),
            None if self.folders()?.is_empty() => Ok(None),
            None => Err(StoreError::Format),
        }
    }

    /// Every folder of an engine's files, of whatever state.
    pub(super) fn folders(&self) -> Result<Vec<Folder>, StoreError> {
        const LISTING: &str = "listing the data directory";
        let mut found = vec![];
        for entry in fs::read_dir(&self.path).doing(LISTING)? {
            let name = entry.doing(LISTING)?.file_name();
            found.extend(name.to_str().and_then(Folder::of_name));
        }
        Ok(found)
    }

    /// Makes `folder` the store's, durably.
    pub(super) fn name_live(&self, folder: Folder) -> Result<(), StoreError> {
        self.write_marker(folder).doing("writing the format marker")
    }

    /// The room that is left for us on its disk, in bytes.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Makes the names of the folders durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_dir(&self.path)
    }

    fn write_marker(&self, folder: Folder) -> io::Result<()> {
        let fresh = self.path.join("format.new");
        let mut file = open_private(&fresh, true)?;
        file.set_len(0)?;
        file.write_all(folder.marker().as_bytes())?;
        file.sync_all()?;
        reached(Failpoint::RewriteNaming);
        fs::rename(&fresh, self.path.join("format"))?;
        sync_dir(&self.path)?;
        sync_parent(&self.path)
    }
}

/// The format marker in a data directory, if there is one.
fn read_marker(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let mut found = vec![];
    match open_private(&path.join("format"), false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened
            .and_then(|file| file.take(256).read_to_end(&mut found))
            .doing("reading the format marker")?,
    };
    Ok(Some(found))
}

/// The engine of the store in `path`, by its format marker, and where its files are; `None` where there
/// is no marker. Locks nothing, so a running broker may be asked about.
///
/// # Errors
/// [`StoreError::Format`], or what the operating system refuses.
pub fn engine_at(path: &Path) -> Result<Option<(EngineKind, PathBuf)>, StoreError> {
    let Some(marker) = read_marker(path)? else {
        return Ok(None);
    };
    let folder = Folder::of_marker(&marker).ok_or(StoreError::Format)?;
    Ok(Some((folder.kind, path.join(folder.name()))))
}

/// Opens a file of ours for reading and writing, readable by nobody else; a symbolic link is refused.
pub(super) fn open_private(path: &Path, create: bool) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .mode(0o600)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the name of `path` durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Takes everything in `path` from other users, and makes every file and name in it durable.
/// Goes one directory deep, as the engine does.
pub(super) fn settle(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let inner = entry.path();
        if entry.file_type()?.is_dir() {
            fs::set_permissions(&inner, Permissions::from_mode(0o700))?;
            for entry in fs::read_dir(&inner)? {
                settle_file(&entry?.path())?;
            }
            sync_dir(&inner)?;
        } else {
            settle_file(&inner)?;
        }
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    sync_dir(path)?;
    sync_parent(path)
}

fn settle_file(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    File::open(path)?.sync_all()
}

/// How much of the disk a folder of files takes, in bytes. Files have holes: their lengths say less.
pub(super) fn occupied(path: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let more = match entry.metadata() {
            // sled's own threads remove what is no longer needed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Ok(found) if found.is_dir() => occupied(&entry.path())?,
            // A block is 512 bytes, whatever the file system's are.
            found => found?.blocks().saturating_mul(512),
        };
        bytes = bytes.saturating_add(more);
    }
    Ok(bytes)
}

/// Reads all of a folder's files, and keeps nothing of it.
pub(super) fn read_through(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut buffer = vec![0; 1 << 18];
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            read_through(&entry.path())?;
            continue;
        }
        let mut file = open_private(&entry.path(), false)?;
        while file.read(&mut buffer)? > 0 {}
    }
    Ok(())
}

/// Removes snapshots that a kill left half written: sled takes their name for a whole one's.
pub(super) fn remove_half_written(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"snap.") && name.ends_with(b".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
