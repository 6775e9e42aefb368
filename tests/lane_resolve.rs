//! Handles: what one shows, who may use it, how often, and what ends it (reference: HS-*).
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;
mod lanes;
mod stage;

mod lane_resolve {
    mod intent;
    mod policy;
    mod races;
}

use harness::{Client, Reply, Upstream};
use lanes::{LANES, Lane, Wish, resolve, try_resolve};
use serde_json::{Value, json};
use stage::{Stage, text, tool, with};

/// A stage with the tool `custom-x` for an echoing upstream, and the operator's secret `KEY`.
fn set(more: &Value) -> (Stage, Upstream, Client, String) {
    on(Stage::new(), more)
}

fn on(mut stage: Stage, more: &Value) -> (Stage, Upstream, Client, String) {
    let upstream = Upstream::echo();
    let admin = stage.broker.admin(&[]);
    let value = stage.secret(&admin, "KEY", more);
    stage.install(&admin, &tool("custom-x", upstream.port()));
    (stage, upstream, admin, value)
}

fn url(upstream: &Upstream) -> String {
    format!("http://127.0.0.1:{}/run", upstream.port())
}

/// An answer without what names the request itself.
fn told(reply: &Reply) -> (u16, Value) {
    let mut body = reply.value();
    body["error"]["requestId"] = Value::Null;
    (reply.status, body)
}

fn use_it(stage: &Stage, client: &Client, handle: &str, upstream: &Upstream) -> Reply {
    let body = json!({"handle": handle, "method": "GET", "url": url(upstream)});
    stage.send(client, "POST", "/v1/execute", &body)
}

#[test]
fn a_resolution_shows_sources_places_and_placeholders_and_never_a_value() {
    let (stage, upstream, admin, value) = set(&json!({}));
    let handle = resolve(&stage, &admin, "custom-x", &json!({"maxUses": 2}));
    let shown = &handle.whole;
    assert_eq!(shown["tool"], "custom-x");
    assert_eq!(shown["usesLeft"], 2);
    let field = json!([{
        "field": "apiKey", "source": "override", "secret": "KEY", "env": ["CUSTOM_X_API_KEY"],
    }]);
    assert_eq!(shown["fields"], field);
    let constraint = &shown["constraints"][0];
    assert_eq!(constraint["hosts"], json!(["127.0.0.1"]));
    assert_eq!(
        constraint["slots"]["apiKey"],
        json!(["header authorization"])
    );
    assert!(handle.text.starts_with("rt_hdl_") && handle.placeholder.len() >= 44);
    for lane in LANES {
        let came = lane.send(&stage, &admin, &handle.text, &Wish::get(&url(&upstream)));
        assert_eq!((came.status, &*came.code), (200, ""), "{came:?}");
        assert!(came.text.contains(&"*".repeat(40)), "{}", came.text);
        assert_eq!(
            upstream.last().header("authorization"),
            format!("Bearer {value}")
        );
    }
    let journal = stage.ended("broker.exchange");
    assert_eq!(journal["sources"]["apiKey"], "override", "{journal}");
    assert_eq!(journal["outcome"]["http_status"], 200, "{journal}");
    assert!(stage.journal("broker.resolve").len() == 1);
    stage.finish();
}

#[test]
fn a_resolution_names_no_place_that_is_for_declared_actions_alone() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    let mut spec = tool("custom-x", upstream.port());
    let mut actions = spec["bindings"][0].clone();
    spec["bindings"][0]["paths"] = json!(["/things/*"]);
    actions["paths"] = json!(["/run"]);
    actions["onlyActions"] = json!(true);
    spec["bindings"].as_array_mut().unwrap().push(actions);
    stage.install(&admin, &spec);
    let handle = resolve(&stage, &admin, "custom-x", &json!({}));
    let constraints = handle.whole["constraints"].as_array().unwrap();
    let paths: Vec<_> = constraints.iter().map(|place| &place["paths"]).collect();
    assert_eq!(paths, [&json!(["/things/*"])]);
    // What it says is what holds.
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", upstream.port());
    for lane in LANES {
        let came = lane.send(&stage, &admin, &handle.text, &Wish::get(&at("/things/1")));
        assert_eq!((came.status, &*came.code), (200, ""), "{came:?}");
        let came = lane.send(&stage, &admin, &handle.text, &Wish::get(&at("/run")));
        assert_eq!(
            (came.status, &*came.code),
            (403, "binding_refused"),
            "{came:?}"
        );
    }
    assert_eq!(stage.run(&admin, "custom-x", &with("KEY")).status, 200);
    stage.finish();
}

#[test]
fn a_resolution_that_lacks_something_is_refused_with_the_next_step() {
    let (stage, _, admin, _) = set(&json!({}));
    let none = json!({"credentialOverrides": {}});
    let reply = try_resolve(&stage, &admin, "custom-x", &none);
    assert_eq!(reply.refused(409), "missing_credentials");
    assert!(text(&reply).contains("runtools tool explain"));
    for (more, status, code) in [
        (
            json!({"credentialOverrides": {"nope": "KEY"}}),
            400,
            "unknown_field",
        ),
        (json!({"maxUses": 0}), 400, "bad_request"),
        (json!({"maxUses": 1001}), 400, "bad_request"),
        (json!({"ttlSeconds": 901}), 400, "bad_request"),
        (json!({"callId": "a b"}), 400, "bad_request"),
        (
            json!({"callId": "call-1", "lane": "proxy"}),
            400,
            "bad_request",
        ),
        (json!({"credentials": {"apiKey": "x"}}), 400, "bad_request"),
        (json!({"baseUrl": "https://evil.test"}), 400, "bad_request"),
    ] {
        let reply = try_resolve(&stage, &admin, "custom-x", &more);
        assert_eq!(reply.refused(status), code, "{more}");
    }
    let reply = try_resolve(&stage, &admin, "no-such-tool", &json!({}));
    assert_eq!(reply.refused(404), "not_found");
    stage.finish();
}

#[test]
fn hs_4_another_members_secret_is_refused_as_one_that_does_not_exist() {
    let (mut stage, upstream, admin, _) = set(&json!({}));
    let operator = stage.operator();
    stage.secret(
        &operator,
        "SHARED_KEY",
        &json!({"orgWide": true, "scope": "agents"}),
    );
    let shown = json!({"visibility": "org"});
    let path = "/v1/tools/custom/custom-x/visibility";
    stage.send(&admin, "PATCH", path, &shown).expect(200);
    let member = stage.broker.member("Bob");
    let named = |name: &str| {
        let more = json!({"credentialOverrides": {"apiKey": name}});
        try_resolve(&stage, &member, "custom-x", &more)
    };
    let (theirs, unknown) = (named("KEY"), named("NO_SUCH_KEY"));
    assert_eq!(theirs.refused(404), "not_available");
    assert_eq!(told(&theirs), told(&unknown));
    assert_eq!(named("SHARED_KEY").refused(403), "policy_denied");
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn hs_1_a_guess_is_answered_alike_however_near_it_is_and_then_slowed_down() {
    let (stage, upstream, admin, _) = set(&json!({}));
    let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
    let mut near = handle.clone();
    let last = if near.ends_with('0') { "1" } else { "0" };
    near.replace_range(55.., last);
    let short = handle[..40].to_owned();
    let random = format!("rt_hdl_{}", "x".repeat(49));
    let mut answers = Vec::new();
    for guess in [
        &near,
        &short,
        &random,
        "",
        "rt_hdl_",
        &handle.to_uppercase(),
    ] {
        let reply = use_it(&stage, &admin, guess, &upstream);
        assert_eq!(reply.refused(404), "handle_unknown", "{guess}");
        answers.push(told(&reply));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all: {answers:?}");
    let slowed = (0..20).any(|_| use_it(&stage, &admin, &random, &upstream).status == 429);
    assert!(slowed, "guesses are slowed down");
    // Another guesser hears the same where answers stream.
    let bob = stage.broker.member("Bob");
    for guess in [&near, &short, &random] {
        let came = Lane::Egress.send(&stage, &bob, guess, &Wish::get(&url(&upstream)));
        assert_eq!((came.status, &*came.code), (404, "handle_unknown"));
    }
    assert_eq!(upstream.accepted(), 0);
    // The right one always works.
    assert_eq!(use_it(&stage, &admin, &handle, &upstream).status, 200);
    let refused = stage.journal("broker.exchange");
    let denied = |entry: &&Value| entry["decision"]["denied"] == "handle_unknown";
    assert!(refused.iter().filter(denied).count() >= 6, "{refused:?}");
    stage.finish();
}

#[test]
fn hs_2_a_handle_ends_with_its_uses_its_release_and_whatever_it_stood_for() {
    let (stage, upstream, admin, _) = set(&json!({}));
    let refused = |handle: &str, status: u16, code: &str, what: &str| {
        let before = upstream.seen().len();
        for lane in LANES {
            let came = lane.send(&stage, &admin, handle, &Wish::get(&url(&upstream)));
            assert_eq!(
                (came.status, &*came.code),
                (status, code),
                "{what}, {lane:?}"
            );
        }
        assert_eq!(upstream.seen().len(), before, "{what}: nothing was sent");
    };
    let fresh = |more: &Value| resolve(&stage, &admin, "custom-x", more);

    let once = fresh(&json!({"maxUses": 1}));
    assert_eq!(use_it(&stage, &admin, &once.text, &upstream).status, 200);
    refused(&once.text, 410, "handle_spent", "used up");

    let short = fresh(&json!({"ttlSeconds": 1}));
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    refused(&short.text, 410, "handle_expired", "out of time");

    let released = fresh(&json!({}));
    let path = format!("/v1/resolutions/{}", released.id);
    stage.send(&admin, "DELETE", &path, &json!({})).expect(200);
    refused(&released.text, 410, "handle_dead", "released");

    let change = |method: &str, path: &str, body: &Value, what: &str| {
        let handle = fresh(&json!({}));
        assert_eq!(
            use_it(&stage, &admin, &handle.text, &upstream).status,
            200,
            "{what}"
        );
        let reply = stage.send(&admin, method, path, body);
        assert!(reply.status < 300, "{what}: {}", text(&reply));
        refused(&handle.text, 410, "handle_dead", what);
    };
    let value = "another-value-of-the-key-0123456789";
    change(
        "POST",
        "/v1/secrets/KEY/rotate",
        &json!({"value": value}),
        "rotated",
    );
    change(
        "PATCH",
        "/v1/secrets/KEY",
        &json!({"description": "x"}),
        "described anew",
    );
    change(
        "PATCH",
        "/v1/secrets/KEY",
        &json!({"hosts": ["127.0.0.1"]}),
        "bound",
    );
    change(
        "POST",
        "/v1/tools/custom",
        &{
            let mut changed = tool("custom-x", upstream.port());
            changed["bindings"][0]["methods"] = json!(["GET"]);
            changed
        },
        "the tool changed",
    );
    change("DELETE", "/v1/secrets/KEY", &Value::Null, "deleted");
    stage
        .send(&admin, "POST", "/v1/secrets/KEY/restore", &json!({}))
        .expect(200);

    // Who asked is not who they were.
    let key = stage.broker.operator().make_key(&["broker:resolve"]);
    let caller = stage.broker.anonymous().key(&key);
    let handle = resolve(&stage, &caller, "custom-x", &json!({})).text;
    let id = stage.operator().get("/v1/api-keys").expect(200)["data"][0]["id"].clone();
    let path = format!("/v1/api-keys/{}", id.as_str().unwrap());
    stage.operator().delete(&path).expect(200);
    assert_eq!(
        use_it(&stage, &caller, &handle, &upstream).refused(401),
        "unauthorized"
    );

    // Neither sealing nor a restart leaves any.
    let handle = fresh(&json!({})).text;
    let mut stage = stage;
    stage.broker.restart();
    let admin = stage.broker.admin(&[]);
    let reply = use_it(&stage, &admin, &handle, &upstream);
    assert_eq!(reply.refused(404), "handle_unknown");
    stage.finish();
}

#[test]
fn hs_3_a_stolen_handle_is_of_no_use_and_the_journal_names_both() {
    let (stage, upstream, admin, _) = set(&json!({}));
    let shown = json!({"visibility": "org"});
    let path = "/v1/tools/custom/custom-x/visibility";
    stage.send(&admin, "PATCH", path, &shown).expect(200);
    let handle = resolve(&stage, &admin, "custom-x", &json!({}));
    let unknown = use_it(&stage, &admin, "rt_hdl_none", &upstream);
    let thieves = [
        ("another member", stage.broker.member("Mallory")),
        ("another key of the same user", stage.broker.admin(&[])),
        ("the same user over the socket", stage.operator()),
    ];
    for (who, thief) in &thieves {
        let reply = use_it(&stage, thief, &handle.text, &upstream);
        assert_eq!(told(&reply), told(&unknown), "{who}");
        let came = Lane::Egress.send(&stage, thief, &handle.text, &Wish::get(&url(&upstream)));
        assert_eq!((came.status, &*came.code), (404, "handle_unknown"), "{who}");
    }
    let path = format!("/v1/resolutions/{}", handle.id);
    let reply = stage.send(&thieves[0].1, "DELETE", &path, &json!({}));
    assert_eq!(reply.refused(404), "not_found");
    assert_eq!(upstream.accepted(), 0);
    let entry = stage.journal("broker.exchange").swap_remove(0);
    assert_eq!(entry["code"], "foreign_handle", "{entry}");
    let kinds: Vec<_> = entry["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["kind"].clone())
        .collect();
    assert_eq!(kinds, [json!("resolution"), json!("user")]);
    assert_eq!(entry["targets"][0]["id"], handle.id.as_str());
    assert_eq!(entry["actor"]["type"], "user");
    assert_eq!(use_it(&stage, &admin, &handle.text, &upstream).status, 200);

    // One that belongs to a tool call works in no other.
    let called = resolve(&stage, &admin, "custom-x", &json!({"callId": "call-1"})).text;
    let with_call = |call: Option<&str>| {
        let body =
            json!({"handle": called, "method": "GET", "url": url(&upstream), "callId": call});
        stage.send(&admin, "POST", "/v1/execute", &body).status
    };
    assert_eq!([with_call(None), with_call(Some("call-2"))], [404, 404]);
    assert_eq!(with_call(Some("call-1")), 200);
    let caller = admin.header("x-runtools-call-id", "call-1");
    let came = Lane::Egress.send(&stage, &caller, &called, &Wish::get(&url(&upstream)));
    assert_eq!(came.status, 200);
    assert!(!upstream.last().headers.contains_key("x-runtools-call-id"));
    stage.finish();
}

#[test]
fn a_handle_needs_its_scope_and_gives_no_other_right() {
    let (stage, upstream, admin, _) = set(&json!({}));
    let hub = stage.broker.admin(&["broker:resolve"]);
    let handle = resolve(&stage, &hub, "custom-x", &json!({}));
    assert_eq!(use_it(&stage, &hub, &handle.text, &upstream).status, 200);
    let run = stage.run(&hub, "custom-x", &with("KEY"));
    assert_eq!(run.refused(403), "missing_scope");
    // A handle is no API key.
    let with_handle = stage.broker.anonymous().key(&handle.text);
    assert_eq!(with_handle.get("/v1/me").status, 401);
    drop(admin);
    stage.finish();
}
