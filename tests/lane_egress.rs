//! The streaming lane: bodies both ways as they come, and what cuts them (reference: EX-2, EX-4, EX-15,
//! HS-2, HT-9, HT-11).

mod harness;
mod lanes;
mod stage;

mod lane_egress {
    mod besides;
    mod ends;
    mod long;
    mod slow;
    mod smuggling;
}

use lanes::cut::{after_the_change, in_a_second};
use lanes::egress;
use lanes::origin::{EVENTS, cut_and_masked};
use lanes::set::Set;
use lanes::wire::{Wire, unchunked};
use serde_json::{Value, json};

const MASK: &str = "****************************************";

impl Set {
    fn open(&self, method: &str, more: &[String]) -> Wire {
        self.request(method, "/run", more)
    }
}

#[test]
fn ex_4_events_are_handed_on_as_they_come_and_searched_across_chunks() {
    let set = Set::new();
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    assert!(served.head.contains(&set.value), "{}", served.head);
    served.write(EVENTS).unwrap();
    served.chunk("data: one\n\n").unwrap();
    let (_, head) = client.until("\r\n\r\n");
    assert!(head.contains("x-runtools-answer: upstream"), "{head}");
    // The origin says nothing more until the first event has come out at the other end.
    client.until("data: one\n\n");
    let (left, right) = set.value.split_at(17);
    served.chunk(&format!("data: {left}")).unwrap();
    served.chunk(&format!("{right}\n\n")).unwrap();
    served.chunk("data: end\n\n").unwrap();
    let (_, echoed) = client.until("data: end\n\n");
    // Chunk sizes stand between the pieces.
    let masked: String = echoed.chars().filter(|c| *c == '*').collect();
    assert_eq!(masked, MASK, "{echoed}");
    served.write(b"0\r\n\r\n").unwrap();
    client.until("0\r\n\r\n");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["status"], "success", "{entry}");
    assert_eq!(entry["outcome"]["scrub_hits"], 1, "{entry}");
    set.stage.finish();
}

#[test]
fn ex_4_a_value_is_masked_wherever_it_is_cut() {
    let set = Set::new();
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    served.cut_everywhere(&set.value);
    client.until("\r\n\r\n");
    let (_, body) = client.until("\r\n0\r\n\r\n");
    assert_eq!(unchunked(&body), cut_and_masked(&set.value), "{body}");
    set.stage.finish();
}

/// Opens a stream, does `end` to it, and finds both ends closed and the reason in the journal.
fn cut_by(what: &str, end: impl Fn(&mut Set)) {
    in_a_second(what, || {
        let mut set = Set::new();
        let mut client = set.open("GET", &[]);
        let mut served = set.origin.next();
        served.write(EVENTS).unwrap();
        served.chunk("data: one\n\n").unwrap();
        client.until("data: one\n\n");
        end(&mut set);
        client.end();
        assert!(served.is_left(), "{what}: the upstream is let go of");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "handle_dead", "{what}: {entry}");
        let took = after_the_change(&set.stage, &entry);
        set.stage.finish();
        took
    });
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_secret_is_rotated() {
    let body = json!({"value": "another-value-of-the-key-0123456789"});
    let rotate = |set: &mut Set| {
        let path = "/v1/secrets/KEY/rotate";
        set.stage.send(&set.admin, "POST", path, &body).expect(200);
    };
    cut_by("rotated", rotate);
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_secret_is_deleted() {
    let delete = |set: &mut Set| {
        set.stage
            .send(&set.admin, "DELETE", "/v1/secrets/KEY", &Value::Null)
            .expect(200);
    };
    cut_by("deleted", delete);
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_handle_is_released() {
    let release = |set: &mut Set| {
        let path = format!("/v1/resolutions/{}", set.handle.id);
        set.stage
            .send(&set.admin, "DELETE", &path, &Value::Null)
            .expect(200);
    };
    cut_by("released", release);
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_key_of_its_caller_is_revoked() {
    let revoke = |set: &mut Set| {
        let keys = set.stage.operator().get("/v1/api-keys").expect(200);
        for key in keys["data"].as_array().unwrap() {
            let path = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
            set.stage.operator().delete(&path).expect(200);
        }
    };
    cut_by("revoked", revoke);
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_vault_is_sealed() {
    let set = Set::new();
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    served.write(EVENTS).unwrap();
    served.chunk("data: one\n\n").unwrap();
    client.until("data: one\n\n");
    let sealed = set.stage.operator().post("/v1/operator/seal", &json!({}));
    assert_eq!(sealed.status, 200);
    client.end();
    assert!(served.is_left());
}

#[test]
fn a_caller_who_goes_away_takes_the_upstreams_connection_with_them() {
    let set = Set::new();
    // In the middle of an answer.
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    served.write(EVENTS).unwrap();
    served.chunk("data: one\n\n").unwrap();
    client.until("data: one\n\n");
    drop(client);
    assert!(served.is_left(), "in the middle of an answer");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "client_gone", "{entry}");
    // While the upstream thinks, also about a change.
    for method in ["GET", "POST"] {
        let client = set.open(method, &["Content-Length: 0".to_owned()]);
        let mut served = set.origin.next();
        drop(client);
        assert!(served.is_left(), "{method}: before the answer");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "client_gone", "{entry}");
    }
    set.stage.finish();
}

#[test]
fn every_method_and_an_answer_without_a_body_go_through() {
    let set = Set::new();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let mut client = set.open(method, &["Content-Length: 0".to_owned()]);
        let mut served = set.origin.next();
        assert!(
            served
                .head
                .starts_with(&format!("{method} /run HTTP/1.1\r\n"))
        );
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-ratelimit-remaining: 17\r\n\
            set-cookie: a=1\r\nalt-svc: h3=\":443\"\r\nconnection: close, x-hop\r\nx-hop: 1\r\n\r\n";
        served.write(answer).unwrap();
        let (_, head) = client.until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200"), "{method}: {head}");
        assert!(
            head.contains("x-ratelimit-remaining: 17"),
            "the upstream's own: {head}"
        );
        for gone in ["set-cookie", "alt-svc", "x-hop"] {
            assert!(!head.contains(gone), "{method}: {gone} in {head}");
        }
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["status"], "success", "{method}: {entry}");
        assert_eq!(entry["method"], method);
    }
    set.stage.finish();
}

#[test]
fn the_upstreams_idempotency_key_and_a_root_path_are_passed_on() {
    let set = Set::new();
    for (path, target) in [
        ("", "/"),
        ("/", "/"),
        ("/a/", "/a/"),
        ("/a?b=c%20d", "/a?b=c%20d"),
    ] {
        for _ in 0..2 {
            let url = format!("http://127.0.0.1:{}{path}", set.origin.port());
            let lines = [
                format!("X-RunTools-Handle: {}", set.handle.text),
                "Idempotency-Key: the-same".to_owned(),
                "Content-Length: 0".to_owned(),
            ];
            let first = format!("POST {}", egress(&url));
            let mut client = Wire::open(&set.stage.broker, &set.key, &first, &lines);
            let mut served = set.origin.next();
            assert!(
                served.head.starts_with(&format!("POST {target} ")),
                "{}",
                served.head
            );
            assert!(served.head.contains("idempotency-key: the-same"));
            served
                .write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            client.until("\r\n\r\n");
        }
    }
    set.stage.finish();
}

#[test]
fn ht_11_nothing_switches_protocols() {
    let set = Set::new();
    for protocol in ["h2c", "TLS/1.0", "anything"] {
        let lines = [
            format!("Upgrade: {protocol}"),
            "Connection: Upgrade".to_owned(),
        ];
        let mut client = set.open("GET", &lines);
        let (_, answer) = client.until("upgrade_refused");
        assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    }
    assert_eq!(set.origin.accepted(), 0);
    // Nor when the upstream wants to, unasked.
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    served.write(switch).unwrap();
    let (_, answer) = client.until("upstream_protocol");
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    set.stage.finish();
}

#[test]
fn ht_9_a_body_that_never_comes_reaches_no_upstream_and_keeps_nobody_waiting() {
    let set = Set::new();
    let mut slow = set.open("POST", &["Content-Length: 100".to_owned()]);
    slow.write(b"a").unwrap();
    // Others are served meanwhile.
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    served
        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .unwrap();
    client.until("ok");
    let (_, answer) = slow.until("\"code\":\"");
    assert!(
        answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"),
        "{answer}"
    );
    assert_eq!(set.origin.accepted(), 1, "only the other's");
    set.stage.finish();
}
