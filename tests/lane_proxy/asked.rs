//! One request in a tunnel of its own, and what it came to.

use serde_json::{Value, json};

use super::tunnel::open;
use crate::harness::Upstream;
use crate::lanes::Handle;
use crate::stage::{Stage, tls_tool};
use crate::{Set, proxied};

/// What came of a request: of the upstream, or of the broker, which then says why.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    /// Empty for an answer of the upstream's.
    pub(super) code: String,
    pub(super) text: String,
}

impl Told {
    fn read(text: String) -> Self {
        let status = text.split(' ').nth(1).unwrap_or_default();
        let code = text.split("\"code\":\"").nth(1).unwrap_or_default();
        let own = !text.to_lowercase().contains("x-runtools-answer: upstream");
        Self {
            status: status.parse().unwrap_or_default(),
            code: code
                .split('"')
                .next()
                .filter(|_| own)
                .unwrap_or_default()
                .to_owned(),
            text,
        }
    }
}

/// Sends `first`, with `lines` and a body, to `localhost` at `port`.
#[track_caller]
pub(super) fn ask(handle: &Handle, port: u16, first: &str, lines: &[&str], body: &str) -> Told {
    let mut tunnel = open(handle, port);
    let mut head = format!("{first} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n");
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    tunnel.write(&format!("{head}\r\n{body}"));
    Told::read(tunnel.ended())
}

impl Set {
    /// Before `origin`, with the usual tool as `change` leaves it.
    pub(super) fn changed(origin: Upstream, change: impl FnOnce(&mut Value)) -> Self {
        let mut stage = Stage::trusting(origin.root_pem());
        let admin = stage.broker.admin(&[]);
        let value = stage.secret(&admin, "KEY", &json!({}));
        let mut spec = tls_tool("custom-x", origin.port());
        change(&mut spec);
        stage.install(&admin, &spec);
        let handle = proxied(&stage, &admin, &json!({}));
        Self {
            stage,
            origin,
            admin,
            value,
            handle,
        }
    }

    /// Asks for `path` with the placeholder as the bearer, and keeps the answer for the oracle.
    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Told {
        let bearer = self.bearer();
        self.ask(&format!("GET {path}"), &[&bearer], "")
    }

    #[track_caller]
    pub(super) fn ask(&self, first: &str, lines: &[&str], body: &str) -> Told {
        let told = ask(&self.handle, self.origin.port(), first, lines, body);
        self.stage.keep_bytes(first, told.text.as_bytes());
        told
    }

    /// The same, which is refused with nothing sent.
    #[track_caller]
    pub(super) fn refused(
        &self,
        first: &str,
        lines: &[&str],
        body: &str,
        (status, code): (u16, &str),
    ) {
        let before = (self.origin.accepted(), self.origin.seen().len());
        let told = self.ask(first, lines, body);
        assert_eq!(
            (told.status, &*told.code),
            (status, code),
            "{first}: {}",
            told.text
        );
        let after = (self.origin.accepted(), self.origin.seen().len());
        assert_eq!(before, after, "{first}: nothing was sent");
    }
}
