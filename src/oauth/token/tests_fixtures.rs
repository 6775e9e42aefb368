//! Every shipped file against its recorded answers: what is read out of them is what they hold.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::tests_rig::{bound, each, json as json_reply, now, recorded, shown};
use super::{
    Class, Subject, TokenReply, Tokens, Told, classify, read_account, read_identity, read_tokens,
};
use crate::oauth::provider::Bound;
use crate::oauth::provider::spec::IdentitySource;

/// A set of tokens in the words of a fixture.
fn told(tokens: &Tokens) -> Map<String, Value> {
    let left = |end: Option<crate::clock::Timestamp>| {
        end.map_or(Value::Null, |end| json!(end.millis_since(now()) / 1000))
    };
    let pairs = [
        ("access", json!(shown(&tokens.access))),
        ("refresh", json!(tokens.refresh.as_ref().map(shown))),
        ("expires_in", left(tokens.expires_at)),
    ];
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// An answer in the words of a fixture.
fn in_words(reply: &TokenReply, before: &Bound) -> Value {
    let main = &reply.main;
    let mut words = told(main);
    let end = main.refresh_expires_at;
    let left = end.map(|end| end.millis_since(now()) / 1000);
    words.insert("refresh_expires_in".to_owned(), json!(left));
    words.insert("scope".to_owned(), json!(main.scopes));
    let secondary: BTreeMap<_, _> = reply
        .secondary
        .iter()
        .map(|(name, tokens)| (name, told(tokens)))
        .collect();
    words.insert("secondary".to_owned(), json!(secondary));
    let mut meta = reply.bound.meta().clone();
    meta.retain(|name, _| !before.meta().contains_key(name));
    words.insert("meta".to_owned(), json!(meta));
    Value::Object(words)
}

/// Scopes that nobody told are written in both ways.
fn expected(answer: &Value) -> Value {
    let mut expected = answer["expect"].clone();
    if expected["scope"] == json!([]) {
        expected["scope"] = Value::Null;
    }
    expected
}

#[test]
fn every_recorded_answer_is_read_as_it_says() {
    let mut read = 0;
    each(|rig, fixture| {
        let id = rig.provider.id();
        let begun = bound(&rig.provider, fixture, false);
        let hops = fixture["exchange"].as_array().into_iter().flatten();
        let hops = hops
            .enumerate()
            .map(|(hop, answer)| (Subject::Exchange(hop), answer));
        let answers = [
            (Subject::Token, &fixture["token"]),
            (Subject::Refresh, &fixture["refresh"]),
        ];
        for (subject, answer) in answers.into_iter().chain(hops) {
            if answer.is_null() {
                continue;
            }
            let reply = recorded(answer);
            let tokens = read_tokens(&rig.provider, &begun, &reply, subject, now());
            let tokens = tokens.unwrap_or_else(|error| panic!("{id}: {subject:?}: {error}"));
            let words = in_words(&tokens, &begun);
            assert_eq!(words, expected(answer), "{id}: {subject:?}");
            read += 1;
        }
    });
    assert!(read > 100, "only {read} answers were read");
}

#[test]
fn every_recorded_error_means_what_it_says() {
    let mut read = 0;
    each(|rig, fixture| {
        let id = rig.provider.id();
        for answer in fixture["errors"].as_array().into_iter().flatten() {
            let subject = match answer["during"].as_str() {
                Some("token") => Subject::Token,
                Some("refresh") => Subject::Refresh,
                other => panic!("{id}: {other:?}"),
            };
            let reply = recorded(answer);
            let tokens = read_tokens(&rig.provider, &rig.bound, &reply, subject, now());
            assert!(tokens.is_err(), "T6, {id}: {answer}");
            let reply = &reply;
            let told = Told::Reply { reply, subject };
            let verdict = classify(&rig.provider, told, now());
            let class = match verdict.class {
                Class::Transient if verdict.rate_limited => "rate_limited",
                class => class.as_str(),
            };
            let code = verdict.code.as_ref().map(super::Code::as_str);
            let words = json!({"class": class, "code": code});
            assert_eq!(words, answer["expect"], "{id}: {answer}");
            read += 1;
        }
    });
    assert!(read > 200, "only {read} errors were read");
}

#[test]
fn every_recorded_account_is_the_one_that_it_says() {
    each(|rig, fixture| {
        let id = rig.provider.id();
        let source = rig.provider.spec().identity.as_ref().unwrap().source;
        let account = match source {
            IdentitySource::Request => {
                let reply = json_reply(200, &fixture["identity"]["body"]);
                read_identity(&rig.provider, &reply).map(|(account, _)| account)
            }
            IdentitySource::IdToken => {
                read_account(&rig.provider, &fixture["identity"]["id_token"])
            }
            IdentitySource::TokenResponse => {
                let (provider, reply) = (&rig.provider, recorded(&fixture["token"]));
                let tokens = read_tokens(provider, &rig.bound, &reply, Subject::Token, now());
                read_account(provider, tokens.unwrap().document.value())
            }
            IdentitySource::Callback => read_account(&rig.provider, &fixture["callback"]),
        };
        let account = account.unwrap_or_else(|error| panic!("{id}: {error}"));
        let words = json!({"id": account.id, "name": account.name, "email": account.email});
        assert_eq!(words, fixture["identity"]["expect"], "{id}");
    });
}
