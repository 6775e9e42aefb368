//! What is sent and answered in one piece (reference: EX-2, EX-4, EX-15, HT-11).

use serde_json::{Value, json};

use crate::MASK;
use crate::harness::Reply;
use crate::lanes::origin::{Served, cut_and_masked};
use crate::lanes::set::Set;
use crate::stage::merge;

/// Sends a request in one piece, which `answer` answers; what the caller is told.
#[track_caller]
fn exchange(set: &Set, more: &Value, answer: impl FnOnce(&mut Served)) -> Reply {
    let url = format!("http://127.0.0.1:{}/run", set.origin.port());
    let mut body = json!({"handle": set.handle.text, "method": "GET", "url": url});
    merge(&mut body, more);
    let client = set.admin.clone();
    let reply = std::thread::scope(|scope| {
        let asking = scope.spawn(move || client.post("/v1/execute", &body));
        answer(&mut set.origin.next());
        asking.join().unwrap()
    });
    set.stage.keep("POST /v1/execute", &reply);
    reply
}

#[test]
fn ex_2_three_mebibytes_in_one_piece_are_searched_from_start_to_end() {
    const HALF: usize = 3 << 19;
    let set = Set::new();
    let fill = "z".repeat(HALF);
    let reply = exchange(&set, &json!({}), |served| {
        let body = [&*set.value, &fill, &set.value, &fill, &set.value].concat();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        served.write(head.as_bytes()).unwrap();
        served.write(body.as_bytes()).unwrap();
    });
    let shown = reply.expect(200)["data"]["result"]["text"].clone();
    assert!(shown == [MASK, &fill, MASK, &fill, MASK].concat());
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["scrub_hits"], 3, "{entry}");
    set.stage.finish();
}

#[test]
fn ex_4_a_value_in_one_piece_is_masked_wherever_it_was_cut() {
    let set = Set::new();
    let reply = exchange(&set, &json!({}), |served| {
        served.cut_everywhere(&set.value);
    });
    let shown = &reply.expect(200)["data"]["result"]["text"];
    assert_eq!(shown, &cut_and_masked(&set.value));
    set.stage.finish();
}

#[test]
fn ex_15_a_body_in_one_piece_follows_a_head_with_its_credential() {
    let set = Set::new();
    // As long as a request to the API may be.
    let text = "u".repeat(150 << 10);
    let more = json!({"method": "POST", "body": {"text": text}});
    let reply = exchange(&set, &more, |served| {
        let bearer = format!("authorization: Bearer {}\r\n", set.value);
        assert_eq!(served.head.matches(&bearer).count(), 1, "{}", served.head);
        served.take(150 << 10);
        served.write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    assert_eq!(reply.expect(200)["data"]["status"], 204);
    set.stage.finish();
}

#[test]
fn ht_11_nothing_switches_protocols_in_one_piece() {
    let set = Set::new();
    for protocol in ["websocket", "h2c", "TLS/1.0"] {
        let lines = json!({"upgrade": protocol, "connection": "Upgrade, HTTP2-Settings"});
        let reply = exchange(&set, &json!({"headers": lines}), |served| {
            let head = served.head.to_ascii_lowercase();
            assert!(!head.contains("upgrade"), "{head}");
            served.write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        });
        assert_eq!(reply.expect(200)["data"]["status"], 204, "{protocol}");
    }
    // Nor when the upstream wants to, unasked.
    let reply = exchange(&set, &json!({}), |served| {
        let switch =
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
        served.write(switch).unwrap();
    });
    assert_eq!(reply.refused(502), "upstream_protocol");
    set.stage.finish();
}
