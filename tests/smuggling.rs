//! Requests that two readers would read differently (reference: HT-1): answered with 400 and a closed
//! connection, and never more than one request of them carried out.
mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::ambiguous::Reader;
use harness::{Broker, Client};
use serde_json::json;

/// What a broker did with some bytes.
struct Outcome {
    statuses: Vec<u16>,
    closed: bool,
    text: String,
}

/// Sends `bytes` as they are, and reads until the broker closes or is silent.
fn send(broker: &Broker, bytes: &[u8]) -> Outcome {
    let addr = broker.origin().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let closed = loop {
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    let text = String::from_utf8_lossy(&answer).into_owned();
    let statuses = text
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| text[at + 9..at + 12].parse().unwrap())
        .collect();
    Outcome {
        statuses,
        closed,
        text,
    }
}

/// A request that makes an API key called `name`, with these framing headers and this body.
fn request(key: &str, framing: &str, body: &str) -> String {
    format!(
        "POST /v1/secrets HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\n{framing}\r\n{body}"
    )
}

fn secret(name: &str) -> String {
    json!({"name": name, "value": "a-value-of-no-use"}).to_string()
}

fn names(operator: &Client) -> Vec<String> {
    let list = operator.get("/v1/secrets").expect(200);
    let list = list["data"].as_array().unwrap().clone();
    list.iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn ht_1_ambiguous_requests_are_refused_and_close_the_connection() {
    let broker = Broker::start();
    let operator = broker.operator();
    let key = operator.make_key(&[]);
    let body = secret("SMUGGLED");
    let hidden = request(&key, &format!("Content-Length: {}\r\n", body.len()), &body);
    let reader = Reader {
        request: &|framing, body| request(&key, framing, body),
        get: "GET /v1/status",
        host: "127.0.0.1",
        body: &body,
        hidden: &hidden,
    };
    let mut wrong = Vec::new();
    for (what, bytes) in reader.refused() {
        let outcome = send(&broker, bytes.as_bytes());
        let refused = outcome.statuses.len() <= 1
            && outcome
                .statuses
                .iter()
                .all(|status| (400..=505).contains(status));
        if !(refused && outcome.closed) {
            wrong.push((what, outcome.statuses, outcome.closed, outcome.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(names(&operator), Vec::<String>::new());
    assert_eq!(operator.get("/v1/status").status, 200, "it still serves");
}

#[test]
fn ht_1_what_is_ambiguous_only_to_others_is_carried_out_at_most_once() {
    let broker = Broker::start();
    let operator = broker.operator();
    let key = operator.make_key(&[]);
    let (one, two) = (secret("ONE"), secret("TWO"));
    let hidden = request(&key, &format!("Content-Length: {}\r\n", two.len()), &two);
    let reader = Reader {
        request: &|framing, body| request(&key, framing, body),
        get: "GET /v1/status",
        host: "127.0.0.1",
        body: &one,
        hidden: &hidden,
    };
    for (what, bytes) in reader.once() {
        let outcome = send(&broker, bytes.as_bytes());
        assert!(outcome.statuses.len() <= 1, "{what}: {}", outcome.text);
        if what.contains("TE") {
            assert!(outcome.closed, "{what}: {}", outcome.text);
        }
        assert!(!names(&operator).contains(&"TWO".to_owned()), "{what}");
    }
    // Two plain requests in one write are two.
    let plain = request(&key, &format!("Content-Length: {}\r\n", one.len()), &one);
    let outcome = send(&broker, format!("{plain}{hidden}").as_bytes());
    assert_eq!(outcome.statuses.len(), 2, "{}", outcome.text);
    assert!(names(&operator).contains(&"TWO".to_owned()));
}

#[test]
fn a_target_that_names_another_host_than_the_host_header_is_refused() {
    let broker = Broker::start();
    let key = broker.operator().make_key(&[]);
    let ask = |target: &str, host: &str| {
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n\r\n");
        send(&broker, text.as_bytes())
    };
    for (target, host) in [
        ("http://evil.test/v1/me", "localhost"),
        ("http://localhost@evil.test/v1/me", "localhost"),
        ("http://localhost:81/v1/me", "localhost"),
        ("http://localhost/v1/me", "127.0.0.1"),
        ("http://localhost/v1/me", "evil.test"),
    ] {
        let outcome = ask(target, host);
        assert_eq!(outcome.statuses, [400], "{target}: {}", outcome.text);
        assert!(outcome.closed, "{target}: the connection stays open");
    }
    // Another host in both is another host; the same in both is ours.
    assert_eq!(ask("http://evil.test/v1/me", "evil.test").statuses, [421]);
    assert_eq!(ask("http://LOCALHOST/v1/me", "localhost").statuses, [200]);
    assert_eq!(ask("/v1/me", "localhost").statuses, [200]);
}
