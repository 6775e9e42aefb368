//! A second place for sealed records: small files beside the store, for what the store did not take and
//! nobody can ask for again.
//!
//! A file has one name for all its life: it is written whole under another name first, made durable, and
//! renamed. What made the store fail may be a full disk, and would be one here, too; so there is a file that
//! is nothing but room, which gives way.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::files::{open_private, sync_dir, sync_parent};
use crate::crypto::Record;
use crate::failpoint::{Failpoint, reached};

/// What a file begins with.
const MAGIC: &[u8; 8] = b"RTBSPL1\n";
/// The longest file that is read, in bytes: some records of the longest kind.
const MAX_FILE: u64 = 1 << 20;
/// How much room is kept, in bytes: for the tokens of more refreshes than are under way at a time.
const ROOM: usize = 1 << 20;
/// How a file ends whose content is whole, and one whose content may not be.
const WHOLE: &str = ".spool";
const UNFINISHED: &str = ".new";
/// The file that is room.
const ROOM_FILE: &str = "room";

/// What a file is called. It says nothing.
pub type SpoolName = [u8; 16];

/// A folder of files with sealed records.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The one in `folder`, which is made with the first file.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Puts records into a file of their own, durably. Blocks.
    ///
    /// # Errors
    /// What the operating system refuses; then there is no such file.
    pub fn put(&self, name: SpoolName, records: &[Record]) -> io::Result<()> {
        let content = encode(records)?;
        match self.write(&name, &content) {
            Err(error) if is_full(&error) && self.give_room()? => self.write(&name, &content),
            written => written,
        }
    }

    /// Keeps some room for a time when there is none on the disk. Blocks.
    ///
    /// # Errors
    /// What the operating system refuses; then there is less room, or none.
    pub fn keep_room(&self) -> io::Result<()> {
        let path = self.folder.join(ROOM_FILE);
        let length = u64::try_from(ROOM).unwrap_or(u64::MAX);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.len() >= length) {
            return Ok(());
        }
        self.make_folder()?;
        let mut file = open_private(&path, true)?;
        let written = file
            .write_all(&vec![0; ROOM])
            .and_then(|()| file.sync_all());
        if written.is_err() {
            fs::remove_file(&path)?;
        }
        written?;
        sync_dir(&self.folder)
    }

    /// Every file, with what is in it; without, where that cannot be read. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> io::Result<Vec<(SpoolName, Option<Vec<Record>>)>> {
        let named = self.ending(WHOLE)?.into_iter();
        let found = named.filter_map(|(name, path)| Some((name_of(&name)?, read(&path))));
        Ok(found.collect())
    }

    /// Removes what a kill left half written. To be called while nobody writes: what is half written then is
    /// nobody's. Blocks.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn sweep(&self) -> io::Result<()> {
        let mut left = self.ending(UNFINISHED)?.into_iter();
        left.try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// The files that end so: the rest of their name, and where they are.
    fn ending(&self, end: &str) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(end));
            found.extend(name.map(|name| (name.to_owned(), entry.path())));
        }
        Ok(found)
    }

    /// Removes a file whose records are in the store now. Blocks.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn remove(&self, name: SpoolName) -> io::Result<()> {
        match fs::remove_file(self.at(&name, WHOLE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        reached(Failpoint::SpoolRemoved);
        sync_dir(&self.folder)
    }

    fn at(&self, name: &SpoolName, end: &str) -> PathBuf {
        self.folder.join(format!("{}{end}", HEXLOWER.encode(name)))
    }

    fn make_folder(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => sync_parent(&self.folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &SpoolName, content: &[u8]) -> io::Result<()> {
        self.make_folder()?;
        let fresh = self.at(name, UNFINISHED);
        let written = open_private(&fresh, true)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| {
                reached(Failpoint::SpoolWritten);
                fs::rename(&fresh, self.at(name, WHOLE))
            })
            .and_then(|()| {
                reached(Failpoint::SpoolNamed);
                sync_dir(&self.folder)
            });
        if written.is_err() {
            // Under either name: it may be there already, and not for sure.
            for path in [fresh, self.at(name, WHOLE)] {
                fs::remove_file(path).unwrap_or_default();
            }
        }
        written
    }

    /// Whether there was room to give.
    fn give_room(&self) -> io::Result<bool> {
        match fs::remove_file(self.folder.join(ROOM_FILE)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn name_of(text: &str) -> Option<SpoolName> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

pub(super) fn encode(records: &[Record]) -> io::Result<Vec<u8>> {
    let mut content = MAGIC.to_vec();
    for record in records {
        let bytes = record.as_bytes();
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        content.extend_from_slice(&length.to_be_bytes());
        content.extend_from_slice(bytes);
    }
    Ok(content)
}

fn read(path: &Path) -> Option<Vec<Record>> {
    let mut content = Vec::new();
    let file = open_private(path, false).ok()?;
    let length = file.take(MAX_FILE + 1).read_to_end(&mut content).ok()?;
    let fits = u64::try_from(length).is_ok_and(|length| length <= MAX_FILE);
    fits.then(|| decode(&content)).flatten()
}

pub(super) fn decode(content: &[u8]) -> Option<Vec<Record>> {
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, more) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (bytes, more) = more.split_at_checked(length)?;
        records.push(Record::parse(bytes).ok()?);
        rest = more;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{MAGIC, ROOM, Spool, decode, encode};
    use crate::crypto::{Commitment, Record};

    fn record(byte: u8) -> Record {
        Record::default().with_commitment(Commitment::from_bytes([byte; 32]))
    }

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"));
        (folder, spool)
    }

    #[test]
    fn what_was_put_is_there_until_it_is_removed() {
        let (folder, spool) = spool();
        assert!(spool.all().unwrap().is_empty());
        let records = vec![record(1), record(2)];
        spool.put([7; 16], &records).unwrap();
        assert_eq!(spool.all().unwrap(), [([7; 16], Some(records))]);
        for (path, mode) in [
            ("spool", 0o700),
            (&*format!("spool/{}.spool", "07".repeat(16)), 0o600),
        ] {
            let found = fs::metadata(folder.path().join(path)).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, mode, "{path}");
        }
        spool.remove([7; 16]).unwrap();
        spool.remove([7; 16]).unwrap();
        assert!(spool.all().unwrap().is_empty());
    }

    #[test]
    fn what_was_half_written_goes_and_what_cannot_be_read_stays() {
        let (folder, spool) = spool();
        spool.put([1; 16], &[record(1)]).unwrap();
        let folder = folder.path().join("spool");
        let whole = folder.join(format!("{}.spool", "01".repeat(16)));
        let half = folder.join(format!("{}.new", "02".repeat(16)));
        fs::write(&half, b"RTB").unwrap();
        fs::write(folder.join("notes"), b"of somebody's").unwrap();
        fs::write(&whole, b"something else").unwrap();
        assert_eq!(spool.all().unwrap(), [([1; 16], None)]);
        assert!(half.exists(), "somebody may be writing it");
        spool.sweep().unwrap();
        assert!(!half.exists());
        assert!(whole.exists());
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let records = vec![record(1), record(2)];
        let content = encode(&records).unwrap();
        assert_eq!(decode(&content), Some(records));
        assert_eq!(decode(MAGIC), Some(Vec::new()));
        let first = MAGIC.len() + 4 + 33;
        for length in 0..content.len() {
            let whole = length == MAGIC.len() || length == first;
            assert_eq!(decode(&content[..length]).is_some(), whole, "{length}");
        }
    }

    #[test]
    fn room_is_kept_and_kept_once() {
        let (folder, spool) = spool();
        spool.keep_room().unwrap();
        spool.keep_room().unwrap();
        let room = folder.path().join("spool/room");
        assert_eq!(
            fs::metadata(&room).unwrap().len(),
            u64::try_from(ROOM).unwrap()
        );
        assert!(spool.all().unwrap().is_empty());
        assert!(spool.give_room().unwrap());
        assert!(!spool.give_room().unwrap());
    }
}
