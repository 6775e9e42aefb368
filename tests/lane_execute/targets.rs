//! Where a request by right of a handle may go (reference: DC-*, SS-*).

use serde_json::json;

use crate::Set;
use crate::harness::Upstream;
use crate::harness::upstream::json as json_answer;
use crate::lanes::{LANES, Lane, Wish, resolve};
use crate::stage::{Stage, merge, tool};

#[test]
fn dc_1_a_redirect_of_any_kind_is_an_answer() {
    let elsewhere = Upstream::echo();
    let port = elsewhere.port();
    let set = Set::before(Upstream::plain(move |seen| {
        let status = seen.target.trim_start_matches('/').parse().unwrap();
        let mut answer = json_answer(status, &json!({}));
        let key = seen.header("authorization");
        let location = format!("http://127.0.0.1:{port}/?k={}", &key["Bearer ".len()..]);
        let location = location.parse().unwrap();
        answer.headers_mut().insert("location", location);
        answer
    }));
    for status in [301, 302, 303, 307, 308] {
        for lane in LANES {
            let wish = Wish::get(&set.url(&format!("/{status}")));
            let came = lane.send(&set.stage, &set.admin, &set.handle.text, &wish);
            assert_eq!(came.status, status, "{lane:?}: {}", came.text);
            let entry = set.stage.ended("broker.exchange");
            assert_eq!(entry["outcome"]["http_status"], status, "{entry}");
            assert_eq!(entry["outcome"]["scrub_hits"], 1, "{lane:?}: {entry}");
        }
    }
    assert_eq!(set.upstream.seen().len(), 10, "each was asked for once");
    assert_eq!(elsewhere.accepted(), 0, "no hop was made");
    set.stage.finish();
}

#[test]
fn dc_3_dc_4_dc_10_dc_13_dc_14_ss_6_targets_outside_of_the_binding_are_refused() {
    let set = Set::with(&|port| {
        let mut spec = tool("custom-x", port);
        spec["bindings"][0]["paths"] = json!(["/repos/**"]);
        let http = &mut spec["actionsJson"]["run"]["http"];
        http["url"] = json!(format!("http://127.0.0.1:{port}/repos/x"));
        spec
    });
    let port = set.upstream.port();
    let bound = |path: &str| set.url(path);
    for (url, status, code) in [
        (
            format!("http://127.0.0.1.evil.test:{port}/repos/x"),
            403,
            "binding_refused",
        ),
        (
            format!("http://127.0.0.2:{port}/repos/x"),
            403,
            "binding_refused",
        ),
        (
            format!("http://localhost:{port}/repos/x"),
            403,
            "binding_refused",
        ),
        (
            format!("http://[::1]:{port}/repos/x"),
            403,
            "binding_refused",
        ),
        (
            "http://169.254.169.254/repos/x".to_owned(),
            403,
            "binding_refused",
        ),
        (bound("/admin"), 403, "binding_refused"),
        (bound("/repos"), 403, "binding_refused"),
        (
            format!("http://127.0.0.1:{}/repos/x", port ^ 1),
            403,
            "binding_refused",
        ),
        (
            format!("https://127.0.0.1:{port}/repos/x"),
            403,
            "binding_refused",
        ),
        (bound("/repos/../admin"), 400, "bad_url"),
        (bound("/repos/%2e%2e/admin"), 400, "bad_url"),
        (bound("/repos/a%2fb"), 400, "bad_url"),
        (bound("/repos//x"), 400, "bad_url"),
        (bound("/repos/x;a=b"), 400, "bad_url"),
        (bound("/repos/%00"), 400, "bad_url"),
        (bound("/repos/%252e"), 400, "bad_url"),
        (bound("/repos/%c0%ae"), 400, "bad_url"),
        (format!("http://u@127.0.0.1:{port}/repos/x"), 400, "bad_url"),
        (format!("ftp://127.0.0.1:{port}/repos/x"), 400, "bad_url"),
        (format!("http://0x7f.1:{port}/repos/x"), 400, "bad_url"),
        (format!("http://127.0.0.1.:{port}/repos/x"), 400, "bad_url"),
    ] {
        set.refused(&Wish::get(&url), status, code);
    }
    let mut wish = Wish::get(&bound("/repos/x"));
    wish.method = "DELETE";
    set.refused(&wish, 403, "binding_refused");
    for lane in LANES {
        set.sent(lane, &Wish::get(&bound("/repos/x?a=1&b=%2F")));
        assert_eq!(set.upstream.last().target, "/repos/x?a=1&b=%2F");
    }
    set.stage.finish();
}

#[test]
fn dc_8_dc_9_a_placeholder_works_at_the_hosts_of_its_field_and_is_stopped_at_any_other() {
    let other = Upstream::echo();
    let other_port = other.port();
    let set = Set::with(&|port| {
        let mut spec = tool("custom-x", port);
        spec["credentialsJson"]["schema"]["second"] = json!({"type": "string", "description": "d"});
        let mut here = spec["bindings"][0].clone();
        here["slots"] = json!({"apiKey": [{"header": "x-token"}]});
        let mut there = here.clone();
        there["port"] = json!(other_port);
        let mut second = here.clone();
        second["paths"] = json!(["/second"]);
        second["slots"] = json!({"second": [{"header": "x-token"}]});
        here["paths"] = json!(["/run"]);
        spec["bindings"] = json!([here, there, second]);
        spec
    });
    let mut stage = set.stage;
    let second = stage.secret(&set.admin, "SECOND", &json!({}));
    let both = json!({"credentialOverrides": {"apiKey": "KEY", "second": "SECOND"}});
    let handle = resolve(&stage, &set.admin, "custom-x", &both);
    let (first_text, second_text) = (
        handle.placeholder.clone(),
        handle.whole["placeholders"]["second"]
            .as_str()
            .unwrap()
            .to_owned(),
    );
    let at = |port: u16, path: &str| format!("http://127.0.0.1:{port}{path}");
    let (here, there) = (set.upstream.port(), other.port());
    let send = |lane: Lane, url: &str, text: &str| {
        let wish = Wish::get(url).header("x-token", text);
        let came = lane.send(&stage, &set.admin, &handle.text, &wish);
        (came.status, came.code)
    };
    for lane in LANES {
        // One field, two hosts: either takes it.
        assert_eq!(send(lane, &at(here, "/run"), &first_text).0, 200);
        assert_eq!(set.upstream.last().header("x-token"), set.value);
        assert_eq!(send(lane, &at(there, "/any"), &first_text).0, 200);
        assert_eq!(other.last().header("x-token"), set.value);
        // The other field's placeholder at the same hosts, and this one's at the other's path.
        let before = set.upstream.seen().len() + other.seen().len();
        let refused = (403, "another_host".to_owned());
        assert_eq!(send(lane, &at(here, "/run"), &second_text), refused);
        assert_eq!(send(lane, &at(there, "/any"), &second_text), refused);
        assert_eq!(send(lane, &at(here, "/second"), &first_text), refused);
        assert_eq!(send(lane, "https://unbound.test/", &first_text), refused);
        assert_eq!(set.upstream.seen().len() + other.seen().len(), before);
        assert_eq!(send(lane, &at(here, "/second"), &second_text).0, 200);
        assert_eq!(set.upstream.last().header("x-token"), second);
    }
    stage.finish();
}

#[test]
fn dc_12_nothing_in_a_request_moves_its_target_or_its_slots() {
    let set = Set::new();
    let whole = json!({"handle": set.handle.text, "method": "GET", "url": set.url("/run")});
    for more in [
        json!({"baseUrl": "https://evil.test"}),
        json!({"proxy": "http://evil.test"}),
        json!({"slot": "query"}),
        json!({"follow": "any"}),
        json!({"resolve": {"127.0.0.1": "1.2.3.4"}}),
    ] {
        let mut body = whole.clone();
        merge(&mut body, &more);
        let reply = set.stage.send(&set.admin, "POST", "/v1/execute", &body);
        assert_eq!(reply.refused(400), "bad_request", "{more}");
    }
    assert_eq!(set.upstream.accepted(), 0);
    // A Host of the caller's is not sent on.
    let wish = Wish::get(&set.url("/run")).header("host", "evil.test");
    set.sent(Lane::Execute, &wish);
    let host = format!("127.0.0.1:{}", set.upstream.port());
    assert_eq!(set.upstream.last().header("host"), host);
    // Nor is any other header by which some say where to go.
    for name in ["x-runtools-url", "x-runtools-base-url", "x-forwarded-host"] {
        let url = set.url("/run?url=http%3A%2F%2Fevil.test%2F");
        let wish = Wish::get(&url).header(name, "http://evil.test");
        set.sent(Lane::Egress, &wish);
        let seen = set.upstream.last();
        assert_eq!(seen.header("host"), host, "{name}");
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    set.stage.finish();
}

#[test]
fn ss_1_ss_2_ss_5_addresses_that_no_binding_opens_are_refused_in_either_lane() {
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    let [own, proxy] = stage.own_ports();
    for (index, (url, private, code)) in [
        ("https://10.0.0.1:443/run", None, "address_refused"),
        ("https://127.0.0.1:443/run", None, "address_refused"),
        ("https://localhost:443/run", None, "address_refused"),
        ("https://192.168.1.1:443/run", None, "address_refused"),
        (
            "http://169.254.169.254:80/run",
            Some("169.254.0.0/16"),
            "metadata_refused",
        ),
        (
            &format!("http://127.0.0.1:{own}/run"),
            Some("127.0.0.0/8"),
            "circular",
        ),
        (
            &format!("http://127.0.0.1:{proxy}/run"),
            Some("127.0.0.0/8"),
            "circular",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let slug = format!("custom-t{index}");
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, port) = rest.trim_end_matches("/run").rsplit_once(':').unwrap();
        let mut spec = tool(&slug, port.parse().unwrap());
        let binding = spec["bindings"][0].as_object_mut().unwrap();
        binding.insert("scheme".to_owned(), json!(scheme));
        binding.insert("hosts".to_owned(), json!([host]));
        match private {
            Some(range) => binding.insert("private".to_owned(), json!([range])),
            None => binding.remove("private"),
        };
        spec["actionsJson"]["run"]["http"]["url"] = json!(url);
        stage.install(&admin, &spec);
        let handle = resolve(&stage, &admin, &slug, &json!({})).text;
        for lane in LANES {
            let came = lane.send(&stage, &admin, &handle, &Wish::get(url));
            let shown = format!("{lane:?} {url}: {}", came.text);
            assert_eq!((came.status, &*came.code), (403, code), "{shown}");
        }
    }
    stage.finish();
}
