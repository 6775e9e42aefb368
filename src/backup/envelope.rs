//! The age file around a backup, and what its header says in clear.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Chain, Cursor, Read, Write};

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use age_core::format::{FileKey, Stanza};

use super::{BackupError, Identities, Recipients};
use crate::clock::Timestamp;
use crate::id::{ObjectId, StoreId};

/// The stanza that is no recipient's.
const TAG: &str = "runtools-backup";
/// The version of what it says.
const VERSION: &str = "1";

/// What a backup says of itself to everybody. Covered by the header's MAC, which only an identity can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// The store that it is of.
    pub store: StoreId,
    /// When it was begun.
    pub made: Timestamp,
    /// When its key is to be destroyed, if at any time.
    pub expires: Option<Timestamp>,
    /// The name of its key: see [`Recipients::key`].
    pub key: ObjectId,
}

impl Outer {
    fn stanza(&self) -> Stanza {
        let expires = self.expires.map_or(0, Timestamp::millis);
        Stanza {
            tag: TAG.to_owned(),
            args: vec![
                VERSION.to_owned(),
                self.store.to_string(),
                self.made.millis().to_string(),
                expires.to_string(),
                self.key.to_string(),
            ],
            body: Vec::new(),
        }
    }

    fn of(stanza: &Stanza) -> Option<Self> {
        let [version, store, made, expires, key] = stanza.args.as_slice() else {
            return None;
        };
        let time = |text: &str| text.parse().ok().map(Timestamp::from_millis);
        let expires = time(expires).filter(|at| at.millis() >= 0)?;
        let found = Self {
            store: StoreId::parse(store).ok()?,
            made: time(made)?,
            expires: (expires.millis() > 0).then_some(expires),
            key: ObjectId::parse(key).ok()?,
        };
        // One spelling each.
        (version == VERSION && found.stanza() == *stanza).then_some(found)
    }
}

/// Puts the stanza into the header.
struct Note(Outer);

impl age::Recipient for Note {
    fn wrap_file_key(
        &self,
        _file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        Ok((vec![self.0.stanza()], HashSet::new()))
    }
}

/// Reads it there. It opens nothing.
#[derive(Default)]
struct Look(RefCell<Vec<Option<Outer>>>);

impl age::Identity for Look {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag == TAG {
            self.0.borrow_mut().push(Outer::of(stanza));
        }
        None
    }
}

impl Look {
    /// What was said, once and in a known form.
    fn said(&self) -> Result<Outer, BackupError> {
        match self.0.borrow().as_slice() {
            [Some(outer)] => Ok(*outer),
            _ => Err(BackupError::NotABackup),
        }
    }
}

/// Encrypts what is written to `out`.
pub(super) fn seal<W: Write>(
    outer: &Outer,
    recipients: &Recipients,
    out: W,
) -> Result<StreamWriter<W>, BackupError> {
    let note = Note(*outer);
    let recipients = recipients.of_age();
    let all = recipients.iter().map(|it| -> &dyn age::Recipient { it });
    let all = std::iter::once::<&dyn age::Recipient>(&note).chain(all);
    let encryptor = Encryptor::with_recipients(all).map_err(|_| BackupError::Recipient)?;
    let writing = BackupError::io("writing the backup");
    encryptor.wrap_output(out).map_err(writing)
}

/// No header of ours is longer. A foreign one may go on for ever, and is read again for each few bytes of it.
const HEADER_BYTES: u64 = 64 << 10;

/// A file whose first bytes were looked at, as it was before that.
type Again<R> = Chain<Cursor<Vec<u8>>, R>;

/// Opens a file that [`seal`] made.
pub(super) fn open<R: Read>(
    mut input: R,
    identities: &Identities,
) -> Result<(Outer, StreamReader<Again<R>>), BackupError> {
    let mut start = Vec::new();
    let reading = BackupError::io("reading the backup");
    let mut first = input.by_ref().take(HEADER_BYTES);
    first.read_to_end(&mut start).map_err(reading)?;
    // What is no backup is told as that, whoever could open it.
    let outer = inspect(start.as_slice())?;
    let decryptor = Decryptor::new(Cursor::new(start).chain(input));
    let decryptor = decryptor.map_err(|error| refused(&error))?;
    let inside = decryptor.decrypt(identities.of_age());
    Ok((outer, inside.map_err(|error| refused(&error))?))
}

/// Reads what a backup says of itself to everybody. Nothing of it is verified.
///
/// # Errors
/// [`BackupError::NotABackup`]; what reading reports.
pub fn inspect(input: impl Read) -> Result<Outer, BackupError> {
    let look = Look::default();
    let only: &dyn age::Identity = &look;
    let decryptor = Decryptor::new(input.take(HEADER_BYTES)).map_err(|error| refused(&error))?;
    match decryptor.decrypt(std::iter::once(only)) {
        Ok(_) | Err(DecryptError::NoMatchingKeys) => look.said(),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &DecryptError) -> BackupError {
    match error {
        DecryptError::NoMatchingKeys => BackupError::WrongIdentity,
        DecryptError::InvalidMac | DecryptError::DecryptionFailed => BackupError::Damaged {
            what: "its header was altered",
        },
        DecryptError::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            BackupError::io("reading the backup")(error.kind().into())
        }
        _ => BackupError::NotABackup,
    }
}
