//! The few things the journal asks of a file system, so that tests can make each of them fail.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::AuditError;

/// What may fail while a journal runs.
pub(super) trait Disk: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The operating system.
#[derive(Debug)]
pub(super) struct System;

impl Disk for System {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Makes `dir` (0700) unless it is there, and refuses anything but a directory.
pub(super) fn make_dir(dir: &Path) -> Result<(), AuditError> {
    let doing = "make the audit directory";
    match DirBuilder::new().mode(0o700).recursive(true).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(AuditError::io(doing)(error)),
    }
    let found = fs::symlink_metadata(dir).map_err(AuditError::io(doing))?;
    if !found.is_dir() {
        return Err(AuditError::io(doing)(io::ErrorKind::NotADirectory.into()));
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new("."))).map_err(AuditError::io(doing))
}

/// Opens a regular file for reading and writing (0600 when made): no symbolic link is followed, and
/// a FIFO or device is refused without waiting for it.
pub(super) fn open_file(path: &Path, create: bool) -> io::Result<File> {
    let made = if create {
        OFlags::CREATE
    } else {
        OFlags::empty()
    };
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | made;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Makes a change of names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Which file a path or a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    /// The file that is open.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self(found.dev(), found.ino()))
    }

    /// The file that stands at `path` now; `None` when there is none.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(Self(found.dev(), found.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
