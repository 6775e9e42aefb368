//! A provider that is found by discovery, and that tells accounts by ID tokens (A6).

use serde_json::{Value, json};

use crate::harness::connect::{Stage, connections, text};
use crate::harness::jar::Jar;
use crate::harness::oidc::{Fault, Then};
use crate::harness::{Reply, eventually};

const ELSEWHERE: &str = "http://127.0.0.1:9/elsewhere";
const VERIFIER: &str = "a-verifier-of-forty-three-letters-or-even-more";

#[test]
fn a6_an_account_is_told_by_an_id_token_that_the_issuers_keys_signed_for_this_flow() {
    let stage = Stage::with("peer-discovery", "");
    let mia = stage.broker.member("Mia");
    let flow = stage.start(&mia);
    // Whoever begins is told at once when the issuer cannot be read; here it was, and once.
    assert_eq!(
        stage.peer.asked("/.well-known/openid-configuration").len(),
        1
    );
    let ended = stage.through(&mia, &flow, "mia");
    assert_eq!(ended["status"], "connected", "{ended}");
    assert_eq!(stage.peer.asked("/jwks").len(), 1);
    assert_eq!(stage.peer.asked("/me").len(), 0);
    let left = &stage.peer.asked("/auth")[0];
    assert!(left.query("nonce").is_some());
    assert!(left.query("code_challenge").is_some());
    let made = &connections(&mia)[0];
    assert_eq!(
        (&made["accountId"], &made["account"]),
        (&json!("mia"), &json!("mia"))
    );
    // What was read is kept.
    stage.connect(&mia, "work");
    assert_eq!(stage.peer.asked("/jwks").len(), 1);
    assert_eq!(
        stage.peer.asked("/.well-known/openid-configuration").len(),
        1
    );
    let gone = mia.delete(&format!("/v1/oauth/connections/{}", text(&made["id"])));
    assert_eq!(gone.expect(200)["data"]["upstream"], "revoked");
}

/// Tokens that the peer gave the very same client, though for no flow of ours: everything about them is
/// right but the nonce.
fn tokens_of_another_login(stage: &Stage, nonce: Option<&str>) -> Value {
    let client = stage.peer.basic();
    stage.peer.call_back(&[&stage.back(), ELSEWHERE]);
    let url = stage
        .peer
        .authorize_url(&client, ELSEWHERE, "openid offline_access", "s", VERIFIER);
    let nonce = nonce.map_or_else(String::new, |nonce| format!("&nonce={nonce}"));
    let answer = Jar::new().agree(&format!("{url}{nonce}"), "mallory", ELSEWHERE);
    let code = crate::harness::connect::member(&answer, "code").unwrap();
    let params = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", ELSEWHERE),
        ("code_verifier", VERIFIER),
    ];
    stage
        .peer
        .call(&client, "/token", &params)
        .unwrap()
        .expect(200)
}

/// A flow whose tokens are replaced by these on their way: how it ended.
fn ended_with(stage: &Stage, tokens: &Value) -> Value {
    let mia = stage.broker.member("Mia");
    stage
        .peer
        .fault(&Fault::after("/token", Then::json(200, tokens)));
    let ended = stage.through(&mia, &stage.start(&mia), "mia");
    assert_eq!(connections(&mia), Vec::<Value>::new());
    ended
}

#[test]
fn a6_an_id_token_of_another_login_is_refused_and_its_tokens_are_revoked() {
    let stage = Stage::with("peer-discovery", "");
    for nonce in [None, Some("another-nonce-of-forty-three-letters-or-more")] {
        let theirs = tokens_of_another_login(&stage, nonce);
        assert!(stage.peer.is_active(text(&theirs["refresh_token"])));
        let ended = ended_with(&stage, &theirs);
        assert_eq!(ended["error"], "protocol", "{nonce:?}: {ended}");
        // B14: what was obtained does not lie about.
        eventually(|| (!stage.peer.is_active(text(&theirs["refresh_token"]))).then_some(()));
    }
}

#[test]
fn a6_o1_an_id_token_that_the_issuer_did_not_sign_is_refused() {
    let stage = Stage::with("peer-discovery", "");
    let theirs = tokens_of_another_login(&stage, None);
    let id_token = text(&theirs["id_token"]).to_owned();
    let (signed, signature) = id_token.rsplit_once('.').unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0";
    let hmac = "eyJhbGciOiJIUzI1NiJ9";
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    for forged in [
        format!("{signed}.{flipped}{}", &signature[1..]),
        format!("{signed}."),
        format!("{unsigned}.{claims}."),
        format!("{hmac}.{claims}.{signature}"),
        format!("{head}.{claims}"),
        String::new(),
    ] {
        let mut tokens = theirs.clone();
        tokens["id_token"] = json!(forged);
        let ended = ended_with(&stage, &tokens);
        assert_eq!(ended["status"], "failed", "{forged}: {ended}");
        assert!(
            ["protocol", "no_identity"].contains(&text(&ended["error"])),
            "{forged}: {ended}"
        );
    }
    // Without any it is not said whose account it is.
    let mut tokens = theirs;
    tokens.as_object_mut().unwrap().remove("id_token");
    assert_eq!(ended_with(&stage, &tokens)["error"], "no_identity");
}

#[test]
fn m1_whoever_begins_hears_that_the_issuer_cannot_be_read() {
    let stage = Stage::with("peer-discovery", "");
    let mia = stage.broker.member("Mia");
    let begin = || -> Reply { mia.get("/v1/oauth/start/peer") };
    let page = "/.well-known/openid-configuration";
    let other = json!({
        "issuer": "http://127.0.0.1:1", "authorization_endpoint": "http://127.0.0.1:1/auth",
        "token_endpoint": "http://127.0.0.1:1/token", "jwks_uri": "http://127.0.0.1:1/jwks",
    });
    stage
        .peer
        .fault(&Fault::before(page, Then::json(200, &other)));
    assert_eq!(
        begin().refused(502),
        "issuer_unavailable",
        "another issuer's document"
    );
    stage
        .peer
        .fault(&Fault::before(page, Then::json(500, &json!({}))));
    assert_eq!(begin().refused(502), "issuer_unavailable");
    // A document that never ends, and one that stands elsewhere.
    let own = stage.peer.origin();
    let mut large = json!({
        "issuer": own, "authorization_endpoint": format!("{own}/auth"),
        "token_endpoint": format!("{own}/token"), "jwks_uri": format!("{own}/jwks"),
    });
    large["padding"] = "x".repeat(1024 * 1024).into();
    stage
        .peer
        .fault(&Fault::before(page, Then::json(200, &large)));
    assert_eq!(begin().refused(502), "issuer_unavailable");
    let there = vec![("location", format!("{own}/elsewhere"))];
    let moved = Then::Reply(302, there, String::new());
    stage.peer.fault(&Fault::before(page, moved));
    assert_eq!(begin().refused(502), "issuer_unavailable");
    assert!(stage.peer.asked("/elsewhere").is_empty());
    begin().expect(200);
}
