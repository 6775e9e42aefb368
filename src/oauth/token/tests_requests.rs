//! Requests of a connection's later life, as their receivers read them.

use super::tests_rig::{ID, REDIRECT, Received, Rig, SECRET, check, each, sample};
use super::{
    RequestError, exchange_hops, exchange_request, identity_request, refresh_request,
    resources_request,
};
use crate::oauth::provider::spec::RefreshMode;

fn refresh(rig: &Rig, scopes: &[&str]) -> Received {
    let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Received::of(&refresh_request(&rig.via(), &rig.held(), &scopes).unwrap())
}

#[test]
fn every_provider_refreshes_as_its_file_says() {
    each(|rig, fixture| {
        let id = rig.provider.id();
        let refresh = &rig.provider.spec().refresh;
        let request = refresh_request(&rig.via(), &rig.held(), &["a".to_owned()]);
        if refresh.mode == RefreshMode::None {
            assert!(matches!(request, Err(RequestError::NotOffered)), "{id}");
            assert!(fixture["refresh"].is_null(), "{id}");
            return;
        }
        let received = Received::of(&request.unwrap());
        let scope = refresh.send_scope.then_some("a");
        assert_eq!(received.member("scope"), scope, "R12, {id}");
        let (shown, hidden) = match refresh.mode {
            RefreshMode::RefreshToken => ("REFRESH-t0k3n", "ACCESS-t0k3n"),
            _ => ("ACCESS-t0k3n", "REFRESH-t0k3n"),
        };
        assert_eq!(received.places_of(shown), 1, "{id}");
        assert_eq!(received.places_of(hidden), 0, "{id}");
        assert!(received.places_of(SECRET) <= 1, "T1, {id}");
        assert_eq!(received.member("code"), None, "{id}");
    });
}

#[test]
fn refreshes_differ_from_code_requests_where_the_file_says_so() {
    let rig = Rig::shipped("gitlab");
    assert_eq!(refresh(&rig, &[]).member("redirect_uri"), Some(REDIRECT));
    let google = refresh(&Rig::shipped("google"), &["email"]);
    assert_eq!(google.member("redirect_uri"), None);
    check(
        &refresh(&Rig::shipped("figma"), &[]),
        "POST https://api.figma.com/v1/oauth/refresh",
        &[
            ("grant_type", "refresh_token"),
            ("refresh_token", "REFRESH-t0k3n"),
            ("client_id", ID),
        ],
    );
    // The parameters of the token request are not repeated where the file has others.
    let shopify = refresh(&Rig::shipped("shopify"), &[]);
    assert_eq!(shopify.member("expiring"), None);
    let zendesk = refresh(&Rig::shipped("zendesk"), &[]);
    assert_eq!(zendesk.member("expires_in"), Some("3600"));
    let codex = refresh(&Rig::shipped("openai-codex"), &[]);
    assert_eq!(codex.headers["content-type"], "application/json");
    assert_eq!(codex.places_of(SECRET), 0);
    check(
        &refresh(&Rig::shipped("instagram"), &[]),
        "GET https://graph.instagram.com/refresh_access_token",
        &[
            ("grant_type", "ig_refresh_token"),
            ("access_token", "ACCESS-t0k3n"),
        ],
    );
    check(
        &refresh(&Rig::shipped("facebook"), &[]),
        "POST https://graph.facebook.com/v24.0/oauth/access_token",
        &[
            ("grant_type", "fb_exchange_token"),
            ("fb_exchange_token", "ACCESS-t0k3n"),
            ("client_id", ID),
            ("client_secret", SECRET),
        ],
    );
    let scoped =
        sample("[token]\nurl = \"https://a.example.com/token\"\n[refresh]\nsend_scope = true");
    assert_eq!(refresh(&scoped, &["a", "b"]).member("scope"), Some("a b"));
    assert_eq!(refresh(&scoped, &[]).member("scope"), None);
}

#[test]
fn second_hops_send_what_the_file_lists() {
    let hops = |id| exchange_hops(&Rig::shipped(id).provider);
    assert_eq!(
        [hops("facebook"), hops("threads"), hops("google")],
        [1, 1, 0]
    );
    let rig = Rig::shipped("threads");
    let request = exchange_request(&rig.via(), 0, &rig.held()).unwrap();
    check(
        &Received::of(&request),
        "GET https://graph.threads.net/access_token",
        &[
            ("grant_type", "th_exchange_token"),
            ("client_secret", SECRET),
            ("access_token", "ACCESS-t0k3n"),
        ],
    );
    let past = exchange_request(&rig.via(), 1, &rig.held());
    assert!(matches!(past, Err(RequestError::NotOffered)));
}

#[test]
fn t11_every_identity_request_carries_the_token_once_and_never_in_its_url() {
    each(|rig, _| {
        let file = rig.provider.spec().identity.as_ref().unwrap();
        let id = rig.provider.id();
        if file.url.is_none() {
            return;
        }
        let request = identity_request(&rig.via(), &rig.held()).unwrap();
        let received = Received::of(&request);
        assert_eq!(received.places_of("ACCESS-t0k3n"), 1, "{id}");
        assert!(!request.path_and_query.contains("t0k3n"), "{id}");
        assert_eq!(received.places_of(SECRET), 0, "{id}");
        assert_eq!(received.body, file.body.clone().unwrap_or_default(), "{id}");
    });
}

#[test]
fn the_token_stands_where_the_file_places_it() {
    let ask = |id| {
        let rig = Rig::shipped(id);
        let request = identity_request(&rig.via(), &rig.held()).unwrap();
        Received::of(&request)
    };
    assert_eq!(
        ask("github").headers["authorization"],
        "Bearer ACCESS-t0k3n"
    );
    assert_eq!(ask("twitch").headers["authorization"], "OAuth ACCESS-t0k3n");
    assert_eq!(ask("monday").headers["authorization"], "ACCESS-t0k3n");
    let shopify = ask("shopify");
    assert_eq!(shopify.headers["x-shopify-access-token"], "ACCESS-t0k3n");
    assert!(!shopify.headers.contains_key("authorization"));
    let heroku = ask("heroku");
    assert_eq!(
        heroku.headers["accept"],
        "application/vnd.heroku+json; version=3"
    );
    let dropbox = ask("dropbox");
    assert_eq!(
        (dropbox.line.as_str(), dropbox.body.as_str()),
        (
            "POST https://api.dropboxapi.com/2/users/get_current_account",
            "",
        )
    );
    assert!(!dropbox.headers.contains_key("content-type"));
    let linear = ask("linear");
    assert_eq!(linear.headers["content-type"], "application/json");
    assert_eq!(ask("okta").line, "GET https://login.example.com/userinfo");
}

#[test]
fn resources_are_asked_for_where_the_file_says() {
    let ask = |id| {
        let rig = Rig::shipped(id);
        let request = resources_request(&rig.via(), &rig.held()).unwrap();
        request.map(|request| Received::of(&request))
    };
    assert!(
        ask("docusign").is_none(),
        "they stand in the identity's own answer"
    );
    assert!(ask("google").is_none());
    let atlassian = ask("atlassian").unwrap();
    assert_eq!(
        atlassian.line,
        "GET https://api.atlassian.com/oauth/token/accessible-resources"
    );
    assert_eq!(atlassian.headers["authorization"], "Bearer ACCESS-t0k3n");
}
