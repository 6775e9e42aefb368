//! A request that was written and not sent.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use zeroize::Zeroizing;

use super::members::{Members, text_of};
use crate::egress::{MAX_URL_BYTES, Outgoing, Url, credential_value};
use crate::oauth::provider::spec::{Body, Limits, Map, Method};
use crate::oauth::provider::{Place, QuerySecrets, Template, TemplateError, Vars};
use crate::secret::Secret;

/// How the broker names itself; no file may change that.
const AGENT: &str = concat!("runtools-broker/", env!("CARGO_PKG_VERSION"));
/// The broker's own bounds (T4).
const TIMEOUT_S: u32 = 20;
const BODY_KIB: u32 = 256;

/// A request to a provider, for whoever sends it: admit `url`, then send
/// [`outgoing`](TokenRequest::outgoing) to the peer. Redirects are answers, not followed (T3).
pub struct TokenRequest {
    /// The method.
    pub method: http::Method,
    /// Where it goes, without the query.
    pub url: Url,
    /// What the request line says.
    pub path_and_query: Zeroizing<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Secret,
    /// What is taken of the answer.
    pub accepts: Accepts,
}

/// How long is waited for an answer, and how much of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// From the first byte sent to the last one read.
    pub timeout: Duration,
    /// Bytes of the body, decompressed.
    pub max_body: usize,
}

/// Why there is no such request. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The file says no endpoint, and discovery found none.
    #[error("the provider has no such endpoint, or it was not discovered")]
    NoEndpoint,
    /// The provider knows no such request.
    #[error("the provider offers no such thing")]
    NotOffered,
    /// The client has no secret, and the provider demands one.
    #[error("the provider demands a client secret")]
    NoSecret,
    /// The request names a redirect URI, and there is none.
    #[error("the request needs the redirect URI of the authorization")]
    NoRedirectUri,
    /// What is stored as the client's secret is no private key, or is one where a password is sent.
    #[error("{0}")]
    Key(&'static str),
    /// There is no refresh token.
    #[error("there is no refresh token")]
    NoRefreshToken,
    /// The verifier of the challenge is missing (A2).
    #[error("the flow sent a challenge, and its verifier is missing")]
    Pkce,
    /// A secret would stand in a URL, and the file does not say that it must (T1).
    #[error("a secret would stand in a URL")]
    SecretInUrl,
    /// A secret is no text, or has control characters.
    #[error("a secret cannot be sent as text")]
    Text,
    /// A header cannot be sent as it is.
    #[error("a header cannot be sent as it is")]
    Header,
    /// The URL cannot be used, or is too long.
    #[error("the URL cannot be used, or has more than {MAX_URL_BYTES} bytes")]
    Url,
    /// A template could not be filled in.
    #[error(transparent)]
    Template(TemplateError),
}

impl From<TemplateError> for RequestError {
    fn from(error: TemplateError) -> Self {
        match &error {
            TemplateError::Missing { name } => match &**name {
                "client_secret" => Self::NoSecret,
                "redirect_uri" => Self::NoRedirectUri,
                "refresh_token" => Self::NoRefreshToken,
                _ => Self::Template(error),
            },
            TemplateError::Secret { .. } => Self::SecretInUrl,
            _ => Self::Template(error),
        }
    }
}

impl Accepts {
    pub(super) fn of(limits: &Limits) -> Self {
        let seconds = limits.timeout_s.unwrap_or(TIMEOUT_S).min(TIMEOUT_S);
        let kib = limits.max_body_kib.unwrap_or(BODY_KIB).min(BODY_KIB);
        Self {
            timeout: Duration::from_secs(seconds.into()),
            max_body: usize::try_from(kib)
                .unwrap_or_default()
                .saturating_mul(1024),
        }
    }
}

impl TokenRequest {
    /// The request as a peer takes it.
    ///
    /// # Errors
    /// [`RequestError::Url`] when path and query are none.
    pub fn outgoing(self) -> Result<Outgoing, RequestError> {
        let path = PathAndQuery::try_from(self.path_and_query.as_str());
        let path = path.map_err(|_| RequestError::Url)?;
        let body = self.body.expose(|bytes| Zeroizing::new(bytes.to_vec()));
        let body = Bytes::from_owner(body);
        Ok(Outgoing::full(self.method, path, self.headers, body))
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenRequest({} {})", self.method, self.url.origin())
    }
}

/// A request that is being written.
pub(super) struct Draft {
    method: http::Method,
    url: Url,
    query: Option<Zeroizing<String>>,
    pub(super) members: Members,
    pub(super) headers: HeaderMap,
    accepts: Accepts,
}

impl Draft {
    /// To the URL that the template writes, or to the one that was discovered.
    pub(super) fn to(
        method: Method,
        template: Option<&Template>,
        discovered: Option<&Url>,
        vars: &Vars<'_>,
        secrets: QuerySecrets,
        limits: &Limits,
    ) -> Result<Self, RequestError> {
        let (url, query) = match (template, discovered) {
            (Some(template), _) => split(&template.render_url(vars, secrets)?)?,
            (None, Some(url)) => split(&format!("{}{}", url.origin(), url.path_and_query()))?,
            (None, None) => return Err(RequestError::NoEndpoint),
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(Self {
            method: match method {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
                Method::Delete => http::Method::DELETE,
            },
            url,
            query,
            members: Members::default(),
            headers,
            accepts: Accepts::of(limits),
        })
    }

    /// Places a credential in `Authorization`.
    pub(super) fn authorize(&mut self, value: &str) -> Result<(), RequestError> {
        let value = credential_value(value.as_bytes()).map_err(|_| RequestError::Header)?;
        self.headers.insert(http::header::AUTHORIZATION, value);
        Ok(())
    }

    /// `Bearer` and the token, or with no word the token alone.
    pub(super) fn bear(&mut self, scheme: &str, token: &Secret) -> Result<(), RequestError> {
        let token = text_of(token)?;
        if scheme.is_empty() {
            return self.authorize(&token);
        }
        let room = scheme.len().saturating_add(token.len()).saturating_add(1);
        let mut value = Zeroizing::new(String::with_capacity(room));
        value.push_str(scheme);
        value.push(' ');
        value.push_str(&token);
        self.authorize(&value)
    }

    /// Ends with members: in the query or the body, as the file says. Its headers stand in for those
    /// that are here already.
    pub(super) fn send(
        mut self,
        body: Body,
        secrets: QuerySecrets,
        headers: &Map<Template>,
        vars: &Vars<'_>,
    ) -> Result<TokenRequest, RequestError> {
        let members = std::mem::take(&mut self.members);
        let (kind, bytes) = match body {
            Body::Form => ("application/x-www-form-urlencoded", members.form()),
            Body::Json => ("application/json", members.json()?),
            Body::Query => {
                self.add_to_query(&members, secrets)?;
                ("", Secret::take(Vec::new()))
            }
            Body::Empty => ("", Secret::take(Vec::new())),
        };
        if !kind.is_empty() {
            let kind = HeaderValue::from_static(kind);
            self.headers.insert(CONTENT_TYPE, kind);
        }
        self.finish(bytes, headers, vars)
    }

    /// Ends with a body that the file has written.
    pub(super) fn send_text(
        self,
        body: &str,
        headers: &Map<Template>,
        vars: &Vars<'_>,
    ) -> Result<TokenRequest, RequestError> {
        self.finish(Secret::copy_of(body.as_bytes()), headers, vars)
    }

    fn add_to_query(
        &mut self,
        members: &Members,
        secrets: QuerySecrets,
    ) -> Result<(), RequestError> {
        if members.hold_secrets() && secrets == QuerySecrets::Refused {
            return Err(RequestError::SecretInUrl);
        }
        let added = members.query();
        if added.is_empty() {
            return Ok(());
        }
        let before = self.query.take();
        let room = before.as_ref().map_or(0, |query| query.len());
        let room = room.saturating_add(added.len()).saturating_add(1);
        let mut query = Zeroizing::new(String::with_capacity(room));
        if let Some(before) = before.filter(|query| !query.is_empty()) {
            query.push_str(&before);
            query.push('&');
        }
        query.push_str(&added);
        self.query = Some(query);
        Ok(())
    }

    fn finish(
        mut self,
        body: Secret,
        headers: &Map<Template>,
        vars: &Vars<'_>,
    ) -> Result<TokenRequest, RequestError> {
        for (name, template) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| RequestError::Header)?;
            let value = template.render(vars, Place::Header)?;
            let value = credential_value(value.as_bytes()).map_err(|_| RequestError::Header)?;
            self.headers.insert(name, value);
        }
        let agent = HeaderValue::from_static(AGENT);
        self.headers.insert(USER_AGENT, agent);
        let path = self.url.path();
        let query = self.query.as_ref().map_or("", |query| query.as_str());
        let room = path.len().saturating_add(query.len()).saturating_add(1);
        let mut path_and_query = Zeroizing::new(String::with_capacity(room));
        path_and_query.push_str(path);
        if !query.is_empty() {
            path_and_query.push('?');
            path_and_query.push_str(query);
        }
        if path_and_query.len() > MAX_URL_BYTES {
            return Err(RequestError::Url);
        }
        Ok(TokenRequest {
            method: self.method,
            url: self.url,
            path_and_query,
            headers: self.headers,
            body,
            accepts: self.accepts,
        })
    }
}

/// The URL without its query, and the query, which may hold a secret.
fn split(text: &str) -> Result<(Url, Option<Zeroizing<String>>), RequestError> {
    let (head, query) = match text.split_once('?') {
        Some((head, query)) => (head, Some(Zeroizing::new(query.to_owned()))),
        None => (text, None),
    };
    let url = Url::parse(head).map_err(|_| RequestError::Url)?;
    Ok((url, query))
}
