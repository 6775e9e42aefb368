//! Requests that two readers would read differently (reference: HT-1): answered with 400 and a closed
//! connection, and never more than one request of them carried out.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let n = body.len();
    let host = "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    let cases: Vec<(&str, String)> = vec![
        (
            "two lengths that differ",
            request(
                &key,
                &format!("Content-Length: 0\r\nContent-Length: {n}\r\n"),
                &format!("{body}{hidden}"),
            ),
        ),
        (
            "a list of lengths",
            request(
                &key,
                &format!("Content-Length: {n}, 0\r\n"),
                &format!("{body}{hidden}"),
            ),
        ),
        (
            "a signed length",
            request(&key, &format!("Content-Length: +{n}\r\n"), &body),
        ),
        (
            "a negative length",
            request(&key, "Content-Length: -1\r\n", &body),
        ),
        (
            "a length in hex",
            request(&key, "Content-Length: 0x10\r\n", &body),
        ),
        (
            "a length beyond 64 bits",
            request(&key, "Content-Length: 99999999999999999999999\r\n", &body),
        ),
        (
            "TE identity",
            request(
                &key,
                &format!("Transfer-Encoding: identity\r\nContent-Length: {n}\r\n"),
                &body,
            ),
        ),
        (
            "TE chunked twice",
            request(
                &key,
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                &format!("{chunked}{hidden}"),
            ),
        ),
        (
            "TE not last",
            request(
                &key,
                "Transfer-Encoding: chunked, gzip\r\n",
                &format!("{chunked}{hidden}"),
            ),
        ),
        (
            "TE in a coat",
            request(
                &key,
                "Transfer-Encoding: xchunked\r\n",
                &format!("{chunked}{hidden}"),
            ),
        ),
        (
            "TE after a vertical tab",
            request(
                &key,
                "Transfer-Encoding: \u{b}chunked\r\n",
                &format!("{chunked}{hidden}"),
            ),
        ),
        (
            "space before the colon",
            request(
                &key,
                &format!("Content-Length : {n}\r\n"),
                &format!("{body}{hidden}"),
            ),
        ),
        (
            "TE with space before the colon",
            request(
                &key,
                &format!("Transfer-Encoding : chunked\r\nContent-Length: {n}\r\n"),
                &body,
            ),
        ),
        (
            "a folded header",
            request(&key, &format!("X-A: b\r\n Content-Length: {n}\r\n"), &body),
        ),
        (
            "NUL in a value",
            request(
                &key,
                &format!("X-A: b\0c\r\nContent-Length: {n}\r\n"),
                &body,
            ),
        ),
        (
            "NUL in a name",
            request(&key, &format!("X-\0A: b\r\nContent-Length: {n}\r\n"), &body),
        ),
        (
            "bare CR in a value",
            request(
                &key,
                &format!("X-A: b\rContent-Length: 0\r\nContent-Length: {n}\r\n"),
                &body,
            ),
        ),
        (
            "no name",
            request(&key, &format!(": b\r\nContent-Length: {n}\r\n"), &body),
        ),
        (
            "chunk size with a sign",
            request(
                &key,
                "Transfer-Encoding: chunked\r\n",
                &format!("+{chunked}"),
            ),
        ),
        (
            "chunk size in 0x",
            request(
                &key,
                "Transfer-Encoding: chunked\r\n",
                &format!("0x{chunked}"),
            ),
        ),
        (
            "chunk size beyond 64 bits",
            request(
                &key,
                "Transfer-Encoding: chunked\r\n",
                "fffffffffffffffff\r\nx\r\n0\r\n\r\n",
            ),
        ),
        (
            "chunk without its end",
            request(
                &key,
                "Transfer-Encoding: chunked\r\n",
                &format!("1\r\nxy\r\n0\r\n\r\n{hidden}"),
            ),
        ),
        ("two hosts", format!("{host}Host: evil.test\r\n\r\n")),
        ("no host", "GET /v1/status HTTP/1.1\r\n\r\n".to_owned()),
        (
            "a space in the target",
            "GET /v1/status x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/1.2",
            "GET /v1/status HTTP/1.2\r\nHost: 127.0.0.1\r\n\r\n".to_owned(),
        ),
        ("HTTP/0.9", "GET /v1/status\r\n".to_owned()),
        (
            "the h2 preface",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
        (
            "a TLS hello",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{3}\u{3}\r\n\r\n".to_owned(),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, bytes) in cases {
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
    let n = one.len();
    let chunked = format!("{n:x}\r\n{one}\r\n0\r\n\r\n");
    // Both lengths: the chunks count, and the connection closes (RFC 9112, 6.3). Bare line feeds, equal lengths, extensions: read in one way or refused; what stands behind is
    // never a second request unless it is one for every reader.
    for (what, bytes) in [
        (
            "CL.TE",
            request(
                &key,
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        (
            "TE.CL",
            request(
                &key,
                &format!("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"),
                &format!("{chunked}{hidden}"),
            ),
        ),
        (
            "bare LF between headers",
            request(&key, &format!("X-A: b\nContent-Length: {n}\r\n"), &one),
        ),
        (
            "bare LF everywhere",
            request(&key, &format!("Content-Length: {n}\r\n"), "").replace("\r\n", "\n") + &one,
        ),
        (
            "the same length twice",
            request(
                &key,
                &format!("Content-Length: {n}\r\nContent-Length: {n}\r\n"),
                &one,
            ),
        ),
        (
            "chunk extensions",
            request(
                &key,
                "Transfer-Encoding: chunked\r\n",
                &format!("{n:x};a=\"\n{hidden}\"\r\n{one}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "a request in a body",
            request(
                &key,
                &format!("Content-Length: {}\r\n", hidden.len()),
                &hidden,
            ),
        ),
        (
            "a request in trailers",
            request(
                &key,
                "Transfer-Encoding: chunked\r\n",
                &format!(
                    "{n:x}\r\n{one}\r\n0\r\nX: {}\r\n\r\n",
                    hidden.replace("\r\n", "")
                ),
            ),
        ),
        (
            "a GET with a hidden body",
            format!(
                "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{hidden}",
                hidden.len()
            ),
        ),
    ] {
        let outcome = send(&broker, bytes.as_bytes());
        assert!(outcome.statuses.len() <= 1, "{what}: {}", outcome.text);
        if what.contains("TE") {
            assert!(outcome.closed, "{what}: {}", outcome.text);
        }
        assert!(!names(&operator).contains(&"TWO".to_owned()), "{what}");
    }
    // Two plain requests in one write are two.
    let plain = request(&key, &format!("Content-Length: {n}\r\n"), &one);
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
