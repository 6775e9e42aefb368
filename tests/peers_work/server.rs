//! The authorization server, with clients and browsers written by hand.

use super::harness::jar::Jar;
use super::harness::oidc::{Rotate, challenge};
use super::*;

#[test]
fn each_client_gets_tokens_for_a_code_and_its_verifier_and_they_tell_whose_they_are() {
    let peer = Peer::start();
    for client in [peer.basic(), peer.post(), peer.native()] {
        peer.forget();
        let tokens = tokens(&peer, &client, "ann");
        for token in ["access_token", "refresh_token", "id_token"] {
            assert!(!text(&tokens[token]).is_empty(), "{token}");
        }
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["expires_in"], 3600);
        assert_eq!(tokens["scope"], SCOPE);
        let person = peer.userinfo(text(&tokens["access_token"])).expect(200);
        assert_eq!(person["sub"], "ann");
        assert_eq!(person["email"], "ann@peer.example");
        let asked = peer.granted("authorization_code");
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].auth, client.auth);
        assert_eq!(
            (asked[0].processed, asked[0].status),
            (Some(200), Some(200))
        );
        assert_eq!(asked[0].form("code_verifier"), Some(VERIFIER));
        let sent = challenge(VERIFIER);
        assert_eq!(peer.asked("/auth")[0].query("code_challenge"), Some(&*sent));
        assert_eq!(peer.asked("/me").len(), 1);
    }
}

#[test]
fn a_code_is_refused_with_another_verifier_and_its_replay_ends_what_it_gave() {
    let peer = Peer::start();
    let client = peer.basic();
    let first = code(&peer, &client, "ann");
    let other = VERIFIER.replace('a', "b");
    refused(
        &redeem(&peer, &client, &first, &other),
        400,
        "invalid_grant",
    );

    let code = code(&peer, &client, "ann");
    let tokens = redeem(&peer, &client, &code, VERIFIER).expect(200);
    assert!(peer.is_active(text(&tokens["refresh_token"])));
    refused(
        &redeem(&peer, &client, &code, VERIFIER),
        400,
        "invalid_grant",
    );
    assert!(!peer.is_active(text(&tokens["refresh_token"])));
    assert!(!peer.is_active(text(&tokens["access_token"])));
}

#[test]
fn a_request_without_a_challenge_or_for_another_address_gives_no_code() {
    let peer = Peer::start();
    let url = peer.authorize_url(&peer.basic(), CALLBACK, SCOPE, "s", VERIFIER);
    let bare = url.replace(&format!("&code_challenge={}", challenge(VERIFIER)), "");
    let bare = bare.replace("&code_challenge_method=S256", "");
    let answer = Jar::new().agree(&bare, "ann", CALLBACK);
    assert_eq!(query(&answer, "error").as_deref(), Some("invalid_request"));
    assert_eq!(query(&answer, "iss"), Some(peer.origin()));
    assert_eq!(query(&answer, "code"), None);

    let elsewhere = url.replace("callback", "callback%2F");
    let page = Jar::new().get(&elsewhere);
    assert_eq!((page.status(), page.location()), (400, None));

    let moved = "http://127.0.0.1:9/moved";
    peer.call_back(&[moved]);
    let url = peer.authorize_url(&peer.basic(), moved, SCOPE, "s", VERIFIER);
    assert!(query(&Jar::new().agree(&url, "ann", moved), "code").is_some());
}

#[test]
fn somebody_who_says_no_comes_back_with_access_denied() {
    let peer = Peer::start();
    let url = peer.authorize_url(&peer.basic(), CALLBACK, SCOPE, "s", VERIFIER);
    let callback = Jar::new().deny(&url, "ann", CALLBACK);
    assert_eq!(query(&callback, "error").as_deref(), Some("access_denied"));
    assert_eq!(query(&callback, "state").as_deref(), Some("s"));
}

#[test]
fn a_refresh_gives_a_new_token_and_the_old_one_used_again_ends_both() {
    let peer = Peer::start();
    let client = peer.basic();
    let first = tokens(&peer, &client, "ann");
    let old = text(&first["refresh_token"]);
    let second = refresh(&peer, &client, old).unwrap().expect(200);
    let new = text(&second["refresh_token"]);
    assert_ne!(old, new);
    refused(&refresh(&peer, &client, old).unwrap(), 400, "invalid_grant");
    refused(&refresh(&peer, &client, new).unwrap(), 400, "invalid_grant");
    assert_eq!(peer.userinfo(text(&second["access_token"])).status, 401);
    assert_eq!(peer.granted("refresh_token").len(), 3);
}

#[test]
fn a_peer_that_does_not_rotate_takes_the_same_token_again_and_may_be_told_to() {
    let peer = Peer::with(PeerSetup {
        rotate: Rotate::Never,
        access_ttl: 7,
        ..PeerSetup::default()
    });
    let client = peer.post();
    let first = tokens(&peer, &client, "ann");
    assert_eq!(first["expires_in"], 7);
    let token = text(&first["refresh_token"]);
    for _ in 0..2 {
        let next = refresh(&peer, &client, token).unwrap().expect(200);
        assert_eq!(next["refresh_token"], token);
    }
    peer.rotate(Rotate::Always);
    peer.lifetimes(11, 100);
    let next = refresh(&peer, &client, token).unwrap().expect(200);
    assert_ne!(next["refresh_token"], token);
    assert_eq!(next["expires_in"], 11);
}

#[test]
fn a_peer_with_a_grace_takes_a_spent_token_until_it_is_over() {
    let peer = Peer::with(PeerSetup {
        access_ttl: 7,
        refreshed_ttl: Some(11),
        grace: 2,
        ..PeerSetup::default()
    });
    let back = "http://127.0.0.1:9/another";
    let client = peer.client_of("peer-graced", CALLBACK);
    peer.call_back(&[back]);
    let first = tokens(&peer, &client, "ann");
    assert_eq!(first["expires_in"], 7);
    let old = text(&first["refresh_token"]);
    for _ in 0..2 {
        let next = refresh(&peer, &client, old).unwrap().expect(200);
        assert_ne!(next["refresh_token"], old);
        assert_eq!(next["expires_in"], 11);
    }
    std::thread::sleep(std::time::Duration::from_millis(2100));
    refused(&refresh(&peer, &client, old).unwrap(), 400, "invalid_grant");
}

#[test]
fn a_token_is_good_for_its_lifetime_and_no_longer() {
    let peer = Peer::with(PeerSetup {
        access_ttl: 1,
        refresh_ttl: 2,
        ..PeerSetup::default()
    });
    let client = peer.basic();
    let tokens = tokens(&peer, &client, "ann");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(peer.userinfo(text(&tokens["access_token"])).status, 401);
    let late = refresh(&peer, &client, text(&tokens["refresh_token"]));
    refused(&late.unwrap(), 400, "invalid_grant");
}

#[test]
fn revoking_answers_200_and_ends_the_grant_and_nonsense_is_200_as_well() {
    let peer = Peer::start();
    let client = peer.basic();
    let tokens = tokens(&peer, &client, "ann");
    let revoke = |token: &str| peer.call(&client, "/token/revocation", &[("token", token)]);
    let reply = revoke(text(&tokens["refresh_token"])).unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(peer.userinfo(text(&tokens["access_token"])).status, 401);
    assert_eq!(revoke("nonsense").unwrap().status, 200);
}

#[test]
fn what_a_person_takes_back_is_gone_and_what_another_granted_is_not() {
    let peer = Peer::start();
    let client = peer.basic();
    let (ann, bob) = (tokens(&peer, &client, "ann"), tokens(&peer, &client, "bob"));
    peer.revoke_all_of("ann");
    let gone = refresh(&peer, &client, text(&ann["refresh_token"])).unwrap();
    refused(&gone, 400, "invalid_grant");
    assert_eq!(peer.userinfo(text(&ann["access_token"])).status, 401);
    peer.userinfo(text(&bob["access_token"])).expect(200);
}

#[test]
fn a_changed_secret_is_asked_for_from_then_on() {
    let peer = Peer::start();
    let before = peer.basic();
    let tokens = tokens(&peer, &before, "ann");
    peer.change_secret(&before.id, "a new secret: 100% + more");
    let token = text(&tokens["refresh_token"]);
    refused(
        &refresh(&peer, &before, token).unwrap(),
        401,
        "invalid_client",
    );
    refresh(&peer, &peer.basic(), token).unwrap().expect(200);
}

#[test]
fn a_device_flow_is_pending_until_somebody_agrees_and_names_no_interval() {
    let peer = Peer::start();
    let client = peer.native();
    let begun = peer
        .call(&client, "/device/auth", &[("scope", SCOPE)])
        .unwrap()
        .expect(200);
    assert_eq!(begun.get("interval"), None);
    assert_eq!(
        begun["verification_uri"],
        format!("{}/device", peer.origin())
    );
    let poll = || {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let params = [
            ("grant_type", grant),
            ("device_code", text(&begun["device_code"])),
        ];
        peer.call(&client, "/token", &params).unwrap()
    };
    refused(&poll(), 400, "authorization_pending");
    let user_code = text(&begun["user_code"]);
    let page = Jar::new().agree_device(text(&begun["verification_uri"]), user_code, "ann");
    assert!(page.text().contains("Sign-in Success"), "{}", page.text());
    let tokens = poll().expect(200);
    let person = peer.userinfo(text(&tokens["access_token"])).expect(200);
    assert_eq!(person["sub"], "ann");
    refused(&poll(), 400, "invalid_grant");
}

#[test]
fn the_peer_tells_every_secret_that_came_or_went() {
    let peer = Peer::start();
    let client = peer.post();
    let code = code(&peer, &client, "ann");
    let tokens = redeem(&peer, &client, &code, VERIFIER).expect(200);
    let secrets = peer.secrets();
    let mut all = vec![&*code, VERIFIER, &*client.secret];
    all.extend(["access_token", "refresh_token", "id_token"].map(|name| text(&tokens[name])));
    for secret in all {
        assert!(secrets.iter().any(|known| known == secret), "{secret}");
    }
}

#[test]
fn a_peer_forgets_nothing_however_much_comes_after_it() {
    let peer = Peer::start();
    let client = peer.basic();
    let first = tokens(&peer, &client, "ann");
    for _ in 0..1100 {
        let begun = peer.call(&client, "/device/auth", &[("scope", "openid")]);
        assert_eq!(begun.unwrap().status, 200);
    }
    let token = text(&first["refresh_token"]);
    refresh(&peer, &client, token).unwrap().expect(200);
    assert_eq!(peer.asked("/device/auth").len(), 1100);
}
