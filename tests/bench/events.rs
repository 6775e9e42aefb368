//! The first event of a stream: how much later it comes through the streaming lane than from the origin itself.
//!
//! Origin and client are threads of this process, so that one clock measures both.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Effort;
use crate::report::Report;
use crate::servers::Broker;

const EVENT: &str = "data: {\"type\":\"message_start\"}\n\n";

/// An origin that tells when it begins to write the first event of each stream.
fn origin() -> (SocketAddr, Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (written, when) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let written = written.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &written));
        }
    });
    (addr, when)
}

fn serve(mut stream: TcpStream, written: &Sender<Instant>) {
    const STARTS: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.set_nodelay(true).unwrap();
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(read @ 1..) => head.extend_from_slice(&piece[..read]),
                _ => return,
            }
        }
        stream.write_all(STARTS).unwrap();
        // As a model thinks: what the head costs is over when the event comes.
        std::thread::sleep(Duration::from_millis(5));
        let chunk = format!("{:x}\r\n{EVENT}\r\n", EVENT.len());
        written.send(Instant::now()).unwrap();
        stream.write_all(chunk.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        stream.write_all(b"0\r\n\r\n").unwrap();
    }
}

/// Opens streams at `addr`, one after the other; microseconds from the writing of the first event to its
/// arrival, in order of size.
fn arrivals(addr: SocketAddr, when: &Receiver<Instant>, count: usize, head: &str) -> Vec<f64> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut all: Vec<f64> = (0..count)
        .map(|_| {
            stream.write_all(head.as_bytes()).unwrap();
            let (mut got, mut piece, mut came) = (Vec::new(), [0; 4096], None);
            while !got.ends_with(b"0\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "the server closed the connection");
                got.extend_from_slice(&piece[..read]);
                if came.is_none() && got.windows(EVENT.len()).any(|it| it == EVENT.as_bytes()) {
                    came = Some(Instant::now());
                }
            }
            let text = || String::from_utf8_lossy(&got).into_owned();
            assert!(got.starts_with(b"HTTP/1.1 200"), "{}", text());
            let written = when.recv().unwrap();
            came.unwrap().duration_since(written).as_secs_f64() * 1e6
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

/// A tool for the origin, over cleartext, and a handle for it.
fn handle(broker: &Broker, port: u16) -> String {
    let secret = r#"{"name":"CRM_KEY","value":"sk_live_0123456789abcdefghij"}"#;
    broker.operator("POST", "/v1/secrets", secret);
    let tool = json!({
        "slug": "bench-events", "name": "B", "actionsJson": {},
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "k"}}},
        "bindings": [{
            "scheme": "http", "hosts": ["127.0.0.1"], "port": port, "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/**"],
            "slots": {"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]},
        }],
    });
    broker.operator("POST", "/v1/tools/custom", &tool.to_string());
    broker.operator("POST", "/v1/tools/bench-events/install", "");
    let body = json!({
        "tool": "bench-events", "credentialOverrides": {"apiKey": "CRM_KEY"},
        "maxUses": 1000, "ttlSeconds": 900,
    });
    let made: Value = broker.with_key(&broker.key, ("POST", "/v1/resolve"), &body.to_string());
    made["data"]["handle"].as_str().unwrap().to_owned()
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str =
        "The first event of a stream, from its writing at the origin to its arrival";
    const HEAD: [&str; 6] = ["what", "streams", "p50 µs", "p99 µs", "added p50 µs", "bar"];
    let count = if effort.quick { 100 } else { 800 };
    let (addr, when) = origin();
    let broker = Broker::start();
    let handle = handle(&broker, addr.port());
    let direct = format!("GET /events HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    let lane = format!(
        "GET /v1/egress/http/{addr}/events HTTP/1.1\r\nhost: {}\r\nx-api-key: {}\r\n\
         x-runtools-handle: {handle}\r\n\r\n",
        broker.addr(),
        broker.key,
    );
    let floor = arrivals(addr, &when, count, &direct);
    let run = arrivals(broker.addr(), &when, count, &lane);
    let at = |all: &[f64], part: usize| all[(all.len() * part / 100).min(all.len() - 1)];
    let added = at(&run, 50) - at(&floor, 50);
    let slow = at(&run, 99) - at(&floor, 99);
    let bar = format!(
        "{slow:.0} added at p99, {}",
        Report::verdict("< 1,000 µs", slow < 1_000.0)
    );
    for (what, all, added, bar) in [
        ("direct", &floor, String::new(), String::new()),
        ("the streaming lane", &run, format!("{added:.0}"), bar),
    ] {
        let row = [
            what.to_owned(),
            count.to_string(),
            format!("{:.0}", at(all, 50)),
            format!("{:.0}", at(all, 99)),
            added,
            bar,
        ];
        report.row(TITLE, &HEAD, &row);
    }
}
