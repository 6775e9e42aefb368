//! Whatever a provider answers: nothing panics, and no token could break a header.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::Value;

use super::tests_rig::{Rig, now, read, read_as, secret, shown};
use super::{Expected, Proof, Reply, Subject, check_id_token};

/// Any JSON, often with the members that matter.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\r\n\t -~]{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("access_token".to_owned()),
        Just("refresh_token".to_owned()),
        Just("expires_in".to_owned()),
        Just("scope".to_owned()),
        Just("token_type".to_owned()),
        Just("authed_user".to_owned()),
        Just("error".to_owned()),
        Just("ok".to_owned()),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..7)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn t7_no_answer_panics_and_every_token_could_stand_in_a_header(
        body in any_json(),
        id in prop_oneof![Just("google"), Just("slack"), Just("instagram"), Just("square")],
    ) {
        if let Ok(tokens) = read(id, &body) {
            let sets = tokens.secondary.iter().map(|(_, set)| set).chain([&tokens.main]);
            for set in sets {
                let held = [Some(&set.access), set.refresh.as_ref(), set.id_token.as_ref()];
                for token in held.into_iter().flatten() {
                    let text = shown(token);
                    prop_assert!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
                }
                prop_assert!(set.expires_at.is_none_or(|end| end >= now()));
            }
        }
    }

    #[test]
    fn t7_no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), status in 100_u16..1000) {
        let reply = Reply::new(status, &http::HeaderMap::new(), body);
        let rig = Rig::shipped("google");
        if read_as(&rig, &reply).is_err() {
            let told = super::Told::Reply { reply: &reply, subject: Subject::Refresh };
            let code = super::classify(&rig.provider, told, now()).code;
            prop_assert!(code.is_none_or(|code| code.as_str().len() <= 64));
        }
    }

    #[test]
    fn t10_no_random_token_is_kept_as_a_code(token in "[A-Za-z0-9_-]{32,80}|[0-9a-f]{32,64}|[A-Z2-7]{26,52}") {
        let body = serde_json::json!({"error": token});
        let reply = super::tests_rig::json(400, &body);
        let told = super::Told::Reply { reply: &reply, subject: Subject::Refresh };
        let provider = Rig::shipped("google").provider;
        prop_assert_eq!(super::classify(&provider, told, now()).code, None);
    }

    #[test]
    fn o1_no_text_panics_as_an_id_token(
        header in any_json(),
        claims in any_json(),
        rest in prop_oneof!["[A-Za-z0-9_-]{0,20}", "\\PC{0,20}"],
    ) {
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let good = BASE64URL_NOPAD.encode(br#"{"alg":"ES256"}"#);
        let expected = Expected {
            issuer: "https://a.example",
            client_id: "a",
            nonce: None,
            access_token: None,
            now: now(),
        };
        for token in [
            format!("{}.{}.{rest}", encode(&header), encode(&claims)),
            format!("{good}.{}.{rest}", encode(&claims)),
            rest.clone(),
        ] {
            let refused = check_id_token(&secret(&token), Proof::Direct, &expected);
            prop_assert!(refused.is_err());
        }
    }
}
