//! A client of a broker: blocking, over the Unix socket or TCP.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use runtools_broker::egress::{Endpoint, Payload};
use serde_json::Value;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Runs a future to its end, from a test that is no future itself.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// Where a client calls, and as whom.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
    key: Option<String>,
    headers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    Origin(String),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    /// Over the Unix socket: recognised by uid.
    pub fn unix(path: &Path) -> Self {
        Self {
            place: Place::Unix(path.to_owned()),
            key: None,
            headers: vec![],
        }
    }

    /// Over TCP, e.g. `http://127.0.0.1:8420`: anonymous until [`Client::key`].
    pub fn origin(origin: &str) -> Self {
        Self {
            place: Place::Origin(origin.to_owned()),
            key: None,
            headers: vec![],
        }
    }

    /// The same client at another origin: a broker listens elsewhere after each start.
    pub fn at(&self, origin: &str) -> Self {
        Self {
            place: Place::Origin(origin.to_owned()),
            ..self.clone()
        }
    }

    /// The same client with an API key.
    pub fn key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// The same client with one more header on each request.
    pub fn header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Sends a request; `Err` when no answer came.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Reply, String> {
        let endpoint = match &self.place {
            Place::Unix(path) => Endpoint::unix(path),
            Place::Origin(origin) => Endpoint::url(origin, vec![]).map_err(|e| e.to_string())?,
        };
        let mut headers = Vec::new();
        let mut push = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.push((name, HeaderValue::from_str(value).unwrap()));
        };
        if let Some(key) = &self.key {
            push("x-api-key", key);
        }
        for (name, value) in &self.headers {
            push(name, value);
        }
        if let Some((kind, _)) = body {
            push("content-type", kind);
        }
        let payload = body.map(|(_, bytes)| Payload::Plain(bytes.to_vec().into()));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let reply = block_on(endpoint.send(method, path, headers, payload));
        let reply = reply.map_err(|error| error.to_string())?;
        Ok(Reply {
            status: reply.status,
            headers: reply.headers,
            body: reply.body.to_vec(),
        })
    }

    /// Sends a request with any body.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Reply {
        self.try_send(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, body)
    }

    /// Sends a JSON body.
    pub fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.send(
            method,
            path,
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    /// Makes an API key for whoever this client is, and the client that uses it over `origin`.
    pub fn make_key(&self, scopes: &[&str]) -> String {
        let body = serde_json::json!({ "name": "test", "scopes": scopes });
        let reply = self.post("/v1/api-keys", &body).expect(201);
        reply["data"]["key"].as_str().unwrap().to_owned()
    }
}

impl Reply {
    /// The body as JSON, after checking the status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        if self.body.is_empty() {
            Value::Null
        } else {
            self.value()
        }
    }

    /// The body as JSON.
    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The error's code, after checking the status.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        let body = self.expect(status);
        let error = &body["error"];
        assert!(
            error["message"].is_string() && error["requestId"].is_string(),
            "{body}"
        );
        error["code"].as_str().unwrap().to_owned()
    }
}
