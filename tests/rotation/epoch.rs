//! A root key that the settings want replaced every so often.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtools_broker::audit;
use runtools_broker::clock::{Clock, ManualClock, SystemClock};
use runtools_broker::crypto::SystemRandom;
use runtools_broker::custody::Ring;
use runtools_broker::store::{DEFAULT_CACHE_BYTES, DiskEngine, EngineKind};
use runtools_broker::vault::{Lifecycle, Places, Probes};
use serde_json::json;

use crate::harness::shared::{set, value};
use crate::harness::{Broker, Setup, eventually};

/// Makes an installation whose root key was first seen two days ago.
fn begin(folder: &Path) {
    let places = Places {
        data: folder.join("data"),
        keys: folder.join("keys"),
        external_anchor: None,
    };
    std::fs::create_dir(&places.data).unwrap();
    let private = PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&places.data, private).unwrap();
    let store = DiskEngine::open(&places.store(), EngineKind::Sled, DEFAULT_CACHE_BYTES);
    let clock = ManualClock::at(SystemClock.now().plus_seconds(-2 * 24 * 60 * 60));
    let lifecycle = Lifecycle::open(
        places,
        Arc::new(store.unwrap()),
        Arc::new(clock),
        Arc::new(SystemRandom),
        30,
        audit::Options::default(),
        Probes::default(),
    );
    let lifecycle = Arc::new(lifecycle.unwrap().with_root_days(1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let vault = lifecycle.unseal_unattended().await.unwrap();
        let vault = vault.opened().unwrap();
        let replaced = lifecycle.rotate_root_when_due(&vault).await.unwrap();
        assert_eq!(replaced, None, "it is seen for the first time");
        drop(vault);
        assert!(lifecycle.seal(Duration::from_secs(5)).await);
    });
}

#[test]
fn a_root_key_that_is_due_is_replaced_by_the_broker_itself_and_no_other_is() {
    let stages = [1, 0].map(|days| {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        begin(folder.path());
        let setup = Setup {
            config: format!("[key]\nrotate_root_days = {days}"),
            ..Setup::default()
        };
        Broker::over(folder, setup)
    });
    let [mut due, never] = stages;
    set(&due.operator(), "KEPT", "what is kept");
    let version = |broker: &Broker| Ring::load(&broker.keys()).unwrap().root().version;
    assert_eq!(version(&due), 1);
    // It looks a minute after its start, and every hour.
    let end = Instant::now() + Duration::from_secs(100);
    while version(&due) == 1 {
        assert!(Instant::now() < end, "nobody replaced it");
        std::thread::sleep(Duration::from_millis(200));
    }
    let path = "/v1/audit?all=true&action=key.rotate";
    eventually(|| {
        let log = due.operator().get(path).expect(200);
        let entry = &log["data"][0];
        let ended = entry["outcome"]["status"] == "success";
        (ended && entry["code"] == "root" && entry.to_string().contains("system")).then_some(())
    });
    let found = |broker: &Broker| value(&broker.operator(), "KEPT");
    assert_eq!(found(&due).as_deref(), Some("what is kept"));
    assert_eq!(due.stop(), Some(0));
    due.restart();
    assert_eq!(found(&due).as_deref(), Some("what is kept"));
    assert_eq!(version(&due), 2);
    assert_eq!(version(&never), 1);
    let log = never.operator().get(path).expect(200);
    assert_eq!(log["data"], json!([]));
}
