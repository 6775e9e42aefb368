//! An origin that plays every vendor, and repeats what it is sent wherever the vendor's answer has room.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use crate::harness::Seen;
use crate::harness::upstream::json as document;

/// The answer of the vendor whose path it is.
pub(crate) fn answer(seen: &Seen) -> Response<Bytes> {
    let echo = seen.echo();
    let path = seen.target.split('?').next().unwrap_or_default();
    let mut response = match (&*seen.method, path) {
        ("GET", "/user") => document(200, &json!({"login": "octocat", "echo": echo})),
        ("POST", "/repos/a/b/issues") => document(201, &json!({"number": 1, "body": echo})),
        ("POST", "/v1/chat/completions") if streams(seen) => {
            let piece = json!({"id": "1", "object": "chat.completion.chunk", "choices": [
                {"index": 0, "delta": {"content": echo.to_string()}}]});
            events(&[("", piece.to_string()), ("", "[DONE]".into())])
        }
        ("POST", "/v1/chat/completions") => document(
            200,
            &json!({"id": "1", "object": "chat.completion", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": echo.to_string()}}]}),
        ),
        ("POST", "/v1/messages") if streams(seen) => {
            let text = json!({"type": "text_delta", "text": echo.to_string()});
            let piece = json!({"type": "content_block_delta", "index": 0, "delta": text});
            let stop = json!({"type": "message_stop"});
            events(&[
                ("content_block_delta", piece.to_string()),
                ("message_stop", stop.to_string()),
            ])
        }
        ("POST", "/v1/messages") => document(
            200,
            &json!({"id": "1", "type": "message", "role": "assistant", "content": [
                {"type": "text", "text": echo.to_string()}]}),
        ),
        ("GET", "/v1/customers") => document(
            200,
            &json!({"object": "list", "data": [], "has_more": false, "url": "/v1/customers", "echo": echo}),
        ),
        ("POST", "/v1/customers") => document(
            200,
            &json!({"id": "cus_1", "object": "customer", "description": echo.to_string()}),
        ),
        ("POST", "/api/auth.test" | "/api/chat.postMessage") => {
            document(200, &json!({"ok": true, "echo": echo}))
        }
        ("GET", "/customers") => document(200, &json!({"customer": "Ann", "echo": echo})),
        ("GET", "/") => text(
            "application/xml",
            format!(
                "<ListAllMyBucketsResult><Owner><ID>o</ID><DisplayName>{}</DisplayName></Owner><Buckets>\
                 <Bucket><Name>bucket</Name></Bucket></Buckets></ListAllMyBucketsResult>",
                escaped(&echo)
            ),
        ),
        ("GET", path) if path.starts_with("/bucket/") => text("text/plain", echo.to_string()),
        _ => document(404, &json!({"message": "nothing is there", "echo": echo})),
    };
    let sent = seen
        .headers
        .get("authorization")
        .or_else(|| seen.headers.get("x-api-key"));
    if let Some(sent) = sent {
        response.headers_mut().insert("x-echo", sent.clone());
    }
    response
}

fn streams(seen: &Seen) -> bool {
    let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    body["stream"] == true
}

fn text(kind: &str, text: String) -> Response<Bytes> {
    let response = Response::builder().header("content-type", kind);
    response.body(text.into()).unwrap()
}

fn events(events: &[(&str, String)]) -> Response<Bytes> {
    let mut stream = String::new();
    for (name, data) in events {
        if !name.is_empty() {
            stream.push_str(&format!("event: {name}\n"));
        }
        stream.push_str(&format!("data: {data}\n\n"));
    }
    text("text/event-stream", stream)
}

fn escaped(value: &Value) -> String {
    value.to_string().replace('&', "&amp;").replace('<', "&lt;")
}
