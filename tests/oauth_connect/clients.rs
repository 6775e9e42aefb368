//! Whose client a flow asks with.

use crate::harness::connect::{self, Stage, TERMINAL, connections, text};
use crate::harness::oidc::Peer;
use serde_json::json;

#[test]
fn an_admin_sets_the_client_in_either_spelling_and_its_secret_is_never_told() {
    let peer = Peer::start();
    let broker = connect::broker(&[("peer", peer.provider_file("peer", "peer"))], "");
    let (admin, member) = (broker.operator(), broker.member("Mia"));
    let client = peer.basic();
    let refused = member.get("/v1/oauth/start/peer").refused(409);
    assert_eq!(refused, "provider_not_configured");
    let camel =
        json!({"provider": "peer", "clientId": client.id, "clientSecret": "an-older-secret"});
    let snake = json!({"provider": "peer", "client_id": client.id, "client_secret": client.secret});
    assert_eq!(
        member.post("/v1/oauth/configs", &snake).refused(403),
        "admin_only"
    );
    let first = admin.post("/v1/oauth/configs", &camel).expect(200)["data"].clone();
    let back = format!("{}/v1/oauth/callback/peer", broker.origin());
    assert_eq!(first["redirectUri"], back);
    assert_eq!(first["hasSecret"], true);
    let second = admin.post("/v1/oauth/configs", &snake).expect(200)["data"].clone();
    assert_eq!(second["createdAt"], first["createdAt"]);
    let listed = admin.get("/v1/oauth/configs");
    assert_eq!(listed.value()["data"], json!([second]));
    let told = String::from_utf8(listed.body).unwrap();
    assert!(!told.contains(&client.secret) && !told.contains("an-older-secret"));

    // The last secret counts; a change of something else leaves it.
    peer.call_back(&[&back]);
    let scopes = json!({"provider": "peer", "clientId": client.id, "clientSecret": "unchanged", "scopes": "write"});
    admin.post("/v1/oauth/configs", &scopes).expect(200);
    let stage = Stage {
        broker,
        peer,
        admin,
    };
    stage.connect(&member, "mia");
    let made = &connections(&member)[0];
    assert_eq!(made["client"], "organization");
    assert!(made["scopes"].as_array().unwrap().contains(&json!("write")));
}

#[test]
fn an_organisation_without_a_client_uses_the_operators() {
    let peer = Peer::start();
    let broker = connect::broker(&[("peer", peer.provider_file("peer-post", "peer"))], "");
    let (operator, member) = (broker.operator(), broker.member("Mia"));
    let client = peer.post();
    let body = json!({"provider": "peer", "client_id": client.id, "client_secret": client.secret});
    let path = "/v1/operator/oauth-clients";
    assert_eq!(
        broker.admin(&[]).post(path, &body).refused(403),
        "operator_only"
    );
    operator.post(path, &body).expect(200);
    peer.call_back(&[&connect::back(&broker, "peer")]);
    let stage = Stage {
        admin: operator,
        broker,
        peer,
    };
    let made = stage.connect(&member, "mia");
    let seen = &connections(&member)[0];
    assert_eq!(
        (text(&seen["id"]), &seen["client"]),
        (&*made, &json!("instance"))
    );
    // T1: the file says how a client proves itself, and no other way is tried.
    let asked = stage.peer.granted("authorization_code");
    assert_eq!(asked[0].auth, "post");
    // A8: more than the file lists takes a client of the organisation's own.
    let beyond = format!("/v1/oauth/start/peer?redirect_uri={TERMINAL}&scopes=admin");
    assert_eq!(member.get(&beyond).refused(400), "bad_scope");
    connect::set_client(&stage.admin, "peer", &stage.peer.post()).expect(200);
    member.get(&beyond).expect(200);

    // What an organisation's own client leaves, the operator's takes up again.
    stage.admin.delete("/v1/oauth/configs/peer").expect(200);
    assert_eq!(member.get(&beyond).refused(400), "bad_scope");
    stage.admin.delete(&format!("{path}/peer")).expect(200);
    let refused = member.get("/v1/oauth/start/peer").refused(409);
    assert_eq!(refused, "provider_not_configured");
    assert_eq!(connections(&member).len(), 1);
}

#[test]
fn providers_are_listed_with_whether_they_can_be_used() {
    let peer = Peer::start();
    let broker = connect::broker(&[("peer", peer.provider_file("peer", "peer"))], "");
    let member = broker.member("Mia");
    let ids = |query: &str| {
        let list = member
            .get(&format!("/v1/oauth/providers{query}"))
            .expect(200);
        list["data"].as_array().unwrap().clone()
    };
    assert_eq!(ids(""), Vec::<serde_json::Value>::new());
    connect::set_client(&broker.operator(), "peer", &peer.basic()).expect(200);
    assert_eq!(ids(""), [json!("peer")]);
    assert!(ids("?all=true").contains(&json!("github")));
    let details = ids("?details=true");
    assert_eq!(details[0]["displayName"], "Peer");
    assert_eq!(details[0]["configured"], true);
    assert_eq!(details[0]["client"], "organization");
    assert_eq!(details[0]["scopes"]["write"], "Write");
    let unknown = member.get("/v1/oauth/start/no-such").refused(404);
    assert_eq!(unknown, "no_such_provider");
    let github = member.get("/v1/oauth/start/github").refused(409);
    assert_eq!(github, "provider_not_configured");
}
