//! The URL that a person is sent to (RFC 6749 section 4.1.1).
//!
//! `response_type` is `code` and nothing else (A7): no file can write another, because none may set
//! a standard parameter.

use std::collections::BTreeMap;

use super::Provider;
use super::bound::Bound;
use super::scopes::is_scope;
use super::spec::{Authorize, Map, RedirectUriStyle, ResponseMode};
use super::template::{Place, QuerySecrets, Template, TemplateError};
use super::template_place::encode;
use super::vars::Vars;
use crate::egress::{MAX_URL_BYTES, Url};

/// What one flow asks for.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizeAsk<'a> {
    /// The client's id.
    pub client_id: &'a str,
    /// Where the answer goes: the same text, byte for byte, as in the token request.
    pub redirect_uri: &'a str,
    /// What ties the answer to the flow.
    pub state: &'a str,
    /// The S256 challenge, exactly when [`Provider::uses_pkce`].
    pub challenge: Option<&'a str>,
    /// The nonce, at least when [`Provider::wants_nonce`].
    pub nonce: Option<&'a str>,
    /// The scopes, from [`Provider::allowed_scopes`].
    pub scopes: &'a [String],
    /// Scopes of the provider's further lists, by list.
    pub extra_scopes: &'a BTreeMap<String, Vec<String>>,
    /// Why the account is connected.
    pub purpose: Purpose,
    /// Which account to suggest.
    pub login_hint: Option<&'a str>,
}

/// Why an account is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For the first time.
    Connect,
    /// Besides others: the person should get to choose.
    SelectAccount,
    /// Again, because its grant ended.
    Reconnect,
}

/// Why there is no such URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeFault {
    /// The file says no authorization endpoint.
    #[error("the provider has no authorization endpoint")]
    NoEndpoint,
    /// A challenge is missing, or the provider cannot take one.
    #[error("a challenge is sent exactly when the provider's file says so")]
    Pkce,
    /// A nonce is missing.
    #[error("the provider signs an ID token, and nothing ties it to the flow")]
    Nonce,
    /// The provider does not accept redirect URIs of this style.
    #[error("the provider does not accept such a redirect URI: {reason}")]
    RedirectUri {
        /// What it asks for.
        reason: &'static str,
    },
    /// A scope is none, or belongs to a list that the provider does not have.
    #[error("a scope is not written as one, or belongs to no list of the provider's")]
    Scope,
    /// A template could not be filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The URL is too long.
    #[error("the URL would be longer than {MAX_URL_BYTES} bytes")]
    Long,
}

/// The parameters that are not a file's to set.
pub(super) const STANDARD: [&str; 10] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "response_mode",
    "login_hint",
];

/// The URL that begins a flow.
///
/// # Errors
/// [`AuthorizeFault`]: the file and what is asked for do not go together.
pub fn authorize_url(
    provider: &Provider,
    bound: &Bound,
    ask: &AuthorizeAsk<'_>,
) -> Result<String, AuthorizeFault> {
    let file = provider.spec().authorize.as_ref();
    let page = file.and_then(|file| file.url.as_ref());
    let page = page.ok_or(AuthorizeFault::NoEndpoint)?;
    let vars = vars(bound, ask);
    let page = page.render_url(&vars, QuerySecrets::Refused)?;
    begin(provider, &vars, ask, page.to_string())
}

/// The same at the page that discovery found, for a file that says none.
///
/// # Errors
/// [`AuthorizeFault`].
pub fn authorize_url_at(
    provider: &Provider,
    bound: &Bound,
    ask: &AuthorizeAsk<'_>,
    page: &Url,
) -> Result<String, AuthorizeFault> {
    let page = format!("{}{}", page.origin(), page.path_and_query());
    begin(provider, &vars(bound, ask), ask, page)
}

fn vars<'a>(bound: &'a Bound, ask: &AuthorizeAsk<'a>) -> Vars<'a> {
    Vars::of(bound)
        .text("client_id", ask.client_id)
        .text("redirect_uri", ask.redirect_uri)
        .text("redirect_origin", origin_of(ask.redirect_uri))
}

/// Scheme, host and port.
fn origin_of(uri: &str) -> &str {
    let host = uri.find("://").map_or(0, |at| at.saturating_add(3));
    let path = uri.get(host..).and_then(|rest| rest.find('/'));
    let end = path.map_or(uri.len(), |path| host.saturating_add(path));
    uri.get(..end).unwrap_or(uri)
}

fn begin(
    provider: &Provider,
    vars: &Vars<'_>,
    ask: &AuthorizeAsk<'_>,
    mut url: String,
) -> Result<String, AuthorizeFault> {
    let file = provider.spec().authorize.as_ref();
    let file = file.ok_or(AuthorizeFault::NoEndpoint)?;
    if provider.uses_pkce() != ask.challenge.is_some() {
        return Err(AuthorizeFault::Pkce);
    }
    if provider.wants_nonce(ask.scopes) && ask.nonce.is_none() {
        return Err(AuthorizeFault::Nonce);
    }
    check_redirect_uri(file.redirect_uri_style, ask.redirect_uri)?;
    let brought = provider.brings_payload();
    let mut members = standard(file, ask, brought);
    members.extend(scope_lists(file, ask)?);
    members.extend(extras(file, ask.purpose, vars)?);
    for (name, value) in members {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{}={value}", encode(&name)));
    }
    (url.len() <= MAX_URL_BYTES)
        .then_some(url)
        .ok_or(AuthorizeFault::Long)
}

/// A parameter's name, and its value percent-encoded.
type Member = (String, String);

/// The standard parameters. Where a payload is brought home, the state stands in the address that it is
/// brought to: a provider that knows no state sends nothing else of ours back.
fn standard(file: &Authorize, ask: &AuthorizeAsk<'_>, brought: bool) -> Vec<Member> {
    let form_post = file.response_mode == ResponseMode::FormPost;
    let home = format!("{}?state={}", ask.redirect_uri, encode(ask.state));
    let (home, state) = if brought {
        (home.as_str(), None)
    } else {
        (ask.redirect_uri, Some(ask.state))
    };
    let members = [
        ("response_type", Some("code")),
        ("client_id", Some(ask.client_id)),
        ("redirect_uri", Some(home)),
        ("state", state),
        ("code_challenge", ask.challenge),
        ("code_challenge_method", ask.challenge.map(|_| "S256")),
        ("nonce", ask.nonce),
        ("response_mode", form_post.then_some("form_post")),
        ("login_hint", ask.login_hint),
    ];
    let sent = members.into_iter().filter_map(|(name, value)| {
        let value = encode(value?).to_string();
        let omitted = file.omit.iter().any(|omitted| omitted == name);
        (!omitted).then(|| (name_of(file, name).to_owned(), value))
    });
    sent.collect()
}

/// What the provider calls a standard parameter.
pub(super) fn name_of<'f>(file: &'f Authorize, standard: &'f str) -> &'f str {
    match standard {
        "scope" => &file.scope_param,
        "login_hint" => &file.login_hint_param,
        other => file.rename.get(other).map_or(other, String::as_str),
    }
}

fn scope_lists(file: &Authorize, ask: &AuthorizeAsk<'_>) -> Result<Vec<Member>, AuthorizeFault> {
    let mut members = Vec::new();
    let mut add = |param: &str, scopes: &[String]| {
        let separator = &file.scope_separator;
        if scopes
            .iter()
            .any(|scope| !is_scope(scope) || scope.contains(separator))
        {
            return Err(AuthorizeFault::Scope);
        }
        if !(scopes.is_empty() && file.skip_empty_scope) {
            members.push((param.to_owned(), join(scopes, separator)));
        }
        Ok(())
    };
    if !file.omit.iter().any(|omitted| omitted == "scope") {
        add(name_of(file, "scope"), ask.scopes)?;
    }
    for (list, scopes) in ask.extra_scopes {
        let param = file.extra_scope_params.get(list);
        add(param.ok_or(AuthorizeFault::Scope)?, scopes)?;
    }
    Ok(members)
}

/// A plus between scopes is the provider's own spelling, and stays one; all else is encoded.
fn join(scopes: &[String], separator: &str) -> String {
    let separator = match separator {
        "+" => "+".to_owned(),
        other => encode(other).to_string(),
    };
    let scopes: Vec<_> = scopes
        .iter()
        .map(|scope| encode(scope).to_string())
        .collect();
    scopes.join(&separator)
}

/// The file's own parameters. One that names a parameter nobody told is left out.
fn extras(
    file: &Authorize,
    purpose: Purpose,
    vars: &Vars<'_>,
) -> Result<Vec<Member>, AuthorizeFault> {
    let none = Map::new();
    let special = match purpose {
        Purpose::Connect => &none,
        Purpose::SelectAccount => &file.select_account_params,
        Purpose::Reconnect => &file.reconnect_params,
    };
    let mut all: BTreeMap<&String, &Template> = file.params.iter().collect();
    all.extend(special);
    let mut members = Vec::new();
    for (name, template) in all {
        if template.names().all(|name| vars.has(name)) {
            let value = template.render(vars, Place::Body)?;
            members.push((name.clone(), encode(&value).to_string()));
        }
    }
    Ok(members)
}

fn check_redirect_uri(style: RedirectUriStyle, uri: &str) -> Result<(), AuthorizeFault> {
    let after = uri.split_once("://").map_or("", |(_, rest)| rest);
    let host = after.split(['/', ':', '?']).next().unwrap_or_default();
    let reason = match style {
        RedirectUriStyle::NoQuery if uri.contains('?') => "it has no query",
        RedirectUriStyle::LocalhostForbidden if host.eq_ignore_ascii_case("localhost") => {
            "write 127.0.0.1 for localhost"
        }
        _ => return Ok(()),
    };
    Err(AuthorizeFault::RedirectUri { reason })
}
