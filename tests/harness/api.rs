//! The routes of the OpenAPI document, and requests written by hand.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{Broker, Reply};

/// Every route as `GET /v1/secrets/{name}`.
pub fn routes() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&runtools_broker::http::document()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "head", "put", "post", "patch", "delete", "options"] {
            if item.get(method).is_some() {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert!(routes.len() > 40, "{routes:?}");
    routes
}

/// Sends `head` and `body` as they are over TCP, and reads the answer. `Host` and `Connection: close`
/// are added unless the head has a `Host`.
pub fn raw(broker: &Broker, head: &str, body: &[u8]) -> Reply {
    let host = broker.origin().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut bytes = head.as_bytes().to_vec();
    if !head.to_ascii_lowercase().contains("\r\nhost:") {
        bytes.extend_from_slice(format!("\r\nHost: {host}").as_bytes());
    }
    bytes.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    parse(&answer)
}

/// A request of which the second half of the body is still to come.
pub struct Half {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Half {
    /// Sends `head` and the first half of `body` over TCP; the broker has both, and waits for the rest.
    pub fn send(broker: &Broker, head: &str, body: &Value) -> Self {
        let host = broker.origin().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let body = body.to_string().into_bytes();
        let (first, rest) = body.split_at(body.len() / 2);
        let length = body.len();
        let head = format!(
            "{head}\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Asked for when the body is read: by then the caller is recognised.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(first).unwrap();
        Self {
            stream,
            rest: rest.to_vec(),
        }
    }

    /// Sends the rest, and reads the answer.
    pub fn finish(mut self) -> Reply {
        self.stream.write_all(&self.rest).unwrap();
        let mut answer = Vec::new();
        drop(self.stream.read_to_end(&mut answer));
        parse(&answer)
    }
}

fn parse(answer: &[u8]) -> Reply {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(answer)));
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.trim()).unwrap(),
        );
    }
    Reply {
        status: status.parse().unwrap(),
        headers,
        body: answer[end + 4..].to_vec(),
    }
}
