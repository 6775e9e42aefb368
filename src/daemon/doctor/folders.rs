//! The folders, the room on their disks, and the clock they bear witness to.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::finding::{Finding, quoted};
use super::mend::Mend;
use super::surroundings::Surroundings;
use crate::clock::Timestamp;
use crate::daemon::folders::nothing_yet;

/// Below this the disk should be looked after, in bytes (1 GiB).
const LITTLE_ROOM: u64 = 1 << 30;
/// Below this a commit or a record may fail any moment, in bytes (64 MiB).
const NO_ROOM: u64 = 64 << 20;
/// 2026-01-01: no clock that is right shows less.
const EARLIEST: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// 2100-01-01: no clock that is right shows more, for now.
const LATEST: Timestamp = Timestamp::from_millis(4_102_444_800_000);
/// How far a file may be ahead of the clock: a minute.
const SKEW_MILLIS: i64 = 60_000;
/// How many files are looked at for the newest.
const MOST_FILES: usize = 10_000;

/// What a folder of the broker is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    /// Not there, or with nothing of the broker in it: the first start makes or closes it.
    Fresh,
    /// In use, and as it should be.
    Used,
    /// Not to be used as it is.
    Unusable,
}

/// Owner and mode of the folder at `path`.
pub(super) fn folder(check: &'static str, path: &Path, uid: u32) -> (Folder, Finding) {
    let shown = path.display();
    let unusable = |text: String, fix: String| (Folder::Unusable, Finding::fail(check, text, fix));
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("{shown} is not there yet; the first start makes it");
            return (Folder::Fresh, Finding::ok(check, text));
        }
        Err(error) => {
            let text = format!("{shown} cannot be looked at: {}", error.kind());
            return unusable(text, "Check the path and who may enter it.".to_owned());
        }
        Ok(found) => found,
    };
    if !found.is_dir() {
        let text = format!("{shown} is not a folder");
        return unusable(text, "Name a folder in the settings.".to_owned());
    }
    let owner = found.uid();
    if owner != uid {
        let text = format!("{shown} belongs to user {owner}, and this runs as user {uid}");
        let fix = format!("Run it as that user: sudo -u '#{owner}' runtools-broker doctor");
        return unusable(text, fix);
    }
    let mode = found.mode() & 0o7777;
    let others = mode & 0o077;
    match nothing_yet(path) {
        Ok(true) => {
            let text = format!("{shown} is empty; the first start fills and closes it");
            (Folder::Fresh, Finding::ok(check, text))
        }
        Ok(false) if others == 0 => {
            let text = format!("{shown} is yours alone (mode {mode:04o})");
            (Folder::Used, Finding::ok(check, text))
        }
        Ok(false) => {
            let text = format!("{shown} is open to others (mode {mode:04o})");
            let fix = format!("chmod 700 {}", quoted(path));
            let mend = Mend::new(path.to_owned(), 0o700);
            (
                Folder::Unusable,
                Finding::fail(check, text, fix).mended_by(mend),
            )
        }
        Err(error) => unusable(
            format!("{shown} cannot be read: {}", error.kind()),
            format!("chmod 700 {}", quoted(path)),
        ),
    }
}

/// The room on the disk that holds `path`, or will.
pub(super) fn space(check: &'static str, path: &Path, around: &Surroundings) -> Finding {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("."));
    let Ok(free) = (around.free_bytes)(there) else {
        let text = format!("the disk of {} does not tell its room", path.display());
        return Finding::warn(check, text, "Look with: df -h");
    };
    let text = format!("{} free for {}", size(free), path.display());
    let fix = "Make room on this disk, or move the folder to a larger one: what cannot be recorded is refused.";
    if free < NO_ROOM {
        Finding::fail(check, text, fix)
    } else if free < LITTLE_ROOM {
        Finding::warn(check, text, fix)
    } else {
        Finding::ok(check, text)
    }
}

/// The clock: plausible, and not behind what was written before.
pub(super) fn clock(data: &Path, now: Timestamp) -> Finding {
    const FIX: &str = "Set the clock, and keep it set: timedatectl set-ntp true";
    if now < EARLIEST || now > LATEST {
        return Finding::fail("clock", format!("it shows {now}"), FIX);
    }
    let mut left = MOST_FILES;
    match newest(data, 3, &mut left) {
        Some(newest) if newest.millis_since(now) > SKEW_MILLIS => {
            let seconds = newest.millis_since(now) / 1000;
            let text = format!("it is {seconds} s behind the newest file of the data folder");
            Finding::warn("clock", text, FIX)
        }
        _ => Finding::ok("clock", now),
    }
}

fn newest(dir: &Path, depth: u8, left: &mut usize) -> Option<Timestamp> {
    let mut found = None;
    for entry in fs::read_dir(dir).ok()?.flatten() {
        *left = left.checked_sub(1)?;
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() && depth > 0 {
            found = found.max(newest(&entry.path(), depth - 1, left));
        } else if meta.is_file() {
            found = found.max(modified(&meta));
        }
    }
    found
}

/// When a file was written last.
pub(super) fn modified(meta: &fs::Metadata) -> Option<Timestamp> {
    let since = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis())
        .ok()
        .map(Timestamp::from_millis)
}

fn size(bytes: u64) -> String {
    match bytes {
        ..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::super::tests_rig::{around, uid};
    use super::super::{Level, Surroundings};
    use super::{Folder, clock, folder, space};
    use crate::clock::{Clock, SystemClock, Timestamp};

    fn open(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_open_to_others_fails_with_the_command_that_closes_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("root.ring"), "x").unwrap();
        open(dir.path(), 0o700);
        assert_eq!(folder("keys", dir.path(), uid()).0, Folder::Used);
        open(dir.path(), 0o750);
        let (state, found) = folder("keys", dir.path(), uid());
        assert_eq!((state, found.level), (Folder::Unusable, Level::Fail));
        assert!(found.fix.unwrap().starts_with("chmod 700 '"));
    }

    #[test]
    fn a_folder_of_somebody_else_or_no_folder_fails_and_a_fresh_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 0o755);
        fs::write(dir.path().join("README.md"), "x").unwrap();
        assert_eq!(folder("data", dir.path(), uid()).0, Folder::Fresh);
        assert_eq!(
            folder("data", &dir.path().join("no"), uid()).0,
            Folder::Fresh
        );
        assert_eq!(folder("data", dir.path(), uid() + 1).0, Folder::Unusable);
        let file = dir.path().join("README.md");
        assert_eq!(folder("data", &file, uid()).0, Folder::Unusable);
    }

    #[test]
    fn little_room_warns_and_no_room_fails() {
        let with = |free_bytes| Surroundings {
            free_bytes,
            ..around()
        };
        let level = |around: &Surroundings| space("data", Path::new("/no/such"), around).level;
        assert_eq!(level(&with(|_| Ok(1 << 30))), Level::Ok);
        assert_eq!(level(&with(|_| Ok((1 << 30) - 1))), Level::Warn);
        assert_eq!(level(&with(|_| Ok((64 << 20) - 1))), Level::Fail);
        assert_eq!(
            level(&with(|_| Err(std::io::ErrorKind::Other.into()))),
            Level::Warn
        );
    }

    #[test]
    fn a_clock_behind_the_data_warns_and_an_absurd_one_fails() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        fs::write(dir.path().join("store/format"), "x").unwrap();
        let now = SystemClock.now();
        assert_eq!(clock(dir.path(), now).level, Level::Ok);
        assert_eq!(clock(dir.path(), now.plus_seconds(-90)).level, Level::Warn);
        assert_eq!(
            clock(dir.path(), Timestamp::from_millis(0)).level,
            Level::Fail
        );
    }
}
