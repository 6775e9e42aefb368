//! What the proxy refuses, with nothing at the origin (reference: HS-1, SS-9, DC-5, HT-10).

use serde_json::json;

use super::curl::Way;
use super::tunnel::{basic, connect, knock, shake, trust};
use crate::harness::Upstream;
use crate::lanes::resolve;
use crate::stage::{Stage, tls_tool, tool};
use crate::{Set, echo, proxied};

#[test]
fn who_shows_no_handle_gets_nothing() {
    let set = Set::new();
    let other_lane = resolve(&set.stage, &set.admin, "custom-x", &json!({}));
    let place = format!("localhost:{}", set.origin.port());
    let good = basic(&set.handle.text);
    for shown in [
        String::new(),
        basic("rt_hdl_0000000000"),
        basic(&other_lane.text),
        basic(&set.handle.placeholder),
        "Proxy-Authorization: Basic !\r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", set.handle.text),
        format!("{good}{good}"),
    ] {
        let head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{shown}\r\n");
        let mut spoken = knock(&set.handle, head.as_bytes());
        let answer = spoken.until("}}");
        assert!(answer.starts_with("HTTP/1.1 407"), "{shown}: {answer}");
        assert!(
            answer.contains("proxy-authenticate: Basic realm=\"runtools\""),
            "{answer}"
        );
        assert!(
            answer.contains("handle_unknown") && answer.contains("\\\"lane\\\": \\\"proxy\\\""),
            "{answer}"
        );
        // The same connection may try again with a better one.
        spoken.write(&format!(
            "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{good}\r\n"
        ));
        let answer = spoken.until("\r\n\r\n");
        assert!(answer.contains("200"), "{answer}");
    }
    assert_eq!(set.origin.accepted(), 0);
    // A Bearer token does as well.
    let bearer = format!("Proxy-Authorization: Bearer {}\r\n", set.handle.text);
    let head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{bearer}\r\n");
    let answer = knock(&set.handle, head.as_bytes()).until("\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Nor does a handle of the proxy's do anything in the other lanes.
    let reply = set.stage.send(
        &set.admin,
        "POST",
        "/v1/execute",
        &json!({"handle": set.handle.text, "method": "GET", "url": set.url("/run")}),
    );
    assert_eq!(reply.status, 404);
    assert_eq!(reply.value()["error"]["code"], "handle_unknown");
    assert_eq!(set.origin.accepted(), 0);
    // Of another lane's handle the journal knows whose it is; of what is none, that it is none.
    let failed = set.stage.journal("auth.failed&all=true");
    let unknown = |it: &&serde_json::Value| it["decision"]["denied"] == "handle_unknown";
    let of_none = |it: &serde_json::Value| it["code"].is_null();
    let (plain, other): (Vec<_>, Vec<_>) =
        failed.iter().filter(unknown).partition(|it| of_none(it));
    assert!(!plain.is_empty(), "{failed:?}");
    assert_eq!(other.len(), 1, "{failed:?}");
    assert_eq!(other[0]["code"], "other_lane", "{failed:?}");
    assert!(other[0].to_string().contains(&other_lane.id), "{failed:?}");
    set.stage.finish();
}

#[test]
fn hs_1_who_guesses_handles_is_slowed_down_and_who_has_one_is_not() {
    let set = Set::new();
    let place = format!("localhost:{}", set.origin.port());
    let head = |shown: &str| format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{shown}\r\n");
    let wrong = head(&basic("rt_hdl_0000000000"));
    let mut spoken = knock(&set.handle, b"");
    let mut slowed = false;
    for _ in 0..200 {
        spoken.write(&wrong);
        let answer = spoken.until("}}");
        slowed |= answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: ");
    }
    assert!(slowed, "two hundred guesses in a row");
    spoken.write(&head(&basic(&set.handle.text)));
    let answer = spoken.until("\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    set.stage.finish();
}

#[test]
fn ss_9_a_tunnel_goes_to_what_the_tool_is_bound_to_and_nowhere_else() {
    let set = Set::new();
    let stranger = echo();
    let own = set
        .stage
        .broker
        .origin()
        .rsplit_once(':')
        .unwrap()
        .1
        .to_owned();
    for (place, code) in [
        (format!("localhost:{}", stranger.port()), "host_not_bound"),
        (format!("127.0.0.1:{}", set.origin.port()), "host_not_bound"),
        (format!("127.0.0.1:{own}"), "host_not_bound"),
        ("169.254.169.254:80".to_owned(), "host_not_bound"),
        ("metadata.google.internal:80".to_owned(), "host_not_bound"),
        ("example.com:443".to_owned(), "host_not_bound"),
        (format!("u@localhost:{}", set.origin.port()), "bad_url"),
        (format!("127.1:{}", set.origin.port()), "bad_url"),
        ("localhost".to_owned(), "bad_url"),
    ] {
        let (mut spoken, answer) = connect(&set.handle, &place);
        let answer = format!("{answer}{}", spoken.until("}}"));
        let status = if code == "bad_url" { "400" } else { "403" };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{place}: {answer}"
        );
        assert!(
            answer.contains(&format!("\"{code}\"")) && answer.contains("\"hint\""),
            "{place}: {answer}"
        );
        assert!(!answer.contains(&place), "no echo: {answer}");
        let entry = set.stage.journal("broker.connect").swap_remove(0);
        assert_eq!(entry["decision"]["denied"], code, "{entry}");
        assert!(entry["host"].is_null(), "it came from the caller: {entry}");
    }
    assert_eq!((stranger.accepted(), set.origin.accepted()), (0, 0));
    set.stage.finish();
}

#[test]
fn dc_5_the_name_in_the_hello_is_the_one_in_the_connect() {
    let set = Set::new();
    let place = format!("localhost:{}", set.origin.port());
    for name in ["evil.test", "127.0.0.1"] {
        let (spoken, answer) = connect(&set.handle, &place);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let error = shake(spoken, trust(&set.handle, &[]), name).err().unwrap();
        assert!(error.contains("UnrecognisedName"), "{name}: {error}");
    }
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn an_authority_vouches_to_its_own_handle_alone() {
    let set = Set::new();
    let other = proxied(&set.stage, &set.admin, &json!({}));
    let place = format!("localhost:{}", set.origin.port());
    for (handle, trusted, good) in [
        (&set.handle, &set.handle, true),
        (&other, &other, true),
        (&set.handle, &other, false),
        (&other, &set.handle, false),
    ] {
        let (spoken, _) = connect(handle, &place);
        let shaken = shake(spoken, trust(trusted, &[]), "localhost");
        assert_eq!(shaken.is_ok(), good, "{:?}", shaken.err());
    }
    set.stage.finish();
}

#[test]
fn ht_10_what_is_no_tls_in_a_tunnel_is_told_so_and_goes_nowhere() {
    let set = Set::new();
    let way = Way::of(&set.handle);
    let url = format!("http://localhost:{}/run", set.origin.port());
    let ran = way.curl(&["--proxytunnel", "-H", &set.bearer(), &url]);
    assert_eq!((ran.status, ran.connect), (400, 200), "{ran:?}");
    assert!(
        ran.text.contains("not_tls") && ran.text.contains("Use https"),
        "{ran:?}"
    );
    for bytes in [
        "SSH-2.0-OpenSSH_9\r\n",
        "\0\0\0\0",
        "\u{16}\u{3}\u{1}\0\u{4}\u{9}\0\0\0",
    ] {
        let (mut spoken, _) = connect(&set.handle, &format!("localhost:{}", set.origin.port()));
        spoken.write(bytes);
        spoken.end();
    }
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn dc_5_the_host_inside_is_the_one_of_the_tunnel() {
    let set = Set::new();
    let way = Way::of(&set.handle);
    for version in ["--http1.1", "--http2"] {
        let words = [
            version,
            "-H",
            "Host: evil.test",
            "-H",
            &set.bearer(),
            &set.url("/run"),
        ];
        let ran = way.curl(&words);
        assert_eq!(ran.status, 421, "{version}: {ran:?}");
        assert!(ran.text.contains("wrong_authority"), "{ran:?}");
    }
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn dc_5_what_is_inside_is_for_the_host_of_the_tunnel() {
    let set = Set::new();
    let port = set.origin.port();
    for (head, code) in [
        (
            format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            "no_path",
        ),
        (
            format!("OPTIONS * HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            "no_path",
        ),
        (
            format!("TRACE / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            "method_refused",
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "wrong_authority"),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: localhost:{port}\r\n\r\n"),
            "wrong_authority",
        ),
        (
            format!("GET https://evil.test/ HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            "wrong_authority",
        ),
        (
            format!("GET /a/../b HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            "bad_url",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
            ),
            "upgrade_refused",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: localhost:{port}\r\nX-HTTP-Method-Override: DELETE\r\n\r\n"
            ),
            "steering_header",
        ),
    ] {
        let mut spoken = super::tunnel::open(&set.handle, port);
        spoken.write(&head);
        let answer = spoken.until("}}");
        let code = format!("\"code\":\"{code}\"");
        assert!(answer.contains(&code), "{head}: {answer}");
    }
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn ex_10_ex_11_a_placeholder_out_of_its_place_reaches_nobody() {
    let set = Set::new();
    let way = Way::of(&set.handle);
    let placeholder = &set.handle.placeholder;
    let (bearer, there) = (set.bearer(), set.url("/run"));
    let query = set.url(&format!("/run?token={placeholder}"));
    let header = format!("X-Token: {placeholder}");
    for (words, code) in [
        (vec!["-H", &header, &there], "placement"),
        (vec![query.as_str()], "placement"),
        (vec!["-d", placeholder, &there], "placement"),
        (
            vec!["-H", &bearer, "-d", placeholder, &there],
            "occurrences",
        ),
        (vec!["-X", "PATCH", "-H", &bearer, &there], "another_host"),
    ] {
        for version in ["--http1.1", "--http2"] {
            let ran = way.curl(&[&[version], &words[..]].concat());
            assert_eq!(ran.status, 403, "{words:?}: {ran:?}");
            assert!(
                ran.text.contains(&format!("\"{code}\"")),
                "{words:?}: {ran:?}"
            );
        }
    }
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn dc_14_what_is_no_request_to_a_proxy_hears_what_this_is() {
    let set = Set::new();
    let shown = basic(&set.handle.text);
    for (head, status, code) in [
        (
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(),
            "400",
            "proxy_only",
        ),
        (
            format!("GET {} HTTP/1.1\r\nHost: x\r\n{shown}\r\n", set.url("/run")),
            "400",
            "needs_tunnel",
        ),
        (
            format!(
                "GET http://localhost:{}/run HTTP/1.1\r\nHost: x\r\n{shown}\r\n",
                set.origin.port()
            ),
            "403",
            "host_not_bound",
        ),
        (
            format!("GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n{shown}\r\n"),
            "403",
            "host_not_bound",
        ),
        (
            "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "407",
            "handle_unknown",
        ),
    ] {
        let answer = knock(&set.handle, head.as_bytes()).until("}}");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}: {answer}"
        );
        let code = format!("\"code\":\"{code}\"");
        assert!(answer.contains(&code), "{head}: {answer}");
    }
    let ambiguous = format!(
        "GET http://localhost/ HTTP/1.1\r\nHost: x\r\n{shown}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    );
    let (_, answer) = knock(&set.handle, ambiguous.as_bytes()).end();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(set.origin.accepted(), 0);
    set.stage.finish();
}

#[test]
fn a_host_that_is_bound_over_http_gets_no_tunnel() {
    let origin = Upstream::echo();
    let mut stage = Stage::new();
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tool("custom-x", origin.port()));
    let handle = proxied(&stage, &admin, &json!({}));
    let (mut spoken, answer) = connect(&handle, &format!("127.0.0.1:{}", origin.port()));
    let answer = format!("{answer}{}", spoken.until("}}"));
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("without CONNECT"),
        "{answer}"
    );
    assert_eq!(origin.accepted(), 0);
    stage.finish();
}

#[test]
fn without_a_proxy_there_is_no_handle_for_one() {
    let stage = Stage::with(crate::harness::Setup {
        config: "proxy.enabled = false".to_owned(),
        ..crate::harness::Setup::default()
    });
    let mut stage = stage;
    let admin = stage.broker.admin(&[]);
    stage.secret(&admin, "KEY", &json!({}));
    stage.install(&admin, &tls_tool("custom-x", 1));
    let reply = crate::lanes::try_resolve(&stage, &admin, "custom-x", &json!({"lane": "proxy"}));
    assert_eq!(reply.status, 409);
    assert_eq!(reply.value()["error"]["code"], "no_proxy");
    resolve(&stage, &admin, "custom-x", &json!({}));
    stage.finish();
}
