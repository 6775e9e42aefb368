//! The leak oracle over the whole API: marked names and values go through every route, well and badly
//! formed, and are then looked for in answers, logs, metrics, the journal, files and memory.

mod harness;
mod stage;

mod canaries {
    pub(super) mod connected;
    pub(super) mod journey;
}

use std::time::Duration;

use canaries::connected::{Providers, connect_badly, connect_it, leave};
use canaries::journey::{Planted, misuse_it, use_it};
use harness::connect::write_files;
use harness::{Broker, Canaries, Setup, Upstream};
use serde_json::{Value, json};
use stage::{memory, tool};

#[test]
fn lk_5_lk_6_t10_no_value_and_no_name_leaves_the_whole_api_and_none_stays_on_disk_or_in_memory() {
    let upstream = Upstream::echo();
    let mut planted = Planted::new();
    let providers = Providers::new(&mut planted);
    // Provider files are the operator's own, and name what they are for.
    let elsewhere = tempfile::tempdir().unwrap();
    let private = "private = [\"127.0.0.1/32\"]";
    let config = write_files(elsewhere.path(), &providers.files(), private);
    let mut broker = Broker::with(Setup {
        config,
        ..Setup::default()
    });
    use_it(&mut planted, &broker, &upstream);
    assert!(!upstream.seen().is_empty());
    connect_it(&mut planted, &providers, &broker, &upstream);
    connect_badly(&mut planted, &providers, &broker);
    misuse_it(&mut planted, &broker);

    let operator = broker.operator();
    let export = operator.get("/v1/audit/export");
    assert_eq!(export.status, 200);
    planted.values.absent_from("the export", &export.body);
    assert!(
        planted.names.found_in(&export.body).is_some(),
        "the export names what was used"
    );
    let metrics = operator.get("/metrics");
    assert_eq!(metrics.status, 200);
    planted.values.absent_from("the metrics", &metrics.body);
    planted.names.absent_from("the metrics", &metrics.body);

    for (what, bytes) in &planted.answers {
        let shown = format!("{what}: {}", String::from_utf8_lossy(bytes));
        planted.values.absent_from(&shown, bytes);
    }
    memory::is_rid_of(broker.pid(), &planted.values, SETTLED);
    broker.kill();
    std::thread::sleep(Duration::from_millis(100));
    planted.check(&broker);
}

/// Searchers are kept for a minute at most, and connections to upstreams for half of one.
const SETTLED: Duration = Duration::from_secs(65);

#[test]
fn sealing_wipes_every_value_from_memory() {
    let upstream = Upstream::tls(&["localhost"], |seen| {
        harness::upstream::json(200, &seen.echo())
    });
    let plain = Upstream::echo();
    let mut stage = stage::Stage::trusting(upstream.root_pem());
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    stage.install(&operator, &stage::tls_tool("custom-tls", upstream.port()));
    stage.install(&operator, &tool("custom-plain", plain.port()));
    for slug in ["custom-tls", "custom-plain"] {
        let done = stage.run(&operator, slug, &stage::with("KEY"));
        assert_eq!(stage::execution(&done)["success"], true);
    }
    if memory::may_search(stage.broker.pid()) {
        let found = memory::search(stage.broker.pid(), &stage.canaries);
        assert!(
            !found.is_empty(),
            "the searcher holds the value while it is kept"
        );
    }
    operator.send("POST", "/v1/operator/seal", None).expect(200);
    memory::is_rid_of(stage.broker.pid(), &stage.canaries, Duration::from_secs(2));
}

#[test]
fn sealing_wipes_every_token_and_every_flow_from_memory() {
    let upstream = Upstream::echo();
    let mut planted = Planted::new();
    let providers = Providers::new(&mut planted);
    let elsewhere = tempfile::tempdir().unwrap();
    let private = "private = [\"127.0.0.1/32\"]";
    let broker = Broker::with(Setup {
        config: write_files(elsewhere.path(), &providers.files(), private),
        ..Setup::default()
    });
    connect_it(&mut planted, &providers, &broker, &upstream);
    leave(&mut planted, &providers, &broker);
    if memory::may_search(broker.pid()) {
        let found = memory::search(broker.pid(), &planted.values);
        assert!(
            !found.is_empty(),
            "a flow that waits holds what it waits for"
        );
    }
    broker
        .operator()
        .send("POST", "/v1/operator/seal", None)
        .expect(200);
    memory::is_rid_of(broker.pid(), &planted.values, Duration::from_secs(2));
}

#[test]
fn the_oracle_finds_what_is_there() {
    let mut canaries = Canaries::new();
    let value = canaries.value();
    for form in canaries.forms() {
        let hay = [b"before ".as_slice(), &form.2, b" after"].concat();
        assert!(canaries.found_in(&hay).is_some(), "{}", form.1);
    }
    assert!(canaries.found_in(&value.as_bytes()[1..]).is_none());
    // In a file of a broker's folder.
    let broker = Broker::start();
    std::fs::write(broker.data().join("left.tmp"), format!("x{value}y")).unwrap();
    let files = broker.files();
    assert!(files.len() > 3);
    assert!(
        files
            .iter()
            .any(|(_, bytes)| canaries.found_in(bytes).is_some())
    );
    // In memory: a process that holds it, and this one.
    let pid = std::process::id();
    if memory::may_search(broker.pid()) {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "held=$0; read line; echo $held", &value])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(!memory::search(child.id(), &canaries).is_empty());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!memory::search(pid, &canaries).is_empty());
        // And the broker's own memory can be read: its own words are there.
        let mut words = Canaries::new();
        words.also("runtools-broker listens on ");
        assert!(!memory::search(broker.pid(), &words).is_empty());
    }
}

#[test]
fn lk_2_the_environment_cannot_turn_on_logs_of_the_wire_or_a_key_log() {
    let folder = tempfile::tempdir().unwrap();
    let key_log = folder.path().join("keys.log");
    let targets = |level: &str| {
        let upstream = Upstream::tls(&["localhost"], |seen| {
            harness::upstream::json(200, &seen.echo())
        });
        let root = folder.path().join("root.pem");
        std::fs::write(&root, upstream.root_pem()).unwrap();
        let setup = Setup {
            wrapper: vec![
                "env".to_owned(),
                format!("RUST_LOG={level}"),
                format!("SSLKEYLOGFILE={}", key_log.display()),
                "RUST_BACKTRACE=full".to_owned(),
            ],
            config: format!("egress.extra_roots = [{:?}]", root.display().to_string()),
            ..Setup::default()
        };
        let mut stage = stage::Stage::with(setup);
        let operator = stage.operator();
        stage.secret(&operator, "KEY", &json!({}));
        stage.install(&operator, &stage::tls_tool("custom-tls", upstream.port()));
        let done = stage.run(&operator, "custom-tls", &stage::with("KEY"));
        assert_eq!(stage::execution(&done)["success"], true);
        let log = stage.broker.log_text();
        let mut targets: Vec<String> = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| line["target"].as_str().unwrap_or_default().to_owned())
            .collect();
        targets.sort();
        targets.dedup();
        stage.finish();
        targets
    };
    let loud = targets("trace");
    assert!(!loud.is_empty(), "it logs");
    assert!(
        loud.iter().all(|target| target.starts_with("runtools")),
        "{loud:?}"
    );
    assert_eq!(targets("off"), loud);
    assert!(!key_log.exists());
}

#[test]
fn lk_2_debug_of_what_carries_a_secret_shows_none() {
    use runtools_broker::secret::Secret;
    use runtools_broker::wire;

    fn read<T: serde::de::DeserializeOwned + std::fmt::Debug>(body: Value) -> String {
        let read: T = serde_json::from_value(body).unwrap();
        format!("{read:?} {read:#?}")
    }

    let mut canaries = Canaries::new();
    let value = canaries.value();
    let mut shown = vec![format!("{:?}", Secret::copy_of(value.as_bytes()))];
    shown.push(read::<wire::SetSecret>(
        json!({"name": "A", "value": value}),
    ));
    shown.push(read::<wire::RotateSecret>(json!({"value": value})));
    shown.push(read::<wire::StoreCredentials>(json!({"apiKey": value})));
    shown.push(read::<wire::ExecuteTool>(
        json!({"action": "run", "credentials": {"apiKey": value}}),
    ));
    shown.push(read::<wire::ExplainTool>(
        json!({"credentials": {"apiKey": value}}),
    ));
    shown.push(read::<wire::Unseal>(json!({"passphrase": value})));
    shown.push(read::<wire::AddKeySlot>(
        json!({"kind": "passphrase", "passphrase": value}),
    ));
    shown.push(read::<wire::TestKeySlot>(json!({"passphrase": value})));
    shown.push(read::<wire::FinishFlow>(json!({"ticket": value})));
    shown.push(read::<wire::SetOauthConfig>(
        json!({"provider": "github", "clientId": "id", "clientSecret": value}),
    ));
    let revealed = wire::RevealedSecret {
        name: runtools_broker::name::SecretName::parse("A").unwrap(),
        value: &value,
        version: 1,
    };
    shown.push(format!("{revealed:?}"));
    // The real answers that show a key once, as a client reads them.
    let broker = Broker::start();
    let made = broker
        .operator()
        .post("/v1/api-keys", &json!({"name": "k", "scopes": []}));
    let made = made.expect(201)["data"].clone();
    canaries.also(made["key"].as_str().unwrap());
    shown.push(read::<wire::CreatedApiKey>(made));
    let added = json!({"name": "m", "createKey": true});
    let added = broker
        .operator()
        .post("/v1/organizations/current/members", &added);
    let added = added.expect(201)["data"].clone();
    canaries.also(added["key"].as_str().unwrap());
    shown.push(read::<wire::AddedMember>(added));
    for text in shown {
        canaries.absent_from(&text, text.as_bytes());
    }
}
