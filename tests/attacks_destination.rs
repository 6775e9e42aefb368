//! Attacks on where a credential goes (reference: DC-*, SS-*), as far as callers and makers of tools
//! can try them. Rebinding resolvers and sets of addresses are proved at the guard itself.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;
mod stage;

mod attacks_destination {
    mod addresses;
    mod spellings;
}

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
