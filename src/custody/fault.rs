//! What is the matter with a file or a directory, and the command that puts it right.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::io_kind;

/// What is the matter with a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FileFault {
    /// It is not there.
    #[error("not found")]
    Missing,
    /// It is a symbolic link, which whoever can write beside it could point elsewhere.
    #[error("is a symbolic link")]
    Symlink,
    /// It is a device, a pipe, a directory.
    #[error("is not a regular file")]
    NotRegular,
    /// It is no directory.
    #[error("is not a directory")]
    NotDirectory,
    /// A file that others may read, or anyone may run: its mode is wider than 0600.
    #[error("has mode {0:04o}, which is wider than 0600")]
    FileMode(u32),
    /// A directory that others may enter: its mode is wider than 0700.
    #[error("has mode {0:04o}, which is wider than 0700")]
    DirectoryMode(u32),
    /// A program, or a folder that it is in, that others may change.
    #[error("has mode {0:04o}, so that others can change it")]
    Writable(u32),
    /// It belongs to another user than the one the process runs as.
    #[error("belongs to another user")]
    Owner,
    /// It has not the length that it must have.
    #[error("has a wrong length")]
    Length,
    /// A marker that does not say what it is there for.
    #[error("does not say which slot is being given another key")]
    Marker,
    /// The operating system refused.
    #[error("cannot be used: {0}")]
    Io(#[serde(with = "io_kind")] io::ErrorKind),
}

impl FileFault {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "key_path_missing",
            Self::Symlink | Self::NotRegular | Self::NotDirectory => "key_path_kind",
            Self::FileMode(_) | Self::DirectoryMode(_) | Self::Writable(_) => "key_path_mode",
            Self::Owner => "key_path_owner",
            Self::Length => "key_file_length",
            Self::Marker => "key_path_marker",
            Self::Io(_) => "key_path_io",
        }
    }

    pub(super) fn hint(self, path: &Path) -> String {
        let path = Quoted(path);
        match self {
            Self::Missing => "check the path, and that its volume is mounted".into(),
            Self::Symlink => "name the file itself, not a link to it".into(),
            Self::NotRegular => "name a regular file".into(),
            Self::NotDirectory => "name a directory".into(),
            Self::FileMode(_) => format!("run: chmod 600 {path}"),
            Self::DirectoryMode(_) => format!("run: chmod 700 {path}"),
            Self::Writable(_) => format!("run: chmod go-w {path}"),
            Self::Owner => format!("run as root: chown \"$(id -u BROKER_USER)\" {path}"),
            Self::Length => "a key file has exactly 32 bytes; put it back from its backup".into(),
            Self::Marker => {
                "take away the slot that no file opens, remove this file, and try again".into()
            }
            Self::Io(_) => "check the path, its file system and its permissions".into(),
        }
    }
}

/// A path as a shell takes it: bare when plain, else in single quotes.
struct Quoted<'a>(&'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._".contains(&byte);
        if !text.is_empty() && text.bytes().all(plain) {
            f.write_str(&text)
        } else {
            write!(f, "-- '{}'", text.replace('\'', r"'\''"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::CustodyError;
    use super::FileFault;

    #[test]
    fn a_wide_mode_is_told_in_octal_with_the_command_that_narrows_it() {
        let refusal =
            CustodyError::file(Path::new("/srv/keys/root.key"), FileFault::FileMode(0o640));
        assert_eq!(
            refusal.to_string(),
            "/srv/keys/root.key: has mode 0640, which is wider than 0600"
        );
        assert_eq!(refusal.hint(), "run: chmod 600 /srv/keys/root.key");
        let refusal = CustodyError::file(Path::new("keys"), FileFault::DirectoryMode(0o755));
        assert_eq!(refusal.hint(), "run: chmod 700 keys");
    }

    #[test]
    fn a_path_in_a_command_cannot_become_another_command() {
        let path = Path::new("a'; rm -rf $HOME #");
        let refusal = CustodyError::file(path, FileFault::FileMode(0o666));
        assert_eq!(refusal.hint(), r"run: chmod 600 -- 'a'\''; rm -rf $HOME #'");
        let refusal = CustodyError::file(Path::new("-R"), FileFault::FileMode(0o666));
        assert_eq!(refusal.hint(), "run: chmod 600 -- '-R'");
    }
}
