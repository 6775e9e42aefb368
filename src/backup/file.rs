//! A file that is there whole or not at all, and replaces nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::BackupError;
use crate::failpoint::{Failpoint, reached};

/// What a file is called until it is whole.
const UNFINISHED: &str = "part";

/// A file that is being written, for its owner alone. It gets its name when it is whole and durable; dropped
/// before that, it is removed.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
    unfinished: PathBuf,
}

impl NewFile {
    /// Begins the file at `path`; what a killed one has left there is begun anew.
    ///
    /// # Errors
    /// [`BackupError::Exists`]; what the operating system refuses.
    pub fn begin(path: &Path) -> Result<Self, BackupError> {
        if path.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(path.to_owned()));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".");
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let making = BackupError::io("making the backup's file");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(&making)?,
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished);
        Ok(Self {
            file: file.map_err(making)?,
            path: path.to_owned(),
            unfinished,
        })
    }

    /// Makes it durable and gives it its name.
    ///
    /// # Errors
    /// [`BackupError::Exists`] when something has the name by now; what the operating system refuses.
    pub fn finish(self) -> Result<(), BackupError> {
        let placing = BackupError::io("putting the backup's file in place");
        self.file.sync_all().map_err(&placing)?;
        reached(Failpoint::BackupSynced);
        match renameat_with(
            CWD,
            &self.unfinished,
            CWD,
            &self.path,
            RenameFlags::NOREPLACE,
        ) {
            Err(Errno::EXIST) => return Err(BackupError::Exists(self.path.clone())),
            // A file system that cannot: nothing was there a moment ago.
            Err(Errno::INVAL | Errno::NOSYS) if !self.path.exists() => {
                fs::rename(&self.unfinished, &self.path).map_err(&placing)?;
            }
            renamed => renamed.map_err(|error| placing(error.into()))?,
        }
        reached(Failpoint::BackupPlaced);
        sync_parent(&self.path).map_err(placing)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Once it has its name, nothing is there.
        drop(fs::remove_file(&self.unfinished));
    }
}

/// Makes the name of `path` durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::NewFile;
    use crate::backup::BackupError;

    #[test]
    fn it_is_there_whole_and_for_its_owner_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.age");
        let names = || fs::read_dir(dir.path()).unwrap().count();
        let mut file = NewFile::begin(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(names(), 0);
        // What a kill has left is no hindrance.
        fs::write(dir.path().join("a.age.part"), "x").unwrap();
        let mut file = NewFile::begin(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"whole".to_vec(), 1));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.age");
        let mut file = NewFile::begin(&path).unwrap();
        file.write_all(b"new").unwrap();
        fs::write(&path, "old").unwrap();
        let begun = NewFile::begin(&path).unwrap_err();
        assert!(matches!(begun, BackupError::Exists(_)));
        assert!(matches!(file.finish(), Err(BackupError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(!dir.path().join("a.age.part").exists());
    }
}
