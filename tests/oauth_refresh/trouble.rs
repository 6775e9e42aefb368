//! Providers that are away, and clients that they do not take any more.

use serde_json::json;

use crate::harness::connect::{connect_peer, connects, set_client};
use crate::harness::oidc::{Fault, Rotate, Then};
use crate::harness::tools::run;
use crate::{HOUR, SHORT, Stage};

#[test]
fn r9_a_5xx_that_says_invalid_grant_ends_nothing() {
    let stage = Stage::new(Rotate::Always, &[crate::BELIEVED], SHORT);
    let no = json!({"error": "invalid_grant"});
    stage
        .peer
        .fault(&Fault::before("/token", Then::json(500, &no)));
    assert_eq!(stage.refused(503), "token_unavailable");
    assert_eq!(stage.now()["status"], "active");
}

#[test]
fn r11_a_client_secret_that_changed_is_an_admins_matter_and_heals_when_it_is_set() {
    let stage = Stage::new(Rotate::Always, &[], SHORT);
    stage
        .peer
        .change_secret("peer-basic", "another-secret-of-the-client");
    let reply = run(&stage.ann(), "custom-me", None);
    assert_eq!(reply.refused(503), "token_unavailable");
    let hint = reply.value()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("runtools oauth configs"), "{hint}");
    let shown = stage.now();
    assert_eq!(shown["status"], "config_error", "{shown}");
    assert_eq!(shown["reason"], "invalid_client", "{shown}");
    for _ in 0..5 {
        assert_eq!(stage.refused(503), "token_unavailable");
    }
    assert_eq!(stage.refreshes(), 1, "the provider is not asked meanwhile");
    assert!(stage.upstream.seen().is_empty());

    set_client(&stage.broker.operator(), "peer", &stage.peer.basic()).expect(200);
    stage.used();
    let shown = stage.now();
    assert_eq!(shown["status"], "active", "{shown}");
    assert_eq!(shown["reason"], json!(null));
    let asked = stage.peer.granted("refresh_token");
    let refused = asked.iter().filter(|asked| asked.status != Some(200));
    assert_eq!((asked.len(), refused.count()), (2, 1), "{asked:?}");
}

#[test]
fn r11_another_client_id_leaves_what_the_old_one_made_with_the_old_one() {
    let stage = Stage::new(Rotate::Always, &[], SHORT);
    set_client(&stage.broker.operator(), "peer", &stage.peer.post()).expect(200);
    stage.used();
    let asked = stage.peer.granted("refresh_token");
    assert_eq!((asked.len(), asked[0].status), (1, Some(200)));
    // Whoever connects now does so with the new one, also the same account again.
    let bob = stage.broker.member("Bob");
    connects(&bob, "peer", "bob");
    let redeemed = stage.peer.granted("authorization_code");
    let last = redeemed.last().unwrap();
    assert_eq!(last.status, Some(200), "{last:?}");
}

#[test]
fn v4_one_members_disconnecting_leaves_the_other_members_connection_alone() {
    // A file that says that a revocation ends one token, and one that does not say.
    let silent = ("scope = \"token\"\n", "");
    for (changes, upstream, calls) in [(&[][..], "revoked", 1), (&[silent], "shared", 0)] {
        let stage = Stage::new(Rotate::Always, changes, HOUR);
        let token = stage.used();
        let bob = stage.broker.member("Bob");
        let other = connect_peer(&stage.broker, &bob, &stage.peer, "ann");
        assert_ne!(other["id"], stage.connection["id"]);
        let path = format!("/v1/oauth/connections/{}", other["id"].as_str().unwrap());
        assert_eq!(stage.ann().delete(&path).refused(404), "not_found");
        let gone = bob.delete(&path).expect(200);
        assert_eq!(gone["data"]["upstream"], upstream, "{gone}");
        assert_eq!(stage.peer.asked("/token/revocation").len(), calls);
        assert!(stage.peer.is_active(&token));
        assert_eq!(stage.used(), token);
    }
}

#[test]
fn r12_a_refresh_names_no_scopes_unless_the_file_says_so_and_then_no_others() {
    let plain = Stage::new(Rotate::Always, &[], SHORT);
    plain.used();
    assert_eq!(plain.peer.granted("refresh_token")[0].form("scope"), None);

    let told = ("[refresh]", "[refresh]\nsend_scope = true");
    let named = Stage::new(Rotate::Always, &[told], SHORT);
    named.used();
    let asked = named.peer.granted("refresh_token");
    let (again, first) = (asked[0].form("scope"), named.peer.asked("/auth"));
    assert_eq!(again, first[0].query("scope"), "as the person agreed to");
    assert_eq!(asked.len(), 1);
}
