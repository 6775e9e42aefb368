//! Files that only their owner may read, written so that a kill leaves the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{CustodyError, FileFault};
use crate::failpoint::{Failpoint, reached};

/// The bits of a mode that a file of 0600, one of 0440, and a directory of 0700, has not.
const WIDER_THAN_0600: u32 = 0o7177;
const WIDER_THAN_0440: u32 = 0o7337;
const WIDER_THAN_0700: u32 = 0o7077;

/// How long a lock that somebody else has is waited for, and how often it is tried.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// Opens a directory that only this process's user may enter.
///
/// # Errors
/// [`CustodyError::File`] for anything else.
pub(super) fn directory(path: &Path) -> Result<File, CustodyError> {
    let file = open_as_it_is(path, OFlags::DIRECTORY)?;
    let metadata = file.metadata().map_err(|error| io_fault(path, &error))?;
    let faults = [
        (!metadata.is_dir()).then_some(FileFault::NotDirectory),
        foreign(&metadata, my_user()),
        wider(&metadata, WIDER_THAN_0700).map(FileFault::DirectoryMode),
    ];
    refuse_first(path, faults)?;
    Ok(file)
}

/// As [`directory`], and made first when it is missing.
pub(super) fn directory_made(path: &Path) -> Result<File, CustodyError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_fault(path, &error)),
    }
    directory(path)
}

/// Holds off every other writer of the directory for as long as `directory` stays open.
///
/// Blocks for a second at most: a process that is just being started has it until it runs its own program.
///
/// # Errors
/// [`CustodyError::Busy`] when another writer is at work: waiting longer could mean waiting for ever.
pub(super) fn lock(path: &Path, directory: &File) -> Result<(), CustodyError> {
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(LOCK_LOOK),
            Err(Errno::WOULDBLOCK) => return Err(CustodyError::Busy),
            Err(error) => return Err(io_fault(path, &error.into())),
        }
    }
}

/// Opens a regular file that only this process's user may read.
///
/// # Errors
/// [`CustodyError::File`] for anything else.
pub(super) fn private_file(path: &Path) -> Result<File, CustodyError> {
    private_file_of(path, my_user())
}

fn private_file_of(path: &Path, user: u32) -> Result<File, CustodyError> {
    let (file, metadata) = regular_file(path)?;
    let faults = [
        foreign(&metadata, user),
        wider(&metadata, WIDER_THAN_0600).map(FileFault::FileMode),
    ];
    refuse_first(path, faults)?;
    Ok(file)
}

/// Opens a credential that systemd laid out for this process. It belongs to the process's user, or to
/// root with a list of who else may read it: of that list, all that the mode shows is the bit by which
/// a group may read.
///
/// # Errors
/// [`CustodyError::File`] for anything else.
pub(super) fn credential_file(path: &Path) -> Result<File, CustodyError> {
    let (file, metadata) = regular_file(path)?;
    let roots = metadata.uid() == 0 && my_user() != 0;
    let refused = if roots {
        WIDER_THAN_0440
    } else {
        WIDER_THAN_0600
    };
    let faults = [
        (!roots).then(|| foreign(&metadata, my_user())).flatten(),
        wider(&metadata, refused).map(FileFault::FileMode),
    ];
    refuse_first(path, faults)?;
    Ok(file)
}

fn regular_file(path: &Path) -> Result<(File, fs::Metadata), CustodyError> {
    // Looked at after it is open, so that what was checked is what is read. Without blocking: a
    // pipe that nobody writes must not hang the start.
    let file = open_as_it_is(path, OFlags::NONBLOCK)?;
    let metadata = file.metadata().map_err(|error| io_fault(path, &error))?;
    refuse_first(
        path,
        [(!metadata.is_file()).then_some(FileFault::NotRegular)],
    )?;
    Ok((file, metadata))
}

/// All bytes of a private file, at most `limit` of them.
///
/// # Errors
/// [`CustodyError::File`] when it cannot be trusted or is longer.
pub(super) fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, CustodyError> {
    let file = private_file(path)?;
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.map_err(|error| io_fault(path, &error))?;
    if u64::try_from(read).is_ok_and(|read| read <= limit) {
        Ok(bytes)
    } else {
        Err(CustodyError::file(path, FileFault::Length))
    }
}

/// Puts a new private file in place, whole and durable. Returns whether it was put there: false
/// when something has that name already, which is left alone.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, CustodyError> {
    let beside = write_beside(path, bytes)?;
    // A rename would replace what stands there; a link refuses to.
    reached(Failpoint::KeysMakeWritten);
    let linked = match fs::hard_link(&beside, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(io_fault(path, &error)),
    };
    reached(Failpoint::KeysMakeNamed);
    clear_beside(path)?;
    sync_parent(path)?;
    linked
}

/// Replaces a private file: the old one stands until the new one is whole and durable.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CustodyError> {
    put(path, bytes)?;
    sync_parent(path)
}

/// The same, but that a power cut may still bring back what stood there, until [`sync_parent`] has seen to it.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), CustodyError> {
    let beside = write_beside(path, bytes)?;
    reached(Failpoint::KeysReplaceWritten);
    fs::rename(&beside, path).map_err(|error| io_fault(path, &error))?;
    reached(Failpoint::KeysReplaceNamed);
    Ok(())
}

/// Removes what a writer that was killed may have left beside `path`.
pub(super) fn clear_beside(path: &Path) -> Result<(), CustodyError> {
    let beside = beside(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_fault(&beside, &error)),
        _ => Ok(()),
    }
}

/// The name under which the next content of `path` is written.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf, CustodyError> {
    clear_beside(path)?;
    let beside = beside(path);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    match written {
        Ok(()) => Ok(beside),
        Err(error) => Err(io_fault(&beside, &error)),
    }
}

/// Makes it durable that `path` has this name.
pub(super) fn sync_parent(path: &Path) -> Result<(), CustodyError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_fault(parent, &error))
}

fn open_as_it_is(path: &Path, flags: OFlags) -> Result<File, CustodyError> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        Err(error) => Err(CustodyError::file(path, open_fault(path, error))),
    }
}

/// Linux says ENOTDIR of a link that was to be a directory, and ELOOP of one that was to be a file.
fn open_fault(path: &Path, error: Errno) -> FileFault {
    let linked = || fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    match error {
        Errno::NOENT => FileFault::Missing,
        Errno::LOOP | Errno::NOTDIR if linked() => FileFault::Symlink,
        Errno::NOTDIR => FileFault::NotDirectory,
        error => FileFault::Io(io::Error::from(error).kind()),
    }
}

fn foreign(metadata: &fs::Metadata, user: u32) -> Option<FileFault> {
    (metadata.uid() != user).then_some(FileFault::Owner)
}

fn wider(metadata: &fs::Metadata, refused: u32) -> Option<u32> {
    let mode = metadata.mode() & 0o7777;
    (mode & refused != 0).then_some(mode)
}

fn refuse_first<const N: usize>(
    path: &Path,
    faults: [Option<FileFault>; N],
) -> Result<(), CustodyError> {
    match faults.into_iter().flatten().next() {
        Some(fault) => Err(CustodyError::file(path, fault)),
        None => Ok(()),
    }
}

fn my_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn io_fault(path: &Path, error: &io::Error) -> CustodyError {
    let fault = match error.kind() {
        io::ErrorKind::NotFound => FileFault::Missing,
        kind => FileFault::Io(kind),
    };
    CustodyError::file(path, fault)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::super::{CustodyError, FileFault};
    use super::{beside, directory, lock, my_user, private_file, private_file_of, write_new};

    fn fault<T: std::fmt::Debug>(outcome: Result<T, CustodyError>) -> FileFault {
        match outcome.unwrap_err() {
            CustodyError::File { fault, .. } => fault,
            other => panic!("{other}"),
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_modes_within_0600_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"x").unwrap();
        for mode in [0o600, 0o400] {
            set_mode(&path, mode);
            private_file(&path).unwrap();
        }
        for mode in [
            0o601, 0o602, 0o604, 0o610, 0o620, 0o640, 0o644, 0o700, 0o4600, 0o777,
        ] {
            set_mode(&path, mode);
            assert_eq!(fault(private_file(&path)), FileFault::FileMode(mode));
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"x").unwrap();
        set_mode(&path, 0o600);
        assert!(private_file_of(&path, my_user()).is_ok());
        assert_eq!(
            fault(private_file_of(&path, my_user() + 1)),
            FileFault::Owner
        );
    }

    #[test]
    fn links_pipes_and_directories_are_no_private_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"x").unwrap();
        set_mode(&path, 0o600);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(fault(private_file(&link)), FileFault::Symlink);
        assert_eq!(fault(private_file(dir.path())), FileFault::NotRegular);
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        assert_eq!(fault(private_file(&pipe)), FileFault::NotRegular);
        assert_eq!(
            fault(private_file(&dir.path().join("none"))),
            FileFault::Missing
        );
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o700);
        directory(dir.path()).unwrap();
        for mode in [0o701, 0o710, 0o750, 0o755, 0o1700] {
            set_mode(dir.path(), mode);
            assert_eq!(fault(directory(dir.path())), FileFault::DirectoryMode(mode));
        }
        set_mode(dir.path(), 0o700);
        let link = dir.path().join("link");
        symlink(dir.path(), &link).unwrap();
        assert_eq!(fault(directory(&link)), FileFault::Symlink);
        let file = dir.path().join("file");
        fs::write(&file, b"x").unwrap();
        assert_eq!(fault(directory(&file)), FileFault::NotDirectory);
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o700);
        let first = directory(dir.path()).unwrap();
        lock(dir.path(), &first).unwrap();
        let second = directory(dir.path()).unwrap();
        assert!(matches!(lock(dir.path(), &second), Err(CustodyError::Busy)));
        drop(first);
        lock(dir.path(), &second).unwrap();
    }

    #[test]
    fn a_new_file_never_replaces_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(beside(&path), b"left by a kill").unwrap();
        assert!(write_new(&path, b"first").unwrap());
        assert!(!write_new(&path, b"second").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert!(!beside(&path).exists());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
