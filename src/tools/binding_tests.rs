use ::http::Method;
use serde_json::{Value, json};

use super::{Binding, Destination, HostSource, Scheme, narrow};
use crate::name::{Host, HostPattern};
use crate::tools::reader::{Item, Spelling};
use crate::tools::slot::PlaceName;

fn read(value: Value) -> Result<Binding, String> {
    Binding::read(Item::root(value, Spelling::Camel)).map_err(|e| e.to_string())
}

fn good() -> Value {
    json!({
        "hosts": ["api.good.com"],
        "methods": ["GET", "POST"],
        "paths": ["/repos/*"],
        "slots": { "token": { "header": "authorization", "format": "Bearer {token}" } },
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut binding = good();
    binding[key] = value;
    binding
}

/// Scheme, host, port, path; `None` where the host does not even parse.
fn admits(binding: &Binding, scheme: Scheme, host: &str, port: u16, path: &str) -> bool {
    let Ok(host) = Host::parse(host) else {
        return false;
    };
    let to = Destination {
        method: &Method::GET,
        scheme,
        host: &host,
        port,
        path,
    };
    binding.admits(&to, &[&[]])
}

#[test]
fn dc_3_look_alike_hosts_are_not_admitted() {
    let exact = read(good()).unwrap();
    let wild = read(with("hosts", json!(["*.good.com"]))).unwrap();
    assert!(admits(
        &exact,
        Scheme::Https,
        "API.good.com",
        443,
        "/repos/a"
    ));
    assert!(admits(
        &wild,
        Scheme::Https,
        "api.good.com",
        443,
        "/repos/a"
    ));
    for host in [
        "api.good.com.evil.test",
        "evil.test",
        "evil.test/?api.good.com",
        "api-good.com",
        "api.good.com@evil.test",
        "xapi.good.com.",
        "a.api.good.com",
        "good.com",
        "api.good.co",
        "api.good.com:443",
    ] {
        assert!(
            !admits(&exact, Scheme::Https, host, 443, "/repos/a"),
            "{host}"
        );
        assert!(
            !admits(&wild, Scheme::Https, host, 443, "/repos/a"),
            "{host}"
        );
    }
}

#[test]
fn dc_13_and_14_port_and_scheme_are_exact() {
    let binding = read(good()).unwrap();
    for port in [0, 22, 25, 80, 444, 8443] {
        assert!(!admits(
            &binding,
            Scheme::Https,
            "api.good.com",
            port,
            "/repos/a"
        ));
    }
    assert!(!admits(
        &binding,
        Scheme::Http,
        "api.good.com",
        443,
        "/repos/a"
    ));
    assert!(!admits(
        &binding,
        Scheme::Http,
        "api.good.com",
        80,
        "/repos/a"
    ));
    let other = read(with("port", json!(8443))).unwrap();
    assert!(admits(
        &other,
        Scheme::Https,
        "api.good.com",
        8443,
        "/repos/a"
    ));
    assert!(!admits(
        &other,
        Scheme::Https,
        "api.good.com",
        443,
        "/repos/a"
    ));
}

#[test]
fn ex_9_a_method_is_admitted_by_name() {
    let binding = read(good()).unwrap();
    let host = Host::parse("api.good.com").unwrap();
    let lower = Method::from_bytes(b"get").unwrap();
    for (method, expected) in [
        (Method::GET, true),
        (Method::POST, true),
        (Method::PUT, false),
        (Method::TRACE, false),
        (Method::CONNECT, false),
        (lower, false),
    ] {
        let to = Destination {
            method: &method,
            scheme: Scheme::Https,
            host: &host,
            port: 443,
            path: "/repos/a",
        };
        assert_eq!(binding.admits(&to, &[]), expected, "{method}");
    }
    for method in ["TRACE", "CONNECT", "get", "*", ""] {
        assert!(read(with("methods", json!([method]))).is_err(), "{method}");
    }
}

#[test]
fn a_secrets_own_hosts_narrow_a_binding_and_never_widen_it() {
    let binding = read(with("hosts", json!(["*.good.com"]))).unwrap();
    let pattern = |text| HostPattern::parse(text).unwrap();
    let host = Host::parse("api.good.com").unwrap();
    let to = Destination {
        method: &Method::GET,
        scheme: Scheme::Https,
        host: &host,
        port: 443,
        path: "/repos/a",
    };
    let (here, there) = ([pattern("api.good.com")], [pattern("evil.test")]);
    assert!(binding.admits(&to, &[&here]));
    assert!(binding.admits(&to, &[&here, &[]]));
    assert!(!binding.admits(&to, &[&there]));
    assert!(
        !binding.admits(&to, &[&here, &there]),
        "every secret counts"
    );
    let evil = Host::parse("evil.test").unwrap();
    assert!(!binding.admits(&Destination { host: &evil, ..to }, &[&there]));
    assert!(narrow(&[], &host) && narrow(&here, &host) && !narrow(&there, &host));
}

#[test]
fn hosts_from_the_secret_need_a_secret_that_names_hosts() {
    let mut open = good();
    open.as_object_mut().unwrap().remove("hosts");
    open["hostsFromSecret"] = json!(true);
    let binding = read(open.clone()).unwrap();
    assert_eq!(binding.hosts, HostSource::FromSecret);
    let host = Host::parse("api.good.com").unwrap();
    let to = Destination {
        method: &Method::GET,
        scheme: Scheme::Https,
        host: &host,
        port: 443,
        path: "/repos/a",
    };
    let own = [HostPattern::parse("api.good.com").unwrap()];
    assert!(binding.admits(&to, &[&own]));
    assert!(!binding.admits(&to, &[]), "no secret at all");
    assert!(!binding.admits(&to, &[&[]]), "a secret bound to no host");
    assert!(!binding.admits(&to, &[&own, &[]]), "one of two");
    assert!(!binding.admits(&Destination { port: 8443, ..to }, &[&own]));
    open["hosts"] = json!(["api.good.com"]);
    assert!(read(open.clone()).is_err());
    open["hosts"] = Value::Null;
    open["private"] = json!(["10.0.0.0/8"]);
    assert!(read(open).is_err());
}

#[test]
fn what_is_unclear_does_not_load() {
    for (key, value) in [
        ("hosts", json!([])),
        ("hosts", json!(["*"])),
        ("hosts", json!(["*.com"])),
        ("hosts", json!(["api.good.com:443"])),
        ("hosts", json!(["https://api.good.com"])),
        ("hosts", json!(["^api\\.good\\.com$"])),
        ("hosts", json!([".*good.com"])),
        ("hosts", json!("api.good.com")),
        ("port", json!(0)),
        ("port", json!(65536)),
        ("port", json!("443")),
        ("paths", json!([])),
        ("paths", json!(["repos"])),
        ("paths", json!(["/repos/.*"])),
        ("methods", json!([])),
        ("scheme", json!("http")),
        ("scheme", json!("HTTPS")),
        ("scheme", json!("ws")),
        ("private", json!(["10.0.0.1/8"])),
        ("private", json!(["0.0.0.0/0"])),
        ("private", json!(["10.0.0.1"])),
        ("slots", json!({ "token": [] })),
        ("slots", json!({ "to-ken": { "query": "k" } })),
        ("slots", json!({ "token": { "pathSegment": "nowhere" } })),
        (
            "slots",
            json!({ "a": { "header": "x-k" }, "b": { "header": "X-K" } }),
        ),
        (
            "slots",
            json!({ "a": { "basic": "user", "withField": "a" } }),
        ),
        (
            "slots",
            json!({ "a": { "basic": "user" }, "b": { "basic": "password" } }),
        ),
        ("paths", json!(["/a/{@place}"])),
        ("baseUrl", json!("https://evil.test")),
        ("port ", json!(443)),
    ] {
        assert!(read(with(key, value.clone())).is_err(), "{key} {value}");
    }
}

#[test]
fn dc_12_an_unknown_key_is_refused_by_name() {
    let error = read(with("baseUrl", json!("https://evil.test"))).unwrap_err();
    assert_eq!(error, "/baseUrl: unknown key");
}

#[test]
fn a_binding_reads_back_as_itself() {
    let cases = [
        good(),
        json!({
            "scheme": "http", "hosts": ["127.0.0.1", "[::1]"], "port": 8080,
            "methods": ["DELETE"], "paths": ["/a/{@sid}/**", "/"],
            "private": ["127.0.0.1/32", "::1/128"],
            "slots": {
                "sid": [{ "pathSegment": "sid" }, { "query": "sid" }],
                "user": { "basic": "user", "withField": "pass" },
                "pass": { "basic": "password", "withField": "user" },
            },
        }),
    ];
    for case in cases {
        let binding = read(case).unwrap();
        assert_eq!(read(binding.to_json()).unwrap(), binding);
    }
}

#[test]
fn a_place_is_one_segment_of_a_covered_path_or_none() {
    let binding = read(json!({
        "hosts": ["api.good.com"], "methods": ["GET"],
        "paths": ["/acc/{@sid}/*", "/{@sid}/acc/x", "/acc/b/c"],
        "slots": { "sid": { "pathSegment": "sid" } },
    }))
    .unwrap();
    let place = PlaceName::parse("sid").unwrap();
    for (path, expected) in [
        ("/acc/a/b", Some(1)),
        ("/q/acc/x", Some(0)),
        ("/acc/acc/x", None),
        ("/acc/b/c", Some(1)),
        ("/acc/a/b/c", None),
        ("/acc/../b", None),
    ] {
        assert_eq!(binding.place_in(path, &place), expected, "{path}");
    }
    let other = PlaceName::parse("other").unwrap();
    assert_eq!(binding.place_in("/acc/a/b", &other), None);
}
