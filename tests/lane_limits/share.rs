//! How many connections to upstreams one organisation has, and all together.

use serde_json::json;

use crate::harness::{Client, eventually};
use crate::lanes::origin::Origin;
use crate::lanes::set::Set;
use crate::lanes::wire::Wire;
use crate::lanes::{Came, Handle, LANES, Lane, Wish, egress, resolve};
use crate::stage::{Stage, text, tool};
use crate::{EVENTS, stream};

/// An admin of another organisation, their key, and a handle for the same tool.
fn elsewhere(set: &Set) -> (Client, String, Handle) {
    let (stage, port) = (&set.stage, set.origin.port());
    let body = json!({"name": "Elsewhere", "createKey": true});
    let made = stage.operator().post("/v1/organizations", &body);
    let key = made.expect(201)["data"]["key"].as_str().unwrap().to_owned();
    let admin = stage.broker.anonymous().key(&key);
    stage.secret_of(
        &admin,
        "KEY",
        "a-value-of-another-organisations",
        &json!({}),
    );
    stage.install(&admin, &tool("custom-x", port));
    let handle = resolve(stage, &admin, "custom-x", &json!({}));
    (admin, key, handle)
}

/// Asks for `url` in every lane; what each came to.
fn all(stage: &Stage, client: &Client, handle: &Handle, url: &str) -> Vec<Came> {
    let sent = LANES.map(|lane| lane.send(stage, client, &handle.text, &Wish::get(url)));
    sent.to_vec()
}

#[test]
fn an_organisation_has_its_share_of_upstream_connections_and_leaves_the_others_theirs() {
    let settings = "egress.connections = 3\negress.connections_per_org = 2";
    let set = Set::on(Stage::within(settings));
    let (stage, origin) = (&set.stage, &set.origin);
    let (admin, key, theirs) = elsewhere(&set);
    let url = format!("http://127.0.0.1:{}/run", origin.port());
    let mut open = vec![stream(&set), stream(&set)];
    let once = json!({"maxUses": 1});
    let handle = resolve(stage, &set.admin, "custom-x", &once);
    for came in all(stage, &set.admin, &handle, &url) {
        assert_eq!(
            (came.status, &*came.code),
            (429, "egress_share"),
            "{came:?}"
        );
    }
    // A declared action has no more of it.
    let ran = stage.run(
        &set.admin,
        "custom-x",
        &json!({"credentialOverrides": {"apiKey": "KEY"}}),
    );
    assert!(text(&ran).contains("egress_share"), "{}", text(&ran));
    assert_eq!(origin.accepted(), 2, "nothing was dialled");
    let entry = stage.journal("broker.exchange").swap_remove(0);
    assert_eq!(entry["decision"]["denied"], "egress_share", "{entry}");
    // Another organisation's call goes on, as far as there is room at all.
    let other = streaming(&set, origin, &key, &theirs);
    for came in all(stage, &admin, &theirs, &url) {
        assert_eq!((came.status, &*came.code), (503, "egress_busy"), "{came:?}");
    }
    assert_eq!(origin.accepted(), 3);
    // What was refused has cost no use, and goes once a stream has ended.
    drop((open.pop(), other));
    let body = json!({"handle": handle.text, "method": "GET", "url": url});
    let client = set.admin.clone();
    let asking = std::thread::spawn(move || {
        eventually(|| {
            let reply = client.post("/v1/execute", &body);
            (![429, 503].contains(&reply.status)).then_some(reply)
        })
    });
    let mut served = origin.next();
    served.write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    asking.join().unwrap().expect(200);
    let spent = Lane::Execute.send(stage, &set.admin, &handle.text, &Wish::get(&url));
    assert_eq!(spent.code, "handle_spent", "{spent:?}");
    set.stage.finish();
}

/// A stream of another organisation's: the caller's end, and the upstream's.
fn streaming(
    set: &Set,
    origin: &Origin,
    key: &str,
    handle: &Handle,
) -> (Wire, crate::lanes::origin::Served) {
    let url = format!("http://127.0.0.1:{}/run", origin.port());
    let lines = [format!("X-RunTools-Handle: {}", handle.text)];
    let first = format!("GET {}", egress(&url));
    let mut client = Wire::open(&set.stage.broker, key, &first, &lines);
    let mut served = origin.next();
    served.write(EVENTS).unwrap();
    client.until("\r\n\r\n");
    (client, served)
}
