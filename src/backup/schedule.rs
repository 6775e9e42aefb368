//! Backups that the broker makes by itself: which files they are, when the next is due, which ones go.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::{BackupError, inspect};
use crate::clock::Timestamp;
use crate::id::StoreId;

/// How many letters of the store's id stand in a name.
const ID_LETTERS: usize = 8;
const END: &str = ".age";
const UNFINISHED: &str = ".age.part";

/// What the settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The folder.
    pub to: PathBuf,
    /// Hours between two.
    pub every_hours: u32,
    /// How many are kept.
    pub keep: usize,
}

/// Files of one store, oldest first.
type Files = Vec<(Timestamp, PathBuf)>;

impl Schedule {
    /// The file of a backup that is begun at `now`.
    #[must_use]
    pub fn file(&self, store: StoreId, now: Timestamp) -> PathBuf {
        let time: String = now.to_string().chars().take(19).collect();
        let time = time.replace(['-', ':'], "");
        self.to.join(format!("{}{time}Z{END}", prefix(store)))
    }

    /// When the newest of `store` was begun. One from the future was made by a wrong clock, and is none.
    ///
    /// # Errors
    /// [`BackupError::Io`] when the folder cannot be read.
    pub fn newest(&self, store: StoreId, now: Timestamp) -> Result<Option<Timestamp>, BackupError> {
        let files = self.files(store, END)?;
        let made = files.iter().map(|(made, _)| *made);
        Ok(made.filter(|made| *made <= now).max())
    }

    /// When the next is due.
    #[must_use]
    pub fn due(&self, newest: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let after = i64::from(self.every_hours).saturating_mul(3600);
        // One from the future was made by a wrong clock, and is no reason to wait for it.
        match newest.filter(|newest| *newest <= now) {
            Some(newest) => newest.plus_seconds(after),
            None => now,
        }
    }

    /// Removes those of `store` that are too many, those whose time is over, and what a kill has left.
    /// To be called after one was made: the newest always stays. Answers how many went.
    ///
    /// # Errors
    /// [`BackupError::Io`] when one cannot be removed.
    pub fn thin_out(&self, store: StoreId, now: Timestamp) -> Result<usize, BackupError> {
        let removing = BackupError::io("removing an old backup");
        let mut files = self.files(store, END)?;
        // Those from the future go first, and the one that was just made never.
        files.sort_by_key(|(made, _)| (*made <= now, *made));
        files.pop();
        let many = (files.len() + 1).saturating_sub(self.keep);
        let mut going: Vec<PathBuf> = files
            .drain(..many.min(files.len()))
            .map(|it| it.1)
            .collect();
        let is_over = |path: &PathBuf| {
            // Nothing but a file: whoever opens a pipe waits for its other end.
            let file = path.symlink_metadata().is_ok_and(|found| found.is_file());
            let file = file.then(|| File::open(path).ok()).flatten();
            let outer = file.and_then(|file| inspect(file).ok());
            let expires = outer.and_then(|outer| outer.expires);
            expires.is_some_and(|expires| expires <= now)
        };
        going.extend(files.into_iter().map(|it| it.1).filter(is_over));
        going.extend(self.files(store, UNFINISHED)?.into_iter().map(|it| it.1));
        for path in &going {
            match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(&removing)?,
            }
        }
        Ok(going.len())
    }

    fn files(&self, store: StoreId, end: &str) -> Result<Files, BackupError> {
        let listing = BackupError::io("looking into the folder of backups");
        let mut found = Files::new();
        for entry in fs::read_dir(&self.to).map_err(&listing)? {
            let entry = entry.map_err(&listing)?;
            let name = entry.file_name();
            let made = name.to_str().and_then(|name| made_at(name, store, end));
            found.extend(made.map(|made| (made, entry.path())));
        }
        found.sort();
        Ok(found)
    }
}

fn prefix(store: StoreId) -> String {
    let id: String = store.to_string().chars().take(ID_LETTERS).collect();
    format!("runtools-broker-{id}-")
}

/// When the file of this name was begun, if it is one of ours: others are not touched.
fn made_at(name: &str, store: StoreId, end: &str) -> Option<Timestamp> {
    let time = name.strip_prefix(&prefix(store))?.strip_suffix(end)?;
    let (day, hour) = time.strip_suffix('Z')?.split_once('T')?;
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if day.len() != 8 || hour.len() != 6 || !all_digits(day) || !all_digits(hour) {
        return None;
    }
    let (year, day) = day.split_at_checked(4)?;
    let (month, day) = day.split_at_checked(2)?;
    let (hour, rest) = hour.split_at_checked(2)?;
    let (minute, second) = rest.split_at_checked(2)?;
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Schedule;
    use crate::clock::Timestamp;
    use crate::id::StoreId;

    const STORE: StoreId = StoreId::from_bytes([0xab; 16]);
    const HOUR: i64 = 3600;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-29T11:52:07.123Z").unwrap()
    }

    fn schedule(keep: usize) -> (tempfile::TempDir, Schedule) {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().to_owned();
        let schedule = Schedule {
            to,
            every_hours: 24,
            keep,
        };
        (dir, schedule)
    }

    fn names(schedule: &Schedule) -> Vec<String> {
        let entries = fs::read_dir(&schedule.to).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_says_whose_it_is_and_of_when() {
        let (_dir, schedule) = schedule(3);
        let file = schedule.file(STORE, now());
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, "runtools-broker-abababab-20261129T115207Z.age");
        assert_eq!(schedule.newest(STORE, now()).unwrap(), None);
        assert_eq!(schedule.due(None, now()), now());
        fs::write(&file, "x").unwrap();
        let newest = schedule.newest(STORE, now()).unwrap().unwrap();
        assert_eq!(newest.to_string(), "2026-11-29T11:52:07.000Z");
        let due = schedule.due(Some(newest), now());
        assert_eq!(due.to_string(), "2026-11-30T11:52:07.000Z");
        let other = StoreId::from_bytes([1; 16]);
        assert_eq!(schedule.newest(other, now()).unwrap(), None);
        let future = now().plus_seconds(HOUR);
        assert_eq!(schedule.due(Some(future), now()), now());
    }

    #[test]
    fn the_newest_stay_and_nobody_elses_file_is_touched() {
        let (_dir, schedule) = schedule(2);
        for hours in 0..5 {
            let made = now().plus_seconds(-hours * HOUR);
            fs::write(schedule.file(STORE, made), "x").unwrap();
        }
        let other = StoreId::from_bytes([1; 16]);
        let foreign = [
            schedule.file(other, now().plus_seconds(-9 * HOUR)),
            schedule.to.join("runtools-broker-abababab-2026.age"),
            schedule.to.join("holiday.jpg"),
        ];
        for file in &foreign {
            fs::write(file, "x").unwrap();
        }
        let unfinished = schedule.file(STORE, now()).with_extension("age.part");
        fs::write(&unfinished, "x").unwrap();
        assert_eq!(schedule.thin_out(STORE, now()).unwrap(), 4);
        assert_eq!(names(&schedule).len(), 2 + foreign.len());
        assert!(schedule.file(STORE, now()).exists() && !unfinished.exists());
        assert!(foreign.iter().all(|file| file.exists()));
        assert_eq!(schedule.thin_out(STORE, now()).unwrap(), 0);
    }

    #[test]
    fn one_from_the_future_is_no_newest_and_goes_first() {
        let (_dir, schedule) = schedule(1);
        let made = now().plus_seconds(-HOUR);
        for when in [made, now().plus_seconds(900 * HOUR)] {
            fs::write(schedule.file(STORE, when), "x").unwrap();
        }
        let newest = schedule.newest(STORE, now()).unwrap().unwrap();
        let due = schedule.due(Some(newest), now());
        assert!(due > now(), "not again and again until then");
        assert_eq!(schedule.thin_out(STORE, now()).unwrap(), 1);
        assert!(schedule.file(STORE, made).exists());
    }

    #[test]
    fn a_folder_that_is_gone_is_told() {
        let (dir, schedule) = schedule(2);
        drop(dir);
        assert!(schedule.newest(STORE, now()).is_err());
        assert!(schedule.thin_out(STORE, now()).is_err());
    }
}
