//! A root key that is replaced under slots which take people: each lends what opens theirs, and keeps it.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::fs;

use harness::memory::occurrences;
use harness::shared::{set, value};
use harness::terminal::at_terminal;
use harness::{Broker, eventually};
use runtools_broker::custody::Ring;
use serde_json::{Value, json};

const ANN: &str = "correct horse battery staple of ann";
const BOB: &str = "correct horse battery staple of bob";
const SHRED: &str = "/v1/operator/shred";

/// A broker with a secret, whose ring opens by what three of five people have, by Ann and by Bob, and by no file.
/// With it, the shares.
fn of_people() -> (Broker, Vec<String>) {
    let broker = Broker::start();
    set(&broker.operator(), "KEPT", "what is kept");
    let add = "key slot add shares --label board --json --shares 5 --threshold 3";
    let add: Vec<&str> = add.split(' ').collect();
    let added = broker.runs(&add, None).expect(0);
    for (label, words) in [("ann", ANN), ("bob", BOB)] {
        let add = ["key", "slot", "add", "passphrase", "--label", label];
        broker.runs(&add, Some(words)).expect(0);
    }
    let remove = ["key", "slot", "remove", "key-file", "--yes"];
    broker.runs(&remove, None).expect(0);
    fs::remove_file(broker.keys().join("root.key")).unwrap();
    let dealt = added["data"]["dealt"].as_array().unwrap().iter();
    let shares = dealt.map(|it| it.as_str().unwrap().to_owned()).collect();
    (broker, shares)
}

fn version(broker: &Broker) -> u32 {
    Ring::load(&broker.keys()).unwrap().root().version
}

fn lent(broker: &Broker) -> Vec<String> {
    let slots = broker.operator().get("/v1/operator/slots").expect(200);
    let slots = slots["data"].as_array().unwrap().iter();
    let lent = slots.filter(|slot| slot["lent"] == true);
    lent.map(|slot| slot["label"].as_str().unwrap().to_owned())
        .collect()
}

/// Whether the value is there after the broker was started again and unsealed by `words`.
fn opens_by(broker: &mut Broker, words: &str) {
    assert_eq!(broker.stop(), Some(0));
    broker.restart();
    assert_eq!(broker.operator().get("/v1/secrets").refused(503), "sealed");
    broker.runs(&["unseal"], Some(words)).expect(0);
    let found = value(&broker.operator(), "KEPT");
    assert_eq!(found.as_deref(), Some("what is kept"));
}

#[test]
fn a_root_key_is_replaced_under_shares_and_passphrases_and_each_opens_the_next_as_before() {
    let (mut broker, shares) = of_people();
    let operator = broker.operator();
    let rotate = |input: Option<&str>| broker.runs(&["key", "rotate", "root"], input);
    let route = "/v1/operator/root-rotation";
    assert_eq!(operator.send("POST", route, None).refused(409), "slot_away");

    // One after the other, each from a session of their own; nothing is begun before all are there.
    let first = rotate(Some(&shares[4]));
    first.expect(0);
    for words in [
        "1 of 3 shares are there",
        "(shares, board) is not lent yet",
        "(passphrase, bob) is not lent yet",
        "nothing is begun yet",
    ] {
        assert!(first.stderr.contains(words), "{words}: {}", first.stderr);
    }
    let lend = |slot: &str, input: &str| broker.runs(&["key", "slot", "lend", slot], Some(input));
    let wrong = lend("bob", ANN);
    assert_ne!(wrong.exit, 0);
    assert!(wrong.stderr.contains("does not open"), "{}", wrong.stderr);
    lend("bob", BOB).expect(0);
    lend("board", &shares[0]).expect(0);
    assert_eq!(lent(&broker), ["bob"]);
    let board = lend("board", &shares[2]);
    assert!(board.stderr.contains("is lent"), "{}", board.stderr);
    assert_eq!(lent(&broker), ["board", "bob"]);
    assert_eq!(operator.send("POST", route, None).refused(409), "slot_away");
    assert_eq!(version(&broker), 1);
    for given in [&shares[0], &shares[4], BOB] {
        // What was given is not kept; the last of an answer is wiped when its connection is.
        eventually(|| (occurrences(broker.pid(), given.as_bytes()) == 0).then_some(()));
    }
    let last = rotate(Some(ANN));
    last.expect(0);
    assert!(
        last.stderr.contains("root key 2 is in every slot"),
        "{}",
        last.stderr
    );
    assert_eq!((version(&broker), lent(&broker).len()), (2, 0));
    let log = operator
        .get("/v1/audit?all=true&action=key.slot_lend")
        .expect(200);
    let decisions = log["data"].as_array().unwrap().iter();
    let denied = decisions.filter(|entry| entry.to_string().contains("wrong_passphrase"));
    assert_eq!(
        (denied.count(), log["data"].as_array().unwrap().len()),
        (1, 4)
    );

    // Nobody was dealt or told anything anew.
    opens_by(&mut broker, &shares[..3].join("\n"));
    opens_by(&mut broker, ANN);
    opens_by(&mut broker, BOB);

    // At once, where somebody pipes all of it in: passphrases in the order of the slots.
    let all = [&shares[1..4].join("\n"), ANN, BOB].join("\n");
    broker
        .runs(&["key", "rotate", "root"], Some(&all))
        .expect(0);
    assert_eq!(version(&broker), 3);
    // And at a terminal.
    let (config, socket) = (broker.path("broker.toml"), broker.socket());
    let command = [
        Broker::binary(),
        "--config",
        config.to_str().unwrap(),
        "--socket",
        socket.to_str().unwrap(),
        "key",
        "rotate",
        "root",
    ];
    let steps = [
        ("share: ", shares[3].as_str()),
        ("share: ", &shares[1]),
        ("share: ", &shares[4]),
        ("passphrase of slot ann: ", ANN),
        ("passphrase of slot bob: ", BOB),
    ];
    let (said, exit) = at_terminal(broker.folder().path(), &command, &steps);
    assert_eq!(exit, 0, "{said}");
    assert_eq!(version(&broker), 4);
    opens_by(&mut broker, &shares[2..].join("\n"));
}

#[test]
fn what_was_lent_is_forgotten_when_somebody_says_so_and_when_the_vault_is_sealed() {
    let (broker, shares) = of_people();
    let lend = |slot: &str, input: &str| broker.runs(&["key", "slot", "lend", slot], Some(input));
    lend("ann", ANN).expect(0);
    lend("board", &shares[..2].join("\n")).expect(0);
    assert_eq!(lent(&broker), ["ann"]);
    // Somebody takes it back.
    broker.runs(&["unseal", "--forget"], None).expect(0);
    assert!(lent(&broker).is_empty());
    lend("ann", ANN).expect(0);
    let anew = lend("board", &shares[..2].join("\n"));
    assert!(anew.stderr.contains("2 of 3"), "{}", anew.stderr);
    broker.runs(&["seal", "--yes"], None).expect(0);
    assert!(lent(&broker).is_empty());
    let sealed = lend("ann", ANN);
    assert!(sealed.stderr.contains("sealed"), "{}", sealed.stderr);
    broker.runs(&["unseal"], Some(BOB)).expect(0);
    let anew = lend("board", &shares[2]);
    assert!(anew.stderr.contains("1 of 3"), "{}", anew.stderr);
    assert!(lent(&broker).is_empty());
}

#[test]
fn a_key_file_that_lies_elsewhere_is_lent_by_its_path() {
    let broker = Broker::start();
    let elsewhere = broker.keys().join("spare.key");
    let path = elsewhere.display().to_string();
    let add = [
        "key", "slot", "add", "key-file", "--label", "spare", "--path", &path,
    ];
    broker.runs(&add, None).expect(0);
    let away = broker.runs(&["key", "rotate", "root"], None);
    assert_ne!(away.exit, 0);
    assert!(away.stderr.contains("key slot lend"), "{}", away.stderr);
    let lend = ["key", "slot", "lend", "spare", "--path", &path];
    broker.runs(&lend, None).expect(0);
    broker.runs(&["key", "rotate", "root"], None).expect(0);
    assert_eq!(version(&broker), 2);
    let test = ["key", "slot", "test", "spare", "--path", &path];
    broker.runs(&test, None).expect(0);
}

fn shredded(broker: &Broker) -> Value {
    broker.operator().get(SHRED).expect(200)["data"].clone()
}

/// The codes that the journal has of shreddings, newest first: of what was reached.
fn levels(broker: &Broker) -> Vec<Value> {
    let log = broker
        .operator()
        .get("/v1/audit?all=true&action=vault.shred");
    let log = log.expect(200);
    let entries = log["data"].as_array().unwrap().iter();
    let code = |entry: &Value| match &entry["outcome"]["code"] {
        Value::Null => entry["code"].clone(),
        code => code.clone(),
    };
    entries.map(code).collect()
}

#[test]
fn a_shredding_reaches_provider_when_the_last_slot_of_that_day_is_replaced() {
    let (mut broker, shares) = of_people();
    let all = [&shares[..3].join("\n"), ANN, BOB].join("\n");
    let done = broker.runs(&["shred", "--json"], Some(&all)).expect(0);
    assert_eq!(done["data"]["level"], "database", "{done}");
    eventually(|| (levels(&broker) == [json!("database")]).then_some(()));
    // As its own words say, one slot after the other, over a start.
    let add = "key slot add passphrase --label carol".split(' ');
    let add: Vec<&str> = add.collect();
    let carol = "correct horse battery staple of carol";
    broker.runs(&add, Some(carol)).expect(0);
    for (gone, left) in [("ann", 2), ("board", 1)] {
        let remove = ["key", "slot", "remove", gone, "--yes"];
        broker.runs(&remove, None).expect(0);
        opens_by(&mut broker, carol);
        let shown = shredded(&broker);
        assert_eq!(
            (&shown["state"], &shown["level"]),
            (&json!("done"), &json!("database"))
        );
        let slots = shown["slots"].as_array().unwrap().iter();
        let todo: Vec<_> = slots.filter(|slot| slot["renewed"] == false).collect();
        assert_eq!(todo.len(), left, "{shown}");
        assert!(todo.iter().all(|slot| slot["todo"].is_string()), "{shown}");
        assert_eq!(shown["goneBefore"], Value::Null);
    }
    let remove = ["key", "slot", "remove", "bob", "--yes"];
    broker.runs(&remove, None).expect(0);
    let whole = shredded(&broker);
    assert_eq!(whole["level"], "provider", "{whole}");
    assert!(whole["goneBefore"].is_string(), "{whole}");
    assert_eq!(levels(&broker), ["provider", "database"]);
    opens_by(&mut broker, carol);
    let told = broker.runs(&["shred", "--status"], None);
    assert!(
        told.stderr.contains("level reached: provider"),
        "{}",
        told.stderr
    );
    // The next one begins anew, and takes nothing of that back.
    let next = broker.runs(&["shred", "--json"], Some(carol)).expect(0);
    assert_eq!(next["data"]["level"], "database", "{next}");
    assert_eq!(next["data"]["goneBefore"], whole["goneBefore"], "{next}");
}
