//! Those who take their time in a tunnel, and those who send too much (reference: HT-9).

use std::io::{Read, Write};
use std::thread::{sleep, spawn};
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::frames::{Came, Field, Many};
use super::tunnel::{Spoken, basic, connect, knock, open};
use crate::harness::Upstream;
use crate::{MASK, Set};

const LARGE: usize = 64 << 20;

/// An origin that answers everything but `/run` with very much.
fn generous() -> Upstream {
    Upstream::tls(&["localhost"], |seen| {
        let body = if seen.target == "/run" {
            Bytes::from(seen.echo().to_string())
        } else {
            Bytes::from(vec![b'x'; LARGE])
        };
        Response::new(body)
    })
}

/// Reads to the end, however long it takes, up to two minutes of silence; how much came.
fn drained<S: Read + Write>(
    spoken: &mut Spoken<S>,
    socket: impl Fn(&S) -> &std::net::TcpStream,
) -> usize {
    let patience = Some(Duration::from_mins(2));
    socket(&spoken.stream).set_read_timeout(patience).unwrap();
    let (mut total, mut piece) = (0, vec![0; 65_536]);
    loop {
        match spoken.stream.read(&mut piece) {
            Ok(read @ 1..) => total += read,
            Ok(0) => return total,
            Err(error) => {
                use std::io::ErrorKind::{TimedOut, WouldBlock};
                assert!(
                    ![TimedOut, WouldBlock].contains(&error.kind()),
                    "it stays open"
                );
                return total;
            }
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
fn ht_9_who_is_slow_is_left_in_time_and_keeps_nobody_waiting() {
    let set = Set::over(generous());
    let port = set.origin.port();
    let place = format!("localhost:{port}");
    let (handle, bearer) = (&set.handle, set.bearer());
    // A CONNECT, a hello and a head that do not end.
    let line = format!(
        "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{}",
        basic(&handle.text)
    );
    let mut asking = knock(handle, line.as_bytes());
    let (mut greeting, _) = connect(handle, &place);
    greeting.write("\u{16}\u{3}\u{1}");
    let mut heading = open(handle, port);
    heading.write(&format!(
        "GET /run HTTP/1.1\r\nHost: {place}\r\n{bearer}\r\nX-A: "
    ));
    // A body that drips, and never stands still.
    let mut dripping = open(handle, port);
    dripping.write(&format!(
        "POST /run HTTP/1.1\r\nHost: {place}\r\n{bearer}\r\nContent-Length: 1000\r\n\r\n"
    ));
    let dripping = spawn(move || {
        let patience = Some(Duration::from_secs(2));
        dripping.stream.sock.set_read_timeout(patience).unwrap();
        for _ in 0..60 {
            let mut piece = [0; 4096];
            dripping.write("a");
            if let Ok(read) = dripping.stream.read(&mut piece) {
                return String::from_utf8_lossy(&piece[..read]).into_owned();
            }
        }
        String::new()
    });
    // Answers that nobody takes.
    let mut full = open(handle, port);
    full.get(handle, port, "/large");
    let mut many = Many::open(handle, port);
    let words = format!("Bearer {}", handle.placeholder);
    let fields: [Field<'_>; 5] = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &place),
        (":path", "/large"),
        ("authorization", &words),
    ];
    many.head(1, &fields, true);
    // Everybody else is served.
    for _ in 0..3 {
        let mut tunnel = open(handle, port);
        tunnel.get(handle, port, "/run");
        tunnel.until(MASK);
        sleep(Duration::from_secs(1));
    }
    assert_eq!(drained(&mut asking, |it| it), 0);
    assert_eq!(drained(&mut greeting, |it| it), 0);
    assert_eq!(drained(&mut heading, |it| &it.sock), 0);
    let answer = dripping.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"request_timeout\""), "{answer}");
    let cut = || {
        let entries = set.stage.journal("broker.exchange");
        let gone = |it: &&serde_json::Value| it["outcome"]["code"] == "client_gone";
        entries.iter().filter(gone).count()
    };
    // Both, since nobody else left something lying.
    for _ in 0..120 {
        if cut() == 2 {
            break;
        }
        sleep(Duration::from_secs(1));
    }
    assert_eq!(cut(), 2);
    assert!(drained(&mut full, |it| &it.sock) < LARGE);
    assert_eq!(many.came(1), Came::Gone);
    set.stage.finish();
}

#[test]
fn a_head_in_a_tunnel_has_its_size_and_its_number_of_fields() {
    let set = Set::new();
    let port = set.origin.port();
    let place = format!("localhost:{port}");
    let bearer = format!("Bearer {}", set.handle.placeholder);
    let names: Vec<String> = (0..200).map(|number| format!("x-{number}")).collect();
    let large = "x".repeat(70 << 10);
    let many = |count: usize| names.iter().take(count).map(|name| (&**name, "b"));
    let one = std::iter::once(("x-large", &*large));
    let heads: [(Vec<Field<'_>>, &str); 2] =
        [(many(200).collect(), "many"), (one.collect(), "large")];
    for (fields, what) in &heads {
        let lines: String = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let mut tunnel = open(&set.handle, port);
        let head =
            format!("GET /run HTTP/1.1\r\nHost: {place}\r\nAuthorization: {bearer}\r\n{lines}\r\n");
        // What is refused half-way is not taken to its end.
        drop(tunnel.stream.write_all(head.as_bytes()));
        drop(tunnel.stream.flush());
        let (_, answer) = tunnel.end();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{what}: {answer}");
        let mut tunnel = Many::open(&set.handle, port);
        let mut all = vec![
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", &*place),
            (":path", "/run"),
            ("authorization", &*bearer),
        ];
        all.extend_from_slice(fields);
        tunnel.head(1, &all, true);
        let Came::Answer(text) = tunnel.came(1) else {
            panic!("{what}: no answer");
        };
        assert_eq!(
            text.contains("\"too_many_headers\""),
            *what == "many",
            "{text}"
        );
    }
    assert_eq!(set.origin.accepted(), 0);
    // As many as other servers take too.
    let lines: String = names
        .iter()
        .take(90)
        .map(|name| format!("{name}: b\r\n"))
        .collect();
    let mut tunnel = open(&set.handle, port);
    tunnel.write(&format!(
        "GET /run HTTP/1.1\r\nHost: {place}\r\nAuthorization: {bearer}\r\n{lines}\r\n"
    ));
    tunnel.until(MASK);
    assert_eq!(set.origin.last().header("x-89"), "b");
    set.stage.finish();
}
