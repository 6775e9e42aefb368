//! Every place for a credential, and what an upstream makes of it.

use serde_json::{Value, json};

use crate::harness::Upstream;
use crate::harness::upstream::json as json_answer;
use crate::stage::{Raw, Stage, execution, text, tool, with};
use crate::{MASK, shaped};

#[test]
fn every_slot_reaches_the_upstream_and_is_masked_in_what_comes_back() {
    let upstream = Upstream::echo();
    let mut stage = Stage::new();
    let operator = stage.operator();
    let canary = stage.canaries.value();
    let odd = format!("{canary}+/=&?%20 \"\\#;x");
    let plain = stage.secret(&operator, "PLAIN", &json!({}));
    stage.secret_of(&operator, "ODD", &odd, &json!({}));
    let shapes = [
        (json!({"header": "x-key"}), json!({})),
        (json!({"basic": "password", "with": "api"}), json!({})),
        (json!({"basic": "user", "with": ""}), json!({})),
        (json!({"query": "key"}), json!({})),
        (
            json!({"form": "key"}),
            json!({"method": "POST", "form": {"a": "b"}}),
        ),
        (
            json!({"json": "/auth/key"}),
            json!({"method": "POST", "json": {"auth": {"x": 1}}}),
        ),
        (json!({"pathSegment": "key"}), json!({})),
    ];
    for (index, (slot, http)) in shapes.iter().enumerate() {
        let slug = format!("custom-s{index}");
        let mut spec = shaped(
            upstream.port(),
            &json!({"apiKey": [slot]}),
            &json!({}),
            http,
        );
        spec["slug"] = json!(slug);
        if index == 6 {
            spec["bindings"][0]["paths"] = json!(["/bot/{@key}/send"]);
            spec["actionsJson"]["run"]["http"]["url"] = json!(format!(
                "http://127.0.0.1:{}/bot/{{@key}}/send",
                upstream.port()
            ));
        }
        stage.install(&operator, &spec);
        for (name, value) in [("PLAIN", &plain), ("ODD", &odd)] {
            let reply = stage.run(&operator, &slug, &with(name));
            if index == 6 && name == "ODD" {
                // A slash in a segment has two readings.
                let done = execution(&reply);
                assert_eq!(done["success"], false, "{done}");
                assert_eq!(upstream.seen().len(), 13);
                continue;
            }
            let done = execution(&reply);
            assert_eq!(done["success"], true, "{slot}: {done}");
            assert_eq!(&carried(index, &upstream), value, "{slot}");
            let shown = text(&reply);
            assert!(
                shown.contains(if name == "PLAIN" { MASK } else { "****" }),
                "{slot}: {shown}"
            );
        }
    }
    stage.finish();
}

/// The credential as the upstream reads it out of the last request.
fn carried(index: usize, upstream: &Upstream) -> String {
    use base64::Engine as _;
    let seen = upstream.last();
    let basic = || {
        let header = seen.header("authorization");
        let blob = base64::engine::general_purpose::STANDARD
            .decode(header.strip_prefix("Basic ").unwrap())
            .unwrap();
        String::from_utf8(blob).unwrap()
    };
    let pair = |bytes: &[u8]| {
        let mut pairs = url::form_urlencoded::parse(bytes);
        pairs
            .find(|(name, _)| name == "key")
            .unwrap()
            .1
            .into_owned()
    };
    match index {
        0 => seen.header("x-key"),
        1 => basic().strip_prefix("api:").unwrap().to_owned(),
        2 => basic().strip_suffix(':').unwrap().to_owned(),
        3 => pair(seen.target.split_once('?').unwrap().1.as_bytes()),
        4 => pair(&seen.body),
        5 => {
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(body["auth"]["x"], 1);
            body["auth"]["key"].as_str().unwrap().to_owned()
        }
        _ => {
            let inner = seen
                .target
                .strip_prefix("/bot/")
                .unwrap()
                .strip_suffix("/send");
            inner.unwrap().to_owned()
        }
    }
}

#[test]
fn a_value_in_a_path_segment_cannot_leave_its_segment() {
    let upstream = Upstream::echo();
    let stage = Stage::new();
    let operator = stage.operator();
    let mut spec = tool("custom-x", upstream.port());
    spec["bindings"][0]["slots"] = json!({"apiKey": [{"pathSegment": "key"}]});
    spec["bindings"][0]["paths"] = json!(["/bot/{@key}/send"]);
    spec["actionsJson"]["run"]["http"]["url"] = json!(format!(
        "http://127.0.0.1:{}/bot/{{@key}}/send",
        upstream.port()
    ));
    stage.install(&operator, &spec);
    for value in [
        "........",
        "..",
        "../admin",
        "x/../../admin",
        "..%2fadmin-x",
        "%2e%2e%2fadmin",
        "a\\..\\..\\admin",
        "aaaaaa;admin",
        "x?admin=1234",
        "x#admin-1234",
    ] {
        let more = json!({"credentials": {"apiKey": value}});
        let before = upstream.seen().len();
        let reply = stage.run(&operator, "custom-x", &more);
        if reply.status == 200 && upstream.seen().len() > before {
            let target = upstream.last().target;
            let inner = target
                .strip_prefix("/bot/")
                .and_then(|rest| rest.strip_suffix("/send"));
            let inner = percent_encoding::percent_decode_str(inner.unwrap()).decode_utf8_lossy();
            assert_eq!(inner, value, "{target}");
            assert!(
                ![".", ".."].contains(&&*inner) && !inner.contains(['/', '\\', ';']),
                "{target}"
            );
        }
    }
    stage.finish();
}

#[test]
fn what_goes_wrong_at_the_upstream_is_the_calls_result() {
    let upstream = Upstream::plain(|seen| {
        let status: u16 = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        json_answer(status, &seen.echo())
    });
    let mut stage = Stage::new();
    let operator = stage.operator();
    stage.secret(&operator, "KEY", &json!({}));
    for (status, code) in [
        (400, "upstream_rejected"),
        (401, "upstream_denied"),
        (403, "upstream_denied"),
        (404, "upstream_not_found"),
        (429, "upstream_rate_limited"),
        (500, "upstream_failed"),
        (503, "upstream_failed"),
        (599, "upstream_failed"),
    ] {
        let slug = format!("custom-e{status}");
        let mut spec = tool(&slug, upstream.port());
        spec["actionsJson"]["run"]["http"]["url"] =
            json!(format!("http://127.0.0.1:{}/{status}", upstream.port()));
        stage.install(&operator, &spec);
        let done = execution(&stage.run(&operator, &slug, &with("KEY")));
        assert_eq!(done["success"], false);
        assert_eq!(done["error"]["code"], code, "{status}");
        assert_eq!(done["error"]["statusCode"], status);
        assert_eq!(
            done["result"]["headers"]["authorization"],
            format!("Bearer {MASK}")
        );
    }
    // Nobody there; somebody who hangs up; somebody who talks no HTTP.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let hangs_up = Raw::start(|_, _| ());
    let babbles = Raw::start(|request, stream| {
        use std::io::Write;
        drop(stream.write_all(b"SSH-2.0-"));
        drop(stream.write_all(request));
    });
    for (slug, port, codes) in [
        ("custom-n1", port, ["connect_failed", "connect_failed"]),
        (
            "custom-n2",
            hangs_up.port(),
            ["upstream_closed", "upstream_protocol"],
        ),
        (
            "custom-n3",
            babbles.port(),
            ["upstream_protocol", "upstream_protocol"],
        ),
    ] {
        stage.install(&operator, &tool(slug, port));
        let done = execution(&stage.run(&operator, slug, &with("KEY")));
        assert_eq!(done["success"], false);
        assert!(
            codes.contains(&done["error"]["code"].as_str().unwrap()),
            "{slug}: {done}"
        );
        assert!(done["error"]["statusCode"].is_null());
        assert_eq!(done["result"], Value::Null);
    }
    stage.finish();
}
