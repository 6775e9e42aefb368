//! Providers with their recorded answers, and requests as another reader sees them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Client, Endpoints, Held, TokenRequest, Via};
use crate::name::HostPattern;
use crate::oauth::provider::{Bound, Catalog, Provider, Reach};
use crate::secret::Secret;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::shipped().unwrap());

/// The moment of the recorded answers.
pub(super) const NOW_S: i64 = 1_795_426_200;
pub(super) const REDIRECT: &str = "https://broker.test/oauth/callback/x";
pub(super) const ID: &str = "client-0001";
/// Characters that need care in every encoding.
pub(super) const SECRET: &str = "s3:cr%et+ \u{e9}/&=";

pub(super) const PLAIN: &str = "s3:cr%et+ /&=";

pub(super) fn now() -> crate::clock::Timestamp {
    crate::clock::Timestamp::default().plus_seconds(NOW_S)
}

pub(super) fn secret(text: &str) -> Secret {
    Secret::copy_of(text.as_bytes())
}

pub(super) fn shown(secret: &Secret) -> String {
    secret.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// A provider, and a connection to it through a client.
pub(super) struct Rig {
    pub(super) provider: Arc<Provider>,
    pub(super) bound: Bound,
    pub(super) secret: Option<Secret>,
    pub(super) endpoints: Option<Endpoints>,
    pub(super) access: Secret,
    pub(super) refresh: Option<Secret>,
    pub(super) id_token: Option<Secret>,
}

impl Rig {
    pub(super) fn of(provider: Arc<Provider>, bound: Bound) -> Self {
        Self {
            provider,
            bound,
            secret: Some(secret(SECRET)),
            endpoints: Some(found()),
            access: secret("ACCESS-t0k3n"),
            refresh: Some(secret("REFRESH-t0k3n")),
            id_token: None,
        }
    }

    /// A shipped provider, with the connection of its recorded answers.
    pub(super) fn shipped(id: &str) -> Self {
        let provider = CATALOG.get(&id.parse_id()).unwrap().clone();
        let bound = bound(&provider, &fixture(&provider), true);
        Self::of(provider, bound)
    }

    /// A file of the test's own.
    pub(super) fn written(text: &str) -> Self {
        let provider = Provider::read("sample.toml", text, &Reach::public());
        Self::of(Arc::new(provider.unwrap()), Bound::default())
    }

    /// With a secret that can stand in a header as it is.
    pub(super) fn plain(mut self) -> Self {
        self.secret = Some(secret(PLAIN));
        self
    }

    pub(super) fn public(mut self) -> Self {
        self.secret = None;
        self
    }

    pub(super) fn via(&self) -> Via<'_> {
        Via {
            provider: &self.provider,
            bound: &self.bound,
            client: Client {
                id: ID,
                secret: self.secret.as_ref(),
            },
            redirect_uri: Some(REDIRECT),
            now: now(),
            endpoints: self.endpoints.as_ref(),
        }
    }

    pub(super) fn held(&self) -> Held<'_> {
        Held {
            access: &self.access,
            refresh: self.refresh.as_ref(),
            id_token: self.id_token.as_ref(),
        }
    }
}

/// What discovery found, for files that say so.
pub(super) fn found() -> Endpoints {
    let url = |path: &str| {
        Some(crate::egress::Url::parse(&format!("https://login.example.com/{path}")).unwrap())
    };
    Endpoints {
        issuer: "https://login.example.com".to_owned(),
        authorization: url("authorize"),
        token: url("token"),
        revocation: url("revoke"),
        userinfo: url("userinfo"),
        jwks_uri: url("jwks"),
        device_authorization: url("device"),
        client_auth: Vec::new(),
        iss_parameter_supported: true,
    }
}

trait ParseId {
    fn parse_id(&self) -> crate::name::ProviderId;
}

impl ParseId for str {
    fn parse_id(&self) -> crate::name::ProviderId {
        serde_json::from_value(Value::String(self.to_owned())).unwrap()
    }
}

pub(super) fn fixture(provider: &Provider) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/providers");
    let text = std::fs::read(folder.join(format!("{}.json", provider.id()))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// What the connection of a fixture was begun with; `whole` with what its answers brought.
pub(super) fn bound(provider: &Provider, fixture: &Value, whole: bool) -> Bound {
    let allowed = [HostPattern::parse("login.example.com").unwrap()];
    let bound = provider.bind(&texts(&fixture["params"]), &allowed).unwrap();
    let pairs = texts(&fixture["callback"]);
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let bound = bound.capture_callback(provider, pairs).unwrap();
    if whole {
        bound
            .capture_token(provider, &fixture["token"]["body"])
            .unwrap()
    } else {
        bound
    }
}

/// Every shipped provider with its recorded answers.
pub(super) fn each(mut check: impl FnMut(&Rig, &Value)) {
    for provider in CATALOG.iter() {
        let fixture = fixture(provider);
        let bound = bound(provider, &fixture, true);
        check(&Rig::of(provider.clone(), bound), &fixture);
    }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// A request as its receiver reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) line: String,
    pub(super) query: Vec<(String, String)>,
    /// The members of a form or a JSON object.
    pub(super) members: Vec<(String, String)>,
    /// The body as it is.
    pub(super) body: String,
    /// User name and password, decoded as RFC 6749 says.
    pub(super) basic: Option<(String, String)>,
    pub(super) headers: BTreeMap<String, String>,
}

impl Received {
    pub(super) fn of(request: &TokenRequest) -> Self {
        let headers: BTreeMap<_, _> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let body = shown(&request.body);
        let members = match headers.get("content-type").map(String::as_str) {
            Some("application/x-www-form-urlencoded") => pairs(&body),
            Some("application/json") => {
                let object: Value = serde_json::from_str(&body).unwrap();
                let texts = object.as_object().unwrap().iter();
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                texts
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect()
            }
            _ => Vec::new(),
        };
        let (path, query) = match request.path_and_query.split_once('?') {
            Some((path, query)) => (path, query),
            None => (request.path_and_query.as_str(), ""),
        };
        assert_eq!(path, request.url.path());
        Self {
            line: format!("{} {}{path}", request.method, request.url.origin()),
            query: pairs(query),
            members,
            body,
            basic: basic(request),
            headers,
        }
    }

    /// The first member of this name, wherever members stand.
    pub(super) fn member(&self, name: &str) -> Option<&str> {
        let all = self.members.iter().chain(&self.query);
        let mut found = all.filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        value
    }

    /// In how many places a value stands that is not to be seen.
    pub(super) fn places_of(&self, value: &str) -> usize {
        let members = self.members.iter().chain(&self.query);
        let in_members = members.filter(|(_, member)| member == value).count();
        let basic = self
            .basic
            .iter()
            .flat_map(|(user, password)| [user, password]);
        let in_basic = basic.filter(|half| *half == value).count();
        let in_headers = self.headers.values();
        in_members + in_basic + in_headers.filter(|header| header.contains(value)).count()
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn basic(request: &TokenRequest) -> Option<(String, String)> {
    let header = request.headers.get(AUTHORIZATION)?;
    assert!(header.is_sensitive(), "a credential is marked");
    let encoded = header.to_str().unwrap().strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64.decode(encoded.as_bytes()).unwrap()).unwrap();
    let (user, password) = text.split_once(':').unwrap();
    let decode = |half: &str| {
        let spaced = half.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    Some((decode(user), decode(password)))
}

/// An answer as a fixture records it: `{status, type, body}`.
pub(super) fn recorded(answer: &Value) -> super::Reply {
    let body = match &answer["body"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let kind = answer["type"].as_str().unwrap();
    let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
    reply(status, kind, &body)
}

pub(super) fn reply(status: u16, kind: &str, body: &str) -> super::Reply {
    let mut headers = http::HeaderMap::new();
    if !kind.is_empty() {
        headers.insert(http::header::CONTENT_TYPE, kind.parse().unwrap());
    }
    super::Reply::new(status, &headers, body.as_bytes().to_vec())
}

pub(super) fn json(status: u16, body: &Value) -> super::Reply {
    reply(status, "application/json; charset=utf-8", &body.to_string())
}

/// A file to which the test adds what it is about.
pub(super) const SAMPLE: &str = r#"schema = 1
id = "sample"
display_name = "Sample"
revoke_reason = "a sample"
[authorize]
url = "https://a.example.com/authorize"
[identity]
url = "https://a.example.com/me"
id = "/id"
[api]
hosts = ["a.example.com"]
"#;

pub(super) fn sample(token: &str) -> Rig {
    Rig::written(&format!("{SAMPLE}{token}"))
}

fn sorted(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut owned: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    owned.sort();
    owned
}

/// The request line, and all members wherever they stand.
pub(super) fn check(received: &Received, line: &str, members: &[(&str, &str)]) {
    assert_eq!(received.line, line);
    let mut all = received.members.clone();
    all.extend(received.query.iter().cloned());
    all.sort();
    assert_eq!(all, sorted(members), "{line}");
}

pub(super) fn read_as(
    rig: &Rig,
    reply: &super::Reply,
) -> Result<super::TokenReply, super::ReplyError> {
    super::read_tokens(
        &rig.provider,
        &rig.bound,
        reply,
        super::Subject::Token,
        now(),
    )
}

pub(super) fn read(id: &str, body: &Value) -> Result<super::TokenReply, super::ReplyError> {
    read_as(&Rig::shipped(id), &json(200, body))
}

/// The members of an answer, and `access_token` among them.
pub(super) fn with(more: &Value) -> Value {
    let mut body = serde_json::json!({"access_token": "t"});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}
