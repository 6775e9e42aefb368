//! Providers, people and a book for tests. The pages' tests use them too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    CallbackQuery, Departure, FlowAsk, FlowBook, FlowCookies, FlowId, FlowPurpose, PublicUrl,
    Started, Taken, Tell,
};
use crate::clock::Timestamp;
use crate::crypto::SystemRandom;
use crate::id::{OrgId, UserId};
use crate::name::ProviderId;
use crate::oauth::client::{ClientOwner, ClientRef};
use crate::oauth::provider::{Provider, Reach};

pub(crate) const URL: &str = "https://broker.example.com";

/// With an issuer, ID tokens and a challenge.
pub(crate) const GIT: &str = r#"
schema = 1
id = "acme-git"
display_name = "Acme Git"
issuer = "https://git.example"
revoke_reason = "a sample"
[authorize]
url = "https://git.example/oauth/authorize"
pkce = "optional"
select_account_params = { prompt = "select_account" }
reconnect_params = { prompt = "consent" }
[token]
url = "https://git.example/oauth/token"
[identity]
url = "https://git.example/user"
id = "/id"
[api]
hosts = ["git.example"]
[scopes]
default = ["openid", "repo"]
required = ["repo"]
available = [{ scope = "repo", label = "Read and change repositories" }]
"#;

/// Another provider, without an issuer.
pub(crate) const MAIL: &str = r#"
schema = 1
id = "acme-mail"
display_name = "Acme Mail"
revoke_reason = "a sample"
[authorize]
url = "https://mail.example/oauth/authorize"
[callback]
max_code_age_s = 60
[token]
url = "https://mail.example/oauth/token"
[identity]
url = "https://mail.example/user"
id = "/id"
[api]
hosts = ["mail.example"]
[scopes]
default = ["mail.read"]
"#;

/// It signs its callbacks, and says for which shop they are.
pub(crate) const SHOP: &str = r#"
schema = 1
id = "acme-shop"
display_name = "Acme Shop"
revoke_reason = "a sample"
[params.shop]
label = "Shop"
pattern = "[a-z0-9-]{1,60}"
position = "host_label"
required = true
[authorize]
url = "https://{params.shop}.shop.example/oauth/authorize"
pkce = "off"
pkce_reason = "a sample"
[callback.signature]
alg = "hmac-sha256"
encoding = "hex"
over = "sorted_query"
exclude = ["hmac"]
key = "client_secret"
max_age_param = "timestamp"
max_age_s = 300
[callback_capture]
shop = { query = "shop", must_equal = "{params.shop}.shop.example", required = true }
[token]
url = "https://{params.shop}.shop.example/oauth/token"
[identity]
url = "https://{params.shop}.shop.example/me.json"
id = "/id"
[api]
hosts = ["{params.shop}.shop.example"]
[scopes]
default = ["orders.read"]
"#;

pub(crate) fn read(text: &str) -> Arc<Provider> {
    let id = text.lines().find_map(|line| line.strip_prefix("id = \""));
    let id = id.unwrap().trim_end_matches('"');
    let read = Provider::read(&format!("{id}.toml"), text, &Reach::public());
    Arc::new(read.unwrap())
}

pub(crate) fn org() -> OrgId {
    OrgId::from_bytes([1; 16])
}

pub(crate) fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

/// User 1 of the organisation connects an account of this provider.
pub(crate) fn ask(text: &str, tell: Tell) -> FlowAsk {
    let provider = read(text);
    let told = provider.spec().params.keys();
    let told: BTreeMap<_, _> = told.map(|name| (name.clone(), "acme".to_owned())).collect();
    FlowAsk {
        org: org(),
        user: user(1),
        user_name: "Ann Example".to_owned(),
        org_name: "Acme".to_owned(),
        bound: provider.bind(&told, &[]).unwrap(),
        scopes: provider
            .allowed_scopes(&[], crate::oauth::provider::Beyond::Refused)
            .unwrap(),
        extra_scopes: BTreeMap::new(),
        found: None,
        client: ClientRef {
            owner: ClientOwner::Instance,
            client_id: "client-1".to_owned(),
        },
        purpose: FlowPurpose::Connect,
        login_hint: None,
        provider,
        tell,
    }
}

pub(crate) fn loopback() -> Tell {
    Tell::loopback(49_152, "/callback").unwrap()
}

/// A book and one browser.
pub(crate) struct Rig {
    pub book: FlowBook,
    pub jar: Vec<String>,
    pub now: Timestamp,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            book: FlowBook::new(PublicUrl::parse(URL).unwrap()),
            jar: Vec::new(),
            now: at(0),
        }
    }

    pub(crate) fn begin(&self, text: &str, tell: Tell) -> Started {
        let ask = ask(text, tell);
        self.book.begin(ask, self.now, &SystemRandom).unwrap()
    }

    pub(crate) fn cookies(&self) -> FlowCookies {
        let jar = self.jar.iter().map(String::as_str);
        FlowCookies::read(jar, self.book.public_url())
    }

    /// The browser agrees, and keeps the cookie; the members of the provider's URL.
    pub(crate) fn leave(&mut self, flow: &FlowId) -> BTreeMap<String, String> {
        let (cookies, now) = (self.cookies(), self.now);
        let left = self.book.confirm(flow, &cookies, None, now, &SystemRandom);
        let Departure { url, cookie } = left.unwrap();
        let held = cookie.split(';').next().unwrap().to_owned();
        let name = held.split('=').next().unwrap().to_owned();
        self.jar.retain(|other| !other.starts_with(&name));
        self.jar.push(held);
        let url = url::Url::parse(&url).unwrap();
        url.query_pairs().into_owned().collect()
    }

    /// The provider's answer comes with this browser's cookies.
    pub(crate) fn answer(&self, provider: &str, query: &str) -> Taken {
        self.answer_with(provider, query, &self.cookies())
    }

    pub(crate) fn answer_with(&self, provider: &str, query: &str, jar: &FlowCookies) -> Taken {
        let provider = ProviderId::parse(provider).unwrap();
        let query = CallbackQuery::read(query).unwrap();
        self.book.take(&provider, query, jar, self.now)
    }

    /// No cookies at all.
    pub(crate) fn nobody(&self) -> FlowCookies {
        FlowCookies::read([], self.book.public_url())
    }

    pub(crate) fn status(&self, flow: &FlowId) -> &'static str {
        let view = self.book.view(org(), user(1), flow, self.now).unwrap();
        view.error.unwrap_or(view.status.as_str())
    }
}
