//! Several accounts of one provider: further ones, the default, the same again, another in its place,
//! less than was asked for, and the end.

use serde_json::{Value, json};

use crate::harness::Client;
use crate::harness::connect::{Flow, Stage, TERMINAL, connections, start, text};
use crate::harness::eventually;
use crate::harness::jar::Jar;
use crate::harness::oidc::{Fault, Peer, Then};

/// What a caller sees of one connection.
#[track_caller]
fn one(client: &Client, id: &str) -> Value {
    let all = connections(client);
    let found = all.iter().find(|seen| seen["id"] == id);
    found
        .unwrap_or_else(|| panic!("{id} is not there: {all:?}"))
        .clone()
}

/// Begins a flow with more in its query.
fn with(client: &Client, more: &str) -> Flow {
    start(client, "peer", &format!("redirect_uri={TERMINAL}&{more}"))
}

/// Waits until the peer was asked to revoke so many tokens.
#[track_caller]
fn revoked(stage: &Stage, count: usize) {
    eventually(|| (stage.peer.asked("/token/revocation").len() >= count).then_some(()));
    let asked = stage.peer.asked("/token/revocation");
    assert_eq!(asked.len(), count, "{asked:?}");
    assert!(
        asked.iter().all(|asked| asked.status == Some(200)),
        "{asked:?}"
    );
}

/// Of whom tokens live at the peer, an access and a refresh token each.
fn living(stage: &Stage) -> Vec<String> {
    let by = stage.peer.basic();
    let of = |token: &String| {
        let answer = stage
            .peer
            .call(&by, "/token/introspection", &[("token", token)]);
        // An ID token is none that it would speak of.
        let answer = answer.unwrap().value();
        (answer["active"] == true).then(|| text(&answer["sub"]).to_owned())
    };
    let mut living: Vec<_> = stage.peer.secrets().iter().filter_map(of).collect();
    living.sort();
    living
}

#[test]
fn a_second_account_stands_beside_the_first_and_either_is_the_default() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let first = stage.connect(&mia, "mia");
    let ended = stage.through(&mia, &with(&mia, "another=true"), "work");
    let second = text(&ended["connectionId"]).to_owned();
    assert_ne!(first, second);
    // The person chooses which account: the peer's word for it.
    let asked = stage.peer.asked("/auth");
    assert_eq!(asked.len(), 2);
    assert_eq!(one(&mia, &first)["isDefault"], true);
    assert_eq!(one(&mia, &second)["isDefault"], false);
    let status = |client: &Client| client.get("/v1/oauth/status/peer").expect(200)["data"].clone();
    assert_eq!(status(&mia)["accounts"], 2);
    assert_eq!(status(&mia)["connection"]["account"], "mia");

    let path = format!("/v1/oauth/connections/{second}/default");
    let chosen = mia.send("POST", &path, None).expect(200)["data"].clone();
    assert_eq!(chosen["isDefault"], true);
    assert_eq!(one(&mia, &first)["isDefault"], false);
    assert_eq!(status(&mia)["connection"]["account"], "work");

    // Nobody else's, to anybody else.
    let noa = stage.broker.member("Noa");
    assert_eq!(connections(&noa), Vec::<Value>::new());
    assert_eq!(noa.send("POST", &path, None).refused(404), "not_found");
    let gone = noa.delete(&format!("/v1/oauth/connections/{second}"));
    assert_eq!(gone.refused(404), "not_found");
    let again = noa.get(&format!("/v1/oauth/start/peer?reconnect={second}"));
    assert_eq!(again.refused(404), "not_found");
    // The same account of another member is a connection of its own.
    stage.connect(&noa, "mia");
    assert_eq!(connections(&noa).len(), 1);
    assert_eq!(connections(&mia).len(), 2);
}

#[test]
fn the_same_account_again_is_the_same_connection_with_a_new_grant() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let id = stage.connect(&mia, "mia");
    let before = one(&mia, &id);
    stage.connect(&mia, "mia");
    let ended = stage.through(&mia, &with(&mia, &format!("reconnect={id}")), "mia");
    assert_eq!(
        (&ended["status"], &ended["connectionId"]),
        (&json!("connected"), &json!(id))
    );
    let after = connections(&mia);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["createdAt"], before["createdAt"]);
    assert_eq!(after[0]["isDefault"], true);
    assert!(text(&after[0]["refreshedAt"]) > text(&before["refreshedAt"]));
    stage.calls(3);
}

#[test]
fn b13_another_account_than_the_one_to_be_connected_again_changes_nothing() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let id = stage.connect(&mia, "mia");
    let before = connections(&mia);
    let ended = stage.through(&mia, &with(&mia, &format!("reconnect={id}")), "other");
    assert_eq!(
        (&ended["status"], &ended["error"]),
        (&json!("failed"), &json!("account_mismatch"))
    );
    assert_eq!(ended["connectionId"], Value::Null);
    assert_eq!(connections(&mia), before);
    // What was just granted is taken back at the peer, and nothing else is.
    revoked(&stage, 1);
    assert_eq!(living(&stage), ["mia", "mia"]);
    // Nor does an account that is there already stand in for another that is.
    let second = stage.connect(&mia, "work");
    let ended = stage.through(&mia, &with(&mia, &format!("reconnect={id}")), "work");
    assert_eq!(ended["error"], "account_mismatch");
    revoked(&stage, 2);
    assert_eq!(living(&stage), ["mia", "mia", "work", "work"]);
    let all = connections(&mia);
    assert_eq!(all.len(), 2);
    assert_eq!(
        (&one(&mia, &id)["account"], &one(&mia, &second)["account"]),
        (&json!("mia"), &json!("work"))
    );
}

#[test]
fn b12_less_than_is_required_makes_a_limited_connection_that_says_what_is_missing() {
    let peer = Peer::start();
    let file = peer.provider_file("peer", "peer");
    let file = file.replace(
        "required = [\"openid\", \"read\"]",
        "required = [\"openid\", \"billing\"]",
    );
    // The peer knows no such scope, and grants the rest without a word.
    let stage = Stage::of(peer, &[("peer", file)], "");
    let mia = stage.broker.member("Mia");
    let mut jar = Jar::new();
    let flow = start(&mia, "peer", "");
    let page = jar.get(&flow.page);
    assert!(page.text().contains("billing"));
    let left = jar.submit(&page, &[("code", flow.code.as_deref().unwrap())]);
    let answer = jar.agree(left.location().unwrap().as_str(), "mia", &stage.back());
    let end = jar.open(&answer);
    assert!(
        end.text().contains("with limits") && end.text().contains("billing"),
        "{}",
        end.words()
    );
    let seen = flow.seen(&mia);
    assert_eq!(
        (&seen["status"], &seen["missingScopes"]),
        (&json!("connected"), &json!(["billing"]))
    );
    let made = one(&mia, text(&seen["connectionId"]));
    assert_eq!(
        (&made["status"], &made["missingScopes"]),
        (&json!("limited"), &json!(["billing"]))
    );
    assert!(
        !made["scopes"]
            .as_array()
            .unwrap()
            .contains(&json!("billing"))
    );
    let status = mia.get("/v1/oauth/status/peer").expect(200);
    assert_eq!(status["data"]["connected"], true);
}

#[test]
fn v2_v3_a_connection_is_forgotten_here_and_revoked_at_the_peer_and_the_answer_tells_both() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let (first, second) = (stage.connect(&mia, "mia"), stage.connect(&mia, "work"));
    assert_eq!(living(&stage), ["mia", "mia", "work", "work"]);
    let path = format!("/v1/oauth/connections/{first}");
    let gone = mia.delete(&path).expect(200);
    assert_eq!(
        gone["data"],
        json!({"success": true, "upstream": "revoked"})
    );
    assert_eq!(living(&stage), ["work", "work"]);
    // The one that is left is the default.
    assert_eq!(connections(&mia).len(), 1);
    assert_eq!(one(&mia, &second)["isDefault"], true);
    assert_eq!(mia.delete(&path).refused(404), "not_found");

    // Here it is gone whatever the provider says.
    let busy = Then::Reply(503, vec![("retry-after", "3600".into())], String::new());
    stage.peer.fault(&Fault::before("/token/revocation", busy));
    let gone = mia
        .delete(&format!("/v1/oauth/connections/{second}"))
        .expect(200);
    assert_eq!(
        gone["data"],
        json!({"success": true, "upstream": "pending"})
    );
    assert_eq!(connections(&mia), Vec::<Value>::new());
    assert_eq!(living(&stage), ["work", "work"]);
    let status = mia.get("/v1/oauth/status/peer").expect(200)["data"].clone();
    assert_eq!(
        (&status["connected"], &status["accounts"]),
        (&json!(false), &json!(0))
    );
}

#[test]
fn v1_the_refresh_token_is_revoked_first_and_the_access_token_dies_with_it() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let id = stage.connect(&mia, "mia");
    let secrets = stage.peer.secrets();
    let lives = |token: &str| stage.peer.userinfo(token).status;
    let access = secrets.iter().find(|secret| lives(secret) == 200);
    let access = access.expect("one of them is the access token");
    let refresh = secrets
        .iter()
        .find(|secret| !secret.contains('.') && *secret != access && stage.peer.is_active(secret));
    let refresh = refresh.expect("one of them is the refresh token");
    let gone = mia.delete(&format!("/v1/oauth/connections/{id}"));
    assert_eq!(gone.expect(200)["data"]["upstream"], "revoked");
    let asked = &stage.peer.asked("/token/revocation")[0];
    assert_eq!(asked.form("token"), Some(&**refresh));
    assert_eq!(asked.form("token_type_hint"), Some("refresh_token"));
    assert_eq!((&*asked.auth, asked.query.len()), ("basic", 0));
    assert_eq!(lives(access), 401);
    assert!(!stage.peer.is_active(refresh));
}

#[test]
fn an_admin_sees_and_ends_what_a_member_connected() {
    let stage = Stage::open();
    let (mia, noa) = (stage.broker.member("Mia"), stage.broker.member("Noa"));
    let id = stage.connect(&mia, "mia");
    assert_eq!(
        noa.get("/v1/oauth/connections?all=true").refused(403),
        "admin_only"
    );
    let all = stage
        .admin
        .get("/v1/oauth/connections?all=true")
        .expect(200);
    assert_eq!(all["data"][0]["id"], id);
    assert_eq!(connections(&stage.admin), Vec::<Value>::new());
    let path = format!("/v1/oauth/connections/{id}");
    let chosen = stage.admin.send("POST", &format!("{path}/default"), None);
    assert!(
        chosen.status >= 400,
        "only its owner chooses: {}",
        chosen.status
    );
    let gone = stage.admin.delete(&path).expect(200);
    assert_eq!(gone["data"]["upstream"], "revoked");
    assert_eq!(connections(&mia), Vec::<Value>::new());
    assert_eq!(living(&stage), Vec::<String>::new());
}

#[test]
fn a8_connecting_again_asks_for_all_that_was_asked_for_before() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let ended = stage.through(&mia, &with(&mia, "scopes=write"), "mia");
    let id = text(&ended["connectionId"]).to_owned();
    let writes = || {
        let scopes = one(&mia, &id)["scopes"].clone();
        scopes.as_array().unwrap().contains(&json!("write"))
    };
    assert!(writes());
    // The hint of a connection that must be made again names no scopes; nor does whoever suggests its account.
    for more in [format!("reconnect={id}"), "login_hint=mia".to_owned()] {
        let ended = stage.through(&mia, &with(&mia, &more), "mia");
        assert_eq!(ended["connectionId"], id.as_str(), "{more}");
        assert!(writes(), "{more}");
    }
}
