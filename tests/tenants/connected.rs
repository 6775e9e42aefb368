//! Connected accounts of two organisations with one provider between them, and with one person who is an
//! admin of both: what the one organisation has is to the other as if it were not there.

use serde_json::{Value, json};

use crate::harness::connect::{Flow, Stage, connections, set_client, text, ticket_of};
use crate::harness::jar::Jar;
use crate::harness::tools::{install, run, tool};
use crate::harness::{Client, Reply, Upstream, eventually};
use crate::{NO_FLOW, NO_ID, told};

/// What the other organisation has, besides its admin.
struct Theirs {
    admin: Client,
    connection: String,
    /// Nobody looked at it yet.
    waiting: Flow,
    /// Its answer is there, and its ticket is known.
    returned: (Flow, String),
    /// Of a device flow that is under way.
    attempt: String,
}

fn theirs(stage: &Stage) -> Theirs {
    let body = json!({"name": "Acme", "createKey": true});
    let made = stage.admin.post("/v1/organizations", &body).expect(201);
    let admin = stage.broker.anonymous().key(text(&made["data"]["key"]));
    set_client(&admin, "peer", &stage.peer.basic()).expect(200);
    let connection = stage.connect(&admin, "acme");
    let waiting = stage.start(&admin);
    let flow = stage.start(&admin);
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, &flow, "acme");
    let ticket = ticket_of(&jar.get(&answer).location().unwrap());
    let started = admin.post("/v1/oauth/device/start/peer", &json!({}));
    let attempt = text(&started.expect(200)["data"]["attemptToken"]).to_owned();
    Theirs {
        admin,
        connection,
        waiting,
        returned: (flow, ticket),
        attempt,
    }
}

/// Another of the same form.
fn unlike(token: &str) -> String {
    token.chars().rev().collect()
}

#[track_caller]
fn same(what: &str, theirs: &Reply, unknown: &Reply) {
    assert!(theirs.status >= 400, "{what}: {}", theirs.status);
    assert_eq!(told(theirs), told(unknown), "{what}");
}

#[test]
fn what_another_organisation_connected_is_answered_as_what_is_not_there() {
    let stage = Stage::open();
    let upstream = Upstream::echo();
    install(
        &stage.admin,
        &tool("custom-me", upstream.port(), "peer", &[]),
    );
    let acme = theirs(&stage);
    let before = snapshot(&acme);
    let bob = stage.broker.member("Bob");
    // The operator is one person in both organisations.
    let callers = [
        (&stage.admin, "the same person"),
        (&stage.broker.admin(&[]), "an admin"),
        (&bob, "a member"),
    ];
    for (caller, who) in callers {
        of_connections(caller, who, &acme);
        of_flows(caller, who, &acme);
        of_attempts(caller, who, &acme);
    }
    assert_eq!(snapshot(&acme), before, "nothing of theirs was touched");
    stage.calls(1);

    // Here nobody has an account, whoever has one there.
    for caller in [&stage.admin, &bob] {
        let refused = run(caller, "custom-me", None);
        assert_eq!(refused.refused(409), "needs_connect");
        let status = caller.get("/v1/oauth/status/peer").expect(200)["data"].clone();
        assert_eq!(
            (&status["connected"], &status["accounts"]),
            (&json!(false), &json!(0))
        );
    }
    lists_hold_ones_own(&stage, &acme);
    // There, all goes on.
    let (flow, ticket) = &acme.returned;
    let ended = flow.finish(&acme.admin, ticket).expect(200)["data"].clone();
    assert_eq!(ended["connectionId"], acme.connection, "{ended}");
    let attempt = json!({"attemptToken": acme.attempt});
    let path = "/v1/oauth/device/cancel/peer";
    acme.admin.post(path, &attempt).expect(200);
}

fn of_connections(caller: &Client, who: &str, acme: &Theirs) {
    let ask = |id: &str| -> Vec<(&'static str, Reply)> {
        let path = format!("/v1/oauth/connections/{id}");
        let named = |account: &str| json!({"action": "run", "account": account});
        vec![
            (
                "default",
                caller.send("POST", &format!("{path}/default"), None),
            ),
            ("disconnect", caller.delete(&path)),
            (
                "reconnect",
                caller.get(&format!("/v1/oauth/start/peer?reconnect={id}")),
            ),
            (
                "reconnect by device",
                caller.post("/v1/oauth/device/start/peer", &json!({"reconnect": id})),
            ),
            (
                "execute",
                caller.post("/v1/tools/custom-me/execute", &named(id)),
            ),
        ]
    };
    for (theirs, unknown) in ask(&acme.connection).iter().zip(ask(NO_ID)) {
        same(&format!("{} by {who}", theirs.0), &theirs.1, &unknown.1);
    }
    // Nor by the account's name.
    let [theirs, unknown] = ["acme", "none"].map(|name| run(caller, "custom-me", Some(name)));
    same(&format!("execute by name by {who}"), &theirs, &unknown);
    let explained = |account: &str| {
        let body = json!({"account": account});
        let reply = caller.post("/v1/tools/custom-me/explain", &body);
        reply.expect(200)["data"]["fields"].clone()
    };
    for name in [acme.connection.as_str(), "acme"] {
        assert_eq!(explained(name), explained(NO_ID), "{who}");
    }
}

fn of_flows(caller: &Client, who: &str, acme: &Theirs) {
    for (flow, ticket) in [(&acme.waiting, "x"), (&acme.returned.0, &acme.returned.1)] {
        let path = |id: &str| format!("/v1/oauth/flows/{id}");
        let (theirs, none) = (path(&flow.id), path(NO_FLOW));
        let finish = |path: &str| {
            let ticket = json!({ "ticket": ticket });
            caller.post(&format!("{path}/finish"), &ticket)
        };
        same(
            &format!("look by {who}"),
            &caller.get(&theirs),
            &caller.get(&none),
        );
        same(
            &format!("finish by {who}"),
            &finish(&theirs),
            &finish(&none),
        );
        same(
            &format!("cancel by {who}"),
            &caller.delete(&theirs),
            &caller.delete(&none),
        );
    }
}

fn of_attempts(caller: &Client, who: &str, acme: &Theirs) {
    for verb in ["status", "cancel"] {
        let ask = |token: &str| {
            let path = format!("/v1/oauth/device/{verb}/peer");
            caller.post(&path, &json!({"attemptToken": token}))
        };
        let (theirs, unknown) = (ask(&acme.attempt), ask(&unlike(&acme.attempt)));
        same(&format!("{verb} by {who}"), &theirs, &unknown);
    }
}

/// How everything stands, for their own admin.
fn snapshot(acme: &Theirs) -> Value {
    let attempt = json!({"attemptToken": acme.attempt});
    let asked = acme.admin.post("/v1/oauth/device/status/peer", &attempt);
    json!([
        connections(&acme.admin),
        acme.waiting.seen(&acme.admin),
        acme.returned.0.seen(&acme.admin),
        asked.expect(200)["data"]["status"],
    ])
}

fn lists_hold_ones_own(stage: &Stage, acme: &Theirs) {
    let mine = stage.connect(&stage.admin, "mine");
    for (admin, id) in [(&stage.admin, &mine), (&acme.admin, &acme.connection)] {
        let path = format!("/v1/oauth/connections/{id}/default");
        admin.send("POST", &path, None).expect(200);
    }
    // The operator may look further than an admin.
    let admin = stage.broker.admin(&[]);
    for path in [
        "/v1/oauth/connections",
        "/v1/oauth/connections?all=true",
        "/v1/oauth/connections?provider=peer",
        "/v1/audit?limit=500",
    ] {
        let (ours, theirs) = (admin.get(path), acme.admin.get(path));
        let text = |reply: &Reply| String::from_utf8(reply.body.clone()).unwrap();
        assert!(text(&ours).contains(&mine), "{path}");
        assert!(!text(&ours).contains(&acme.connection), "{path}");
        assert!(text(&theirs).contains(&acme.connection), "{path}");
        assert!(!text(&theirs).contains(&mine), "{path}");
    }
    // A client that one organisation takes away, the other has still.
    stage.admin.delete("/v1/oauth/configs/peer").expect(200);
    let configs = acme.admin.get("/v1/oauth/configs").expect(200);
    assert_eq!(configs["data"][0]["clientId"], stage.peer.basic().id);
    // Forgetting one's own account leaves theirs alive, at the provider as well.
    let gone = stage.admin.delete(&format!("/v1/oauth/connections/{mine}"));
    assert_eq!(gone.expect(200)["data"]["upstream"], "revoked");
    eventually(|| (connections(&stage.admin).is_empty()).then_some(()));
    assert_eq!(connections(&acme.admin)[0]["status"], "active");
}
