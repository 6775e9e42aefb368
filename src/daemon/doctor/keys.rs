//! The ring, its slots, and the key file.

use super::contents::Opener;
use super::finding::Finding;
use super::mend::Mend;
use crate::config::Config;
use crate::custody::{CustodyError, FileFault, KEY_FILE, Provider, Ring, SlotInfo, SlotKind};

/// The ring and what opens it. `fresh` when nothing was ever stored, so that no ring is no loss.
pub(super) fn ring(config: &Config, fresh: bool) -> Vec<Finding> {
    let ring = match Ring::load(&config.keys_dir) {
        Err(CustodyError::RingMissing(_)) if fresh => {
            let text = "not made yet; the first start makes it, with a key file";
            return vec![Finding::ok("ring", text)];
        }
        Err(error) => return vec![refused("ring", &error)],
        Ok(ring) => ring,
    };
    let text = format!("it can be read; it has {}", slots_in_words(&ring));
    let mut found = vec![Finding::ok("ring", text), slots(&ring, config)];
    found.push(key_file(&ring, config));
    found.extend(custodians(&ring, config));
    found
}

fn slots_in_words(ring: &Ring) -> String {
    match ring.slots().len() {
        1 => "1 slot".to_owned(),
        count => format!("{count} slots"),
    }
}

fn slots(ring: &Ring, config: &Config) -> Finding {
    const ADD: &str = "runtools-broker key slot add passphrase";
    let count = ring.slots().len();
    let doubles = doubles(ring, config);
    if count.saturating_sub(doubles) == 1 {
        let (which, more) = match doubles {
            0 => ("only one".to_owned(), "a second"),
            _ => (
                format!("{count}, and one key file opens them all"),
                "another",
            ),
        };
        let text = format!("{which}: when what opens it is lost, so is everything");
        return Finding::warn("slots", text, format!("Add {more}: {ADD}"));
    }
    if !ring.slots().iter().any(|slot| slot.kind.takes_a_person()) {
        let text = "none is opened by a person: whoever restores a backup needs a file besides";
        return Finding::warn("slots", text, format!("Add one: {ADD}"));
    }
    let kinds = ring.slots();
    let kinds: Vec<String> = kinds.iter().map(|slot| slot.kind.to_string()).collect();
    Finding::ok("slots", kinds.join(", "))
}

/// How many slots are opened by the key file besides the first of them: ways in that are none.
fn doubles(ring: &Ring, config: &Config) -> usize {
    let path = config.keys_dir.join(KEY_FILE);
    let opens = |slot: &SlotInfo| ring.test_slot(Provider::KeyFile(&path), slot.id).is_ok();
    let slots = ring.slots();
    let key_files = slots.iter().filter(|slot| slot.kind == SlotKind::KeyFile);
    key_files
        .filter(|slot| opens(slot))
        .count()
        .saturating_sub(1)
}

/// What a start that nobody attends would open the store with.
pub(super) fn opener(config: &Config) -> Option<Opener> {
    let ring = Ring::load(&config.keys_dir).ok()?;
    let opened = ring.open_unattended(&config.custodians());
    Some((ring.store(), opened.ok()?.opened()?))
}

/// Whether a start that nobody attends would find its key file.
fn key_file(ring: &Ring, config: &Config) -> Finding {
    if !ring.has(SlotKind::KeyFile) {
        let itself = ring.slots().iter().any(|slot| !slot.kind.takes_a_person());
        let text = if itself {
            "none: the broker starts by another slot"
        } else {
            "none: the broker starts sealed"
        };
        return Finding::ok("key_file", text);
    }
    match ring.open(Provider::KeyFile(&config.keys_dir.join(KEY_FILE))) {
        Ok(_) => Finding::ok("key_file", "it opens the ring, and the ring is unaltered"),
        Err(lost) if lost.is_loss() && others(ring).next().is_some() => {
            let then = if others(ring).all(|slot| slot.kind.takes_a_person()) {
                "is sealed until a person unseals it"
            } else {
                "needs another slot"
            };
            let text = format!("{lost}; a start {then}");
            let fix = "Put the key file back from its backup. If it is lost, unseal, remove its slot, move a wrong root.key away, and add another: runtools-broker key slot";
            Finding::warn("key_file", text, fix)
        }
        Err(error) => refused("key_file", &error),
    }
}

/// What custody says of a file; a mode that is too wide can be put right by itself.
fn refused(check: &'static str, error: &CustodyError) -> Finding {
    let found = Finding::fail(check, error, error.hint());
    match error {
        CustodyError::File {
            path,
            fault: FileFault::FileMode(_),
        } => found.mended_by(Mend::new(path.clone(), 0o600)),
        _ => found,
    }
}

/// The slots that no key file opens.
fn others(ring: &Ring) -> impl Iterator<Item = SlotInfo> {
    let slots = ring.slots().into_iter();
    slots.filter(|slot| slot.kind != SlotKind::KeyFile)
}

/// Whether those who hold keys give them. The credentials of the service are seen by the service only.
fn custodians(ring: &Ring, config: &Config) -> Vec<Finding> {
    const CHECK: &str = "custodian";
    let slots = ring.slots().into_iter();
    let found = slots.filter_map(|slot| {
        let name = slot.name?;
        if slot.kind == SlotKind::Credential && config.credentials_dir.is_none() {
            let text = format!("not examined: systemd gives {name} to the service only");
            return Some(Finding::unexamined(CHECK, text));
        }
        let custodian = config.custodians().find(slot.kind, name.clone());
        let tested = custodian.and_then(|it| ring.test_slot(Provider::Custodian(&it), slot.id));
        Some(match tested {
            Ok(()) => Finding::ok(CHECK, format!("{name} opens the ring")),
            Err(error) => Finding::fail(CHECK, &error, error.hint()),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::Level;
    use super::super::tests_rig::{config, with_ring};
    use super::ring;
    use crate::clock::{Clock, SystemClock};
    use crate::config::Config;
    use crate::crypto::{CryptoError, Random, SystemRandom};
    use crate::custody::{NewSlot, Provider, Ring};
    use crate::id::StoreId;
    use crate::secret::Secret;

    fn level(config: &Config, check: &str) -> Level {
        let found = ring(config, false);
        let found = found.iter().find(|found| found.check == check);
        found.map_or(Level::Ok, |found| found.level)
    }

    #[test]
    fn a_sound_ring_with_one_slot_warns_and_does_not_fail() {
        let (_dir, config) = with_ring();
        assert_eq!(level(&config, "ring"), Level::Ok);
        assert_eq!(level(&config, "slots"), Level::Warn);
        assert_eq!(level(&config, "key_file"), Level::Ok);
    }

    #[test]
    fn a_key_file_that_others_may_read_is_gone_or_another_fails() {
        let (_dir, config) = with_ring();
        let path = config.keys_dir.join("root.key");
        let key = fs::read(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let found = ring(&config, false);
        let found = found
            .iter()
            .find(|found| found.check == "key_file")
            .unwrap();
        assert_eq!(found.level, Level::Fail);
        assert!(found.fix.as_ref().unwrap().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [7; 32]).unwrap();
        assert_eq!(level(&config, "key_file"), Level::Fail);
        fs::write(&path, &key[..31]).unwrap();
        assert_eq!(level(&config, "key_file"), Level::Fail);
        fs::remove_file(&path).unwrap();
        assert_eq!(level(&config, "key_file"), Level::Fail);
    }

    /// Draws sevens.
    #[derive(Debug)]
    struct Sevens;

    impl Random for Sevens {
        fn fill(&self, into: &mut [u8]) -> Result<(), CryptoError> {
            into.fill(7);
            Ok(())
        }
    }

    #[test]
    fn slots_that_one_file_opens_count_once() {
        let (_dir, config) = config();
        let dir = &config.keys_dir;
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        let (path, copy) = (dir.join("root.key"), dir.join("copy.key"));
        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let slot = |path| NewSlot::new(Provider::KeyFile(path), "a file", SystemClock.now());
        let store = StoreId::from_bytes([7; 16]);
        let (mut ring, root) = Ring::create(dir, store, &slot(&path), &SystemRandom).unwrap();
        ring.add_slot(&root, &slot(&copy), &Sevens).unwrap();
        assert_eq!(ring.slots().len(), 2);
        let found = super::slots(&ring, &config);
        assert_eq!(found.level, Level::Warn);
        assert!(
            found.text.starts_with("2, and one key file"),
            "{}",
            found.text
        );
        // With another file's slot there are two ways in, and what is missing is a passphrase.
        let own = dir.join("own.key");
        ring.add_slot(&root, &slot(&own), &SystemRandom).unwrap();
        let found = super::slots(&ring, &config);
        assert!(
            found.text.starts_with("none is opened by a person"),
            "{}",
            found.text
        );
    }

    #[test]
    fn a_lost_key_file_warns_where_a_passphrase_opens_the_ring() {
        let (_dir, config) = with_ring();
        let path = config.keys_dir.join("root.key");
        let mut ring = Ring::load(&config.keys_dir).unwrap();
        let root = ring.open(Provider::KeyFile(&path)).unwrap();
        let words = Secret::copy_of(b"correct horse battery staple");
        let slot = NewSlot::new(Provider::Passphrase(&words), "words", SystemClock.now());
        ring.add_slot(&root, &slot.cheap(), &SystemRandom).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(level(&config, "key_file"), Level::Fail, "open to others");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for lost in [&[7; 32][..], &[7; 31]] {
            fs::write(&path, lost).unwrap();
            assert_eq!(level(&config, "key_file"), Level::Warn);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(level(&config, "key_file"), Level::Warn);
    }

    #[test]
    fn an_altered_ring_fails() {
        let (_dir, config) = with_ring();
        let path = config.keys_dir.join("root.ring");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(level(&config, "key_file"), Level::Fail);
        fs::write(&path, "no ring").unwrap();
        assert_eq!(level(&config, "ring"), Level::Fail);
    }

    #[test]
    fn no_ring_fails_only_when_something_was_stored() {
        let (_dir, config) = config();
        assert_eq!(ring(&config, false)[0].level, Level::Fail);
        assert_eq!(ring(&config, true)[0].level, Level::Ok);
    }
}
