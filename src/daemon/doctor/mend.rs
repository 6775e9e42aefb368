//! What the doctor may put right by itself: it takes rights away from others, on files of the broker's own user.
//! Nothing is removed, moved, written or opened to anybody.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use super::Finding;
use super::finding::quoted;

/// A mode that is too wide, and what may stay of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mend {
    path: PathBuf,
    /// The bits that may stay.
    stays: u32,
}

impl Mend {
    pub(super) const fn new(path: PathBuf, stays: u32) -> Self {
        Self { path, stays }
    }

    /// Takes the other bits away. Answers what was done, as a shell would be told to do it.
    ///
    /// # Errors
    /// What the operating system reports; [`io::ErrorKind::PermissionDenied`] for what is another user's or a
    /// link, which is not followed.
    pub fn apply(&self, uid: u32) -> io::Result<String> {
        // What is looked at is what is changed, whatever takes its place meanwhile; not opened, but held.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::File::from(rustix::fs::open(&self.path, flags, Mode::empty())?);
        let found = file.metadata()?;
        let has_one_name = found.is_dir() || found.nlink() == 1;
        if found.uid() != uid || found.is_symlink() || !has_one_name {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mode = found.mode() & 0o7777 & self.stays;
        let held = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(held, fs::Permissions::from_mode(mode))?;
        Ok(format!("chmod {mode:o} {}", quoted(&self.path)))
    }
}

impl Finding {
    /// What can be put right by itself, in here and below.
    #[must_use]
    pub fn mends(&self) -> Vec<&Mend> {
        let below = self.parts.iter().flat_map(Self::mends);
        self.mend.iter().chain(below).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::super::tests_rig::uid;
    use super::Mend;

    #[test]
    fn rights_are_taken_away_and_never_given_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it's");
        fs::write(&path, "x").unwrap();
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        let mend = Mend::new(path.clone(), 0o600);
        for (before, after) in [
            (0o644, 0o600),
            (0o444, 0o400),
            (0o600, 0o600),
            (0o4711, 0o600),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            let told = mend.apply(uid()).unwrap();
            assert_eq!(mode(), after);
            assert!(told.starts_with(&format!("chmod {after:o} '")), "{told}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(mend.apply(uid() + 1).is_err(), "another's");
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(Mend::new(link, 0o600).apply(uid()).is_err());
        assert_eq!(mode(), 0o644);
    }
}
