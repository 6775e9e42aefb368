//! Checks of what is sent: parameters, headers, scopes, signatures, bounds.

use std::collections::BTreeSet;

use http::HeaderName;

use super::authorize::{STANDARD, name_of};
use super::error::{Fault, ensure};
use super::scopes::is_scope;
use super::spec::{
    AssertionAudience, Authorize, Body, ClientAuth, Kind, Map, Pkce, SignatureOver, Spec, Token,
};
use super::template::Template;
use super::uses::{has_body, uses};

/// Standard parameters without which there is no flow.
const NEEDED: [&str; 3] = ["state", "code_challenge", "code_challenge_method"];
/// The broker's own bounds, which a file may only tighten.
const MAX_TIMEOUT_S: u32 = 20;
const MAX_BODY_KIB: u32 = 256;
const MAX_CONCURRENCY: u32 = 8;
/// The oldest that a signed callback may be, in seconds.
const MAX_SIGNED_S: u32 = 3600;

pub(super) fn check_requests(spec: &Spec) -> Result<(), Fault> {
    if let Some(authorize) = &spec.authorize {
        check_authorize(authorize)?;
    }
    check_signature(spec)?;
    check_token(spec)?;
    check_steps(spec)?;
    check_headers(spec)?;
    check_scopes(spec)?;
    check_limits(spec)
}

fn check_authorize(file: &Authorize) -> Result<(), Fault> {
    let reasoned = file.pkce != Pkce::Off || file.pkce_reason.is_some();
    ensure(
        reasoned,
        "authorize.pkce_reason",
        "pkce = \"off\" needs a reason",
    )?;
    let separators = [" ", ",", "+"];
    let known = separators.contains(&file.scope_separator.as_str());
    ensure(
        known,
        "authorize.scope_separator",
        "a space, a comma or a plus",
    )?;
    let standard = |name: &String| STANDARD.contains(&name.as_str());
    let reason = "a standard parameter, other than scope and login_hint";
    let renamed = |name: &String| standard(name) && *name != "scope" && *name != "login_hint";
    ensure(file.rename.keys().all(renamed), "authorize.rename", reason)?;
    // A page may know the client by a parameter of its own, such as the name of an integration.
    let named = file.url.as_ref().is_some_and(|url| {
        let mut names = url.names();
        names.any(|name| name.starts_with("params."))
    });
    let spared = |name: &String| {
        standard(name) && !NEEDED.contains(&name.as_str()) && (named || *name != "client_id")
    };
    let reason = "a standard parameter without which there still is a flow";
    ensure(file.omit.iter().all(spared), "authorize.omit", reason)?;
    let word = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase());
    let lists = file.extra_scope_params.keys().all(word);
    let reason = "a list has a name of lower-case letters";
    ensure(lists, "authorize.extra_scope_params", reason)?;
    let mut names = BTreeSet::new();
    let sent = STANDARD.iter().map(|name| name_of(file, name));
    let lists = file.extra_scope_params.values().map(String::as_str);
    let distinct = sent
        .chain(lists)
        .all(|name| is_member(name) && names.insert(name));
    ensure(
        distinct,
        "authorize.rename",
        "every parameter has a name of its own",
    )?;
    let page = file.url.iter().map(Template::as_str);
    let written = page
        .filter_map(|url| url.split_once('?'))
        .flat_map(|(_, query)| query.split('&'));
    let written = written.map(|member| member.split_once('=').map_or(member, |(name, _)| name));
    let extras = [
        &file.params,
        &file.select_account_params,
        &file.reconnect_params,
    ];
    let extras = extras.into_iter().flat_map(Map::keys).map(String::as_str);
    let reason = "a standard parameter is the broker's to write (response_type is always code)";
    // A standard name that is renamed away is no free name either: it would be read by somebody.
    let free = |name: &str| is_member(name) && !names.contains(name) && !STANDARD.contains(&name);
    ensure(extras.chain(written).all(free), "authorize.params", reason)
}

/// Whether a query member may be called this.
fn is_member(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

fn check_signature(spec: &Spec) -> Result<(), Fault> {
    let key = "callback.signature";
    let payload = spec.callback.payload.as_ref();
    let brought = spec.kind == Kind::SignedPayload;
    let reason = "kind = \"signed_payload\" and where the payload stands go together";
    ensure(payload.is_some() == brought, "callback.payload", reason)?;
    ensure(
        payload.is_none_or(|name| is_member(name)),
        "callback.payload",
        "a parameter's name",
    )?;
    let Some(rule) = &spec.callback.signature else {
        return ensure(!brought, key, "a payload is signed");
    };
    let over = rule.over == SignatureOver::PayloadLines;
    ensure(
        over == brought,
        key,
        "it is over the payload where there is one, and over the query otherwise",
    )?;
    let limited = (1..=MAX_SIGNED_S).contains(&rule.max_age_s);
    ensure(limited, key, "max_age_s is 1 to 3600")?;
    let covered = |param: &String| *param != rule.param && !rule.exclude.contains(param);
    let state = spec
        .authorize
        .as_ref()
        .and_then(|file| file.rename.get("state"));
    let state = state.cloned().unwrap_or_else(|| "state".to_owned());
    let captured = spec.callback_capture.values().map(|capture| &capture.query);
    let asked = [&spec.callback.code_param, &state];
    let asked = asked.into_iter().filter(|_| !brought);
    let mut needed = asked.chain([&rule.max_age_param]).chain(captured);
    let reason = "the signature covers when it was made, the code, the state and what is captured";
    ensure(needed.all(covered), key, reason)
}

fn check_token(spec: &Spec) -> Result<(), Fault> {
    let Some(token) = &spec.token else {
        return Ok(());
    };
    let named = token.basic_username.is_some() || token.basic_password.is_some();
    let reason = "basic_username and basic_password are for client_auth = \"basic\"";
    ensure(
        !named || token.client_auth == ClientAuth::Basic,
        "token",
        reason,
    )?;
    check_key(spec, token)?;
    let sends = |method, body| has_body(method) || matches!(body, Body::Query | Body::Empty);
    let reason = "a GET sends its parameters in the query";
    ensure(sends(token.method, token.body), "token.body", reason)?;
    let method = spec.refresh.method.unwrap_or(token.method);
    let body = spec.refresh.body.unwrap_or(token.body);
    ensure(sends(method, body), "refresh.body", reason)?;
    for hop in &token.exchange {
        ensure(sends(hop.method, hop.body), "token.exchange", reason)?;
    }
    let mut statuses = token.errors.values().flat_map(|meaning| &meaning.statuses);
    let failing = statuses.all(|status| (200..500).contains(status));
    ensure(
        failing,
        "token.errors",
        "statuses of 200 to 499: what passes by itself is never final",
    )?;
    let responses = token.exchange.iter().map(|hop| &hop.response);
    for response in responses.chain([&token.response]) {
        let key = "token.response";
        ensure(
            !response.root.is_empty(),
            key,
            "root names at least one place",
        )?;
        let mut names = BTreeSet::from(["main"]);
        let distinct = response.secondary.iter().all(|set| names.insert(&set.name));
        ensure(
            distinct,
            key,
            "every secondary set has a name of its own; main is taken",
        )?;
    }
    Ok(())
}

/// A client that has a key proves itself with it everywhere, and what it keeps is written nowhere.
fn check_key(spec: &Spec, token: &Token) -> Result<(), Fault> {
    let by_key = |way: ClientAuth| way == ClientAuth::PrivateKeyJwt;
    let key = "token.client_auth";
    let refresh = spec.refresh.client_auth;
    let same = refresh
        .is_none_or(|way| way == ClientAuth::None || by_key(way) == by_key(token.client_auth));
    ensure(
        same,
        "refresh.client_auth",
        "a key proves at the token URL too, or not here either",
    )?;
    let issuer = token.assertion_audience != AssertionAudience::Issuer;
    if !by_key(token.client_auth) {
        let reason = "assertion_audience is for client_auth = \"private_key_jwt\"";
        return ensure(!issuer, key, reason);
    }
    let reason = "the token that a client signs is for the issuer: name it, or write assertion_audience = \"token_endpoint\"";
    ensure(issuer || spec.issuer.is_some(), key, reason)?;
    let all = uses(spec);
    let mut names = all.iter().flat_map(|entry| entry.template.names());
    let reason = "with private_key_jwt, client_secret is a key, and stands in no request";
    ensure(names.all(|name| name != "client_secret"), key, reason)
}

fn check_steps(spec: &Spec) -> Result<(), Fault> {
    for (index, step) in spec.revoke.iter().enumerate() {
        let key = format!("revoke.{index}");
        let sends = has_body(step.method) || matches!(step.body, Body::Query | Body::Empty);
        ensure(sends, &key, "a GET sends its parameters in the query")?;
        ensure(
            is_member(&step.token_param),
            &key,
            "token_param is a parameter's name",
        )?;
    }
    Ok(())
}

/// Headers that the connection writes, or that would carry somebody's session.
const TAKEN: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "cookie",
    "proxy-authorization",
];

fn check_headers(spec: &Spec) -> Result<(), Fault> {
    let token = spec
        .token
        .iter()
        .map(|token| ("token.headers", &token.headers));
    let revoke = spec
        .revoke
        .iter()
        .map(|step| ("revoke.headers", &step.headers));
    let identity = spec
        .identity
        .iter()
        .map(|file| ("identity.headers", &file.headers));
    let api = spec
        .api
        .iter()
        .map(|api| ("api.extra_headers", &api.extra_headers));
    for (key, headers) in token.chain(revoke).chain(identity).chain(api) {
        let free = headers.keys().all(|name| is_free_header(name));
        ensure(
            free,
            key,
            "a header's name, and none that the connection writes itself",
        )?;
    }
    let Some(api) = &spec.api else { return Ok(()) };
    ensure(is_free_header(&api.header), "api.header", "a header's name")?;
    let named = api.value.names().any(|name| name == "access_token");
    ensure(named, "api.value", "it names {access_token}")
}

fn is_free_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    HeaderName::from_bytes(name.as_bytes()).is_ok() && !TAKEN.contains(&lower.as_str())
}

fn check_scopes(spec: &Spec) -> Result<(), Fault> {
    let scopes = &spec.scopes;
    let available = scopes.available.iter().map(|available| &available.scope);
    let mut all = scopes
        .default
        .iter()
        .chain(&scopes.required)
        .chain(available);
    let separator = spec
        .authorize
        .as_ref()
        .map(|file| file.scope_separator.as_str());
    let whole = |scope: &String| separator.is_none_or(|separator| !scope.contains(separator));
    let holds = all.all(|scope| is_scope(scope) && whole(scope));
    ensure(
        holds,
        "scopes",
        "a scope is visible ASCII without the separator",
    )
}

fn check_limits(spec: &Spec) -> Result<(), Fault> {
    let limits = &spec.limits;
    for (value, most, key) in [
        (limits.timeout_s, MAX_TIMEOUT_S, "limits.timeout_s"),
        (limits.max_body_kib, MAX_BODY_KIB, "limits.max_body_kib"),
        (limits.concurrency, MAX_CONCURRENCY, "limits.concurrency"),
    ] {
        let tighter = value.is_none_or(|value| (1..=most).contains(&value));
        ensure(
            tighter,
            key,
            "a bound is tighter than the broker's own, and not zero",
        )?;
    }
    Ok(())
}
