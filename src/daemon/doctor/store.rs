//! The store and the journal, from outside: nothing is opened that the broker holds.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::finding::Finding;
use super::folders::modified;
use super::surroundings::{Running, Surroundings};
use crate::config::Config;
use crate::custody::RING_FILE;
use crate::daemon::DaemonError;
use crate::daemon::init::is_unfinished;
use crate::daemon::parts::places;
use crate::store::{EngineKind, ExternalFault, StoreError, engine_at};

/// Whether nothing was ever stored in the data folder.
pub(super) fn is_fresh(config: &Config) -> bool {
    !places(config).store().exists() || config.data_dir.join("first-start").exists()
}

/// The store: present, of a known format, free or held by the broker, with its anchor.
pub(super) fn store(config: &Config, around: &Surroundings) -> Vec<Finding> {
    let dir = places(config).store();
    if is_fresh(config) {
        let ring = config.keys_dir.join(RING_FILE);
        let begun = config.data_dir.join("first-start").exists();
        return vec![if ring.exists() && !begun {
            let text = "there is a key ring, and no store";
            let fix = "Check that the right data directory is mounted. If it is lost, restore the newest backup.";
            Finding::fail("store", text, fix)
        } else {
            Finding::ok("store", "not made yet; the first start makes it")
        }];
    }
    let mut found = vec![
        format(&dir, config.store.engine),
        lock(&dir, &around.broker),
        anchor(&config.data_dir.join("anchor"), &StoreError::AnchorMissing),
    ];
    if let Some(elsewhere) = &config.store.external_anchor {
        let missing = StoreError::External(ExternalFault::Missing);
        found.push(anchor(elsewhere, &missing));
    }
    found
}

/// An init that was cut short: no broker starts with what it left.
pub(super) fn unfinished(config: &Config) -> Option<Finding> {
    let data = &config.data_dir;
    is_unfinished(data).then(|| {
        let error = DaemonError::Unfinished(data.clone());
        Finding::fail("init", &error, error.hint())
    })
}

/// A lockdown that nobody has ended.
pub(super) fn locked_down(config: &Config) -> Option<Finding> {
    let since = places(config).locked_down().ok()??;
    let since = since.map_or_else(String::new, |since| format!(" at {since}"));
    let text = format!("the vault was locked down{since}: no start unseals it by itself");
    let fix = "When it is safe again: runtools-broker unseal, and make new keys.";
    Some(Finding::warn("lockdown", text, fix))
}

/// Of a form that this version knows, and of the engine that the settings name.
fn format(dir: &Path, engine: EngineKind) -> Finding {
    let wrong = |error: StoreError| {
        let hint = error.hint();
        Finding::fail("store", error, hint)
    };
    match engine_at(dir) {
        Ok(Some((found, _))) if found == engine => Finding::ok("store", format!("kept by {found}")),
        Ok(Some((found, _))) => wrong(StoreError::OtherEngine { found }),
        Ok(None) => wrong(StoreError::Format),
        Err(error) => wrong(error),
    }
}

/// Whether no broker holds the store in `dir`.
pub(super) fn is_free(dir: &Path) -> bool {
    match File::open(dir.join("LOCK")) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whether this store is held, and by the broker that answers: on a machine with several, the usual
/// socket may be another one's.
fn lock(dir: &Path, broker: &Running) -> Finding {
    let free = || {
        if !broker.is_up() {
            return Finding::ok("lock", "free");
        }
        Finding::warn(
            "lock",
            "free: the broker that answers on the socket holds another store, and not this one",
            "What is said of a running broker is of that one. Name this one's socket, by --socket or in the settings, or the other's data directory.",
        )
    };
    let tried = File::open(dir.join("LOCK")).map(|file| {
        // Shared and given back at once when the file is dropped.
        flock(&file, FlockOperation::NonBlockingLockShared)
    });
    match tried {
        Ok(Ok(())) => free(),
        Ok(Err(_)) if broker.is_up() => Finding::ok("lock", "held by the running broker"),
        Ok(Err(_)) => Finding::warn(
            "lock",
            "a broker holds the store, and none answers on the socket",
            "Name the socket it was started with, by --socket or in the settings; or look for a broker that hangs.",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => free(),
        Err(error) => Finding::fail(
            "lock",
            format!("it cannot be looked at: {}", error.kind()),
            "Check who owns the files in the data directory.",
        ),
    }
}

fn anchor(path: &Path, missing: &StoreError) -> Finding {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Finding::ok("anchor", "in its place"),
        _ => Finding::fail("anchor", missing, missing.hint()),
    }
}

/// The journal's last segment; what the broker says of the journal stands elsewhere.
pub(super) fn journal(config: &Config, around: &Surroundings) -> Finding {
    const FIX: &str = "Put back the data directory as a whole: store and audit belong together.";
    if is_fresh(config) {
        return Finding::ok("audit", "not begun yet");
    }
    let segments = fs::read_dir(places(config).audit());
    let mut segments: Vec<_> = segments
        .map(|all| all.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    segments.retain(|path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "log"));
    segments.sort();
    let Some(last) = segments.last() else {
        return Finding::fail("audit", "the journal's segments are gone", FIX);
    };
    match fs::metadata(last) {
        Ok(found) if found.len() > 0 => {
            let age = modified(&found).map_or(0, |at| around.now.millis_since(at).max(0) / 1000);
            let count = segments.len();
            let text = format!("{count} segment(s), last written {} ago", span(age));
            Finding::ok("audit", text)
        }
        // A segment appears under its name when its beginning is durable.
        Ok(_) => Finding::fail("audit", "the last segment is empty", FIX),
        Err(error) => Finding::fail("audit", format!("unreadable: {}", error.kind()), FIX),
    }
}

fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests_rig::{around, config, with_ring, with_store};
    use super::super::{Level, Running, Surroundings};
    use super::{journal, lock, store};
    use crate::store::{DiskEngine, EngineKind};

    fn worst(config: &crate::config::Config, around: &Surroundings) -> Level {
        store(config, around).iter().map(|f| f.level).max().unwrap()
    }

    #[test]
    fn a_store_that_is_whole_is_fine_and_a_fresh_folder_too() {
        let (_dir, config) = config();
        assert_eq!(worst(&config, &around()), Level::Ok);
        assert_eq!(journal(&config, &around()).level, Level::Ok);
        let (_dir, config) = with_store();
        assert_eq!(worst(&config, &around()), Level::Ok);
        assert_eq!(journal(&config, &around()).level, Level::Ok);
    }

    #[test]
    fn a_missing_anchor_fails() {
        let (_dir, config) = with_store();
        fs::remove_file(config.data_dir.join("anchor")).unwrap();
        assert_eq!(worst(&config, &around()), Level::Fail);
    }

    #[test]
    fn a_missing_anchor_elsewhere_fails() {
        let (_dir, mut config) = with_store();
        let elsewhere = config.data_dir.join("elsewhere");
        config.store.external_anchor = Some(elsewhere.clone());
        assert_eq!(worst(&config, &around()), Level::Fail);
        fs::copy(config.data_dir.join("anchor"), elsewhere).unwrap();
        assert_eq!(worst(&config, &around()), Level::Ok);
    }

    #[test]
    fn a_foreign_format_fails() {
        let (_dir, config) = with_store();
        fs::write(config.data_dir.join("store/format"), "something else").unwrap();
        assert_eq!(worst(&config, &around()), Level::Fail);
    }

    #[test]
    fn a_store_of_the_other_engine_fails() {
        let (_dir, mut config) = with_store();
        config.store.engine = EngineKind::Redb;
        let found = store(&config, &around());
        assert_eq!(found[0].level, Level::Fail);
        assert!(found[0].text.contains("sled"), "{}", found[0].text);
        assert!(found[0].fix.as_deref().unwrap().contains("store migrate"));
    }

    #[test]
    fn a_ring_without_a_store_fails() {
        let (_dir, config) = with_ring();
        assert_eq!(worst(&config, &around()), Level::Fail);
    }

    #[test]
    fn a_lock_that_is_held_warns_unless_the_broker_answers() {
        let (_dir, config) = with_store();
        let held =
            DiskEngine::open(&config.data_dir.join("store"), EngineKind::Sled, 1 << 20).unwrap();
        assert_eq!(worst(&config, &around()), Level::Warn);
        let broker = Running::Up {
            version: String::new(),
            sealed: false,
            reasons: vec![],
            answers: vec![],
            proxy: None,
            unconfined: None,
        };
        let up = Surroundings { broker, ..around() };
        assert_eq!(worst(&config, &up), Level::Ok);
        drop(held);
        let other = lock(&config.data_dir.join("store"), &up.broker);
        assert_eq!(other.level, Level::Warn, "it answers for another store");
        assert!(other.text.contains("another store"), "{}", other.text);
    }

    #[test]
    fn a_journal_without_segments_or_with_an_empty_one_fails() {
        let (_dir, config) = with_store();
        let last = config.data_dir.join("audit/00000000000000000001.log");
        fs::write(&last, "").unwrap();
        assert_eq!(journal(&config, &around()).level, Level::Fail);
        fs::remove_file(last).unwrap();
        assert_eq!(journal(&config, &around()).level, Level::Fail);
    }
}
