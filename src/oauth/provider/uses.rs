//! Every template of a file: where it stands, and what it may name there.

use super::spec::{Body, Map, Method, RevokeAuth, Spec, Token};
use super::template::{Place, QuerySecrets, Template};

/// One template.
#[derive(Clone, Debug)]
pub(super) struct Use<'s> {
    /// Its key, with dots.
    pub(super) key: String,
    /// Itself.
    pub(super) template: &'s Template,
    /// What it writes.
    pub(super) writes: Writes,
    /// The plain names that have a value there.
    pub(super) names: &'static [&'static str],
    /// Which captured values there are by then.
    pub(super) meta: Meta,
    /// Whether it is left out when a parameter was not told.
    pub(super) optional: bool,
}

/// What a template writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// A URL.
    Url(QuerySecrets),
    /// The value of something else.
    Value(Place),
    /// A host of the API, perhaps with a wildcard.
    ApiHost,
}

/// Which captured values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meta {
    None,
    Callback,
    All,
}

const CLIENT: &[&str] = &["client_id", "client_secret"];
const AUTHORIZE: &[&str] = &["client_id", "redirect_uri", "redirect_origin"];
const TOKEN: &[&str] = &["client_id", "client_secret", "redirect_uri"];
const TOKENS: &[&str] = &[
    "client_id",
    "client_secret",
    "redirect_uri",
    "access_token",
    "refresh_token",
    "id_token",
];
const POLL: &[&str] = &["client_id", "client_secret", "handle", "user_code"];
const HEADERS: Writes = Writes::Value(Place::Header);

/// A part of the file whose templates may name the same.
struct Section<'s, 'u> {
    uses: &'u mut Vec<Use<'s>>,
    names: &'static [&'static str],
    meta: Meta,
}

impl<'s> Section<'s, '_> {
    fn one(&mut self, key: &str, template: impl Into<Option<&'s Template>>, writes: Writes) {
        self.uses.extend(template.into().map(|template| Use {
            key: key.to_owned(),
            template,
            writes,
            names: self.names,
            meta: self.meta,
            optional: false,
        }));
    }

    fn all(&mut self, key: &str, templates: &'s Map<Template>, writes: Writes) {
        for (name, template) in templates {
            self.one(&format!("{key}.{name}"), template, writes);
        }
    }
}

/// All of them, in the order of the file.
pub(super) fn uses(spec: &Spec) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    authorization(spec, &mut uses);
    token(spec, &mut uses);
    refresh(spec, &mut uses);
    device(spec, &mut uses);
    revoke(spec, &mut uses);
    identity(spec, &mut uses);
    api(spec, &mut uses);
    uses
}

/// Where the members of a request go.
fn members(body: Body, secrets: QuerySecrets) -> Writes {
    Writes::Value(match body {
        Body::Query => Place::Query(secrets),
        Body::Form | Body::Json | Body::Empty => Place::Body,
    })
}

fn authorization<'s>(spec: &'s Spec, uses: &mut Vec<Use<'s>>) {
    let begins = uses.len();
    let (names, meta) = (AUTHORIZE, Meta::None);
    let mut section = Section { uses, names, meta };
    let query = Writes::Value(Place::Query(QuerySecrets::Refused));
    if let Some(file) = &spec.authorize {
        section.all("authorize.params", &file.params, query);
        let (select, reconnect) = (&file.select_account_params, &file.reconnect_params);
        section.all("authorize.select_account_params", select, query);
        section.all("authorize.reconnect_params", reconnect, query);
    }
    let ends = section.uses.len();
    let url = Writes::Url(QuerySecrets::Refused);
    let authorize = spec.authorize.as_ref();
    let page = authorize.and_then(|authorize| authorize.url.as_ref());
    section.one("authorize.url", page, url);
    section.names = &[];
    section.one("issuer", &spec.issuer, url);
    for (name, capture) in &spec.callback_capture {
        let key = format!("callback_capture.{name}.must_equal");
        section.one(&key, &capture.must_equal, Writes::Value(Place::Body));
    }
    let extras = uses.iter_mut().take(ends).skip(begins);
    extras.for_each(|extra| extra.optional = true);
}

fn token<'s>(spec: &'s Spec, uses: &mut Vec<Use<'s>>) {
    let Some(file) = &spec.token else { return };
    let (names, meta) = (TOKEN, Meta::Callback);
    let mut section = Section { uses, names, meta };
    let secrets = QuerySecrets::when(file.query_secrets_ok);
    section.one("token.url", &file.url, Writes::Url(secrets));
    section.one("token.basic_username", &file.basic_username, HEADERS);
    section.one("token.basic_password", &file.basic_password, HEADERS);
    section.all("token.headers", &file.headers, HEADERS);
    section.all("token.params", &file.params, members(file.body, secrets));
    section.names = TOKENS;
    for (index, hop) in file.exchange.iter().enumerate() {
        let secrets = QuerySecrets::when(hop.query_secrets_ok);
        let key = format!("token.exchange.{index}");
        section.one(&format!("{key}.url"), &hop.url, Writes::Url(secrets));
        let writes = members(hop.body, secrets);
        section.all(&format!("{key}.params"), &hop.params, writes);
    }
}

/// How a refresh sends its members: as the file says, or as the token request does.
pub(super) fn refresh_body(spec: &Spec, token: &Token) -> Body {
    spec.refresh.body.unwrap_or(token.body)
}

fn refresh<'s>(spec: &'s Spec, uses: &mut Vec<Use<'s>>) {
    let Some(token) = &spec.token else { return };
    let (names, meta) = (TOKENS, Meta::All);
    let mut section = Section { uses, names, meta };
    let secrets = QuerySecrets::when(spec.refresh.query_secrets_ok);
    section.one("refresh.url", &spec.refresh.url, Writes::Url(secrets));
    if let Some(params) = &spec.refresh.params {
        let writes = members(refresh_body(spec, token), secrets);
        section.all("refresh.params", params, writes);
    }
}

fn device<'s>(spec: &'s Spec, uses: &mut Vec<Use<'s>>) {
    let Some(file) = &spec.device else { return };
    let (names, meta) = (CLIENT, Meta::None);
    let mut section = Section { uses, names, meta };
    let url = Writes::Url(QuerySecrets::Refused);
    let body = members(file.body, QuerySecrets::Refused);
    section.one("device.url", &file.url, url);
    section.one("device.token_url", &file.token_url, url);
    section.all("device.request", &file.request, body);
    section.names = POLL;
    section.all("device.poll", &file.poll, body);
    section.names = &[];
    section.one("device.verification_uri", &file.verification_uri, url);
    let handoff = file.handoff.as_ref().map(|handoff| &handoff.redirect_uri);
    section.one("device.handoff.redirect_uri", handoff, url);
}

fn revoke<'s>(spec: &'s Spec, uses: &mut Vec<Use<'s>>) {
    let (names, meta) = (TOKENS, Meta::All);
    let mut section = Section { uses, names, meta };
    for (index, step) in spec.revoke.iter().enumerate() {
        let key = format!("revoke.{index}");
        let secrets = QuerySecrets::when(step.query_secrets_ok);
        section.one(&format!("{key}.url"), &step.url, Writes::Url(secrets));
        section.all(&format!("{key}.headers"), &step.headers, HEADERS);
        let writes = members(step.body, secrets);
        section.all(&format!("{key}.params"), &step.params, writes);
    }
}

fn identity<'s>(spec: &'s Spec, uses: &mut Vec<Use<'s>>) {
    let Some(file) = &spec.identity else { return };
    let (names, meta) = (TOKENS, Meta::All);
    let mut section = Section { uses, names, meta };
    let url = Writes::Url(QuerySecrets::when(file.query_secrets_ok));
    section.one("identity.url", &file.url, url);
    section.all("identity.headers", &file.headers, HEADERS);
    let resources = file.resources.as_ref();
    let resources = resources.and_then(|resources| resources.url.as_ref());
    section.one("identity.resources.url", resources, url);
}

fn api<'s>(spec: &'s Spec, uses: &mut Vec<Use<'s>>) {
    let Some(file) = &spec.api else { return };
    let (names, meta) = (&["client_id", "access_token"][..], Meta::All);
    let mut section = Section { uses, names, meta };
    section.one("api.value", &file.value, HEADERS);
    section.names = &["client_id"];
    section.all("api.extra_headers", &file.extra_headers, HEADERS);
    section.names = &[];
    let url = Writes::Url(QuerySecrets::Refused);
    section.one("api.base_url", &file.base_url, url);
    for (index, host) in file.hosts.iter().enumerate() {
        section.one(&format!("api.hosts.{index}"), host, Writes::ApiHost);
    }
}

/// Requests whose own members hold a secret and stand in a URL, by the key that must permit it.
pub(super) fn secrets_in_queries(spec: &Spec) -> Vec<String> {
    let mut keys = Vec::new();
    let mut add = |exposed: bool, ok: bool, key: String| {
        if exposed && !ok {
            keys.push(key);
        }
    };
    if let Some(token) = &spec.token {
        // A code is one too, however the client proves itself.
        let exposed = token.body == Body::Query;
        add(exposed, token.query_secrets_ok, "token".to_owned());
        let refreshes = spec.refresh.mode != super::spec::RefreshMode::None;
        let exposed = refreshes && refresh_body(spec, token) == Body::Query;
        add(exposed, spec.refresh.query_secrets_ok, "refresh".to_owned());
    }
    let device = spec.device.as_ref();
    let exposed = device.is_some_and(|device| device.body == Body::Query);
    add(exposed, false, "device".to_owned());
    for (index, step) in spec.revoke.iter().enumerate() {
        // With Bearer the token stands in a header, and nowhere else.
        let exposed = step.auth != RevokeAuth::Bearer && step.body == Body::Query;
        add(exposed, step.query_secrets_ok, format!("revoke.{index}"));
    }
    keys
}

/// Whether a method carries a body.
pub(super) const fn has_body(method: Method) -> bool {
    !matches!(method, Method::Get)
}
