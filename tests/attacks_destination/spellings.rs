//! One destination, many spellings (DC-4, DC-10).

use serde_json::json;

use crate::harness::Upstream;
use crate::stage::{Stage, execution, tool, with};
use crate::{bound, generic};

#[test]
fn dc_4_a_host_has_one_spelling_and_every_other_is_refused() {
    let stage = bound(&json!(["api.good.test"]));
    let operator = stage.operator();
    for host in [
        "api.good.test.",
        "api.good.test@evil.test",
        "user:pw@api.good.test",
        "evil.test\\api.good.test",
        "api.good.test\\@evil.test",
        "api.good.test\u{0}.evil.test",
        "api.good.test\t",
        " api.good.test",
        "api.good.test\r\nhost: evil.test",
        "api%2egood.test",
        "%61pi.good.test",
        "api。good。test",
        "api．good．test",
        "ａpi.good.test",
        "аpi.good.test",
        "api\u{200b}.good.test",
        "api\u{ad}.good.test",
        "api.good.test:443",
        "api.good.test:8443",
        "api.good.test/",
        "api.good.test/evil",
        "api.good.test#evil",
        "api.good.test?evil",
        "https://api.good.test",
        "api..good.test",
        "api_.good.test",
        "-api.good.test",
        "[::1",
        "[::1%25lo]",
        "0x7f.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "",
        "*.good.test",
        "*",
    ] {
        let (status, code) = generic(
            &stage,
            &operator,
            &json!({"method": "GET", "host": host, "path": "/"}),
        );
        assert!(
            (400..404).contains(&status)
                && ["bad_params", "bad_url", "binding_refused"].contains(&code.as_str()),
            "{host:?}: {status} {code}"
        );
    }
    stage.finish();
}

#[test]
fn dc_10_no_spelling_of_a_path_leaves_the_paths_of_the_binding() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let mut spec = tool("custom-paths", upstream.port());
    spec["bindings"][0]["paths"] = json!(["/repos/*"]);
    let action = &mut spec["actionsJson"]["run"];
    action["parameters"] =
        json!({"type": "object", "properties": {"repo": {"type": "string"}}, "required": ["repo"]});
    action["http"]["url"] = json!(format!(
        "http://127.0.0.1:{}/repos/{{repo}}",
        upstream.port()
    ));
    stage.install(&operator, &spec);
    let evil = [
        "..",
        ".",
        "",
        "../admin",
        "..\\admin",
        "%2e%2e",
        "%2e%2e%2fadmin",
        "a/b",
        "a%2fb",
        "a;b",
        "a%00",
        "a\u{0}",
        "%252e%252e",
        "..%c0%af",
        "\u{2025}",
        "\u{ff0e}\u{ff0e}",
        "a?b",
        "a#b",
        "a\r\nx: y",
        "//evil.test",
        "a\\b",
    ];
    for repo in evil {
        let mut more = with("KEY");
        more["params"] = json!({"repo": repo});
        let reply = stage.run(&operator, "custom-paths", &more);
        if reply.status != 200 {
            let code = reply.refused(reply.status);
            assert!(
                ["bad_params", "bad_url", "binding_refused"].contains(&code.as_str()),
                "{repo:?}: {code}"
            );
            continue;
        }
        // What is data goes out as one segment that no server decodes into a step.
        let target = upstream.last().target;
        let segment = target.strip_prefix("/repos/").unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
        assert!(
            !segment.is_empty() && !segment.contains(['/', '?', ';']),
            "{repo:?} became {target}"
        );
        assert!(
            !decoded.contains(['/', '\\', '\0', ';', '\r', '\n']) && decoded != "..",
            "{repo:?} became {target}"
        );
    }
    let mut more = with("KEY");
    more["params"] = json!({"repo": "plain"});
    assert_eq!(
        execution(&stage.run(&operator, "custom-paths", &more))["success"],
        true
    );
    assert_eq!(upstream.last().target, "/repos/plain");
    stage.finish();
}

#[test]
fn dc_10_a_path_written_by_the_caller_is_read_once_or_refused() {
    // Bound to an address that the guard refuses: who gets that far has passed the path's rules.
    let stage = bound(&json!(["10.255.255.1"]));
    let operator = stage.operator();
    let go = |path: &str| {
        generic(
            &stage,
            &operator,
            &json!({"method": "GET", "host": "10.255.255.1", "path": path}),
        )
    };
    for path in [
        "",
        "repos",
        "/a/../admin",
        "/./a",
        "/a/%2e%2e/admin",
        "/a/%2E%2e/admin",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "//evil.test/",
        "/a//b",
        "/a;x=1/b",
        "/a%3bx",
        "/%00",
        "/a%0d%0ab",
        "/a b",
        "/a\tb",
        "/a\r\nhost: evil.test",
        "/%252e%252e/admin",
        "/%c0%af",
        "/%c0%ae%c0%ae/admin",
        "/%ef%bc%8e%ef%bc%8e/admin",
        "/é",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a?x=1",
        "/a#x",
        "/%61dmin",
        "https://evil.test/",
        "@evil.test/",
        ":8443/",
        ".evil.test/",
    ] {
        let (status, code) = go(path);
        assert!(
            status == 400 || (status == 403 && code != "address_refused"),
            "{path:?}: {status} {code}"
        );
    }
    for path in ["/", "/repos/a", "/a%20b", "/a/b/", "/~a/@b/c:d"] {
        assert_eq!(
            go(path),
            (403, "address_refused".to_owned()),
            "{path:?} is plain"
        );
    }
    stage.finish();
}
