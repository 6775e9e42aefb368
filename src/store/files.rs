//! The data directory: who may use it, what it holds, and who may read it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::StoreError;
use super::error::Doing;

/// What the format marker says.
const FORMAT: &[u8] = b"runtools-broker store 1\n";

/// A data directory that no other process may use until this is dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Locks the directory, making it if need be, and checks its format marker.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Format`], or what the operating system refuses.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .doing("making the data directory")?;
        let lock = open_private(&path.join("LOCK"), true).doing("locking the data directory")?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked),
            locked => locked.doing("locking the data directory")?,
        }
        let dir = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        dir.check_format()?;
        Ok(dir)
    }

    /// Where the engine has its files.
    pub(super) fn engine(&self) -> PathBuf {
        self.path.join("sled")
    }

    /// The marker is written before the engine makes its first file, so an engine without a marker is
    /// not ours.
    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.path.join("format");
        let mut found = vec![];
        match open_private(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.engine().exists() {
                    return Err(StoreError::Format);
                }
                return self.write_format(&path).doing("writing the format marker");
            }
            opened => opened
                .and_then(|file| file.take(256).read_to_end(&mut found))
                .doing("reading the format marker")?,
        };
        if found == FORMAT {
            Ok(())
        } else {
            Err(StoreError::Format)
        }
    }

    fn write_format(&self, path: &Path) -> io::Result<()> {
        let fresh = self.path.join("format.new");
        let mut file = open_private(&fresh, true)?;
        file.set_len(0)?;
        file.write_all(FORMAT)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        sync_dir(&self.path)?;
        sync_parent(&self.path)
    }
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
