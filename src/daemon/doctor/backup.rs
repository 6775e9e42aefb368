//! The backups that the broker makes by itself: where they go, and whether they come.

use super::finding::Finding;
use super::surroundings::Surroundings;
use crate::config::Config;
use crate::custody::Ring;

/// Which check.
const CHECK: &str = "backup";

/// Whether those that the settings ask for are there. Without a ring no store was made, and none is due.
pub(super) fn backup(config: &Config, around: &Surroundings) -> Finding {
    let Some(schedule) = config.backup_plan().schedule else {
        let text = "none by itself: make them with `runtools-broker backup create`";
        return Finding::ok(CHECK, text);
    };
    let shown = schedule.to.display().to_string();
    if !schedule.to.is_dir() {
        let text = format!("{shown} is not there, so no backup is made");
        let fix = "Make the folder, or mount it, and start the broker again: it can write only where a folder was at its start.";
        return Finding::fail(CHECK, text, fix);
    }
    if !(around.is_writable)(&schedule.to) {
        let text = format!("nothing can be written into {shown}, so no backup is made");
        let fix =
            "Give it to the user who runs the broker, with room; or mount it to be written to.";
        return Finding::fail(CHECK, text, fix);
    }
    let Ok(ring) = Ring::load(&config.keys_dir) else {
        return Finding::ok(CHECK, format!("to {shown}, when there is a store"));
    };
    let newest = match schedule.newest(ring.store(), around.now) {
        Ok(newest) => newest,
        Err(error) => return Finding::fail(CHECK, &error, error.hint()),
    };
    let fix =
        "Ask the running broker why: runtools-broker backup status. A sealed vault makes none.";
    let Some(newest) = newest else {
        return Finding::warn(CHECK, format!("none in {shown} yet"), fix);
    };
    // One may be under way, or was tried and is tried again.
    let late = i64::from(schedule.every_hours).saturating_mul(2 * 3600);
    if newest.plus_seconds(late) < around.now {
        let text = format!("the newest in {shown} is of {newest}, and overdue");
        return Finding::warn(CHECK, text, fix);
    }
    Finding::ok(CHECK, format!("the newest in {shown} is of {newest}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Level;
    use super::super::tests_rig::{around, config, with_ring};
    use super::backup;
    use crate::config::{BackupSettings, Config};
    use crate::custody::Ring;

    fn asks_for(config: Config, dir: &std::path::Path) -> Config {
        Config {
            backup: BackupSettings {
                recipients: vec![
                    "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned(),
                ],
                to: Some(dir.join("backups")),
                every_hours: 24,
                ..BackupSettings::default()
            },
            ..config
        }
    }

    #[test]
    fn what_the_settings_ask_for_is_there_and_not_overdue() {
        let (dir, config) = with_ring();
        assert_eq!(
            backup(&config, &around()).level,
            Level::Ok,
            "none asked for"
        );
        let config = asks_for(config, dir.path());
        let schedule = config.backup_plan().schedule.unwrap();
        assert_eq!(backup(&config, &around()).level, Level::Fail, "no folder");
        fs::create_dir(&schedule.to).unwrap();
        assert_eq!(backup(&config, &around()).level, Level::Warn, "none yet");
        let store = Ring::load(&config.keys_dir).unwrap().store();
        let now = around().now;
        let made = |hours: i64| {
            let file = schedule.file(store, now.plus_seconds(-hours * 3600));
            fs::write(file, "x").unwrap();
            backup(&config, &around())
        };
        let late = made(60);
        assert_eq!(late.level, Level::Warn);
        assert!(late.text.contains("overdue"), "{}", late.text);
        assert_eq!(made(30).level, Level::Ok);
    }

    #[test]
    fn before_the_first_start_none_is_missed() {
        let (dir, config) = config();
        let config = asks_for(config, dir.path());
        fs::create_dir(dir.path().join("backups")).unwrap();
        assert_eq!(backup(&config, &around()).level, Level::Ok);
    }
}
