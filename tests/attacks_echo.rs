//! Attacks that make an allowed host say the credential back (reference: EX-*).

mod harness;
mod stage;

mod attacks_echo {
    mod encodings;
}

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use harness::memory::{peak, resident};
use harness::upstream::json as json_answer;
use harness::{Reply, Upstream};
use http::Response;
use serde_json::{Value, json};
use stage::raw::{head, reply, token};
use stage::{Raw, Stage, execution, text, tool, with};

const MASK: &str = "****************************************";

/// A broker whose tool `custom-echo` calls `port` with a planted key.
fn stage(port: u16) -> (Stage, String) {
    let mut stage = Stage::new();
    let operator = stage.operator();
    let value = stage.secret(&operator, "ECHO_KEY", &json!({}));
    stage.install(&operator, &tool("custom-echo", port));
    (stage, value)
}

fn run(stage: &Stage) -> Reply {
    stage.run(&stage.operator(), "custom-echo", &with("ECHO_KEY"))
}

fn hits(stage: &Stage) -> u64 {
    stage.ended("tool.execute")["outcome"]["scrub_hits"]
        .as_u64()
        .unwrap_or(0)
}

#[test]
fn ex_1_an_echo_in_body_and_headers_is_masked_and_counted_and_the_status_stays() {
    let upstream = Upstream::plain(|seen| {
        let mut answer = json_answer(418, &seen.echo());
        let echoed = seen.headers["authorization"].clone();
        answer.headers_mut().insert("x-echo", echoed.clone());
        answer.headers_mut().insert("set-cookie", echoed);
        answer
    });
    let (stage, value) = stage(upstream.port());
    let reply = run(&stage);
    assert_eq!(
        upstream.last().header("authorization"),
        format!("Bearer {value}")
    );
    let done = execution(&reply);
    assert_eq!(done["success"], false);
    assert_eq!(done["error"]["statusCode"], 418);
    assert_eq!(
        done["result"]["headers"]["authorization"],
        format!("Bearer {MASK}")
    );
    let entry = stage.ended("tool.execute");
    assert_eq!(entry["outcome"]["http_status"], 418, "{entry}");
    assert!(
        hits(&stage) >= 3,
        "body and both headers are counted: {entry}"
    );
    stage.finish();
}

#[test]
fn ex_1_keys_of_an_echoed_object_and_the_content_type_are_masked_too() {
    let upstream = Upstream::plain(|seen| {
        let value = seen
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        let body = json!({ value.clone(): [value.clone(), {"deep": format!("x{value}y")}] });
        json_answer(200, &body)
    });
    let (stage, _) = stage(upstream.port());
    let done = execution(&run(&stage));
    assert_eq!(
        done["result"],
        json!({ MASK: [MASK, {"deep": format!("x{MASK}y")}] })
    );
    stage.finish();

    let upstream = Upstream::plain(|seen| {
        let value = seen
            .header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned();
        Response::builder()
            .header("content-type", format!("text/{value}"))
            .body(Bytes::from_static(b"text"))
            .unwrap()
    });
    let (stage, _) = self::stage(upstream.port());
    let done = execution(&run(&stage));
    assert_eq!(done["result"]["contentType"], format!("text/{MASK}"));
    stage.finish();
}

#[test]
fn ex_2_three_mebibytes_with_the_value_at_start_middle_and_end_are_masked() {
    const HALF: usize = 3 << 19;
    let upstream = Raw::start(|request, stream| {
        let value = token(request);
        let fill = "z".repeat(HALF);
        let body = format!("{value}{fill}{value}{fill}{value}");
        reply(stream, "content-type: text/plain\r\n", body.as_bytes());
    });
    let (stage, _) = stage(upstream.port());
    let done = execution(&run(&stage));
    let shown = done["result"]["text"].as_str().unwrap();
    assert_eq!(shown.len(), 2 * HALF + 3 * MASK.len());
    assert!(shown.starts_with(MASK) && shown.ends_with(MASK));
    assert_eq!(&shown[MASK.len() + HALF..][..MASK.len()], MASK);
    assert_eq!(hits(&stage), 3);
    stage.finish();
}

#[test]
fn ex_2_an_answer_beyond_the_limit_is_refused_and_memory_stays_bounded() {
    // First with a length, then without one.
    let count = AtomicUsize::new(0);
    let upstream = Raw::start(move |request, stream| {
        let announced = count.fetch_add(1, Ordering::SeqCst) == 0;
        let length = if announced {
            "content-length: 314572800\r\n"
        } else {
            ""
        };
        drop(write!(
            stream,
            "HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n"
        ));
        let mut piece = token(request).into_bytes();
        piece.resize(1 << 20, b'z');
        for _ in 0..300 {
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let (stage, _) = stage(upstream.port());
    let pid = stage.broker.pid();
    let before = resident(pid);
    for _ in 0..3 {
        let done = execution(&run(&stage));
        assert_eq!(done["success"], false);
        assert_eq!(done["error"]["code"], "upstream_too_large", "{done}");
        assert_eq!(done["result"], Value::Null);
    }
    let grown = peak(pid) - before;
    assert!(grown < 64 << 20, "it grew by {grown} bytes at its peak");
    stage.finish();
}

#[test]
fn ex_9_trace_and_connect_cannot_be_asked_for() {
    let upstream = Upstream::echo();
    let (stage, _) = stage(upstream.port());
    let operator = stage.operator();
    for method in ["TRACE", "TRACK", "CONNECT", "get", "PROPFIND"] {
        let mut spec = tool("custom-trace", upstream.port());
        spec["actionsJson"]["run"]["http"]["method"] = json!(method);
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{method}");
        let mut spec = tool("custom-trace", upstream.port());
        spec["bindings"][0]["methods"] = json!(["GET", method]);
        let reply = stage.send(&operator, "POST", "/v1/tools/custom", &spec);
        assert_eq!(reply.refused(400), "bad_spec", "{method}");
    }
    // The open tool refuses the method before any credential is looked for.
    for method in ["TRACE", "TRACK", "CONNECT"] {
        let params = json!({"action": "request", "params": {"method": method, "host": "127.0.0.1", "path": "/"}});
        let reply = stage.send(&operator, "POST", "/v1/tools/generic-http/execute", &params);
        assert_eq!(reply.refused(400), "bad_params");
    }
    assert_eq!(upstream.accepted(), 0);
    stage.finish();
}

#[test]
fn ex_13_a_caller_chooses_neither_slot_nor_format_nor_anything_unknown() {
    let upstream = Upstream::echo();
    let (stage, _) = stage(upstream.port());
    let operator = stage.operator();
    for more in [
        json!({"slots": {"apiKey": [{"query": "q"}]}}),
        json!({"format": "X {apiKey}"}),
        json!({"url": "http://127.0.0.1/"}),
        json!({"baseUrl": "http://127.0.0.1/"}),
        json!({"headers": {"authorization": "x"}}),
        json!({"host": "127.0.0.1"}),
        json!({"method": "POST"}),
        json!({"msg": "sign this", "sub": "me", "scopes": ["all"]}),
    ] {
        let reply = stage.run(&operator, "custom-echo", &more);
        assert_eq!(reply.status, 400, "{more}: {}", text(&reply));
    }
    for more in [
        json!({"credentials": {"other": "value-of-a-field-that-is-not"}}),
        json!({"credentialOverrides": {"other": "ECHO_KEY"}}),
    ] {
        let reply = stage.run(&operator, "custom-echo", &more);
        assert_eq!(reply.refused(400), "unknown_field", "{more}");
    }
    let mut extra = with("ECHO_KEY");
    extra["params"] = json!({"apiKey": "x", "authorization": "y"});
    let reply = stage.run(&operator, "custom-echo", &extra);
    assert_eq!(reply.refused(400), "bad_params");
    assert_eq!(upstream.accepted(), 0, "nothing was dialled");
    stage.finish();
}

#[test]
fn ex_15_the_credential_is_in_the_head_before_a_large_body() {
    let upstream = Raw::start(|_, stream| reply(stream, "", b"taken"));
    let mut stage = Stage::new();
    let operator = stage.operator();
    let value = stage.secret(&operator, "ECHO_KEY", &json!({}));
    let mut spec = tool("custom-echo", upstream.port());
    let action = &mut spec["actionsJson"]["run"];
    action["parameters"] = json!({"type": "object", "properties": {"text": {"type": "string"}}});
    action["http"]["method"] = json!("POST");
    action["http"]["json"] = json!({"text": "{text}"});
    stage.install(&operator, &spec);
    let mut more = with("ECHO_KEY");
    more["params"] = json!({"text": "z".repeat(120 << 10)});
    let reply = stage.run(&operator, "custom-echo", &more);
    assert_eq!(execution(&reply)["success"], true);
    let request = upstream.last();
    assert!(request.len() > 120 << 10);
    let head = head(&request).to_ascii_lowercase();
    assert_eq!(head.matches("\r\nauthorization: ").count(), 1, "{head}");
    assert_eq!(token(&request), value);
    stage.finish();
}
