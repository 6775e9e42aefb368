//! Installations for the checks to look at.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::{Running, Surroundings};
use crate::audit::{Action, Actor, Event, Options};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::crypto::SystemRandom;
use crate::custody::{KEY_FILE, NewSlot, Provider, Ring};
use crate::daemon::unsealing::found_first;
use crate::directory::{Directory, First};
use crate::hardening::{Control, Report};
use crate::id::StoreId;
use crate::store::{DiskEngine, EngineKind};
use crate::vault::{Lifecycle, Probes, Unsealed};

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
        is_writable: |_| true,
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/machine"),
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
    let mut config = Config {
        data_dir: dir.path().join("data"),
        keys_dir: dir.path().join("keys"),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..Config::default()
    };
    // Whoever looks whether a port is free has it meanwhile, and other tests look, too.
    config.proxy.listen = "127.0.0.1:0".parse().unwrap();
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
    run(async { closed(open(&config, Options::default()).await).await });
    (dir, config)
}

/// Starts, makes the first organisation, and stops.
pub(super) fn commit(config: &Config) {
    run(async {
        let (lifecycle, vault) = open(config, Options::default()).await;
        let (directory, first) = (Directory::default(), First::of(uid()));
        let made = found_first(&vault, &directory, uid(), &first).await;
        assert!(made.unwrap());
        closed((lifecycle, vault)).await;
    });
}

/// Starts, writes more records than a broker leaves unsigned, without signing them, and stops after `look`.
pub(super) fn write_much(config: &Config, look: impl FnOnce()) {
    let options = Options {
        checkpoint_every: 100_000,
        checkpoint_after: Duration::from_hours(1),
        ..Options::default()
    };
    run(async {
        let (lifecycle, vault) = open(config, options).await;
        let note = || {
            vault
                .journal()
                .note(Event::new(Action::ServerStart, Actor::System))
        };
        let noted = join_all((0..1100).map(|_| note())).await;
        assert!(noted.iter().all(Result::is_ok));
        look();
        closed((lifecycle, vault)).await;
    });
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(work);
}

async fn open(config: &Config, options: Options) -> (Arc<Lifecycle>, Unsealed) {
    let places = crate::daemon::parts::places(config);
    let engine = Arc::new(DiskEngine::open(&places.store(), EngineKind::Sled, 1 << 20).unwrap());
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let lifecycle = Lifecycle::open(
        places,
        engine,
        clock,
        random,
        30,
        options,
        Probes::default(),
    );
    let lifecycle = Arc::new(lifecycle.unwrap());
    let vault = lifecycle.unseal_unattended().await.unwrap();
    let vault = vault.opened().unwrap();
    let event = Event::new(Action::ServerStart, Actor::System);
    vault.journal().note(event).await.unwrap();
    (lifecycle, vault)
}

async fn closed((lifecycle, vault): (Arc<Lifecycle>, Unsealed)) {
    drop(vault);
    assert!(lifecycle.seal(Duration::from_secs(10)).await);
}
