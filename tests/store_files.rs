//! The store's files change hands: moved to the other engine, compacted under load, killed in between.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{Broker, Client, Setup, program};
use runtools_broker::failpoint::Failpoint;
use serde_json::{Value, json};
use tempfile::TempDir;

/// SIGKILL.
const KILL: i32 = 9;
const WRITERS: usize = 4;
const VALUE: &str = "the value that must not be lost";

fn setup(engine: &str) -> Setup {
    Setup {
        config: format!("[store]\nengine = \"{engine}\""),
        ..Setup::default()
    }
}

/// Where a copy of the store may be killed; twice in its pages.
fn places() -> Vec<String> {
    let names = Failpoint::ALL.iter().map(|place| place.name());
    let mut all: Vec<_> = names
        .filter(|name| name.starts_with("store.rewrite."))
        .map(str::to_owned)
        .collect();
    assert_eq!(all.len(), 8);
    all.push("store.rewrite.page@2".to_owned());
    all
}

fn set(operator: &Client, name: &str) {
    let secret = json!({"name": name, "value": VALUE, "orgWide": true});
    operator.post("/v1/secrets", &secret).expect(201);
}

fn check(operator: &Client, names: impl IntoIterator<Item = String>) {
    for name in names {
        let path = format!("/v1/secrets/{name}/reveal");
        let revealed = operator.post(&path, &json!({"orgWide": true})).expect(200);
        assert_eq!(revealed["data"]["value"], VALUE, "{name}");
    }
    let found = operator.send("POST", "/v1/audit/verify", None).expect(200);
    assert_eq!(found["data"]["state"], "intact", "{found}");
}

fn kept() -> impl Iterator<Item = String> {
    (0..90).map(|n| format!("KEPT_{n}"))
}

/// A broker's folder with some hundred records, and nobody who uses it.
fn used(engine: &str) -> Broker {
    let mut broker = Broker::with(setup(engine));
    let operator = broker.operator();
    kept().for_each(|name| set(&operator, &name));
    assert_eq!(broker.stop(), Some(0));
    broker
}

/// Runs `store migrate` as an operator does; a name of a place to die at, if it is to.
fn migrate(broker: &Broker, to: &str, place: Option<&str>) -> std::process::Output {
    let mut command = Command::new(Broker::binary());
    command
        .arg("--config")
        .arg(broker.path("broker.toml"))
        .args(["store", "migrate", "--json", "--to", to])
        .env_clear()
        .stdin(Stdio::null());
    if let Some(place) = place {
        command.env("RUNTOOLS_FAILPOINT", place);
    }
    command.output().unwrap()
}

fn moved(broker: &Broker, to: &str) -> Value {
    let ran = migrate(broker, to, None);
    let (out, err) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{out}{err}");
    serde_json::from_str::<Value>(&out).unwrap()["data"].clone()
}

/// The engine that the store's marker names.
fn engine_of(data: &Path) -> &'static str {
    let marker = std::fs::read_to_string(data.join("store/format")).unwrap();
    if marker.contains("redb") {
        "redb"
    } else {
        "sled"
    }
}

fn other(engine: &str) -> &'static str {
    if engine == "sled" { "redb" } else { "sled" }
}

fn folders(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("store")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names
        .filter(|name| name.starts_with("sled") || name.starts_with("redb"))
        .collect();
    found.sort();
    found
}

#[test]
fn a_migration_that_is_killed_at_any_place_leaves_a_store_that_serves_and_can_be_moved_on() {
    use std::os::unix::process::ExitStatusExt;
    let mut broker = used("sled");
    for place in places() {
        let from = engine_of(&broker.data());
        let to = other(from);
        let killed = migrate(&broker, to, Some(&place));
        let log = String::from_utf8_lossy(&killed.stderr).into_owned();
        assert_eq!(killed.status.signal(), Some(KILL), "{place}: {log}");
        let now = engine_of(&broker.data());
        let before_its_name = !matches!(&*place, "store.rewrite.placed" | "store.rewrite.ends");
        assert_eq!(now == from, before_its_name, "{place}");
        // It serves as it is, by the engine that keeps it, and by no other.
        broker.restart_with(Setup {
            unready: true,
            ..setup(other(now))
        });
        assert_eq!(broker.wait(Duration::from_secs(30)), Some(1), "{place}");
        broker.restart_with(setup(now));
        let late = format!("LATE_{}", place.replace(['.', '@'], "_").to_uppercase());
        set(&broker.operator(), &late);
        check(&broker.operator(), kept());
        assert_eq!(broker.stop(), Some(0));
        // And it is moved on.
        let answer = moved(&broker, to);
        assert_eq!(answer["engine"], to, "{place}");
        assert_eq!(answer["moved"], now == from, "{place}");
        assert_eq!(folders(&broker.data()).len(), 1, "{place}");
        broker.restart_with(setup(to));
        check(&broker.operator(), kept().chain([late]));
        assert_eq!(broker.stop(), Some(0));
    }
    let log = broker.log_text();
    assert!(!log.contains("panicked"), "{log}");
}

/// Writes from several at once until the broker is gone: the names that were acknowledged.
fn write_until_it_is_gone(broker: &Broker, round: usize) -> Vec<String> {
    let acknowledged = Mutex::new(Vec::new());
    let operator = broker.operator();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (acknowledged, operator) = (&acknowledged, &operator);
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("W{round}_{writer}_{n}");
                    let body = json!({"name": name, "value": VALUE, "orgWide": true}).to_string();
                    let body = Some(("application/json", body.as_bytes()));
                    match operator.try_send("POST", "/v1/secrets", body) {
                        Ok(reply) => assert_eq!(reply.status, 201, "{}", reply.value()),
                        Err(_) => return,
                    }
                    acknowledged.lock().unwrap().push(name);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(30));
        // Its answer may come or not.
        drop(operator.try_send("POST", "/v1/operator/store/compact", None));
    });
    acknowledged.into_inner().unwrap()
}

#[test]
fn a_compaction_that_is_killed_at_any_place_under_writers_loses_nothing() {
    for engine in ["sled", "redb"] {
        let mut broker = used(engine);
        let mut all: Vec<_> = kept().collect();
        for (round, place) in places().into_iter().enumerate() {
            broker.restart_with(Setup {
                failpoint: Some(place.clone().leak()),
                ..setup(engine)
            });
            all.extend(write_until_it_is_gone(&broker, round));
            let end = Instant::now() + Duration::from_mins(1);
            let died = loop {
                match broker.died_of() {
                    Some(signal) => break signal,
                    None if Instant::now() > end => panic!("{place}: it lives"),
                    None => std::thread::sleep(Duration::from_millis(10)),
                }
            };
            assert_eq!(died, KILL, "{place}");
            broker.restart_with(setup(engine));
            let newest = all.len().saturating_sub(200);
            check(&broker.operator(), all[newest..].iter().cloned());
            // Everything again, in what the next one makes of what the killed one has left.
            let ran = broker.runs(&["store", "compact"], None);
            assert_eq!(ran.exit, 0, "{place}: {}", ran.stderr);
            assert_eq!(folders(&broker.data()).len(), 1, "{place}");
            assert_eq!(broker.stop(), Some(0));
        }
        broker.restart();
        println!(
            "{engine}: {} secrets after {} kills",
            all.len(),
            places().len()
        );
        assert!(all.len() > 90 + places().len());
        check(&broker.operator(), all);
        assert!(
            !broker.log_text().contains("panicked"),
            "{}",
            broker.log_text()
        );
    }
}

#[test]
fn a_compaction_gives_room_back_while_everybody_is_served() {
    for engine in ["sled", "redb"] {
        let mut broker = Broker::with(setup(engine));
        let operator = broker.operator();
        let long = "x".repeat(30_000);
        for n in 0..60 {
            let secret = json!({"name": format!("KEPT_{n}"), "value": VALUE, "orgWide": true});
            operator.post("/v1/secrets", &secret).expect(201);
            for _ in 0..10 {
                let name = format!("GONE_{n}");
                let secret = json!({"name": name, "value": long});
                operator.post("/v1/secrets", &secret).expect(201);
                let gone = operator.delete(&format!("/v1/secrets/{name}?destroy=true"));
                gone.expect(200);
            }
        }
        let before = operator.get("/v1/operator/store").expect(200);
        assert_eq!(before["data"]["engine"], engine);
        assert_eq!(before["data"]["compaction"]["state"], "idle");
        let over = std::sync::atomic::AtomicBool::new(false);
        let ran = std::thread::scope(|scope| {
            for writer in 0..2 {
                let (operator, over) = (broker.operator(), &over);
                scope.spawn(move || {
                    for n in 0.. {
                        if over.load(std::sync::atomic::Ordering::SeqCst) {
                            return;
                        }
                        set(&operator, &format!("DURING_{writer}_{n}"));
                        let path = "/v1/secrets/KEPT_7/reveal";
                        operator.post(path, &json!({"orgWide": true})).expect(200);
                    }
                });
            }
            let ran = broker.runs(&["store", "compact"], None);
            over.store(true, std::sync::atomic::Ordering::SeqCst);
            ran
        });
        assert_eq!(ran.exit, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains("compacted: ") || ran.stdout.contains("compacted: "));
        let after = operator.get("/v1/operator/store").expect(200);
        let compaction = &after["data"]["compaction"];
        assert_eq!(compaction["state"], "done");
        let bytes = |name: &str| compaction[name].as_u64().unwrap();
        println!(
            "{engine}: {} bytes before, {} after",
            bytes("bytesBefore"),
            bytes("bytesAfter")
        );
        assert!(bytes("bytesAfter") < bytes("bytesBefore"), "{compaction}");
        let shown = broker.runs(&["store", "status"], None);
        assert_eq!(shown.exit, 0, "{}", shown.stderr);
        assert!(
            shown.stdout.contains(&format!("kept by {engine}")),
            "{}",
            shown.stdout
        );
        assert_eq!(broker.runs(&["store", "compact", "--stop"], None).exit, 0);
        let log = operator
            .get("/v1/audit?action=store.compact&all=true")
            .expect(200);
        assert!(!log["data"].as_array().unwrap().is_empty(), "{log}");
        check(&operator, (0..60).map(|n| format!("KEPT_{n}")));
        broker.restart();
        check(&broker.operator(), (0..60).map(|n| format!("KEPT_{n}")));
    }
}

fn run_migrate(folder: &TempDir, input: Option<&str>) -> program::Ran {
    let arguments = [
        "store",
        "migrate",
        "--to",
        "redb",
        "--config",
        "broker.toml",
    ];
    program::run(folder.path(), &arguments, input)
}

#[test]
fn a_migration_asks_for_a_passphrase_where_no_key_file_opens_and_refuses_what_a_start_refuses() {
    let mut broker = Broker::with(setup("sled"));
    let folder: Arc<TempDir> = broker.folder();
    kept().for_each(|name| set(&broker.operator(), &name));
    let words = "correct horse battery staple lantern";
    let add = ["key", "slot", "add", "passphrase"];
    broker.runs(&add, Some(words)).expect(0);
    // A broker that runs keeps it.
    let refused = run_migrate(&folder, None);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("in use by another process"),
        "{}",
        refused.stderr
    );
    assert_eq!(broker.stop(), Some(0));

    // An older copy of the store is not taken for the store.
    let aside = broker.path("aside");
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.unwrap().success());
    };
    copy(&broker.data().join("store"), &aside);
    broker.restart();
    set(&broker.operator(), "LATER");
    assert_eq!(broker.stop(), Some(0));
    let newest = broker.path("newest");
    std::fs::rename(broker.data().join("store"), &newest).unwrap();
    copy(&aside, &broker.data().join("store"));
    let refused = run_migrate(&folder, None);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("the store is an older copy"),
        "{}",
        refused.stderr
    );
    assert_eq!(folders(&broker.data()), ["sled"]);
    std::fs::remove_dir_all(broker.data().join("store")).unwrap();
    std::fs::rename(&newest, broker.data().join("store")).unwrap();

    // Without the key file, a passphrase; and not any.
    std::fs::rename(broker.keys().join("root.key"), broker.path("root.key")).unwrap();
    let refused = run_migrate(&folder, Some("wrong horse battery staple lantern"));
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert_eq!(folders(&broker.data()), ["sled"]);
    let done = run_migrate(&folder, Some(words));
    assert_eq!(done.exit, 0, "{}", done.stderr);
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(
        said.contains("from sled to redb, and verified them"),
        "{said}"
    );
    assert!(said.contains("engine = \"redb\""), "{said}");
    std::fs::rename(broker.path("root.key"), broker.keys().join("root.key")).unwrap();
    let again = run_migrate(&folder, None);
    assert!(
        format!("{}{}", again.stdout, again.stderr).contains("kept by redb already"),
        "{}",
        again.stderr
    );
    broker.restart_with(setup("redb"));
    check(&broker.operator(), kept().chain(["LATER".to_owned()]));
    let log = broker
        .operator()
        .get("/v1/audit?action=store.migrate&all=true")
        .expect(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log}");
}

#[test]
fn there_is_nothing_to_move_before_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("broker.toml"),
        "data_dir = \"data\"\nkeys_dir = \"keys\"\n",
    )
    .unwrap();
    let refused = run_migrate(&folder, None);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("there is no store yet"),
        "{}",
        refused.stderr
    );
    assert!(!folder.path().join("data").exists());
}
