//! The requests of a connection's life, from the code to the account's own resources. Nothing here
//! sends them.

use http::header::AUTHORIZATION;

use super::client_auth::{authenticate, name_of};
use super::request::{Draft, RequestError, TokenRequest};
use super::via::{Held, Via};
use crate::oauth::provider::spec::{Body, ClientAuth, Identity, Map, Method, RefreshMode, Token};
use crate::oauth::provider::{Place, QuerySecrets, Template, Vars};
use crate::secret::Secret;

/// A code, and what belongs to it. It is redeemed once, and a failure is not tried again (B11).
#[derive(Clone, Copy, Debug)]
pub struct CodeGrant<'a> {
    /// The code.
    pub code: &'a Secret,
    /// The verifier of the flow's challenge (RFC 7636).
    pub verifier: Option<&'a Secret>,
}

/// Redeems a code (RFC 6749, 4.1.3).
///
/// # Errors
/// [`RequestError`].
pub fn code_request(via: &Via<'_>, grant: &CodeGrant<'_>) -> Result<TokenRequest, RequestError> {
    let file = token(via)?;
    if via.provider.uses_pkce() && grant.verifier.is_none() {
        return Err(RequestError::Pkce);
    }
    let secrets = QuerySecrets::when(file.query_secrets_ok);
    let vars = via.vars();
    let mut draft = draft(via, file.method, file.url.as_ref(), &vars, secrets)?;
    let mut names = Names {
        file,
        draft: &mut draft,
    };
    names.text("grant_type", "authorization_code");
    names.secret("code", grant.code)?;
    if file.send_redirect_uri {
        names.text("redirect_uri", redirect_uri(via)?);
    }
    if let Some(verifier) = grant.verifier {
        names.secret("code_verifier", verifier)?;
    }
    authenticate(&mut draft, via, file, file.client_auth)?;
    add(&mut draft, &file.params, &vars, place(file.body, secrets))?;
    draft.send(file.body, secrets, &file.headers, &vars)
}

/// How many second hops the provider has.
#[must_use]
pub fn exchange_hops(provider: &crate::oauth::provider::Provider) -> usize {
    let token = provider.spec().token.as_ref();
    token.map_or(0, |token| token.exchange.len())
}

/// A second hop: the token is exchanged for another. All its parameters are the file's.
///
/// # Errors
/// [`RequestError::NotOffered`] past the last hop; [`RequestError`].
pub fn exchange_request(
    via: &Via<'_>,
    hop: usize,
    held: &Held<'_>,
) -> Result<TokenRequest, RequestError> {
    let file = token(via)?;
    let hop = file.exchange.get(hop).ok_or(RequestError::NotOffered)?;
    let secrets = QuerySecrets::when(hop.query_secrets_ok);
    let vars = via.vars_with(held);
    let mut draft = draft(via, hop.method, Some(&hop.url), &vars, secrets)?;
    add(&mut draft, &hop.params, &vars, place(hop.body, secrets))?;
    draft.send(hop.body, secrets, &Map::new(), &vars)
}

/// Refreshes (RFC 6749, 6), or shows the access token for a new one. `scopes` are sent only where
/// the file says so (R12).
///
/// # Errors
/// [`RequestError::NotOffered`] when the provider's tokens are not refreshed; [`RequestError`].
pub fn refresh_request(
    via: &Via<'_>,
    held: &Held<'_>,
    scopes: &[String],
) -> Result<TokenRequest, RequestError> {
    let file = token(via)?;
    let refresh = &via.provider.spec().refresh;
    let secrets = QuerySecrets::when(refresh.query_secrets_ok);
    let vars = via.vars_with(held);
    let method = refresh.method.unwrap_or(file.method);
    let (url, in_url) = match &refresh.url {
        Some(url) => (Some(url), secrets),
        None => (file.url.as_ref(), QuerySecrets::when(file.query_secrets_ok)),
    };
    let mut draft = draft(via, method, url, &vars, in_url)?;
    let way = refresh.client_auth.unwrap_or(file.client_auth);
    match refresh.mode {
        RefreshMode::None => return Err(RequestError::NotOffered),
        RefreshMode::RefreshToken => {
            let token = held.refresh.ok_or(RequestError::NoRefreshToken)?;
            let mut names = Names {
                file,
                draft: &mut draft,
            };
            names.text("grant_type", "refresh_token");
            names.secret("refresh_token", token)?;
            if refresh.send_redirect_uri {
                names.text("redirect_uri", redirect_uri(via)?);
            }
            if refresh.send_scope && !scopes.is_empty() {
                names.text("scope", &scopes.join(separator(via)));
            }
            authenticate(&mut draft, via, file, way)?;
        }
        // What is shown, and as what, is for the file's own parameters to say.
        RefreshMode::ExchangeAccessToken => {
            if way != ClientAuth::None {
                authenticate(&mut draft, via, file, way)?;
            }
        }
    }
    let body = refresh.body.unwrap_or(file.body);
    let params = refresh.params.as_ref().unwrap_or(&file.params);
    add(&mut draft, params, &vars, place(body, secrets))?;
    draft.send(body, secrets, &file.headers, &vars)
}

/// Asks whose account it is.
///
/// # Errors
/// [`RequestError`].
pub fn identity_request(via: &Via<'_>, held: &Held<'_>) -> Result<TokenRequest, RequestError> {
    let file = identity(via)?;
    let found = via.endpoints.and_then(|found| found.userinfo.as_ref());
    let vars = via.vars_with(held);
    let secrets = QuerySecrets::when(file.query_secrets_ok);
    let limits = &via.provider.spec().limits;
    let draft = Draft::to(
        file.method,
        file.url.as_ref(),
        found,
        &vars,
        secrets,
        limits,
    )?;
    ask(draft, file, file.url.as_ref(), held, &vars)
}

/// Asks which sites, tenants or accounts there are inside the account. Nothing, when there are none
/// or they stand in the identity's own answer.
///
/// # Errors
/// [`RequestError`].
pub fn resources_request(
    via: &Via<'_>,
    held: &Held<'_>,
) -> Result<Option<TokenRequest>, RequestError> {
    let file = identity(via)?;
    let resources = file.resources.as_ref();
    let Some(url) = resources.and_then(|resources| resources.url.as_ref()) else {
        return Ok(None);
    };
    let vars = via.vars_with(held);
    let draft = draft(via, Method::Get, Some(url), &vars, QuerySecrets::Refused)?;
    let mut listing = file.clone();
    listing.body = None;
    ask(draft, &listing, Some(url), held, &vars).map(Some)
}

/// Sends the token in `Authorization`, unless the file places it elsewhere.
fn ask(
    mut draft: Draft,
    file: &Identity,
    url: Option<&Template>,
    held: &Held<'_>,
    vars: &Vars<'_>,
) -> Result<TokenRequest, RequestError> {
    let mut written = file.headers.values().chain(url);
    let placed = written.any(|template| template.names().any(|name| name == "access_token"));
    let replaced = file
        .headers
        .keys()
        .any(|name| AUTHORIZATION.as_str().eq_ignore_ascii_case(name));
    if !placed && !replaced {
        draft.bear(&file.auth_scheme, held.access)?;
    }
    match &file.body {
        Some(body) => draft.send_text(body, &file.headers, vars),
        None => draft.send(Body::Empty, QuerySecrets::Refused, &file.headers, vars),
    }
}

/// Writes standard parameters under the provider's names for them.
pub(super) struct Names<'f, 'd> {
    pub(super) file: &'f Token,
    pub(super) draft: &'d mut Draft,
}

impl Names<'_, '_> {
    pub(super) fn text(&mut self, name: &str, value: &str) {
        if let Some(name) = name_of(self.file, name) {
            self.draft.members.text(name, value);
        }
    }

    pub(super) fn secret(&mut self, name: &str, value: &Secret) -> Result<(), RequestError> {
        match name_of(self.file, name) {
            Some(name) => self.draft.members.secret(name, value),
            None => Ok(()),
        }
    }
}

/// A request to a token endpoint.
pub(super) fn draft(
    via: &Via<'_>,
    method: Method,
    url: Option<&Template>,
    vars: &Vars<'_>,
    secrets: QuerySecrets,
) -> Result<Draft, RequestError> {
    let found = via.endpoints.and_then(|found| found.token.as_ref());
    Draft::to(
        method,
        url,
        found,
        vars,
        secrets,
        &via.provider.spec().limits,
    )
}

/// Adds the file's own parameters, which stand in for the standard ones of their names.
pub(super) fn add(
    draft: &mut Draft,
    params: &Map<Template>,
    vars: &Vars<'_>,
    place: Place,
) -> Result<(), RequestError> {
    for (name, template) in params {
        // Members are encoded as a whole; a query's place would encode them twice.
        let permitted = match place {
            Place::Query(QuerySecrets::Refused) => template.render(vars, place).map(|_| ()),
            _ => Ok(()),
        };
        permitted?;
        let value = template.render(vars, Place::Body)?;
        draft.members.written(name, value);
    }
    Ok(())
}

/// Where a member's value stands.
pub(super) const fn place(body: Body, secrets: QuerySecrets) -> Place {
    match body {
        Body::Query => Place::Query(secrets),
        Body::Form | Body::Json | Body::Empty => Place::Body,
    }
}

pub(super) fn token<'a>(via: &Via<'a>) -> Result<&'a Token, RequestError> {
    let token = via.provider.spec().token.as_ref();
    token.ok_or(RequestError::NotOffered)
}

fn identity<'a>(via: &Via<'a>) -> Result<&'a Identity, RequestError> {
    let identity = via.provider.spec().identity.as_ref();
    identity.ok_or(RequestError::NotOffered)
}

fn redirect_uri<'a>(via: &Via<'a>) -> Result<&'a str, RequestError> {
    via.redirect_uri.ok_or(RequestError::NoRedirectUri)
}

pub(super) fn separator<'a>(via: &Via<'a>) -> &'a str {
    let authorize = via.provider.spec().authorize.as_ref();
    authorize.map_or(" ", |authorize| &authorize.scope_separator)
}
