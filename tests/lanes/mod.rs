//! Resolving, and sending by right of a handle: in one piece, and streaming.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each journey uses a part of it"
)]

pub mod cut;
pub mod node;
pub mod origin;
pub mod set;
pub mod socket;
pub mod wire;

use crate::harness::{Client, Reply};
use crate::stage::{Stage, merge, text};
use serde_json::{Value, json};

/// A handle with its placeholder for the field `apiKey`.
#[derive(Clone, Debug)]
pub struct Handle {
    pub id: String,
    pub text: String,
    pub placeholder: String,
    pub whole: Value,
}

/// Asks for a handle to `tool`, whose field `apiKey` is filled with the secret `KEY`.
#[track_caller]
pub fn resolve(stage: &Stage, client: &Client, tool: &str, more: &Value) -> Handle {
    let reply = try_resolve(stage, client, tool, more);
    handle(&reply.expect(201)["data"])
}

pub fn try_resolve(stage: &Stage, client: &Client, tool: &str, more: &Value) -> Reply {
    let mut body = json!({"tool": tool, "credentialOverrides": {"apiKey": "KEY"}, "maxUses": 1000});
    merge(&mut body, more);
    stage.send(client, "POST", "/v1/resolve", &body)
}

#[track_caller]
fn handle(data: &Value) -> Handle {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Handle {
        id: text(&data["id"]),
        text: text(&data["handle"]),
        placeholder: data["placeholders"]["apiKey"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        whole: data.clone(),
    }
}

/// How a request by right of a handle is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// `POST /v1/execute`.
    Execute,
    /// `/v1/egress/…`.
    Egress,
}

pub const LANES: [Lane; 2] = [Lane::Execute, Lane::Egress];

/// A request as tool code would make it.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    pub method: &'a str,
    pub url: String,
    pub headers: Vec<(&'a str, String)>,
    pub body: Option<String>,
}

/// What came of it: the upstream's answer, or the broker's refusal.
#[derive(Clone, Debug)]
pub struct Came {
    pub status: u16,
    /// Empty for an answer of the upstream's.
    pub code: String,
    pub text: String,
}

impl<'a> Wish<'a> {
    pub fn get(url: &str) -> Self {
        Self {
            method: "GET",
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    pub fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn post(mut self, kind: &str, body: &str) -> Self {
        self.method = "POST";
        self.body = Some(body.to_owned());
        self.header("content-type", kind)
    }
}

/// The path of the streaming lane for a URL.
pub fn egress(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    format!("/v1/egress/{scheme}/{rest}")
}

impl Lane {
    /// Sends `wish` by right of `handle`.
    #[track_caller]
    pub fn send(self, stage: &Stage, client: &Client, handle: &str, wish: &Wish<'_>) -> Came {
        match self {
            Self::Execute => {
                let headers: serde_json::Map<_, _> = wish
                    .headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
                    .collect();
                let mut body = json!({"handle": handle, "method": wish.method, "url": wish.url, "headers": headers});
                if let Some(text) = &wish.body {
                    body["body"] = json!({"text": text});
                }
                let reply = stage.send(client, "POST", "/v1/execute", &body);
                if reply.status != 200 {
                    return refused(&reply);
                }
                let data = reply.value()["data"].clone();
                Came {
                    status: u16::try_from(data["status"].as_u64().unwrap()).unwrap(),
                    code: String::new(),
                    text: data.to_string(),
                }
            }
            Self::Egress => {
                let mut sender = client.header("x-runtools-handle", handle);
                let mut kind = "";
                for (name, value) in &wish.headers {
                    if *name == "content-type" {
                        kind = value;
                    } else {
                        sender = sender.header(name, value);
                    }
                }
                let body = wish.body.as_ref().map(|body| (kind, body.as_bytes()));
                let reply = sender.send(wish.method, &egress(&wish.url), body);
                stage.keep(&format!("{} {}", wish.method, wish.url), &reply);
                if !reply.headers.contains_key("x-runtools-answer") {
                    return refused(&reply);
                }
                Came {
                    status: reply.status,
                    code: String::new(),
                    text: text(&reply),
                }
            }
        }
    }
}

fn refused(reply: &Reply) -> Came {
    let body = reply.value();
    Came {
        status: reply.status,
        code: body["error"]["code"].as_str().unwrap().to_owned(),
        text: text(reply),
    }
}
