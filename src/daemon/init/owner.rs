//! Whose the files are to be.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;

use super::InitError;

/// A user of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// The user of this name.
    ///
    /// # Errors
    /// [`InitError::NoUser`].
    pub(super) fn find(name: &str) -> Result<Self, InitError> {
        let path = Path::new("/etc/passwd");
        let users = fs::read_to_string(path).map_err(InitError::file(path))?;
        let found = users.lines().find_map(|line| Self::parse(line, name));
        found.ok_or_else(|| InitError::NoUser(name.to_owned()))
    }

    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let named = fields.next().filter(|it| *it == name && !it.is_empty())?;
        let mut numbers = fields.skip(1).map(str::parse);
        Some(Self {
            name: named.to_owned(),
            uid: numbers.next()?.ok()?,
            gid: numbers.next()?.ok()?,
        })
    }

    /// Hands over a folder and all that is in it. The folder comes last: until then it is closed to everybody
    /// but who fills it, so that nobody can put a link where a file is expected.
    pub(super) fn take(&self, path: &Path) -> Result<(), InitError> {
        let wrong = InitError::file(path);
        if fs::symlink_metadata(path).map_err(&wrong)?.is_dir() {
            for entry in fs::read_dir(path).map_err(&wrong)? {
                self.take(&entry.map_err(&wrong)?.path())?;
            }
        }
        lchown(path, Some(self.uid), Some(self.gid)).map_err(&wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::{InitError, Owner};

    #[test]
    fn a_user_is_found_by_the_whole_name_or_not() {
        let line = "runtools:x:998:997:RunTools Broker:/var/lib/runtools:/usr/sbin/nologin";
        let found = Owner::parse(line, "runtools").unwrap();
        assert_eq!((found.uid, found.gid), (998, 997));
        for (line, name) in [
            (line, "run"),
            (line, ""),
            ("::0:0", ""),
            ("a:x:b:c", "a"),
            ("a", "a"),
        ] {
            assert_eq!(Owner::parse(line, name), None, "{line} {name}");
        }
        assert_eq!(Owner::find("root").unwrap().uid, 0);
        assert!(matches!(Owner::find("no such"), Err(InitError::NoUser(_))));
    }
}
