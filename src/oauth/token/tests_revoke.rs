//! Revoking: what is called, in which order, and what came of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::tests_rig::{ID, PLAIN, Received, Rig, SECRET, each, json as answer, now, reply};
use super::{
    NoReply, Reply, Revocation, Standing, Subject, Told, read_revocation, revoke_requests,
    revokes_alone,
};
use crate::oauth::provider::spec::ClientAuth;

/// The calls of a provider: step, fallback, and the request.
fn calls(rig: &Rig, standing: Standing) -> Vec<(usize, bool, Received)> {
    let requests = revoke_requests(&rig.via(), &rig.held(), standing).unwrap();
    let all = requests
        .iter()
        .map(|call| (call.step, call.fallback, Received::of(&call.prepared)));
    all.collect()
}

fn outcome(id: &str, reply: &Reply) -> Revocation {
    let subject = Subject::Revoke;
    let told = Told::Reply { reply, subject };
    read_revocation(&Rig::shipped(id).provider, 0, told, now())
}

#[test]
fn every_providers_calls_carry_a_token_over_https_and_the_secret_once_at_most() {
    each(|rig, _| {
        let id = rig.provider.id();
        let steps = &rig.provider.spec().revoke;
        let rig = Rig::of(rig.provider.clone(), rig.bound.clone()).plain();
        let all = calls(&rig, Standing::Last);
        assert_eq!(all.is_empty(), steps.is_empty(), "{id}");
        for (step, fallback, call) in all {
            assert!(call.line.contains(" https://"), "V1, {id}");
            assert!(call.places_of(PLAIN) <= 1, "T1, {id}");
            let tokens = call.places_of("ACCESS-t0k3n") + call.places_of("REFRESH-t0k3n");
            // Stripe knows the account by its id.
            let expected = usize::from(!id.as_str().starts_with("stripe"));
            assert_eq!(tokens, expected, "{id}: {step} {fallback}");
        }
    });
}

#[test]
fn v1_the_refresh_token_goes_first_and_says_what_it_is() {
    let rig = Rig::shipped("oidc");
    let all = calls(&rig, Standing::Last);
    let [(0, false, first), (0, true, second)] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(first.line, "POST https://login.example.com/revoke");
    assert_eq!(first.basic, Some((ID.to_owned(), SECRET.to_owned())));
    assert_eq!(first.member("token"), Some("REFRESH-t0k3n"));
    assert_eq!(first.member("token_type_hint"), Some("refresh_token"));
    assert_eq!(first.member("client_id"), None, "Basic says it");
    assert_eq!(second.member("token"), Some("ACCESS-t0k3n"));
    assert_eq!(second.member("token_type_hint"), Some("access_token"));
    let mut alone = Rig::shipped("oidc");
    alone.refresh = None;
    let all = calls(&alone, Standing::Last);
    let [(0, false, only)] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(only.member("token"), Some("ACCESS-t0k3n"));
    let public = calls(&Rig::shipped("oidc").public(), Standing::Last);
    assert_eq!(public[0].2.member("client_id"), Some(ID));
    assert_eq!(public[0].2.basic, None);
    let mut posts = Rig::shipped("oidc");
    posts.endpoints.as_mut().unwrap().client_auth = vec![ClientAuth::Post];
    let first = calls(&posts, Standing::Last).remove(0).2;
    assert_eq!((first.basic.is_none(), first.places_of(SECRET)), (true, 1));
    let mut unknown = Rig::shipped("oidc");
    unknown.endpoints.as_mut().unwrap().revocation = None;
    assert!(calls(&unknown, Standing::Last).is_empty());
}

#[test]
fn both_tokens_are_revoked_where_the_file_says_both() {
    let both = Rig::written(
        r#"schema = 1
id = "sample"
display_name = "Sample"
[authorize]
url = "https://a.example.com/authorize"
[token]
url = "https://a.example.com/token"
[[revoke]]
url = "https://a.example.com/revoke"
token = "both"
auth = "client_post"
[identity]
url = "https://a.example.com/me"
id = "/id"
[api]
hosts = ["a.example.com"]
"#,
    );
    let all = calls(&both, Standing::Last);
    let sent: Vec<_> = all
        .iter()
        .map(|(_, fallback, call)| (*fallback, call.member("token").unwrap()))
        .collect();
    assert_eq!(sent, [(false, "REFRESH-t0k3n"), (false, "ACCESS-t0k3n")]);
    assert_eq!(all[0].2.member("client_secret"), Some(SECRET));
    assert_eq!(all[0].2.member("token_type_hint"), None);
}

#[test]
fn tokens_stand_where_each_file_places_them() {
    let first = |id| calls(&Rig::shipped(id).plain(), Standing::Last).remove(0).2;
    let github = first("github");
    assert_eq!(
        github.line,
        format!("DELETE https://api.github.com/applications/{ID}/token")
    );
    assert_eq!(github.body, r#"{"access_token":"ACCESS-t0k3n"}"#);
    assert!(github.basic.is_some());
    let slack = first("slack");
    assert_eq!(slack.headers["authorization"], "Bearer ACCESS-t0k3n");
    assert_eq!(slack.body, "");
    let shopify = first("shopify");
    assert_eq!(shopify.headers["x-shopify-access-token"], "ACCESS-t0k3n");
    let square = first("square");
    assert_eq!(square.headers["authorization"], format!("Client {PLAIN}"));
    assert_eq!(square.member("client_id"), Some(ID));
    let tiktok = first("tiktok");
    assert_eq!(tiktok.member("client_key"), Some(ID));
    let zoho = first("zoho");
    assert_eq!(
        zoho.query,
        [("token".to_owned(), "REFRESH-t0k3n".to_owned())]
    );
    let stripe = first("stripe-connect");
    assert_eq!(stripe.query.len(), 2);
    assert_eq!(stripe.body, "");
    let codex = first("openai-codex");
    assert_eq!(codex.places_of(PLAIN), 0);
    assert_eq!(codex.member("token_type_hint"), Some("refresh_token"));
}

#[test]
fn v4_what_may_end_a_whole_grant_is_called_for_the_last_connection_only() {
    // Of the last two the file says that a token ends alone; of discord and oidc it does not say.
    for (id, alone) in [
        ("google", false),
        ("hubspot", false),
        ("facebook", false),
        ("xero", false),
        ("discord", false),
        ("oidc", false),
        ("github", true),
        ("gitlab", true),
    ] {
        let rig = Rig::shipped(id);
        assert_eq!(revokes_alone(&rig.provider), alone, "{id}");
        assert_eq!(!calls(&rig, Standing::Shared).is_empty(), alone, "{id}");
        assert!(!calls(&rig, Standing::Last).is_empty(), "{id}");
    }
}

#[test]
fn v2_success_is_success_also_for_a_token_that_nobody_knows() {
    for body in [json!({}), json!({"anything": 1}), json!([])] {
        assert_eq!(outcome("discord", &answer(200, &body)), Revocation::Revoked);
    }
    for (status, kind, text) in [(200, "", ""), (204, "", ""), (200, "text/html", "<html>")] {
        assert_eq!(
            outcome("discord", &reply(status, kind, text)),
            Revocation::Revoked
        );
    }
    for status in [404, 422] {
        let listed = outcome("github", &answer(status, &json!({})));
        assert_eq!(listed, Revocation::Revoked, "the file lists {status}");
    }
    for error in ["invalid_token", "token_revoked", "token_expired"] {
        let dead = outcome("google", &answer(400, &json!({"error": error})));
        assert_eq!(dead, Revocation::Revoked, "{error}");
    }
    let dead = outcome("slack", &answer(401, &json!({})));
    assert_eq!(
        dead,
        Revocation::Revoked,
        "the token itself was to prove it"
    );
}

#[test]
fn v2_a_token_that_still_lives_is_revoked_later() {
    let later = |reply: &Reply| outcome("discord", reply);
    for status in [408, 425, 429, 500, 502, 503] {
        let body = json!({"error": "invalid_token"});
        let none = Revocation::Retry { after: None };
        assert_eq!(later(&answer(status, &body)), none, "{status}");
    }
    let mut busy = answer(503, &json!({}));
    busy.retry_after = Some("120".to_owned());
    let after = Some(Duration::from_mins(2));
    assert_eq!(later(&busy), Revocation::Retry { after });
    let provider = Rig::shipped("discord").provider;
    for kind in [
        NoReply::Dns,
        NoReply::Timeout,
        NoReply::Tls,
        NoReply::Closed,
    ] {
        let none = read_revocation(&provider, 0, Told::NoReply(kind), now());
        assert_eq!(none, Revocation::Retry { after: None });
    }
    let refused = read_revocation(&provider, 0, Told::NoReply(NoReply::Refused), now());
    assert!(matches!(refused, Revocation::Failed { .. }));
}

#[test]
fn v2_the_other_token_is_tried_when_this_kind_is_not_revoked() {
    let other = answer(400, &json!({"error": "unsupported_token_type"}));
    assert_eq!(outcome("discord", &other), Revocation::TryOther);
}

#[test]
fn v3_what_a_provider_cannot_or_will_not_do_is_told_apart() {
    for status in [404, 405] {
        let none = outcome("discord", &answer(status, &json!({})));
        assert_eq!(none, Revocation::Unsupported);
    }
    let code = |outcome| match outcome {
        Revocation::Failed { code } => code.map(|code| code.to_string()),
        other => panic!("{other:?}"),
    };
    let wrong = answer(401, &json!({"error": "invalid_client"}));
    assert_eq!(
        code(outcome("discord", &wrong)).as_deref(),
        Some("invalid_client")
    );
    let foreign = answer(400, &json!({"error": "invalid_grant"}));
    assert_eq!(
        code(outcome("discord", &foreign)).as_deref(),
        Some("invalid_grant")
    );
    assert_eq!(code(outcome("discord", &answer(302, &json!({})))), None);
}

#[test]
fn a_success_that_says_otherwise_is_none() {
    let slack = |body: Value| outcome("slack", &answer(200, &body));
    assert_eq!(
        slack(json!({"ok": true, "revoked": true})),
        Revocation::Revoked
    );
    let failed = |outcome| matches!(outcome, Revocation::Failed { .. });
    assert!(failed(slack(json!({"ok": false, "error": "not_allowed"}))));
    assert!(failed(slack(json!({"revoked": true}))));
    assert!(failed(outcome("slack", &reply(200, "text/html", "<html>"))));
    let dead = slack(json!({"ok": false, "error": "token_revoked"}));
    assert_eq!(dead, Revocation::Revoked);
    let later = slack(json!({"ok": false, "error": "internal_error"}));
    assert_eq!(later, Revocation::Retry { after: None });
}
