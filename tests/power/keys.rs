//! The power goes while keys are replaced: each key is there in one generation once the broker has started again,
//! nobody's value is lost, and no key is another one without a record of who asked for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use runtools_broker::custody::{KEY_FILE, Provider, Ring};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::check::{head, journal, verify};
use crate::files::{generations, only_one_of_each};
use crate::harness::shared::{set, value};
use crate::harness::{Broker, Client, eventually};
use crate::recording::{Moment, named, record};
use crate::setup;

/// Values from before.
const KEPT: usize = 6;
/// Cuts where time is short.
const CUTS: usize = 8;

/// What was asked for meanwhile: each by its request.
struct Done {
    head: u64,
    /// Ids of those who own something; that of what is shared is empty.
    owners: [String; 2],
    org: String,
    /// Of an owner's keys, the organisation's, the root key, the key of what belongs to nobody, the journal's, and
    /// that of the names on disk.
    turned: [String; 6],
    /// Values, by their names.
    written: Vec<(String, String)>,
}

struct Prepared {
    head: u64,
    owners: [String; 2],
    org: String,
}

fn prepare(broker: &mut Broker) -> Prepared {
    let operator = broker.operator();
    for n in 0..KEPT {
        set(&operator, &format!("KEPT_{n}"), "kept through all of it");
    }
    let own = json!({"name": "OWN", "value": "of one person"});
    operator.post("/v1/secrets", &own).expect(201);
    let id = |path: &str| {
        let found = operator.get(path).expect(200);
        found["data"]["id"].as_str().unwrap().to_owned()
    };
    Prepared {
        head: head(&operator),
        owners: [String::new(), id("/v1/me")],
        org: id("/v1/organizations/current"),
    }
}

/// The state of the replacement that walks through records, once it is over or there never was one.
fn walked(operator: &Client) -> Value {
    eventually(|| {
        let found = operator.get("/v1/key-rotation").expect(200)["data"]["rotation"].clone();
        (found.is_null() || found["phase"] == "finished").then_some(found)
    })
}

fn turn(operator: &Client, level: &str) -> String {
    let (client, request) = named(operator);
    if ["owner", "org"].contains(&level) {
        let begun = client.post("/v1/key-rotation", &json!({"level": level}));
        begun.expect(201);
        walked(operator);
    } else {
        let path = format!("/v1/operator/{level}-rotation");
        client.send("POST", &path, None).expect(200);
        copied(operator);
    }
    request
}

/// The store stands in the files that it is to stand in.
fn copied(operator: &Client) {
    eventually(|| {
        let store = operator.get("/v1/operator/store").expect(200);
        (store["data"]["compaction"]["state"] != "running").then_some(())
    });
}

fn replace_all(broker: &Broker, prepared: Prepared) -> Done {
    let operator = broker.operator();
    let mut written = Vec::new();
    let turned = ["owner", "org", "root", "state", "audit", "index"].map(|level| {
        let (client, request) = named(&operator);
        let name = format!("BEFORE_{}", level.to_uppercase());
        let body = json!({"name": name, "value": level, "orgWide": true});
        client.post("/v1/secrets", &body).expect(201);
        written.push((request, name));
        turn(&operator, level)
    });
    let Prepared { head, owners, org } = prepared;
    Done {
        head,
        owners,
        org,
        turned,
        written,
    }
}

/// What is written of one key: that it is another one only if somebody asked, and is if they heard so.
struct Turned<'l> {
    version: u64,
    heard: bool,
    recorded: bool,
    what: &'l str,
}

impl Turned<'_> {
    fn is_sound(&self) {
        let Self {
            version,
            heard,
            recorded,
            what,
        } = self;
        assert!(matches!(version, 1 | 2), "{what}: {version}");
        assert!(*version == 2 || !heard, "{what}: acknowledged and lost");
        assert!(*version == 1 || *recorded, "{what}: unrecorded");
    }
}

/// Ends what was cut short, or begins one more where nothing was: the key's number.
fn ends(operator: &Client, level: &str) -> u64 {
    let path = format!("/v1/operator/{level}-rotation");
    let ended =
        eventually(|| Some(operator.send("POST", &path, None)).filter(|it| it.status == 200));
    ended.value()["data"]["version"]
        .as_u64()
        .unwrap_or_default()
}

fn look(engine: &str, folder: Arc<TempDir>, moment: &Moment<'_>, done: &Done) {
    let mut broker = Broker::over(folder, setup(engine));
    let operator = broker.operator();
    // What was cut short goes on by itself; of the root key, whoever asks meanwhile waits for it.
    walked(&operator);
    let ring = || Ring::load(&broker.keys()).unwrap();
    let root = u64::from(ring().root().version);
    let again = ends(&operator, "root");
    assert!(again == root || again == root + 1, "{again} after {root}");
    ends(&operator, "state");
    ends(&operator, "audit");
    ends(&operator, "index");
    copied(&operator);
    for n in 0..KEPT {
        let kept = value(&operator, &format!("KEPT_{n}"));
        assert_eq!(kept.as_deref(), Some("kept through all of it"));
    }
    let own = operator.post("/v1/secrets/OWN/reveal", &json!({}));
    assert_eq!(own.expect(200)["data"]["value"], "of one person");
    let requests = journal(&operator, done.head);
    for (request, name) in &done.written {
        let there = value(&operator, name).is_some();
        assert!(there || !moment.heard(request), "lost: {name}");
        assert!(!there || requests.contains(request), "unrecorded: {name}");
    }
    verify(&operator);
    let key_file = broker.keys().join(KEY_FILE);
    ring().open(Provider::KeyFile(&key_file)).unwrap();
    assert_eq!(broker.stop(), Some(0), "{}", broker.log_text());

    let data = broker.data();
    only_one_of_each(&data, "a cut");
    let found = generations(&data);
    let [owner, org, of_root, ..] = &done.turned;
    let turned = |request: &String, version: u64, what| Turned {
        version,
        heard: moment.heard(request),
        recorded: requests.contains(request),
        what,
    };
    let only = |id: &String| -> u32 {
        let versions: &BTreeSet<u32> = &found[id];
        assert_eq!(versions.len(), 1, "{id}: {versions:?}");
        versions.first().copied().unwrap()
    };
    for id in &done.owners {
        turned(owner, only(id).into(), "owner").is_sound();
    }
    turned(org, only(&done.org).into(), "organisation").is_sound();
    turned(of_root, root, "root").is_sound();
}

fn cut_the_power(engine: &str) {
    let recorded = record(&|_| setup(engine), &prepare, &replace_all);
    let done = &recorded.done;
    let written = done.written.iter().map(|(request, _)| request);
    for request in done.turned.iter().chain(written) {
        recorded.was_answered(request);
    }
    recorded.cut(&format!("{engine}, keys"), CUTS, &|folder, moment| {
        look(engine, folder, moment, done);
    });
}

#[test]
fn sled_keeps_one_generation_of_each_key() {
    cut_the_power("sled");
}

#[test]
fn redb_keeps_one_generation_of_each_key() {
    cut_the_power("redb");
}
