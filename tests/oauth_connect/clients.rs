//! Whose client a flow asks with.

use crate::harness::Upstream;
use crate::harness::connect::{self, Stage, TERMINAL, connections, text};
use crate::harness::oidc::Peer;
use crate::harness::tools::{install, runs, tool};
use serde_json::json;

#[test]
fn an_admin_sets_the_client_in_either_spelling_and_its_secret_is_never_told() {
    let peer = Peer::start();
    let broker = connect::broker(&[("peer", peer.provider_file("peer", "peer"))], "");
    let (admin, member) = (broker.operator(), broker.member("Mia"));
    let client = peer.basic();
    let refused = member.get("/v1/oauth/start/peer");
    assert_eq!(refused.refused(409), "provider_not_configured");
    let hint = refused.value()["error"]["hint"].to_string();
    for command in ["oauth configs set peer", "oauth-client set peer"] {
        assert!(hint.contains(command), "{hint}");
    }
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
    let all = ids("?details=true&all=true");
    let shop = all.iter().find(|one| one["id"] == "shopify").unwrap();
    assert_eq!(shop["categories"], json!(["commerce"]));
    assert_eq!(shop["sunset"]["date"], "2027-01-01");
    let unknown = member.get("/v1/oauth/start/no-such").refused(404);
    assert_eq!(unknown, "no_such_provider");
    let github = member.get("/v1/oauth/start/github").refused(409);
    assert_eq!(github, "provider_not_configured");
}

#[test]
fn a_secret_that_is_left_out_empty_or_called_unchanged_stays_and_a_first_one_is_needed() {
    let peer = Peer::start();
    let broker = connect::broker(&[("peer", peer.provider_file("peer", "peer"))], "");
    let (admin, member) = (broker.operator(), broker.member("Mia"));
    let client = peer.basic();
    let without = json!({"provider": "peer", "clientId": client.id});
    let kept = ["", "unchanged"].map(|secret| {
        let mut body = without.clone();
        body["clientSecret"] = secret.into();
        body
    });
    let kept = [&without, &kept[0], &kept[1]];
    for body in kept {
        let refused = admin.post("/v1/oauth/configs", body);
        assert_eq!(refused.refused(400), "client_secret_needed", "{body}");
    }
    connect::set_client(&admin, "peer", &client).expect(200);
    for body in kept {
        let set = admin.post("/v1/oauth/configs", body).expect(200)["data"].clone();
        assert_eq!(set["hasSecret"], true, "{body}");
    }
    // Of another client nothing is known that could stay.
    let mut other = without.clone();
    other["clientId"] = "another-client".into();
    let refused = admin.post("/v1/oauth/configs", &other);
    assert_eq!(refused.refused(400), "client_secret_needed");
    // And what stayed is the secret: the provider takes it.
    peer.call_back(&[&connect::back(&broker, "peer")]);
    let stage = Stage {
        broker,
        peer,
        admin,
    };
    stage.connect(&member, "mia");
}

#[test]
fn a8_scopes_that_nobody_could_ask_for_are_refused_when_the_client_is_set() {
    let peer = Peer::start();
    let broker = connect::broker(&[("peer", peer.provider_file("peer", "peer"))], "");
    let admin = broker.operator();
    let client = peer.basic();
    let body = |scopes: &str| {
        json!({
            "provider": "peer", "clientId": client.id, "clientSecret": client.secret,
            "scopes": scopes,
        })
    };
    let shared = "/v1/operator/oauth-clients";
    let refused = admin.post(shared, &body("write admin"));
    assert_eq!(refused.refused(400), "bad_scope");
    assert_eq!(
        admin.get(shared).expect(200)["data"],
        json!([]),
        "nothing was set"
    );
    admin.post(shared, &body("write")).expect(200);
    // A client of the organisation's own may ask for more, but for no text that is no scope.
    admin
        .post("/v1/oauth/configs", &body("write admin"))
        .expect(200);
    let refused = admin.post("/v1/oauth/configs", &body("a\"b"));
    assert_eq!(refused.refused(400), "bad_scope");
}

#[test]
fn a_client_that_is_not_there_is_said_to_be_none() {
    let peer = Peer::start();
    let broker = connect::broker(&[("peer", peer.provider_file("peer", "peer"))], "");
    let admin = broker.operator();
    for (path, list) in [
        ("/v1/oauth/configs/peer", "runtools oauth configs list"),
        (
            "/v1/operator/oauth-clients/peer",
            "runtools-broker oauth-client list",
        ),
    ] {
        let refused = admin.delete(path);
        assert_eq!(refused.refused(404), "no_such_client");
        let hint = refused.value()["error"]["hint"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(hint.contains(list), "{hint}");
    }
}

/// Redeems, refreshes and revokes by a client of one kind: as the peer was proved to each time.
fn proves_itself(template: &str, way: &str) {
    let peer = Peer::start();
    let client = match way {
        "basic" => peer.basic(),
        "post" => peer.post(),
        _ => peer.native(),
    };
    let file = peer.provider_file(template, "peer");
    let broker = connect::broker(&[("peer", file)], "");
    peer.call_back(&[&connect::back(&broker, "peer")]);
    let admin = broker.operator();
    let config = if client.secret.is_empty() {
        json!({"provider": "peer", "clientId": client.id, "public": true})
    } else {
        json!({"provider": "peer", "clientId": client.id, "clientSecret": client.secret})
    };
    admin.post("/v1/oauth/configs", &config).expect(200);
    let stage = Stage {
        broker,
        peer,
        admin,
    };
    let upstream = Upstream::echo();
    install(
        &stage.admin,
        &tool("custom-me", upstream.port(), "peer", &["read"]),
    );
    let mia = stage.broker.member("Mia");
    stage.peer.lifetimes(1, 86_400);
    let id = stage.connect(&mia, "mia");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(runs(&mia, "custom-me")["success"], true);
    let gone = mia.delete(&format!("/v1/oauth/connections/{id}"));
    assert_eq!(gone.expect(200)["data"]["upstream"], "revoked", "{way}");

    let asked = |path: &str| stage.peer.asked(path);
    let (tokens, revoked) = (asked("/token"), asked("/token/revocation"));
    let grants: Vec<_> = tokens
        .iter()
        .map(|asked| asked.form("grant_type"))
        .collect();
    assert_eq!(
        grants,
        [Some("authorization_code"), Some("refresh_token")],
        "{way}"
    );
    assert!(!revoked.is_empty(), "{way}");
    for asked in tokens.iter().chain(&revoked) {
        assert_eq!((&*asked.auth, asked.status), (way, Some(200)), "{asked:?}");
        assert!(asked.query.is_empty(), "{asked:?}");
    }
    if !client.secret.is_empty() {
        let everything = format!("{:?}", stage.peer.log());
        let times = everything.matches(&client.secret).count();
        let wanted = if way == "post" { 2 + revoked.len() } else { 0 };
        assert_eq!(times, wanted, "once in each body, and in no URL: {way}");
    }
}

#[test]
fn t1_a_client_proves_itself_in_one_way_the_one_that_its_file_says() {
    std::thread::scope(|scope| {
        for (template, way) in [
            ("peer", "basic"),
            ("peer-post", "post"),
            ("peer-native", "none"),
        ] {
            scope.spawn(move || proves_itself(template, way));
        }
    });
}

/// RFC 6749, A.1 and A.2, allow visible ASCII and the space; the server refuses anything else.
#[test]
fn t2_a_client_id_and_secret_of_every_awkward_character_reach_the_server_whole() {
    let (id, secret) = ("cli:ent %41+id &=?/", "s:e%c+r e&t=\"\\%zz;,~");
    for (template, auth) in [("peer", "basic"), ("peer-post", "post")] {
        let peer = Peer::start();
        let broker = connect::broker(&[("peer", peer.provider_file(template, "peer"))], "");
        let (admin, member) = (broker.operator(), broker.member("Mia"));
        let client = peer.add_client(id, secret, auth);
        peer.call_back(&[&connect::back(&broker, "peer")]);
        connect::set_client(&admin, "peer", &client).expect(200);
        let stage = Stage {
            broker,
            peer,
            admin,
        };
        let made = stage.connect(&member, "mia");
        let asked = stage.peer.granted("authorization_code");
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].auth, auth);
        // It proves itself again to revoke.
        let gone = member.delete(&format!("/v1/oauth/connections/{made}"));
        assert_eq!(gone.expect(200)["data"]["upstream"], "revoked", "{auth}");
    }
}
