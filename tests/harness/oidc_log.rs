//! What reached the peer, and what is to go wrong with it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// A request that reached the peer.
#[derive(Clone, Debug, Deserialize)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub form: Vec<(String, String)>,
    /// How its sender proved itself: `none`, `basic`, `post`, `bearer`, or several joined by `+`.
    pub auth: String,
    /// The status that the server came to; none when it never finished it.
    pub processed: Option<u16>,
    /// The status that was sent; none when nothing was.
    pub status: Option<u16>,
}

/// Something that goes wrong with the next requests for a path.
#[derive(Clone, Debug)]
pub struct Fault(Value);

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Then {
    /// This answer is sent, whatever the server came to.
    Reply(u16, Vec<(&'static str, String)>, String),
    /// The connection is closed.
    Close,
    /// Nothing happens until [`Peer::release`]; then it goes on.
    Hold,
    /// It goes on: for [`Fault::late`].
    GoOn,
}

impl Fault {
    /// Once, before the server works on a request for `path`.
    pub fn before(path: &str, then: Then) -> Self {
        Self::new("before", path, then)
    }

    /// Once, after it did, and before the answer is sent.
    pub fn after(path: &str, then: Then) -> Self {
        Self::new("after", path, then)
    }

    pub(super) fn command(&self) -> Value {
        self.0.clone()
    }

    fn new(when: &str, path: &str, then: Then) -> Self {
        let mut fault = json!({ "when": when, "path": path, "count": 1 });
        let word = match then {
            Then::Close => "close",
            Then::Hold => "hold",
            Then::GoOn => "go_on",
            Then::Reply(status, headers, body) => {
                fault["status"] = status.into();
                fault["headers"] = headers
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), Value::from(value)))
                    .collect();
                fault["body"] = body.into();
                "reply"
            }
        };
        fault["then"] = word.into();
        Self(fault)
    }

    /// The next `count` times.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.0["count"] = count.into();
        self
    }

    /// Only token requests of this grant type.
    #[must_use]
    pub fn grant(mut self, grant: &str) -> Self {
        self.0["grant"] = grant.into();
        self
    }

    /// After this long.
    #[must_use]
    pub fn late(mut self, delay: Duration) -> Self {
        self.0["delay_ms"] = u64::try_from(delay.as_millis()).unwrap().into();
        self
    }
}

impl Then {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        let kind = ("content-type", "application/json".to_owned());
        Self::Reply(status, vec![kind], body.to_string())
    }
}

impl Asked {
    /// A parameter of the form.
    pub fn form(&self, name: &str) -> Option<&str> {
        first(&self.form, name)
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// Whether the server did it and the answer was lost.
    pub const fn is_lost(&self) -> bool {
        self.processed.is_some() && self.status.is_none()
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut named = pairs.iter().filter(|(key, _)| key == name);
    named.next().map(|(_, value)| value.as_str())
}
