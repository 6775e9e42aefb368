//! Attacks on where a credential goes (reference: DC-*, SS-*), as far as callers and makers of tools
//! can try them. Rebinding resolvers and sets of addresses are proved at the guard itself.

mod harness;
mod stage;

use harness::upstream::json as json_answer;
use harness::{Client, Upstream};
use serde_json::{Value, json};
use stage::certificates::{Flaw, Suspect};
use stage::{Stage, execution, text, tls_tool, tool, with};

/// Runs generic-http with a secret that is bound to `hosts`; status and code of the answer.
fn generic(stage: &Stage, client: &Client, params: &Value) -> (u16, String) {
    let body = json!({"action": "request", "params": params, "credentialOverrides": {"token": "BOUND_KEY"}});
    let reply = stage.send(client, "POST", "/v1/tools/generic-http/execute", &body);
    outcome(&reply.value(), reply.status)
}

fn outcome(body: &Value, status: u16) -> (u16, String) {
    let code = [
        &body["error"]["code"],
        &body["data"]["error"]["code"],
        &json!("success"),
    ];
    let code = code
        .iter()
        .find_map(|code| code.as_str())
        .unwrap()
        .to_owned();
    (status, code)
}

fn bound(hosts: &Value) -> Stage {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "BOUND_KEY", &json!({"hosts": hosts}));
    stage
}

#[test]
fn dc_1_redirects_of_every_kind_are_returned_and_not_followed() {
    let target = Upstream::echo();
    let port = target.port();
    let upstream = Upstream::plain(move |seen| {
        let status: u16 = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        let mut answer = json_answer(status, &seen.echo());
        let key = seen
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        let location = format!("http://127.0.0.1:{port}/run?key={key}");
        answer
            .headers_mut()
            .insert("location", location.parse().unwrap());
        answer
    });
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    for status in [300, 301, 302, 303, 307, 308] {
        let slug = format!("custom-hop-{status}");
        let mut spec = tool(&slug, upstream.port());
        spec["actionsJson"]["run"]["http"]["url"] =
            json!(format!("http://127.0.0.1:{}/{status}", upstream.port()));
        stage.install(&operator, &spec);
        let done = execution(&stage.run(&operator, &slug, &with("KEY")));
        assert_eq!(done["success"], false);
        assert_eq!(done["error"]["code"], "upstream_redirect");
        assert_eq!(done["error"]["statusCode"], status);
    }
    assert_eq!(upstream.accepted().min(1), 1);
    assert_eq!(target.accepted(), 0, "no hop was made");
    stage.finish();
}

#[test]
fn dc_3_a_bound_secret_goes_to_its_very_host_only() {
    let stage = bound(&json!(["api.good.test", "*.wild.good.test"]));
    let operator = stage.operator();
    for host in [
        "api.good.test.evil.test",
        "evil.test",
        "api-good.test",
        "xapi.good.test",
        "x.api.good.test",
        "good.test",
        "wild.good.test",
        "a.b.wild.good.test",
        "apixgood.test",
    ] {
        let seen = generic(
            &stage,
            &operator,
            &json!({"method": "GET", "host": host, "path": "/"}),
        );
        assert_eq!(seen, (403, "binding_refused".to_owned()), "{host}");
    }
    // The bound ones get as far as the resolver.
    for host in ["api.good.test", "API.good.TEST", "one.wild.good.test"] {
        let seen = generic(
            &stage,
            &operator,
            &json!({"method": "GET", "host": host, "path": "/"}),
        );
        assert_eq!(seen.0, 200, "{host}: {seen:?}");
    }
    stage.finish();
}

#[test]
fn dc_3_unanchored_patterns_do_not_load() {
    let stage = Stage::new();
    let operator = stage.operator();
    for pattern in [
        "*",
        "*.test",
        "**.good.test",
        "api.*.test",
        "*good.test",
        "api.good.test*",
        ".good.test",
        "^api\\.good\\.test$",
        "api.good.test/",
        "api.good.test:443",
        "/good/",
        "*.*.good.test",
        "*.10.0.0.1",
        "",
    ] {
        let mut spec = tool("custom-x", 443);
        spec["bindings"][0]["hosts"] = json!([pattern]);
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{pattern}");
        let secret = json!({"name": "S", "value": "a-value-of-no-use", "hosts": [pattern]});
        let reply = stage.send(&operator, "POST", "/v1/secrets", &secret);
        assert_eq!(reply.status, 400, "{pattern}: {}", text(&reply));
    }
    stage.finish();
}

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

#[test]
fn dc_12_nothing_in_a_spec_or_a_call_overrides_the_host() {
    let upstream = Upstream::echo();
    let stage = bound(&json!(["api.good.test"]));
    let operator = stage.operator();
    for url in [
        "http://{host}/run",
        "{scheme}://127.0.0.1/run",
        "http://127.0.0.1:{port}/run",
        "http://127.0.0.1{path}",
        "http://a@127.0.0.1/run",
        "//127.0.0.1/run",
        "ftp://127.0.0.1/",
        "http:/127.0.0.1/",
        "unix:///run/docker.sock",
        "http+unix://%2frun%2fx/",
        "file:///etc/passwd",
    ] {
        let mut spec = tool("custom-x", upstream.port());
        let action = &mut spec["actionsJson"]["run"];
        action["parameters"] = json!({"type": "object", "required": ["host", "scheme", "port", "path"], "properties":
            {"host": {"type": "string"}, "scheme": {"type": "string"}, "port": {"type": "string"}, "path": {"type": "string"}}});
        action["http"]["url"] = json!(url);
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{url}");
    }
    for (place, key) in [
        ("/bindings/0", "baseUrl"),
        ("/bindings/0", "base_url"),
        ("/actionsJson/run/http", "baseUrl"),
        ("/actionsJson/run/http", "follow"),
        ("/actionsJson/run/http", "insecure"),
        ("", "proxy"),
        ("", "verify"),
    ] {
        let mut spec = tool("custom-x", upstream.port());
        spec.pointer_mut(place).unwrap()[key] = json!("x");
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{place} {key}");
    }
    for key in [
        "port", "url", "baseUrl", "scheme", "proxy", "insecure", "follow",
    ] {
        let params = json!({"method": "GET", "host": "api.good.test", "path": "/", key: "x"});
        assert_eq!(
            generic(&stage, &operator, &params),
            (400, "bad_params".to_owned()),
            "{key}"
        );
    }
    for header in [
        "Host",
        "host",
        "Transfer-Encoding",
        "Content-Length",
        "Connection",
        "Proxy-Authorization",
        "X-HTTP-Method-Override",
        "Upgrade",
        ":authority",
        "X-Forwarded-Host",
    ] {
        let params = json!({"method": "GET", "host": "api.good.test", "path": "/", "headers": {header: "evil.test"}});
        assert_eq!(
            generic(&stage, &operator, &params),
            (400, "bad_params".to_owned()),
            "{header}"
        );
    }
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn dc_13_dc_14_another_port_method_path_or_scheme_is_refused_with_nothing_dialled() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    // A template that no binding admits does not load.
    let port = upstream.port();
    for (key, value) in [
        ("port", json!(8443)),
        ("port", json!(25)),
        ("port", json!(22)),
        ("methods", json!(["POST"])),
        ("paths", json!(["/other"])),
        ("paths", json!(["/run/*"])),
        ("hosts", json!(["127.0.0.2"])),
        ("scheme", json!("https")),
    ] {
        let mut spec = tool("custom-x", port);
        spec["bindings"][0][key] = value.clone();
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{key} {value}");
    }
    // Cleartext without a grant does not load either, and the message names the way out.
    let mut spec = tool("custom-x", port);
    spec["bindings"][0]
        .as_object_mut()
        .unwrap()
        .remove("private");
    let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
    assert_eq!(reply.refused(400), "bad_spec");
    assert!(text(&reply).contains("https"), "{}", text(&reply));
    // A secret that is bound more narrowly than the tool stays here.
    stage.secret(&operator, "ELSEWHERE", &json!({"hosts": ["api.good.test"]}));
    stage.install(&operator, &tool("custom-x", port));
    let reply = stage.run(&operator, "custom-x", &with("ELSEWHERE"));
    assert_eq!(reply.refused(403), "binding_refused");
    let entry = &stage.journal("tool.execute")[0];
    assert_eq!(entry["decision"]["denied"], "binding_refused", "{entry}");
    // Cleartext to a public address is refused even where someone grants it all the world.
    let mut spec = tool("custom-public", 80);
    spec["bindings"][0]["hosts"] = json!(["93.184.215.14"]);
    spec["bindings"][0]["private"] = json!(["93.184.215.0/24"]);
    spec["actionsJson"]["run"]["http"]["url"] = json!("http://93.184.215.14/run");
    stage.install(&operator, &spec);
    let reply = stage.run(&operator, "custom-public", &with("KEY"));
    assert_eq!(reply.refused(403), "cleartext_refused", "{}", text(&reply));
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn dc_15_an_untrusted_certificate_gets_no_byte_inside_tls() {
    use Flaw::{Expired, NotYet, SelfSigned, UnknownIssuer, WrongName};
    for flaw in [WrongName, Expired, NotYet, SelfSigned, UnknownIssuer] {
        let upstream = Suspect::start(flaw);
        let mut stage = Stage::trusting(&upstream.root);
        let operator = stage.operator();
        stage.secret(&operator, "KEY", &json!({}));
        stage.install(&operator, &tls_tool("custom-tls", upstream.port));
        let done = execution(&stage.run(&operator, "custom-tls", &with("KEY")));
        assert_eq!(done["success"], false, "{flaw:?}");
        assert_eq!(done["error"]["code"], "tls_failed", "{flaw:?}: {done}");
        assert!(upstream.accepted() > 0, "{flaw:?}: it was tried");
        assert_eq!(upstream.bytes_inside(), 0, "{flaw:?}");
        stage.finish();
    }
}

#[test]
fn a_trusted_root_and_the_right_name_get_the_credential() {
    let upstream = Upstream::tls(&["localhost"], |seen| json_answer(200, &seen.echo()));
    let mut stage = Stage::trusting(upstream.root_pem());
    let operator = stage.operator();
    let value = stage.secret(&operator, "KEY", &json!({}));
    stage.install(&operator, &tls_tool("custom-tls", upstream.port()));
    let done = execution(&stage.run(&operator, "custom-tls", &with("KEY")));
    assert_eq!(done["success"], true, "{done}");
    assert_eq!(
        upstream.last().header("authorization"),
        format!("Bearer {value}")
    );
    assert_eq!(
        upstream.last().header("host"),
        format!("localhost:{}", upstream.port())
    );
    stage.finish();

    // The same upstream without the root: nothing arrives inside TLS.
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    stage.install(&operator, &tls_tool("custom-tls", upstream.port()));
    let done = execution(&stage.run(&operator, "custom-tls", &with("KEY")));
    assert_eq!(done["error"]["code"], "tls_failed", "{done}");
    assert_eq!(upstream.seen().len(), 1);
    stage.finish();
}

/// A tool without grants for `host` over https.
fn https_tool(slug: &str, host: &str) -> Value {
    let mut spec = tool(slug, 443);
    let binding = spec["bindings"][0].as_object_mut().unwrap();
    binding.remove("private");
    binding.insert("scheme".to_owned(), json!("https"));
    binding.insert("hosts".to_owned(), json!([host]));
    let shown = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    spec["actionsJson"]["run"]["http"]["url"] = json!(format!("https://{shown}/run"));
    spec
}

#[test]
fn ss_1_addresses_that_are_not_public_are_refused_without_a_grant() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let hosts = [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001::1",
        "2001:db8::1",
        "fe80::1",
        "fe90::1",
        "fea0::1",
        "feb0::1",
        "fc00::1",
        "fd12::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "localhost",
    ];
    for (index, host) in hosts.iter().enumerate() {
        let slug = format!("custom-a{index}");
        stage.install(&operator, &https_tool(&slug, host));
        let reply = stage.run(&operator, &slug, &with("KEY"));
        assert_eq!(
            reply.refused(403),
            "address_refused",
            "{host}: {}",
            text(&reply)
        );
    }
    for (index, host) in ["fe80::1%lo", "fe80::1%25lo", "127.1", "0x7f000001"]
        .iter()
        .enumerate()
    {
        let spec = https_tool(&format!("custom-b{index}"), host);
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{host}");
    }
    stage.finish();
}

#[test]
fn ss_1_a_member_cannot_grant_a_private_range_and_reaches_none() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let member = stage.broker.member("mallory");
    stage.secret(&member, "KEY", &json!({}));
    let spec = tool("custom-x", upstream.port());
    let reply = stage.send(&member, "POST", "/v1/tools/custom", &spec);
    assert_eq!(reply.refused(403), "admin_only", "{}", text(&reply));
    let mut spec = https_tool("custom-x", "127.0.0.1");
    spec["bindings"][0]["port"] = json!(upstream.port());
    spec["actionsJson"]["run"]["http"]["url"] =
        json!(format!("https://127.0.0.1:{}/run", upstream.port()));
    stage.install(&member, &spec);
    let reply = stage.run(&member, "custom-x", &with("KEY"));
    assert_eq!(reply.refused(403), "address_refused");
    // A grant for another range does not help an admin's tool either.
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let mut spec = tool("custom-y", upstream.port());
    spec["bindings"][0]["private"] = json!(["10.0.0.0/8", "127.0.0.2/32"]);
    stage.install(&operator, &spec);
    let reply = stage.run(&operator, "custom-y", &with("KEY"));
    assert_eq!(reply.refused(403), "address_refused");
    assert_eq!(upstream.accepted(), 0, "ss_9: not even a connection");
    stage.finish();
}

#[test]
fn ss_2_metadata_services_are_refused_even_with_a_grant() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let addresses = [
        ("169.254.169.254", "169.254.0.0/16"),
        ("169.254.170.2", "169.254.170.2/32"),
        ("169.254.170.23", "169.254.0.0/16"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("192.0.0.192", "192.0.0.0/24"),
        ("168.63.129.16", "168.63.129.16/32"),
        ("fd00:ec2::254", "fd00::/8"),
        ("::ffff:169.254.169.254", "::/1"),
        ("64:ff9b::a9fe:a9fe", "64:ff9b::/96"),
        ("metadata.google.internal", "127.0.0.0/8"),
    ];
    for (index, (host, range)) in addresses.iter().enumerate() {
        for scheme in ["https", "http"] {
            let slug = format!("custom-{scheme}-{index}");
            let mut spec = https_tool(&slug, host);
            let binding = &mut spec["bindings"][0];
            binding["scheme"] = json!(scheme);
            binding["port"] = json!(80);
            binding["private"] = json!([range]);
            let shown = if host.contains(':') {
                format!("[{host}]")
            } else {
                (*host).to_owned()
            };
            spec["actionsJson"]["run"]["http"]["url"] = json!(format!("{scheme}://{shown}:80/run"));
            stage.install(&operator, &spec);
            let reply = stage.run(&operator, &slug, &with("KEY"));
            assert_eq!(
                reply.refused(403),
                "metadata_refused",
                "{scheme} {host}: {}",
                text(&reply)
            );
        }
    }
    stage.finish();
}

#[test]
fn ss_5_the_broker_never_calls_itself() {
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    let port: u16 = stage
        .broker
        .origin()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut plain = tool("custom-self", port);
    stage.install(&operator, &plain);
    let mut named = tls_tool("custom-self-name", port);
    named["bindings"][0]["private"] = json!(["127.0.0.0/8"]);
    stage.install(&operator, &named);
    for slug in ["custom-self", "custom-self-name"] {
        let reply = stage.run(&operator, slug, &with("KEY"));
        assert_eq!(reply.refused(403), "circular", "{slug}: {}", text(&reply));
    }
    // The address of the same port in an IPv6 coat.
    plain = tool("custom-self-mapped", port);
    plain["bindings"][0]["hosts"] = json!(["::ffff:127.0.0.1"]);
    plain["bindings"][0]["private"] = json!(["::ffff:127.0.0.0/104"]);
    plain["actionsJson"]["run"]["http"]["url"] =
        json!(format!("http://[::ffff:127.0.0.1]:{port}/run"));
    stage.install(&operator, &plain);
    let reply = stage.run(&operator, "custom-self-mapped", &with("KEY"));
    assert_eq!(reply.refused(403), "circular", "{}", text(&reply));
    stage.finish();
}
