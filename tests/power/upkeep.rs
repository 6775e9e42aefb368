//! The power goes while an operator changes the ring, compacts the store and has a backup made, and while a token
//! is refreshed: the ring is the one of before or after, a backup is whole or not there, a grant is not lost, and
//! nothing was done that the journal does not have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use runtools_broker::custody::{KEY_FILE, Provider, Ring};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::check::{head, journal, verify};
use crate::harness::agreeable::{agree, fault_client, fault_file};
use crate::harness::connect::{connects, set_client, write_files};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::shared::{set, value};
use crate::harness::tools::{install, tool};
use crate::harness::{Broker, Client, Setup, Upstream, eventually};
use crate::recording::{Moment, named, record};

/// Cuts where time is short.
const CUTS: usize = 6;
/// Whoever can read a backup; nobody here does.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const SECOND: &str = "second.key";

/// How long an access token lasts, and a little more.
const LASTS: Duration = Duration::from_millis(1200);

/// A provider whose access tokens are soon over: each `refresh-n` is good for the next.
fn provider() -> FaultProvider {
    let fault = FaultProvider::start();
    agree(&fault);
    let count = AtomicU32::new(1);
    fault.script("/token", move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let body = json!({"access_token": format!("access-{n}"), "refresh_token": format!("refresh-{n}"),
            "token_type": "Bearer", "expires_in": 1, "scope": "read"});
        Answer::json(200, &body)
    });
    fault
}

/// With backups to the folder for them, once it is there.
fn setup(engine: &str, fault: &FaultProvider, folder: &Path, backups: bool) -> Setup {
    let oauth = write_files(
        folder,
        &[fault_file(fault, &[])],
        "private = [\"127.0.0.1/32\"]",
    );
    let to = folder.join("backups");
    let backup = format!(
        "[backup]\nrecipients = [{RECIPIENT:?}]\nto = \"{}\"\nevery_hours = 1\n",
        to.display()
    );
    Setup {
        config: format!(
            "[store]\nengine = \"{engine}\"\n{oauth}{}",
            if backups && to.exists() { &backup } else { "" }
        ),
        ..Setup::default()
    }
}

/// The numbers in the refresh tokens that the provider was shown.
fn shown(fault: &FaultProvider) -> Vec<u32> {
    let asked = fault.asked("/token");
    let tokens = asked.iter().filter_map(|it| it.form("refresh_token"));
    tokens
        .map(|token| token.strip_prefix("refresh-").unwrap().parse().unwrap())
        .collect()
}

fn uses_the_account(client: &Client) -> Value {
    let path = "/v1/tools/custom-me/execute";
    client.post(path, &json!({"action": "run"})).expect(200)
}

/// What was done, each by its request.
struct Done {
    head: u64,
    added: String,
    removed: String,
    /// The slot that was added and removed, and the one that was added for good.
    slots: [String; 2],
    kept: String,
    compacted: String,
    /// Uses of the account, and the number of the token that each has shown.
    used: Vec<(String, u32)>,
    backup: Vec<u8>,
}

fn add_slot(operator: &Client, body: &Value) -> (String, String) {
    let (client, request) = named(operator);
    let added = client.post("/v1/operator/slots", body).expect(201);
    let id = added["data"]["id"].as_str().unwrap().to_owned();
    (request, id)
}

fn keep_up(broker: &Broker, fault: &FaultProvider, head: u64) -> Done {
    let operator = broker.operator();
    let made = eventually(|| backups(broker).pop());
    let body = json!({"kind": "passphrase", "label": "words", "passphrase": "correct horse battery staple"});
    let (added, first) = add_slot(&operator, &body);
    let path = broker.keys().join(SECOND);
    let body = json!({"kind": "key-file", "label": "second", "path": path});
    let (kept, second) = add_slot(&operator, &body);
    let (client, removed) = named(&operator);
    client.delete(&format!("/v1/operator/slots/{first}"));
    let used = (0..2).map(|_| {
        std::thread::sleep(LASTS);
        let (client, request) = named(&operator);
        uses_the_account(&client);
        (request, shown(fault).pop().unwrap())
    });
    let used = used.collect();
    let (client, compacted) = named(&operator);
    let begun = client.send("POST", "/v1/operator/store/compact", None);
    assert!(begun.status < 300, "{}", begun.value());
    eventually(|| {
        let store = operator.get("/v1/operator/store").expect(200);
        (store["data"]["compaction"]["state"] == "done").then_some(())
    });
    set(&operator, "LAST", "after all of it");
    Done {
        head,
        added,
        removed,
        slots: [first, second],
        kept,
        compacted,
        used,
        backup: std::fs::read(made).unwrap(),
    }
}

/// The backups that have their names.
fn backups(broker: &Broker) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(broker.path("backups")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "age"));
    paths
}

fn prepare(broker: &Broker, upstream: &Upstream) -> u64 {
    let operator = broker.operator();
    set(&operator, "KEPT", "kept through all of it");
    set_client(&operator, "fault", &fault_client()).expect(200);
    install(&operator, &tool("custom-me", upstream.port(), "fault", &[]));
    connects(&operator, "fault", "ann");
    std::fs::create_dir(broker.path("backups")).unwrap();
    head(&operator)
}

/// Each change of the ring is there if somebody heard so, and only if it is recorded.
fn the_ring_is_sound(
    broker: &Broker,
    moment: &Moment<'_>,
    done: &Done,
    recorded: &dyn Fn(&str) -> bool,
) {
    let keys = broker.keys();
    let ring = Ring::load(&keys).unwrap();
    ring.open(Provider::KeyFile(&keys.join(KEY_FILE))).unwrap();
    let has = |id: &str| ring.slots().iter().any(|slot| slot.id.to_string() == id);
    let [first, second] = &done.slots;
    if has(first) {
        assert!(recorded(&done.added), "a slot that nobody asked for");
        assert!(!moment.heard(&done.removed), "a slot that was removed");
    } else if moment.heard(&done.added) {
        assert!(recorded(&done.removed), "a slot that is lost");
    }
    if has(second) {
        assert!(recorded(&done.kept), "a slot that nobody asked for");
        ring.open(Provider::KeyFile(&keys.join(SECOND))).unwrap();
    } else {
        assert!(!moment.heard(&done.kept), "a slot that is lost");
    }
}

/// A grant is what the provider gave last; it was shown so many tokens before this start.
fn the_grant_is_sound(
    operator: &Client,
    (fault, before): (&FaultProvider, usize),
    moment: &Moment<'_>,
    done: &Done,
) {
    let heard = done.used.iter().filter(|used| moment.heard(&used.0));
    let heard = heard.map(|used| used.1).max().unwrap_or_default();
    let most = done.used.iter().map(|used| used.1).max().unwrap();
    uses_the_account(operator);
    // What was used last has given the next. A start asks by itself where the end of an attempt was not seen.
    let shown = shown(fault)[before];
    assert!(shown > heard && shown <= most + 1, "{shown} after {heard}");
}

fn look(
    engine: &str,
    fault: &FaultProvider,
    folder: Arc<TempDir>,
    moment: &Moment<'_>,
    done: &Done,
) {
    let before = shown(fault).len();
    let setup = setup(engine, fault, folder.path(), false);
    let mut broker = Broker::over(folder, setup);
    let operator = broker.operator();
    let requests = journal(&operator, done.head);
    let recorded = |request: &str| requests.contains(request);
    the_ring_is_sound(&broker, moment, done, &recorded);
    for request in [&done.compacted, &done.added, &done.removed, &done.kept]
        .into_iter()
        .chain(done.used.iter().map(|used| &used.0))
    {
        assert!(recorded(request) || !moment.heard(request), "unrecorded");
    }
    for file in backups(&broker) {
        assert!(std::fs::read(file).unwrap() == done.backup, "half a backup");
        let made = operator.get("/v1/audit?action=backup.create&all=true");
        assert_ne!(made.expect(200)["data"], json!([]), "unrecorded");
    }
    assert_eq!(
        value(&operator, "KEPT").as_deref(),
        Some("kept through all of it")
    );
    the_grant_is_sound(&operator, (fault, before), moment, done);
    // Whatever was begun can be begun again.
    let again = operator.send("POST", "/v1/operator/store/compact", None);
    assert!(again.status < 300, "{}", again.value());
    eventually(|| {
        let store = operator.get("/v1/operator/store").expect(200);
        (store["data"]["compaction"]["state"] == "done").then_some(())
    });
    verify(&operator);
    assert_eq!(broker.stop(), Some(0), "{}", broker.log_text());
}

fn cut_the_power(engine: &str) {
    let (fault, upstream) = (provider(), Upstream::echo());
    let recorded = record(
        &|folder| setup(engine, &fault, folder, true),
        &|broker| prepare(broker, &upstream),
        &|broker, head| keep_up(broker, &fault, head),
    );
    let done = &recorded.done;
    for request in [&done.compacted, &done.added, &done.kept] {
        recorded.was_answered(request);
    }
    recorded.cut(&format!("{engine}, upkeep"), CUTS, &|folder, moment| {
        look(engine, &fault, folder, moment, done);
    });
}

#[test]
fn sled_keeps_its_ring_and_its_grants() {
    cut_the_power("sled");
}

#[test]
fn redb_keeps_its_ring_and_its_grants() {
    cut_the_power("redb");
}
