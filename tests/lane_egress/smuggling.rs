//! Requests to the streaming lane that two readers would read differently (reference: HT-1): the upstream gets
//! none, or one that is well formed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::harness::ambiguous::{Reader, one_at_most};
use crate::harness::{Client, Upstream};
use crate::lanes::{egress, resolve};
use crate::stage::{Stage, tool};

/// A broker, an upstream that shows what arrives, and the right to send there.
struct Set {
    stage: Stage,
    upstream: Upstream,
    admin: Client,
    lines: String,
}

impl Set {
    fn new() -> Self {
        let upstream = Upstream::echo();
        let mut stage = Stage::new();
        let key = stage.operator().make_key(&[]);
        let admin = stage.broker.anonymous().key(&key);
        stage.secret(&admin, "KEY", &json!({}));
        stage.install(&admin, &tool("custom-x", upstream.port()));
        let handle = resolve(&stage, &admin, "custom-x", &json!({}));
        let lines = format!("X-API-Key: {key}\r\nX-RunTools-Handle: {}\r\n", handle.text);
        Self {
            stage,
            upstream,
            admin,
            lines,
        }
    }

    fn host(&self) -> &str {
        self.stage.broker.origin().strip_prefix("http://").unwrap()
    }

    fn target(&self, path: &str) -> String {
        egress(&format!("http://127.0.0.1:{}{path}", self.upstream.port()))
    }

    /// A request to `path` with these lines for its framing.
    fn post(&self, path: &str, framing: &str, body: &str) -> String {
        let (target, host, lines) = (self.target(path), self.host(), &self.lines);
        format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n{lines}{framing}\r\n{body}")
    }

    /// One that is there only for who reads another wrongly.
    fn hidden(&self) -> String {
        self.post("/hidden", "Content-Length: 3\r\n", "a=b")
    }

    /// Requests that are read in more ways than one, all to this lane: those that are refused, and those that
    /// are sent on once.
    fn ambiguous(&self) -> [Vec<(&'static str, String)>; 2] {
        let reader = Reader {
            request: &|framing, body| self.post("/shown", framing, body),
            get: &format!("GET {}", self.target("/shown")),
            host: self.host(),
            body: "a=b&c=d",
            hidden: &self.hidden(),
        };
        [reader.refused(), reader.once()]
    }

    /// What comes of some bytes: the statuses, and whether the broker closes within so long a silence.
    fn send(&self, bytes: &[u8], patience: Duration) -> (Vec<u16>, bool, String) {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        // Who has refused already takes the rest or not.
        drop(stream.write_all(bytes));
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        let closed = loop {
            match stream.read(&mut piece) {
                Ok(0) => break true,
                Ok(read) => answer.extend_from_slice(&piece[..read]),
                Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        self.stage.keep_bytes("the wire", &answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let heads = text.match_indices("HTTP/1.1 ");
        let statuses = heads.map(|(at, _)| text[at + 9..at + 12].parse().unwrap());
        (statuses.collect(), closed, text)
    }
}

#[test]
fn ht_1_ambiguous_requests_to_the_streaming_lane_are_refused_and_end_the_connection() {
    let set = Set::new();
    let mut wrong = Vec::new();
    let [refused, _] = set.ambiguous();
    for (what, bytes) in refused {
        let (statuses, closed, text) = set.send(bytes.as_bytes(), Duration::from_secs(30));
        let refused = statuses.len() <= 1 && statuses.iter().all(|it| (400..=505).contains(it));
        if !(refused && closed) {
            wrong.push((what, statuses, closed, text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(set.upstream.accepted(), 0);
    // The right itself is good.
    let plain = set.post(
        "/shown",
        "Content-Length: 3\r\nConnection: close\r\n",
        "c=d",
    );
    let (statuses, ..) = set.send(plain.as_bytes(), Duration::from_secs(30));
    assert_eq!(statuses, [200]);
    set.stage.finish();
}

#[test]
fn ht_1_what_is_ambiguous_only_to_others_is_sent_on_at_most_once() {
    let set = Set::new();
    let [_, once] = set.ambiguous();
    for (what, bytes) in once {
        let before = set.upstream.seen().len();
        let (statuses, _, text) = set.send(bytes.as_bytes(), Duration::from_millis(700));
        assert!(statuses.len() <= 1, "{what}: {text}");
        let seen = set.upstream.seen().split_off(before);
        one_at_most(what, &seen, "/shown");
    }
    // Two plain requests in one write are two.
    let both = set.post("/shown", "Content-Length: 3\r\n", "c=d") + &set.hidden();
    let before = set.upstream.seen().len();
    let (statuses, _, text) = set.send(both.as_bytes(), Duration::from_secs(2));
    assert_eq!(statuses, [200, 200], "{text}");
    assert_eq!(set.upstream.seen().len(), before + 2);
    assert_eq!(set.admin.get("/v1/status").status, 200);
    set.stage.finish();
}
