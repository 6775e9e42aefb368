//! A handle for one request that is named when it is asked for, and on whose behalf that is.

use serde_json::json;

use crate::lanes::{LANES, Wish, resolve, try_resolve};
use crate::{set, url};

#[test]
fn a_request_that_would_be_refused_is_refused_when_its_handle_is_asked_for() {
    let (stage, upstream, admin, _) = set(&json!({}));
    let port = upstream.port();
    for (method, url, status, code) in [
        (
            "GET",
            "https://evil.example.com/run".to_owned(),
            403,
            "binding_refused",
        ),
        (
            "GET",
            format!("http://127.0.0.1:{}/run", port ^ 1),
            403,
            "binding_refused",
        ),
        (
            "DELETE",
            format!("http://127.0.0.1:{port}/run"),
            403,
            "binding_refused",
        ),
        (
            "TRACE",
            format!("http://127.0.0.1:{port}/run"),
            405,
            "method_refused",
        ),
        (
            "GET",
            "http://user@127.0.0.1/run".to_owned(),
            400,
            "bad_url",
        ),
        ("GET", "/run".to_owned(), 400, "bad_url"),
    ] {
        let more = json!({"intent": {"method": method, "url": url}});
        let reply = try_resolve(&stage, &admin, "custom-x", &more);
        assert_eq!(reply.status, status, "{method} {url}");
        assert_eq!(reply.refused(status), code, "{method} {url}");
    }
    let entry = &stage.journal("broker.resolve")[0];
    assert_eq!(entry["decision"]["denied"], "binding_refused", "{entry}");
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn a_handle_for_one_request_takes_no_other_anywhere() {
    let (stage, upstream, admin, value) = set(&json!({}));
    let url = url(&upstream);
    let fresh = |url: &str| {
        let more = json!({"intent": {"method": "GET", "url": url}, "maxUses": 4});
        resolve(&stage, &admin, "custom-x", &more).text
    };
    let handle = fresh(&url);
    for lane in LANES {
        let send = |wish: &Wish<'_>| lane.send(&stage, &admin, &handle, wish);
        for other in [
            Wish::get(&url).post("text/plain", "x"),
            Wish::get(&format!("{url}/more")),
            Wish::get(&url.replace("/run", "/ruN")),
            Wish::get("http://127.0.0.1:9/run"),
            Wish::get("https://evil.example.com/run"),
        ] {
            let came = send(&other);
            assert_eq!(
                (came.status, &*came.code),
                (403, "another_request"),
                "{other:?}"
            );
        }
        // None of these has cost a use.
        for same in [Wish::get(&url), Wish::get(&format!("{url}?page=2"))] {
            assert_eq!(send(&same).status, 200, "{same:?}");
        }
    }
    let authorization = upstream.last().header("authorization");
    assert_eq!(authorization, format!("Bearer {value}"));
    assert_eq!(upstream.seen().len(), 4, "nothing else was sent");

    let handle = fresh(&format!("{url}?page=2"));
    for lane in LANES {
        let send = |url: &str| lane.send(&stage, &admin, &handle, &Wish::get(url));
        for other in [
            url.clone(),
            format!("{url}?page=3"),
            format!("{url}?page=2&all=1"),
        ] {
            assert_eq!(send(&other).code, "another_request", "{other}");
        }
        assert_eq!(send(&format!("{url}?page=2")).status, 200);
    }
    stage.finish();
}

#[test]
fn hs_4_on_whose_behalf_it_is_asked_is_compared_and_never_believed() {
    let (stage, upstream, admin, _) = set(&json!({}));
    let own = admin.get("/v1/me").expect(200)["data"]["id"].clone();
    resolve(&stage, &admin, "custom-x", &json!({"onBehalfOf": own}));
    let bob = stage.broker.member("Bob").get("/v1/me").expect(200)["data"]["id"].clone();
    let mut answers = Vec::new();
    for user in [
        bob.as_str().unwrap(),
        "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b",
        "bob",
        "",
    ] {
        let more = json!({"onBehalfOf": user});
        let reply = try_resolve(&stage, &admin, "custom-x", &more);
        assert_eq!(reply.refused(403), "another_user", "{user}");
        answers.push(crate::told(&reply));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all: {answers:?}");
    let entry = &stage.journal("broker.resolve")[0];
    assert_eq!(entry["decision"]["denied"], "another_user", "{entry}");
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}
