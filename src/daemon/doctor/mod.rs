//! The doctor: is this installation well, and what is to be done if not?
//!
//! It works whether or not the broker runs. It changes nothing, opens nothing that a broker holds,
//! and asks a running one over its socket. What it could only find out from the machine is told to it
//! in [`Surroundings`], so that every fault can be shown to it in a test. Findings name paths, modes
//! and times. Where the key file opens the ring, the root key serves to check ring, store and journal
//! as a start would, and is wiped after it; no secret is opened. What could not be looked at is said to
//! be unexamined, and never to work. Only where it is asked to does it change something: modes of the broker's
//! own files ([`Mend`]).

mod backup;
mod contents;
mod finding;
mod folders;
mod keys;
mod machine;
mod mend;
mod outward;
mod proxy;
mod public;
mod settings;
mod store;
mod surroundings;
#[cfg(test)]
mod tests_case;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_rig;
mod ways_in;

pub use finding::{Finding, Level};
pub use mend::Mend;
pub use surroundings::{FreeBytes, ProxyUp, Running, Surroundings};

use self::folders::Folder;
use crate::config::{Config, ConfigError};

/// Everything there is to say about the installation that `config` describes.
#[must_use]
pub fn examine(config: &Config, around: &Surroundings) -> Finding {
    let (data, data_found) = folders::folder("data_dir", &config.data_dir, around.uid);
    let (keys, keys_found) = folders::folder("keys_dir", &config.keys_dir, around.uid);
    let fresh = data != Folder::Unusable && store::is_fresh(config);

    let mut key_parts = vec![keys_found];
    match keys {
        Folder::Fresh if fresh => {
            let text = "not made yet; the first start makes it, with a key file";
            key_parts.push(Finding::ok("ring", text));
        }
        Folder::Unusable => {}
        _ => key_parts.extend(keys::ring(config, fresh)),
    }
    let mut data_parts = vec![data_found];
    data_parts.extend(store::unfinished(config));
    data_parts.extend(store::locked_down(config));
    if data != Folder::Unusable {
        data_parts.extend(store::store(config, around));
        data_parts.push(store::journal(config, around));
        if !store::is_fresh(config) {
            let fails = |found: &Finding| found.level == Level::Fail;
            let opener = (!key_parts.iter().any(fails)).then(|| keys::opener(config));
            let sound = !data_parts.iter().any(fails);
            let inside = contents::contents(config, opener.flatten().as_ref(), sound, around);
            data_parts.extend(inside);
        }
    }
    let audit = config.data_dir.join("audit");
    data_parts.push(folders::space("data_space", &config.data_dir, around));
    data_parts.push(folders::space("audit_space", &audit, around));

    data_parts.push(backup::backup(config, around));

    let mut ways_in = ways_in::listeners(config, around);
    ways_in.push(ways_in::certificate(config.tls_files(), around.now));
    ways_in.extend(public::names(config));
    ways_in.extend(public::key_mode(config));
    ways_in.push(public::redirect(config));
    let socket = config.api_socket();
    let keys = ("socket", "socket");
    ways_in.push(ways_in::socket_file(keys, &socket, config, around));
    ways_in.extend(proxy::proxy(config, around));
    let ways_out = vec![
        ways_in::roots(config),
        outward::routes(&around.root),
        outward::resolver(&around.root),
    ];

    Finding::group(
        "runtools-broker",
        vec![
            settings::settings(config, around.uid),
            ways_in::broker(&around.broker),
            Finding::group("keys", key_parts),
            Finding::group("data", data_parts),
            Finding::group("ways_in", ways_in),
            Finding::group("ways_out", ways_out),
            machine(config, around),
        ],
    )
}

/// What is left to say when the settings are refused.
#[must_use]
pub fn refused_settings(error: &ConfigError) -> Finding {
    let fix = "Correct it: config/broker.toml in the sources lists every key.";
    let settings = Finding::fail("settings", error, fix);
    Finding::group("runtools-broker", vec![settings])
}

fn machine(config: &Config, around: &Surroundings) -> Finding {
    let parts = vec![
        folders::clock(&config.data_dir, around.now),
        machine::swap(&around.root),
        machine::open_files(config, around.open_files),
        machine::core_files(&around.root, &around.hardening),
        machine::user(&around.hardening),
        Finding::group("hardening", machine::hardening(&around.hardening)),
        machine::confinement(&around.broker, config, &around.root),
    ];
    Finding::group("machine", parts)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::tests_rig::{around, config, with_ring, with_store};
    use super::{Level, examine};

    #[test]
    fn a_machine_before_its_first_start_is_well() {
        let (dir, mut config) = config();
        assert_eq!(examine(&config, &around()).level, Level::Ok);
        // As a checkout leaves it.
        config.keys_dir = dir.path().join("checkout");
        fs::create_dir(&config.keys_dir).unwrap();
        fs::set_permissions(&config.keys_dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(config.keys_dir.join("README.md"), "x").unwrap();
        assert_eq!(examine(&config, &around()).level, Level::Ok);
    }

    #[test]
    fn an_installation_in_use_has_one_thing_to_better_the_second_slot() {
        let (_dir, config) = with_store();
        let found = examine(&config, &around());
        assert_eq!(found.level, Level::Warn);
        assert_eq!(found.find("slots").unwrap().level, Level::Warn);
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(text.matches(r#""level":"warn""#).count(), 3, "{text}");
        assert!(!text.contains(r#""level":"fail""#), "{text}");
    }

    #[test]
    fn lost_keys_and_lost_data_both_fail() {
        let (_dir, config) = with_store();
        fs::remove_dir_all(&config.keys_dir).unwrap();
        let found = examine(&config, &around());
        assert_eq!(found.find("ring").unwrap().level, Level::Fail);
        let (_dir, config) = with_ring();
        let found = examine(&config, &around());
        assert_eq!(found.find("store").unwrap().level, Level::Fail);
    }
}
