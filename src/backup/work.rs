//! Where a restore works: a folder beside the one that is wanted.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::process::geteuid;

use super::BackupError;
use super::file::sync_parent;
use crate::custody::folder_of_others;
use crate::failpoint::{Failpoint, reached};
use crate::vault::Places;

/// The folder beside the one that is wanted.
#[derive(Debug)]
pub(super) struct Work {
    path: PathBuf,
    into: PathBuf,
    _lock: File,
}

impl Work {
    /// Makes it, or takes the one that a killed restore has left, and empties it.
    ///
    /// # Errors
    /// [`BackupError::NotEmpty`], [`BackupError::Busy`], [`BackupError::Foreign`]; what the operating system refuses.
    pub(super) fn begin(into: &Path) -> Result<Self, BackupError> {
        const MAKING: &str = "making the folder to restore into";
        let making = BackupError::io(MAKING);
        refuse_foreign(into)?;
        match fs::read_dir(into) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(BackupError::NotEmpty(into.to_owned()));
            }
            found => {
                if found.map_err(&making)?.next().is_some() {
                    return Err(BackupError::NotEmpty(into.to_owned()));
                }
            }
        }
        let name = into.file_name().ok_or(BackupError::Io {
            doing: MAKING,
            kind: io::ErrorKind::InvalidInput,
        })?;
        let mut name = name.to_owned();
        name.push(".restoring");
        let path = into.with_file_name(name);
        let lock = private_dir(&path).map_err(&making)?;
        // What was not there before could have been made by somebody else meanwhile.
        refuse_foreign(&path)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(BackupError::Busy(into.to_owned()));
        }
        let work = Self {
            path,
            into: into.to_owned(),
            _lock: lock,
        };
        // What a killed one has left.
        for entry in fs::read_dir(&work.path).map_err(&making)? {
            let entry = entry.map_err(&making)?;
            let removed = if entry.file_type().map_err(&making)?.is_dir() {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            removed.map_err(&making)?;
        }
        Ok(work)
    }

    /// Where the parts of an installation are in it.
    pub(super) fn places(&self) -> Places {
        Places {
            data: self.path.join("data"),
            keys: self.path.join("keys"),
            external_anchor: None,
        }
    }

    /// The settings file in it.
    pub(super) fn settings(&self) -> PathBuf {
        self.path.join("broker.toml")
    }

    /// Gives the folder its name.
    pub(super) fn place(&self) -> Result<(), BackupError> {
        let placing = BackupError::io("putting what was restored in place");
        let places = self.places();
        for dir in [&places.audit(), &places.data, &places.keys, &self.path] {
            File::open(dir)
                .and_then(|dir| dir.sync_all())
                .map_err(&placing)?;
        }
        reached(Failpoint::RestoreChecked);
        // One that is there and empty gives way; one that is not is left alone.
        fs::rename(&self.path, &self.into).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
                BackupError::NotEmpty(self.into.clone())
            }
            _ => placing(error),
        })?;
        reached(Failpoint::RestorePlaced);
        sync_parent(&self.into).map_err(placing)
    }
}

/// Refuses a place for root to work in that somebody else can change.
fn refuse_foreign(path: &Path) -> Result<(), BackupError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let looking = BackupError::io("looking at the folder to restore into");
    match folder_of_others(path).map_err(looking)? {
        None => Ok(()),
        Some(theirs) => Err(BackupError::Foreign(theirs)),
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Once it has its name, nothing is there.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Makes a folder for our eyes only, or takes the one that a killed restore has left: whoever else may have put
/// one there, or a link to another, gets nothing emptied or filled.
pub(super) fn private_dir(path: &Path) -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = dir.metadata()?;
    let ours = found.uid() == geteuid().as_raw();
    let others = Mode::RWXG | Mode::RWXO;
    if ours && !Mode::from_raw_mode(found.mode()).intersects(others) {
        Ok(dir)
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::chown;

    use super::Work;
    use crate::backup::BackupError;

    #[test]
    fn root_restores_into_no_folder_that_somebody_else_can_change() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tried: only root has folders of others");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(65534), None).unwrap();
        let refused = Work::begin(&theirs.join("restored")).unwrap_err();
        assert!(matches!(&refused, BackupError::Foreign(at) if *at == theirs));
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
        chown(&theirs, Some(0), None).unwrap();
        Work::begin(&theirs.join("restored")).unwrap();
    }
}
