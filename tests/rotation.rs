//! Keys are replaced while everybody is served, and a kill at any place of it loses nothing.
//!
//! Each place once, and in each engine twenty-five kills at any moment besides; with `RUNTOOLS_SLOW=1` in the
//! environment, a thousand.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

#[path = "rotation/epoch.rs"]
mod epoch;
#[path = "rotation/files.rs"]
mod files;
#[path = "rotation/own.rs"]
mod own;
#[path = "rotation/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use harness::{Broker, Setup, eventually};
use runtools_broker::crypto::{Random, SystemRandom};
use runtools_broker::custody::Ring;
use runtools_broker::failpoint::Failpoint;
use serde_json::json;
use stage::{KILL, Levels, Stage, begin, runtools, setup, status, wait_for_the_end};

/// Where a rotation may be killed: each place, and further on in its pages.
fn places() -> Vec<String> {
    let names = Failpoint::ALL.iter().map(|place| place.name());
    let places = names.filter(|name| name.starts_with("key.rotate."));
    let mut all: Vec<_> = places.map(str::to_owned).collect();
    assert_eq!(all.len(), 10);
    all.push("key.rotate.page@3".to_owned());
    all
}

fn kill_at_every_place(engine: &str) {
    let mut stage = Stage::new(setup(engine));
    let mut levels = Levels::default();
    for level in ["owner", "org"] {
        for place in places() {
            stage.broker.restart_with(Setup {
                failpoint: Some(place.clone().leak()),
                ..setup(engine)
            });
            let body = json!({"level": level});
            stage.until_it_is_gone(|operator| {
                // Its answer may come or not.
                drop(operator.try_send(
                    "POST",
                    "/v1/key-rotation",
                    Some(("application/json", body.to_string().as_bytes())),
                ));
            });
            assert_eq!(stage.died_of(), KILL, "{level}: {place}");
            stage.broker.restart_with(setup(engine));
            stage.check();
            // It goes on by itself.
            let ended = wait_for_the_end(&stage.broker.operator());
            assert_eq!(ended["level"], level, "{place}: {ended}");
            levels.turned(level);
            stage.check();
            assert_eq!(stage.broker.stop(), Some(0));
            levels.are_in(&stage, &place);
        }
    }
    stage.broker.restart();
    stage.check();
    let log = stage.broker.log_text();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_rotation_that_is_killed_at_any_place_under_writers_ends_with_one_key_of_each_in_sled() {
    kill_at_every_place("sled");
}

#[test]
fn a_rotation_that_is_killed_at_any_place_under_writers_ends_with_one_key_of_each_in_redb() {
    kill_at_every_place("redb");
}

#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn rounds() -> usize {
    if std::env::var_os("RUNTOOLS_SLOW").is_some() {
        1000
    } else {
        25
    }
}

/// Short waits more often than long ones: some replacements are over in milliseconds.
fn a_moment() -> Duration {
    let random: &dyn Random = &SystemRandom;
    let [byte] = random.bytes().unwrap();
    Duration::from_micros(u64::from(byte) * u64::from(byte) * 4)
}

fn kill_at_any_moment(engine: &str, rounds: usize) {
    let mut stage = Stage::new(setup(engine));
    let mut levels = Levels::default();
    let root = ("root", "/v1/operator/root-rotation");
    let own = own::LEVELS.map(|(level, path, _)| (level, path));
    let all = [("owner", ""), ("org", ""), root].into_iter().chain(own);
    for (level, path) in all.cycle().take(rounds) {
        let (moment, pid) = (a_moment(), stage.broker.pid().to_string());
        stage.until_it_is_gone(|operator| {
            std::thread::scope(|scope| {
                if path.is_empty() {
                    begin(operator, &json!({"level": level}));
                } else {
                    scope.spawn(|| drop(operator.try_send("POST", path, None)));
                }
                std::thread::sleep(moment);
                let mut kill = std::process::Command::new("kill");
                assert!(kill.args(["-KILL", &pid]).status().unwrap().success());
            });
        });
        assert_eq!(stage.died_of(), KILL);
        stage.broker.restart();
        if path.is_empty() {
            wait_for_the_end(&stage.broker.operator());
            levels.turned(level);
        } else {
            own::ended(&stage, path);
        }
        stage.check();
    }
    assert_eq!(stage.broker.stop(), Some(0));
    levels.are_in(&stage, "any moment");
    files::only_one_of_each(&stage.broker.data(), "any moment");
    println!("{engine}: killed {rounds} times");
}

#[test]
fn every_replacement_of_keys_outlives_kills_at_any_moment_in_sled() {
    kill_at_any_moment("sled", rounds());
}

#[test]
fn every_replacement_of_keys_outlives_kills_at_any_moment_in_redb() {
    kill_at_any_moment("redb", rounds());
}

#[test]
fn a_paused_rotation_waits_through_starts_and_goes_on_when_it_is_resumed() {
    let mut stage = Stage::new(setup("sled"));
    // One that is not over: killed in its first page.
    let paused = eventually(|| {
        stage.broker.restart_with(Setup {
            failpoint: Some("key.rotate.page"),
            ..setup("sled")
        });
        let operator = stage.broker.operator();
        drop(operator.try_send(
            "POST",
            "/v1/key-rotation",
            Some(("application/json", br#"{"level":"owner"}"#)),
        ));
        eventually(|| stage.broker.died_of());
        stage.broker.restart_with(setup("sled"));
        // A start goes on with it within a second.
        let ran = runtools(&stage.broker, &["key", "rotate", "pause", "--json"]);
        (ran.exit == 0).then(|| ran.expect(0))
    });
    assert_eq!(paused["data"]["paused"], true);
    assert_eq!(paused["data"]["phase"], "rewrap");
    let busy = stage
        .broker
        .operator()
        .post("/v1/key-rotation", &json!({"level": "org"}));
    assert_eq!(busy.refused(409), "rotating");
    std::thread::sleep(Duration::from_millis(1500));
    stage.broker.restart();
    std::thread::sleep(Duration::from_millis(1500));
    let found = status(&stage.broker.operator());
    assert_eq!(
        (&found["paused"], &found["phase"]),
        (&json!(true), &json!("rewrap"))
    );
    // Both keys open meanwhile, and what is new is under the new one.
    stage.check();
    let told = runtools(&stage.broker, &["key", "rotate", "status"]);
    assert!(told.stdout.contains("sealing anew"), "{}", told.stdout);
    // Its place in the store is nowhere once names stand in another order.
    let names = stage.broker.runs(&["key", "rotate", "index"], None);
    names.expect(0);
    let resumed = runtools(&stage.broker, &["key", "rotate", "resume"]);
    assert_eq!(resumed.exit, 0, "{}", resumed.stderr);
    assert!(
        resumed.stderr.contains("the keys are replaced"),
        "{}",
        resumed.stderr
    );
    stage.check();
    let over = stage
        .broker
        .operator()
        .send("POST", "/v1/key-rotation/pause", None);
    assert_eq!(over.refused(404), "no_rotation");
    let codes = stage.journal("key.rotate");
    let last: Vec<_> = codes
        .iter()
        .rev()
        .take(5)
        .rev()
        .map(String::as_str)
        .collect();
    assert_eq!(
        last,
        [
            "key.rotate_pause",
            // The one that was refused meanwhile.
            "key.rotate",
            // That of the key of names.
            "key.rotate",
            "key.rotate_resume",
            "key.rotate_finish"
        ]
    );
    // Who hears that it is over may begin another at once.
    let another = runtools(&stage.broker, &["key", "rotate", "org"]);
    assert_eq!(another.exit, 0, "{}", another.stderr);
}

#[test]
fn one_owners_key_is_replaced_alone_and_nobody_elses_is_found() {
    let mut broker = Broker::start();
    let operator = broker.operator();
    let named = |reply: &serde_json::Value| reply["data"]["id"].as_str().unwrap().to_owned();
    let me = named(&operator.get("/v1/me").expect(200));
    let secret = |name: &str, shared: bool| json!({"name": name, "value": "v", "orgWide": shared});
    operator
        .post("/v1/secrets", &secret("OWN", false))
        .expect(201);
    let none = runtools(&broker, &["key", "rotate", "owner", "--shared"]);
    assert_ne!(none.exit, 0, "nothing is shared yet");
    operator
        .post("/v1/secrets", &secret("SHARED", true))
        .expect(201);
    let other = json!({"name": "Acme", "createKey": true});
    let made = operator.post("/v1/organizations", &other).expect(201);
    let acme = broker
        .anonymous()
        .key(made["data"]["key"].as_str().unwrap());
    // Somebody of the other organisation is nobody here.
    let theirs = acme.post(
        "/v1/organizations/current/members",
        &json!({"name": "Ann", "createKey": true}),
    );
    let theirs = theirs.expect(201)["data"].clone();
    let ann = broker.anonymous().key(theirs["key"].as_str().unwrap());
    ann.post("/v1/secrets", &secret("OWN", false)).expect(201);
    let stranger = theirs["userId"].as_str().unwrap();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let [one, other] = [stranger, unknown].map(|user| {
        let body = json!({"level": "owner", "userId": user});
        operator.post("/v1/key-rotation", &body).refused(404)
    });
    assert_eq!(one, other);
    for body in [
        json!({"level": "org", "shared": true}),
        json!({"level": "org", "userId": me}),
        json!({"level": "owner", "userId": me, "shared": true}),
        json!({"level": "root"}),
    ] {
        operator.post("/v1/key-rotation", &body).refused(400);
    }
    assert_eq!(
        ann.post("/v1/key-rotation", &json!({"level": "org"}))
            .refused(403),
        "admin_only"
    );
    let ran = runtools(&broker, &["key", "rotate", "owner", "--user", &me]);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    let ran = runtools(&broker, &["key", "rotate", "owner", "--shared", "--json"]);
    assert_eq!(ran.expect(0)["data"]["phase"], "finished");
    // What one organisation does is not to be seen in another.
    assert_eq!(
        acme.get("/v1/key-rotation").expect(200)["data"]["rotation"],
        json!(null)
    );
    for (client, name, shared) in [
        (&operator, "OWN", false),
        (&operator, "SHARED", true),
        (&ann, "OWN", false),
    ] {
        let path = format!("/v1/secrets/{name}/reveal");
        let revealed = client.post(&path, &json!({"orgWide": shared})).expect(200);
        assert_eq!(revealed["data"]["value"], "v");
    }
    assert_eq!(broker.stop(), Some(0));
    let found = files::generations(&broker.data());
    for (id, version) in [(&*me, 2), ("", 2), (stranger, 1)] {
        assert_eq!(found[id], BTreeSet::from([version]), "{id}");
    }
}

/// Where a replacement of the root key may be killed.
fn root_places() -> Vec<&'static str> {
    let names = Failpoint::ALL.iter().map(|place| place.name());
    let all: Vec<_> = names.filter(|name| name.starts_with("key.root.")).collect();
    assert_eq!(all.len(), 5);
    all
}

fn kill_root(engine: &str) {
    let mut stage = Stage::new(setup(engine));
    let ring = stage.broker.keys().join("root.ring");
    let before = std::fs::read(&ring).unwrap();
    let version = |stage: &Stage| Ring::load(&stage.broker.keys()).unwrap().root().version;
    for place in root_places() {
        stage.broker.restart_with(Setup {
            failpoint: Some(place),
            ..setup(engine)
        });
        stage.until_it_is_gone(|operator| {
            drop(operator.try_send("POST", "/v1/operator/root-rotation", None));
        });
        assert_eq!(stage.died_of(), KILL, "{place}");
        // The key file opens the ring, whichever of the two it is by now, and the ring everything.
        stage.broker.restart_with(setup(engine));
        stage.check();
        // One that waits is ended; where none waits, this is one more.
        let of_ring = version(&stage);
        let ran = (stage.broker).runs(&["key", "rotate", "root", "--json"], None);
        assert_eq!(ran.expect(0)["data"]["version"], of_ring + 1, "{place}");
        assert_eq!(version(&stage), of_ring + 1);
        stage.check();
        assert_eq!(stage.broker.stop(), Some(0));
        stage.broker.restart();
        stage.check();
    }
    // Slots are added and removed as before.
    let added = json!({"kind": "passphrase", "label": "spare", "passphrase": "correct horse battery staple"});
    stage
        .broker
        .operator()
        .post("/v1/operator/slots", &added)
        .expect(201);
    let asked = stage
        .broker
        .runs(&["key", "rotate", "root"], Some("not those words at all\n"));
    assert_ne!(asked.exit, 0, "{}", asked.stderr);
    assert!(asked.stderr.contains("does not open"), "{}", asked.stderr);
    let words = Some("correct horse battery staple\n");
    let ran = stage
        .broker
        .runs(&["key", "rotate", "root", "--json"], words);
    assert_eq!(ran.expect(0)["data"]["version"], version(&stage));
    stage.broker.runs(&["seal"], None);
    let ran = stage.broker.runs(&["unseal"], words);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    stage.check();
    assert_eq!(stage.broker.stop(), Some(0));
    opens_nothing(&mut stage, &ring, &before);
}

#[test]
fn a_root_key_whose_replacement_is_killed_at_any_place_is_replaced_after_the_next_start_in_sled() {
    kill_root("sled");
}

#[test]
fn a_root_key_whose_replacement_is_killed_at_any_place_is_replaced_after_the_next_start_in_redb() {
    kill_root("redb");
}

/// A ring of before opens with its key file, and nothing with it. The broker is stopped, and serves afterwards.
fn opens_nothing(stage: &mut Stage, ring: &Path, before: &[u8]) {
    let now = std::fs::read(ring).unwrap();
    assert_ne!(before, now);
    std::fs::write(ring, before).unwrap();
    let setup = stage.broker.setup();
    stage.broker.restart_with(Setup {
        unready: true,
        ..setup.clone()
    });
    assert_eq!(stage.broker.wait(Duration::from_secs(30)), Some(1));
    std::fs::write(ring, now).unwrap();
    stage.broker.restart_with(setup);
    stage.check();
}
