//! The folders of an installation that is being made, and the marker that says so.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::InitError;
use crate::custody::folder_of_others;
use crate::daemon::folders::{is_of_a_checkout, private};

/// The marker's name in the data directory. It holds the path of the keys directory, so that what is cleared
/// away after a kill is what was made.
const MARKER: &str = "init";
/// No path is longer.
const MAX_PATH: u64 = 4096;
/// How many names are told of what is there.
const TOLD: usize = 4;

/// Whether an init began in `data`, and did not end.
pub(in crate::daemon) fn is_unfinished(data: &Path) -> bool {
    data.join(MARKER).exists()
}

/// Says what is in the way of an installation in these folders, if anything is.
///
/// # Errors
/// [`InitError::There`], [`InitError::Nested`].
pub(super) fn refuse_taken(data: &Path, keys: &Path) -> Result<(), InitError> {
    if data.starts_with(keys) || keys.starts_with(data) {
        return Err(InitError::Nested(data.to_owned(), keys.to_owned()));
    }
    if is_unfinished(data) {
        return Ok(());
    }
    [data, keys].into_iter().try_for_each(refuse_used)
}

/// Refuses a folder that has anything in it but the marker and what a checkout puts there.
fn refuse_used(path: &Path) -> Result<(), InitError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(InitError::file(path))?,
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let ours = names.filter(|name| name != MARKER && !is_of_a_checkout(name));
    let mut names: Vec<_> = ours
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    let more = names.len().saturating_sub(TOLD);
    names.truncate(TOLD);
    if names.is_empty() {
        return Ok(());
    }
    let mut what = names.join(", ");
    if more > 0 {
        what.extend([format!(" and {more} more")]);
    }
    let path = path.to_owned();
    Err(InitError::There { path, what })
}

/// Refuses a place for root to work in whose owner is somebody else, or that lies in such a folder: what root makes,
/// removes and hands over there by its name may be a link by then.
///
/// # Errors
/// [`InitError::Foreign`].
pub(super) fn refuse_foreign(path: &Path) -> Result<(), InitError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    match folder_of_others(path).map_err(InitError::file(path))? {
        None => Ok(()),
        Some(theirs) => Err(InitError::Foreign(theirs)),
    }
}

/// The folders, taken. Dropped before it is [finished](Self::finish), it takes away what was made in them.
#[derive(Debug)]
pub(super) struct Site {
    data: PathBuf,
    keys: PathBuf,
    /// The folders that were not there before.
    fresh: Vec<PathBuf>,
    /// Held locked.
    _marker: File,
    finished: bool,
}

impl Site {
    /// Takes the folders, and clears away what an init left there that was cut short. Answers whether one had.
    ///
    /// # Errors
    /// [`InitError::There`], [`InitError::Busy`], [`InitError::Elsewhere`]; what folders can do wrong.
    pub(super) fn begin(data: &Path, keys: &Path) -> Result<(Self, bool), InitError> {
        [data, keys].into_iter().try_for_each(refuse_foreign)?;
        refuse_taken(data, keys)?;
        let fresh = [data, keys].into_iter().filter(|path| !path.exists());
        let fresh = fresh.map(Path::to_owned).collect();
        private(data)?;
        // What was not there before could have been made by somebody else meanwhile.
        refuse_foreign(data)?;
        let path = data.join(MARKER);
        let wrong = InitError::file(&path);
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0))
            .open(&path);
        let mut marker = opened.map_err(&wrong)?;
        let locked = flock(&marker, FlockOperation::NonBlockingLockExclusive);
        // One that has ended meanwhile has taken its marker with it.
        if locked.is_err() || !path.exists() {
            return Err(InitError::Busy(data.to_owned()));
        }
        let mut before = Vec::new();
        let read = (&marker).take(MAX_PATH).read_to_end(&mut before);
        read.map_err(&wrong)?;
        let before = PathBuf::from(OsString::from_vec(before));
        let cut_short = !before.as_os_str().is_empty();
        if !cut_short {
            [data, keys].into_iter().try_for_each(refuse_used)?;
        } else if before != keys {
            return Err(InitError::Elsewhere(before));
        }
        private(keys)?;
        refuse_foreign(keys)?;
        let site = Self {
            data: data.to_owned(),
            keys: keys.to_owned(),
            fresh,
            _marker: marker.try_clone().map_err(&wrong)?,
            finished: false,
        };
        if cut_short {
            site.clear().map_err(&wrong)?;
        }
        let written = marker
            .rewind()
            .and_then(|()| marker.write_all(keys.as_os_str().as_bytes()))
            .and_then(|()| marker.sync_all())
            .and_then(|()| File::open(data)?.sync_all());
        written.map_err(&wrong)?;
        Ok((site, cut_short))
    }

    /// Everything is made: the marker goes, durably.
    pub(super) fn finish(mut self) -> Result<(), InitError> {
        let path = self.data.join(MARKER);
        let removed = fs::remove_file(&path).and_then(|()| File::open(&self.data)?.sync_all());
        removed.map_err(InitError::file(&path))?;
        self.finished = true;
        Ok(())
    }

    /// Takes away all that is in the folders but the marker and what a checkout puts there.
    fn clear(&self) -> io::Result<()> {
        for folder in [&self.data, &self.keys] {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if name == MARKER || is_of_a_checkout(&name) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // What cannot be taken away is still marked, and the next init begins with it.
        if self.clear().is_ok() && fs::remove_file(self.data.join(MARKER)).is_ok() {
            for folder in &self.fresh {
                drop(fs::remove_dir(folder));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{MARKER, Site, is_unfinished, refuse_taken};
    use crate::daemon::init::InitError;
    use crate::damage::Harm;

    #[test]
    fn what_is_called_off_leaves_nothing_and_what_is_finished_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (data, keys) = (dir.path().join("data"), dir.path().join("keys"));
        let (site, cut_short) = Site::begin(&data, &keys).unwrap();
        assert!(!cut_short && is_unfinished(&data));
        fs::create_dir_all(data.join("store/db")).unwrap();
        fs::write(keys.join("root.ring"), "x").unwrap();
        drop(site);
        assert!(!data.exists() && !keys.exists());

        let (site, _) = Site::begin(&data, &keys).unwrap();
        fs::write(keys.join("root.ring"), "x").unwrap();
        site.finish().unwrap();
        assert!(keys.join("root.ring").exists() && !is_unfinished(&data));
        let refused = Site::begin(&data, &keys).unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("keys has root.ring in it already"),
            "{refused}"
        );
        assert!(keys.join("root.ring").exists());
    }

    #[test]
    fn after_a_kill_the_next_begins_anew_with_the_same_folders_only() {
        let dir = tempfile::tempdir().unwrap();
        let (data, keys) = (dir.path().join("data"), dir.path().join("keys"));
        let (site, _) = Site::begin(&data, &keys).unwrap();
        let other = Site::begin(&data, &keys).unwrap_err();
        assert!(matches!(other, InitError::Busy(_)), "{other}");
        // As a kill leaves it: nobody cleans up, and the lock is gone.
        fs::write(keys.join("root.key"), "x").unwrap();
        fs::create_dir(data.join("store")).unwrap();
        let marker = fs::read(data.join(MARKER)).unwrap();
        drop(site);
        fs::create_dir_all(data.join("store")).unwrap();
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("root.key"), "x").unwrap();
        fs::write(data.join(MARKER), marker).unwrap();
        for folder in [&data, &keys] {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let elsewhere = Site::begin(&data, &dir.path().join("other")).unwrap_err();
        assert!(elsewhere.hint().contains("--keys-dir"), "{elsewhere}");
        let (site, cut_short) = Site::begin(&data, &keys).unwrap();
        assert!(cut_short && !keys.join("root.key").exists() && !data.join("store").exists());
        site.finish().unwrap();
    }

    #[test]
    fn whatever_becomes_of_the_marker_nothing_is_cleared_away_for_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (data, keys) = (dir.path().join("data"), dir.path().join("keys"));
        for folder in [&data, &keys] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::write(keys.join("root.key"), "x").unwrap();
        let sound = keys.as_os_str().as_encoded_bytes();
        for harm in Harm::every(sound.len()) {
            fs::write(data.join(MARKER), harm.of(sound)).unwrap();
            let refused = Site::begin(&data, &keys).unwrap_err();
            let told = matches!(refused, InitError::Elsewhere(_) | InitError::There { .. });
            assert!(told, "{harm:?}: {refused}");
            assert!(keys.join("root.key").exists(), "{harm:?}");
        }
        fs::write(data.join(MARKER), sound).unwrap();
        let (_site, cut_short) = Site::begin(&data, &keys).unwrap();
        assert!(cut_short && !keys.join("root.key").exists());
    }

    #[test]
    fn root_works_in_no_folder_that_somebody_else_can_change() {
        use std::os::unix::fs::{PermissionsExt, chown};
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tried: only root has folders of others");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        let (data, keys) = (theirs.join("a/data"), dir.path().join("keys"));
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(65534), None).unwrap();
        let refused = Site::begin(&data, &keys).unwrap_err();
        assert!(matches!(&refused, InitError::Foreign(at) if *at == theirs));
        assert!(!keys.exists() && !data.exists());
        chown(&theirs, Some(0), None).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
        Site::begin(&data, &keys).unwrap_err();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
        Site::begin(&data, &keys).unwrap();
    }

    #[test]
    fn folders_in_each_other_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path(), dir.path().join("keys"));
        for (data, keys) in [(outer, &*inner), (&*inner, outer), (outer, outer)] {
            let refused = refuse_taken(data, keys).unwrap_err();
            assert!(matches!(refused, InitError::Nested(..)), "{refused}");
        }
    }
}
