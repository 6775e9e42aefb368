//! Attacks on requests by right of a handle, in either lane (reference: EX-*, DC-*, SS-*, HT-*).

mod harness;
mod lanes;
mod stage;

mod lane_execute {
    mod keys;
    mod spellings;
    mod targets;
    mod whole;
}

use harness::upstream::json as json_answer;
use harness::{Client, Upstream};
use lanes::{Handle, LANES, Lane, Wish, resolve};
use serde_json::{Value, json};
use stage::{Raw, Stage, text, tool};

const MASK: &str = "****************************************";

struct Set {
    stage: Stage,
    upstream: Upstream,
    admin: Client,
    value: String,
    handle: Handle,
}

impl Set {
    fn with(spec: &dyn Fn(u16) -> Value) -> Self {
        Self::made(Upstream::echo(), spec)
    }

    /// With the usual tool for another upstream.
    fn before(upstream: Upstream) -> Self {
        Self::made(upstream, &|port| tool("custom-x", port))
    }

    fn made(upstream: Upstream, spec: &dyn Fn(u16) -> Value) -> Self {
        let mut stage = Stage::new();
        let admin = stage.broker.admin(&[]);
        let value = stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &spec(upstream.port()));
        let handle = resolve(&stage, &admin, "custom-x", &json!({}));
        Self {
            stage,
            upstream,
            admin,
            value,
            handle,
        }
    }

    fn new() -> Self {
        Self::with(&|port| tool("custom-x", port))
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.upstream.port())
    }

    /// Refused in every lane with this status and code, and nothing of it arrived.
    #[track_caller]
    fn refused(&self, wish: &Wish<'_>, status: u16, code: &str) {
        let (seen, accepted) = (self.upstream.seen().len(), self.upstream.accepted());
        for lane in LANES {
            let came = lane.send(&self.stage, &self.admin, &self.handle.text, wish);
            let shown = format!("{lane:?} {wish:?}: {}", came.text);
            assert_eq!((came.status, &*came.code), (status, code), "{shown}");
        }
        assert_eq!(self.upstream.seen().len(), seen, "nothing was sent");
        assert_eq!(self.upstream.accepted(), accepted, "nobody was dialled");
    }

    #[track_caller]
    fn sent(&self, lane: Lane, wish: &Wish<'_>) -> String {
        let came = lane.send(&self.stage, &self.admin, &self.handle.text, wish);
        assert_eq!(
            (came.status, &*came.code),
            (200, ""),
            "{lane:?}: {}",
            came.text
        );
        came.text
    }
}

#[test]
fn ex_1_an_echo_comes_back_masked_and_the_journal_says_so() {
    let set = Set::new();
    for lane in LANES {
        let shown = set.sent(lane, &Wish::get(&set.url("/run")));
        assert!(shown.contains(&format!("Bearer {MASK}")), "{shown}");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["scrub_hits"], 1, "{entry}");
    }
    assert_eq!(
        set.upstream.last().header("authorization"),
        format!("Bearer {}", set.value)
    );
    set.stage.finish();
}

#[test]
fn ex_9_methods_that_make_an_upstream_show_a_request_are_refused_first() {
    let set = Set::new();
    for method in ["TRACE", "TRACK", "trace"] {
        let mut wish = Wish::get(&set.url("/run"));
        wish.method = method;
        set.refused(&wish, 405, "method_refused");
    }
    // Nothing was resolved for them: there is no record of a use.
    assert!(set.stage.journal("broker.exchange").is_empty());
    // Nor may another method or path come in behind the one that the binding admits.
    for name in [
        "X-HTTP-Method-Override",
        "x-http-method",
        "x-method-override",
        "X-Original-URL",
        "x-original-uri",
        "x-rewrite-url",
        // What a server reads that hands headers on as variables.
        "X_HTTP_Method_Override",
        "x-original_url",
        "x.rewrite.url",
    ] {
        let wish = Wish::get(&set.url("/run")).header(name, "DELETE");
        set.refused(&wish, 403, "steering_header");
    }
    set.stage.finish();
}

#[test]
fn ex_10_a_placeholder_outside_of_its_slot_is_refused_with_nothing_sent() {
    let set = Set::new();
    let placeholder = set.handle.placeholder.clone();
    let mail = json!({"to": "me@evil.test", "text": placeholder}).to_string();
    let escaped = mail.replace('P', "\\u0050");
    for wish in [
        Wish::get(&set.url("/run")).post("application/json", &mail),
        Wish::get(&set.url("/run")).post("application/json", &escaped),
        Wish::get(&set.url("/run")).post("text/plain", &base64(&mail)),
        Wish::get(&set.url(&format!("/run?note={placeholder}"))),
        Wish::get(&set.url(&format!("/run/{placeholder}"))),
        Wish::get(&set.url("/run")).header("x-note", &placeholder),
        Wish::get(&set.url("/run")).header("x-note", &base64(&format!("u:{placeholder}"))),
    ] {
        set.refused(&wish, 403, "placement");
    }
    let entry = set.stage.journal("broker.exchange").swap_remove(0);
    assert_eq!(entry["decision"]["denied"], "placement", "{entry}");
    set.stage.finish();
}

fn base64(text: &str) -> String {
    data_encoding::BASE64.encode(text.as_bytes())
}

#[test]
fn ex_11_a_placeholder_in_its_slot_and_once_more_is_refused() {
    let set = Set::with(&|port| {
        let mut spec = tool("custom-x", port);
        spec["bindings"][0]["slots"] = json!({"apiKey": [{"header": "x-token"}]});
        spec
    });
    let placeholder = set.handle.placeholder.clone();
    let wish = Wish::get(&set.url("/run"))
        .header("x-token", &placeholder)
        .header("x-copy", &placeholder);
    set.refused(&wish, 403, "occurrences");
    let wish = Wish::get(&set.url("/run")).header("x-token", &placeholder);
    set.refused(&wish.post("text/plain", &placeholder), 403, "occurrences");
    // In its slot alone it is swapped.
    for lane in LANES {
        let wish = Wish::get(&set.url("/run")).header("x-token", &placeholder);
        set.sent(lane, &wish);
        assert_eq!(set.upstream.last().header("x-token"), set.value);
    }
    set.stage.finish();
}

#[test]
fn ht_4_what_the_caller_puts_into_the_slot_is_replaced_and_its_own_credential_stays() {
    let set = Set::with(&|port| {
        let mut spec = tool("custom-x", port);
        spec["bindings"][0]["slots"] =
            json!({"apiKey": [{"header": "x-token", "format": "Key {apiKey}"}]});
        spec
    });
    for lane in LANES {
        let wish = Wish::get(&set.url("/run"))
            .header("X-Token", "Key mine")
            .header("cookie", "session=1")
            .header("proxy-authorization", "Basic x")
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-runtools-note", "x")
            .header("x-mine", "kept");
        set.sent(lane, &wish);
        let seen = set.upstream.last();
        let slots: Vec<_> = seen.headers.get_all("x-token").iter().collect();
        assert_eq!(slots, [&format!("Key {}", set.value)]);
        assert_eq!(seen.header("x-mine"), "kept");
        let names = [
            "cookie",
            "proxy-authorization",
            "x-forwarded-for",
            "x-runtools-note",
            "x-runtools-handle",
            "x-api-key",
            "authorization",
        ];
        for name in names {
            assert!(!seen.headers.contains_key(name), "{lane:?}: {name}");
        }
    }
    set.stage.finish();
}

#[test]
fn ht_6_values_are_swapped_in_bodies_where_the_binding_has_a_slot_there() {
    let set = Set::with(&|port| {
        let mut spec = tool("custom-x", port);
        spec["bindings"][0]["slots"] = json!({"apiKey": [{"json": "/auth/key"}, {"form": "key"}]});
        spec
    });
    let placeholder = set.handle.placeholder.clone();
    for lane in LANES {
        let body = format!(r#"{{"n":1.50,"auth":{{"key":"{placeholder}"}}}}"#);
        set.sent(
            lane,
            &Wish::get(&set.url("/run")).post("application/json", &body),
        );
        let expected = format!(r#"{{"n":1.50,"auth":{{"key":"{}"}}}}"#, set.value);
        assert_eq!(set.upstream.last().body, expected, "nothing else changes");
        let body = format!("a=1&key={placeholder}&b=2");
        let kind = "application/x-www-form-urlencoded";
        set.sent(lane, &Wish::get(&set.url("/run")).post(kind, &body));
        assert_eq!(
            set.upstream.last().body,
            format!("a=1&key={}&b=2", set.value)
        );
    }
    let wish = Wish::get(&set.url("/run")).post("application/json", "{}");
    set.refused(&wish, 422, "placement_refused");
    // Written as JSON in the request, a body has a place for it.
    let body = json!({"handle": set.handle.text, "method": "POST", "url": set.url("/run"),
        "body": {"json": {"auth": {}, "x": 1}}});
    set.stage
        .send(&set.admin, "POST", "/v1/execute", &body)
        .expect(200);
    let sent: Value = serde_json::from_slice(&set.upstream.last().body).unwrap();
    assert_eq!(sent, json!({"auth": {"key": set.value}, "x": 1}));
    set.stage.finish();
}

#[test]
fn ht_13_an_answer_that_grows_without_end_is_broken_off() {
    use std::io::Write;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let upstream = Raw::start(move |_, stream| {
        stage::raw::reply(stream, "content-encoding: gzip\r\n", &bomb);
    });
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tool("custom-x", upstream.port()));
    let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
    let url = format!("http://127.0.0.1:{}/run", upstream.port());
    let body = json!({"handle": handle, "method": "GET", "url": url});
    let reply = stage.send(&admin, "POST", "/v1/execute", &body);
    assert_eq!(reply.refused(502), "upstream_too_large");
    let sender = admin.header("x-runtools-handle", &handle);
    let broken = sender.try_send("GET", &lanes::egress(&url), None);
    assert!(broken.is_err(), "{broken:?}");
    assert_eq!(
        stage.ended("broker.exchange")["outcome"]["code"],
        "upstream_too_large"
    );
    stage.finish();
}

/// Where a request can have another credential made, only the tool's own actions go: the answer could not
/// be searched for what nobody knew before.
#[test]
fn ex_14_what_is_for_declared_actions_alone_takes_no_request_of_a_handle() {
    let set = Set::with(&|port| {
        let mut spec = tool("custom-x", port);
        spec["bindings"][0]["onlyActions"] = json!(true);
        spec
    });
    set.refused(&Wish::get(&set.url("/run")), 403, "binding_refused");
    let run = json!({"action": "run", "credentialOverrides": {"apiKey": "KEY"}});
    let path = "/v1/tools/custom-x/execute";
    let done = set.stage.send(&set.admin, "POST", path, &run).expect(200)["data"].clone();
    assert_eq!(done["success"], true, "{done}");
    assert_eq!(
        set.upstream.last().header("authorization"),
        format!("Bearer {}", set.value)
    );
    set.stage.finish();
}

#[test]
fn ex_3_an_answer_in_an_unknown_encoding_is_withheld() {
    let upstream = Raw::start(|request, stream| {
        let token = stage::raw::token(request);
        stage::raw::reply(stream, "content-encoding: x-own\r\n", token.as_bytes());
    });
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tool("custom-x", upstream.port()));
    let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
    let url = format!("http://127.0.0.1:{}/run", upstream.port());
    for lane in LANES {
        let came = lane.send(&stage, &admin, &handle, &Wish::get(&url));
        assert_eq!((came.status, &*came.code), (502, "unscannable"), "{lane:?}");
    }
    stage.finish();
}

#[test]
fn an_upstream_that_is_away_is_told_apart_from_a_refusal() {
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tool("custom-x", 9));
    let handle = resolve(&stage, &admin, "custom-x", &json!({})).text;
    for lane in LANES {
        let came = lane.send(
            &stage,
            &admin,
            &handle,
            &Wish::get("http://127.0.0.1:9/run"),
        );
        assert_eq!(
            (came.status, &*came.code),
            (502, "connect_failed"),
            "{lane:?}"
        );
    }
    let body = json!({"handle": handle, "method": "GET", "url": "http://127.0.0.1:9/run", "timeoutSeconds": 0});
    let reply = stage.send(&admin, "POST", "/v1/execute", &body);
    assert_eq!(reply.refused(400), "bad_request", "{}", text(&reply));
    stage.finish();
}

#[test]
fn an_answer_is_searched_for_what_went_to_the_same_origin_before() {
    let upstream = Upstream::plain(|seen| {
        static FIRST: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let first = FIRST.get_or_init(|| seen.header("x-one"));
        json_answer(200, &json!({"first": first, "now": seen.header("x-two")}))
    });
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    let first = stage.secret(&admin, "KEY", &json!({}));
    stage.secret(&admin, "SECOND", &json!({}));
    let mut spec = tool("custom-x", upstream.port());
    spec["credentialsJson"]["schema"]["second"] = json!({"type": "string", "description": "d"});
    let mut one = spec["bindings"][0].clone();
    one["paths"] = json!(["/one"]);
    one["slots"] = json!({"apiKey": [{"header": "x-one"}]});
    let mut two = one.clone();
    two["paths"] = json!(["/two"]);
    two["slots"] = json!({"second": [{"header": "x-two"}]});
    spec["bindings"] = json!([one, two]);
    spec["actionsJson"]["run"]["http"]["url"] =
        json!(format!("http://127.0.0.1:{}/one", upstream.port()));
    stage.install(&admin, &spec);
    let both = json!({"credentialOverrides": {"apiKey": "KEY", "second": "SECOND"}});
    let handle = resolve(&stage, &admin, "custom-x", &both).text;
    let at = |path: &str| Wish::get(&format!("http://127.0.0.1:{}{path}", upstream.port()));
    for lane in LANES {
        lane.send(&stage, &admin, &handle, &at("/one"));
        let came = lane.send(&stage, &admin, &handle, &at("/two"));
        assert_eq!(came.status, 200, "{}", came.text);
        assert_eq!(
            came.text.matches(MASK).count(),
            2,
            "{lane:?}: {}",
            came.text
        );
    }
    assert_eq!(upstream.seen()[0].header("x-one"), first);
    stage.finish();
}
