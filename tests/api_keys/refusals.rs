//! When a credential is refused, and what the journal says of it.

use runtools_broker::directory::{Token, TokenKind};
use serde_json::json;

use crate::harness::Broker;
use crate::{make, text};

#[test]
fn a_key_is_refused_in_the_very_next_request_after_it_ended() {
    let broker = Broker::start();
    let operator = broker.operator();
    let revoked = make(&operator, &json!({"name": "revoked"}));
    let client = broker.anonymous().key(text(&revoked));
    client.get("/v1/me").expect(200);
    operator
        .delete(&format!("/v1/api-keys/{}", revoked["id"].as_str().unwrap()))
        .expect(200);
    assert_eq!(client.get("/v1/me").refused(401), "unauthorized");

    let members = "/v1/organizations/current/members";
    let added = operator
        .post(members, &json!({"name": "Ann", "createKey": true}))
        .expect(201);
    let ann = broker
        .anonymous()
        .key(added["data"]["key"].as_str().unwrap());
    let second = broker.anonymous().key(&ann.make_key(&[]));
    second.get("/v1/me").expect(200);
    operator
        .delete(&format!(
            "{members}/{}",
            added["data"]["id"].as_str().unwrap()
        ))
        .expect(200);
    for client in [&ann, &second] {
        assert_eq!(client.get("/v1/me").refused(401), "unauthorized");
    }
    // The organisation's admin sees which key was tried, and why it was refused.
    let log = operator.get("/v1/audit?action=auth.failed").expect(200);
    let reasons: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["decision"]["denied"].clone())
        .collect();
    assert_eq!(
        reasons,
        [
            json!("not_a_member"),
            json!("not_a_member"),
            json!("revoked")
        ],
        "{log}"
    );
    assert_eq!(log["data"][2]["targets"][0]["id"], revoked["id"]);
    assert_eq!(log["data"][2]["peer"], "127.0.0.1");
}

#[test]
fn a_key_comes_in_either_header_and_two_that_differ_are_refused() {
    let broker = Broker::start();
    let key = broker.operator().make_key(&[]);
    let other = broker.operator().make_key(&[]);
    let nobody = broker.anonymous();
    let bearer = format!("Bearer {key}");
    nobody
        .header("authorization", &bearer)
        .get("/v1/me")
        .expect(200);
    nobody
        .header("authorization", &format!("bearer {key}"))
        .get("/v1/me")
        .expect(200);
    nobody
        .key(&key)
        .header("authorization", &bearer)
        .get("/v1/me")
        .expect(200);
    for client in [
        nobody
            .key(&key)
            .header("authorization", &format!("Bearer {other}")),
        nobody.key(&key).header("x-api-key", &other),
        nobody
            .header("authorization", &bearer)
            .header("authorization", &format!("Bearer {other}")),
    ] {
        assert_eq!(client.get("/v1/me").refused(400), "bad_request");
    }
    for client in [
        nobody.clone(),
        nobody.header("authorization", &format!("Basic {key}")),
        nobody.header("authorization", &key),
        nobody.header("authorization", "Bearer"),
        nobody.key(""),
        nobody.key(&format!("{key} ")).header("x-other", "1"),
        nobody.header("cookie", &format!("x-api-key={key}")),
    ] {
        let reply = client.get("/v1/me");
        if reply.status == 200 {
            // Space around a header's value is no part of it (RFC 9110, 5.5).
            continue;
        }
        assert_eq!(reply.refused(401), "unauthorized");
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
    }
    // An address is kept in many places: a key in one is no key, and it is not repeated.
    let asked = nobody.get(&format!("/v1/me?api_key={key}"));
    assert_eq!(asked.refused(400), "bad_request");
    assert!(!String::from_utf8_lossy(&asked.body).contains(&key));
    // A broken checksum is no key, whatever else is right.
    let mut wrong = key.clone();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    assert_eq!(
        nobody.key(&wrong).get("/v1/me").refused(401),
        "unauthorized"
    );
    // What cannot be a key is counted, and not written down one by one.
    let log = broker
        .operator()
        .get("/v1/audit?all=true&action=auth.failed&limit=1")
        .expect(200);
    assert_eq!(log["data"], json!([]));
    let page = broker.operator().get("/metrics").body;
    assert!(
        String::from_utf8(page)
            .unwrap()
            .contains("reason=\"malformed\"")
    );
}

#[test]
fn a_flood_of_bad_keys_is_slowed_down_and_does_not_fill_the_journal() {
    let broker = Broker::start();
    let operator = broker.operator();
    let good = broker.anonymous().key(&operator.make_key(&[]));
    let random = runtools_broker::crypto::SystemRandom;
    let mut slowed = 0;
    for _ in 0..300 {
        let token = Token::generate(TokenKind::Live, &random).unwrap();
        let text = token.into_secret().expose(<[u8]>::to_vec);
        let key = String::from_utf8(text).unwrap();
        let reply = broker.anonymous().key(&key).get("/v1/me");
        slowed += u32::from(reply.status == 429);
    }
    assert!(slowed > 0, "none of 300 was slowed down");
    good.get("/v1/me").expect(200);
    let log = operator
        .get("/v1/audit?all=true&action=auth.failed&limit=500")
        .expect(200);
    let written = u32::try_from(log["data"].as_array().unwrap().len()).unwrap();
    assert_eq!(written, 300 - slowed);
}

#[test]
fn who_fails_too_often_to_be_answered_is_locked_out_all_the_same() {
    let broker = Broker::start();
    let operator = broker.operator();
    let good = operator.make_key(&[]);
    let random = runtools_broker::crypto::SystemRandom;
    let flood = || {
        let token = Token::generate(TokenKind::Live, &random).unwrap();
        let text = token.into_secret().expose(<[u8]>::to_vec);
        let key = String::from_utf8(text).unwrap();
        broker.anonymous().key(&key).get("/v1/me").status
    };
    let guess = format!("{}{}", &good[..12], "x".repeat(34));
    let mut limited = 0;
    for _ in 0..5 {
        while flood() != 429 {}
        let reply = broker.anonymous().key(&guess).get("/v1/me");
        limited += u32::from(reply.status == 429);
    }
    assert!(limited > 0, "no guess was limited");
    let locked = broker.anonymous().key(&good).get("/v1/me");
    assert_eq!(locked.refused(429), "locked_out");
    let found = operator
        .get("/v1/audit?all=true&action=auth.lockout")
        .expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
}

#[test]
fn five_failures_lock_a_credential_at_its_source_and_nothing_else() {
    let broker = Broker::start();
    let operator = broker.operator();
    let good = operator.make_key(&[]);
    let other = operator.make_key(&[]);
    // The same first twelve characters: somebody guesses at this key.
    let guess = format!("{}{}", &good[..12], "x".repeat(34));
    let guesser = broker.anonymous().key(&guess);
    for _ in 0..5 {
        assert_eq!(guesser.get("/v1/me").refused(401), "unauthorized");
    }
    for client in [&guesser, &broker.anonymous().key(&good)] {
        let locked = client.get("/v1/me");
        assert_eq!(locked.refused(429), "locked_out");
        let wait: u64 = locked.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=900).contains(&wait), "{wait}");
    }
    broker.anonymous().key(&other).get("/v1/me").expect(200);
    operator.key(&good).get("/v1/me").expect(200);
    assert_eq!(
        broker.anonymous().get("/v1/me").refused(401),
        "unauthorized"
    );
    let count = |action: &str| {
        let log = operator
            .get(&format!("/v1/audit?all=true&action={action}"))
            .expect(200);
        log["data"].as_array().unwrap().len()
    };
    assert_eq!((count("auth.failed"), count("auth.lockout")), (0, 1));
    assert_eq!(
        broker.admin(&[]).get("/v1/audit?all=true").refused(403),
        "operator_only"
    );
}
