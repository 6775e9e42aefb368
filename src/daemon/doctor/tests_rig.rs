//! Installations for the checks to look at.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Running, Surroundings};
use crate::audit::{Action, Actor, Event, Options};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::crypto::SystemRandom;
use crate::custody::{KEY_FILE, NewSlot, Provider, Ring};
use crate::hardening::{Control, Report};
use crate::id::StoreId;
use crate::store::{DiskEngine, EngineKind};
use crate::vault::{Lifecycle, Probes};

pub(super) fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A report with every control in force, but for one.
pub(super) fn report(without: Option<Control>) -> Report {
    let controls = Control::ALL.into_iter();
    Report::of(controls.map(|control| (control, Some(control) != without)))
}

/// A machine where everything is well and no broker runs.
pub(super) fn around() -> Surroundings {
    Surroundings {
        now: SystemClock.now(),
        free_bytes: |_| Ok(1 << 40),
        root: PathBuf::from("/no/such/root"),
        open_files: None,
        uid: uid(),
        hardening: report(None),
        broker: Running::Down,
    }
}

/// A broker that answers.
pub(super) fn up(reasons: &[&str], answers: &[SocketAddr]) -> Running {
    Running::Up {
        version: "0.1.0".to_owned(),
        sealed: reasons.contains(&"sealed"),
        reasons: reasons.iter().map(|&it| it.to_owned()).collect(),
        answers: answers.to_vec(),
        proxy: None,
        unconfined: Some(Vec::new()),
    }
}

/// Settings for folders that are not there yet.
pub(super) fn config() -> (TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().join("data"),
        keys_dir: dir.path().join("keys"),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..Config::default()
    };
    (dir, config)
}

/// With a ring that a key file opens.
pub(super) fn with_ring() -> (TempDir, Config) {
    let (dir, config) = config();
    let key_file = config.keys_dir.join(KEY_FILE);
    let slot = NewSlot::new(Provider::KeyFile(&key_file), "first", SystemClock.now());
    let store = StoreId::from_bytes([7; 16]);
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&config.keys_dir)
        .unwrap();
    drop(Ring::create(&config.keys_dir, store, &slot, &SystemRandom).unwrap());
    (dir, config)
}

/// With what a broker leaves that was started and stopped.
pub(super) fn with_store() -> (TempDir, Config) {
    let (dir, config) = config();
    for folder in [&config.data_dir, &config.keys_dir] {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(start_and_stop(&config));
    (dir, config)
}

async fn start_and_stop(config: &Config) {
    let places = crate::daemon::parts::places(config);
    let engine = Arc::new(DiskEngine::open(&places.store(), EngineKind::Sled, 1 << 20).unwrap());
    let lifecycle = Lifecycle::open(
        places,
        engine,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
        30,
        Options::default(),
        Probes::default(),
    );
    let lifecycle = Arc::new(lifecycle.unwrap());
    let vault = lifecycle.unseal_unattended().await.unwrap();
    let vault = vault.opened().unwrap();
    let event = Event::new(Action::ServerStart, Actor::System);
    vault.journal().note(event).await.unwrap();
    drop(vault);
    assert!(lifecycle.seal(std::time::Duration::from_secs(10)).await);
}
