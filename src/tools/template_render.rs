//! Rendering: parameters into a request whose scheme, host and port they cannot touch.

use std::collections::BTreeMap;

use ::http::{HeaderName, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::binding::{Destination, Scheme};
use super::binding_read::method;
use super::error::{Rule, ToolError, nameable, step};
use super::path::segments;
use super::slot::PlaceName;
use super::template::{BodyTemplate, Fixed, HttpTemplate, OPEN_SCHEME, Open, Target};
use super::template_parts::{JsonTemplate, free_header, is_header_text};
use super::template_text::{Part, Text};
use super::template_url::origin;
use super::template_weight::refuse_heavy;
use crate::name::Host;

/// Everything but the unreserved characters (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The longest rendered query, in bytes.
const MAX_QUERY: usize = 16 * 1024;
/// The most headers of an open request.
const MAX_HEADERS: usize = 32;

/// A request without its credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedRequest {
    /// The method.
    pub method: Method,
    /// The scheme.
    pub scheme: Scheme,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The path, percent-encoded.
    pub path: String,
    /// The query, percent-encoded, without `?`; empty when there is none.
    pub query: String,
    /// Headers of the template, each once.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Body,
    /// Segments of the path, counted from 0, that a path-segment slot still has to fill; until then
    /// they read `@name`, which no parameter can render to.
    pub places: Vec<(usize, PlaceName)>,
}

/// A rendered body. The content type follows from its kind unless a header states it.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// No body.
    None,
    /// `application/json`.
    Json(Value),
    /// `application/x-www-form-urlencoded`, not yet encoded.
    Form(Vec<(String, String)>),
}

impl RenderedRequest {
    /// The whole URL.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = origin(self.scheme, &self.host, self.port);
        url.push_str(&self.path);
        if !self.query.is_empty() {
            url.push('?');
            url.push_str(&self.query);
        }
        url
    }

    /// What a binding looks at.
    #[must_use]
    pub fn destination(&self) -> Destination<'_> {
        Destination {
            method: &self.method,
            scheme: self.scheme,
            host: &self.host,
            port: self.port,
            path: &self.path,
        }
    }
}

type Params = Map<String, Value>;

fn refuse(name: &str, reason: &'static str) -> ToolError {
    ToolError::new(step("", nameable(name)), Rule::Placement { reason })
}

fn missing(name: &str) -> ToolError {
    ToolError::new(step("", nameable(name)), Rule::Missing)
}

/// A parameter that is there; `null` counts as absent outside JSON bodies.
fn present<'p>(params: &'p Params, name: &str) -> Option<&'p Value> {
    params.get(name).filter(|value| !value.is_null())
}

fn scalar(name: &str, value: &Value) -> Result<String, ToolError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(refuse(
            name,
            "only a string, number or boolean can stand here",
        )),
    }
}

fn text_of(text: &Text, params: &Params) -> Result<String, ToolError> {
    let mut rendered = String::new();
    for part in text.parts() {
        match part {
            Part::Literal(literal) => rendered.push_str(literal),
            Part::Param(name) => {
                let value = present(params, name).ok_or_else(|| missing(name))?;
                rendered.push_str(&scalar(name, value)?);
            }
            Part::Place(name) => return Err(missing(name.as_str())),
        }
    }
    Ok(rendered)
}

impl HttpTemplate {
    /// Renders the request. The parameters are expected to fit the action's schema
    /// ([`Action::render`](super::Action::render) sees to both); whatever they are, scheme, host and
    /// port of a written template stay its own.
    ///
    /// # Errors
    /// [`Rule::Missing`] and [`Rule::Placement`] with a pointer to the parameter that cannot stand
    /// where the template puts it; [`Rule::TooLarge`].
    pub fn render(&self, params: &Map<String, Value>) -> Result<RenderedRequest, ToolError> {
        let request = match &self.target {
            Target::Fixed(fixed) => fixed.render(params),
            Target::Open(open) => open.render(params),
        }?;
        if request.query.len() > MAX_QUERY {
            let (limit, unit) = (MAX_QUERY, "bytes of query");
            return Err(ToolError::new("", Rule::TooLarge { limit, unit }));
        }
        Ok(request)
    }
}

impl Fixed {
    fn render(&self, params: &Params) -> Result<RenderedRequest, ToolError> {
        refuse_heavy(self.texts(), params)?;
        let (path, places) = render_path(&self.address.path, params)?;
        let pairs = render_pairs(&self.query, params)?;
        let mut headers = Vec::new();
        for (name, text) in &self.headers {
            if text
                .whole_param()
                .is_some_and(|p| present(params, p).is_none())
            {
                continue;
            }
            let rendered = text_of(text, params)?;
            if !is_header_text(&rendered) {
                let culprit = text.params().next().unwrap_or_default();
                return Err(refuse(
                    culprit,
                    "a header takes visible ASCII only, no line breaks",
                ));
            }
            headers.push((name.clone(), rendered));
        }
        let body = match &self.body {
            BodyTemplate::None => Body::None,
            BodyTemplate::Json(json) => json.render(params)?.map_or(Body::None, Body::Json),
            BodyTemplate::Form(form) => Body::Form(render_pairs(form, params)?),
        };
        Ok(RenderedRequest {
            method: self.method.clone(),
            scheme: self.address.scheme,
            host: self.address.host.clone(),
            port: self.address.port,
            path,
            query: encode_query(&pairs),
            headers,
            body,
            places,
        })
    }
}

fn render_path(
    path: &[Text],
    params: &Params,
) -> Result<(String, Vec<(usize, PlaceName)>), ToolError> {
    let (mut rendered, mut places) = (String::new(), Vec::new());
    for (index, segment) in path.iter().enumerate() {
        rendered.push('/');
        for part in segment.parts() {
            match part {
                Part::Literal(literal) => rendered.push_str(literal),
                Part::Param(name) => rendered.push_str(&path_value(name, params)?),
                Part::Place(name) => {
                    rendered.push('@');
                    rendered.push_str(name.as_str());
                    places.push((index, name.clone()));
                }
            }
        }
    }
    // Two harmless values side by side can still make `..` or an encoded letter.
    segments(&rendered)?;
    Ok((rendered, places))
}

/// Encodes a parameter as one segment, and refuses what any server could read as more or less.
fn path_value(name: &str, params: &Params) -> Result<String, ToolError> {
    let value = present(params, name).ok_or_else(|| missing(name))?;
    let text = scalar(name, value)?;
    if text.is_empty() {
        return Err(refuse(name, "a part of the path cannot be empty"));
    }
    let encoded = utf8_percent_encode(&text, ENCODED).to_string();
    if segments(&format!("/{encoded}")).is_err() {
        return Err(refuse(
            name,
            "a part of the path has no slash, backslash, semicolon, control character or encoded character, and is not . or ..",
        ));
    }
    Ok(encoded)
}

/// Renders query or form pairs: an absent optional one vanishes, an array repeats its name.
fn render_pairs(
    texts: &BTreeMap<String, Text>,
    params: &Params,
) -> Result<Vec<(String, String)>, ToolError> {
    let mut pairs = Vec::new();
    for (key, text) in texts {
        let Some(name) = text.whole_param() else {
            pairs.push((key.clone(), text_of(text, params)?));
            continue;
        };
        push_values(&mut pairs, key, name, params.get(name))?;
    }
    Ok(pairs)
}

fn push_values(
    pairs: &mut Vec<(String, String)>,
    key: &str,
    name: &str,
    value: Option<&Value>,
) -> Result<(), ToolError> {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => {
            for item in items {
                pairs.push((key.to_owned(), scalar(name, item)?));
            }
        }
        Some(value) => pairs.push((key.to_owned(), scalar(name, value)?)),
    }
    Ok(())
}

fn encode_query(pairs: &[(String, String)]) -> String {
    let encode = |text| utf8_percent_encode(text, ENCODED);
    let pairs = pairs
        .iter()
        .map(|(k, v)| format!("{}={}", encode(k), encode(v)));
    pairs.collect::<Vec<_>>().join("&")
}

impl JsonTemplate {
    /// `None` when the value is an optional parameter that is absent.
    fn render(&self, params: &Params) -> Result<Option<Value>, ToolError> {
        Ok(Some(match self {
            Self::Literal(value) => value.clone(),
            Self::Text(text) => match text.whole_param() {
                Some(name) => return Ok(params.get(name).cloned()),
                None => text_of(text, params)?.into(),
            },
            Self::Array(items) => {
                let items = items
                    .iter()
                    .filter_map(|item| item.render(params).transpose());
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Object(map) => {
                let mut rendered = Map::new();
                for (key, item) in map {
                    if let Some(value) = item.render(params)? {
                        rendered.insert(key.clone(), value);
                    }
                }
                Value::Object(rendered)
            }
        }))
    }
}

impl Open {
    fn render(&self, params: &Params) -> Result<RenderedRequest, ToolError> {
        let text = |name: &str| {
            let value = present(params, name).ok_or_else(|| missing(name))?;
            scalar(name, value)
        };
        let method = method(&text("method")?).map_err(|reason| refuse("method", reason))?;
        let host = Host::parse(&text("host")?).map_err(|_| {
            refuse(
                "host",
                "a DNS name or an address, without scheme, port or path",
            )
        })?;
        let path = text("path")?;
        if segments(&path).is_err() {
            return Err(refuse(
                "path",
                "a plain path that starts with /, without query, dot segments or encoded separators",
            ));
        }
        Ok(RenderedRequest {
            method,
            scheme: OPEN_SCHEME,
            host,
            port: self.port,
            path,
            query: encode_query(&self.query(params)?),
            headers: self.headers(params)?,
            body: present(params, "body").map_or(Body::None, |body| Body::Json(body.clone())),
            places: Vec::new(),
        })
    }

    fn query(&self, params: &Params) -> Result<Vec<(String, String)>, ToolError> {
        let mut pairs = Vec::new();
        for (key, value) in entries(params, "query")? {
            if self.queries.iter().any(|taken| **taken == **key) {
                return Err(refuse(
                    "query",
                    "the credential's own query name is filled by its slot",
                ));
            }
            push_values(&mut pairs, key, "query", Some(value))?;
        }
        Ok(pairs)
    }

    fn headers(&self, params: &Params) -> Result<Vec<(HeaderName, String)>, ToolError> {
        let mut headers: Vec<(HeaderName, String)> = Vec::new();
        for (key, value) in entries(params, "headers")? {
            let name = free_header(key).map_err(|reason| refuse("headers", reason))?;
            let text = scalar("headers", value)?;
            let taken = self.headers.contains(&name) || headers.iter().any(|(n, _)| *n == name);
            if taken || headers.len() == MAX_HEADERS || !is_header_text(&text) {
                return Err(refuse(
                    "headers",
                    "at most 32 headers of visible ASCII, each once, and not the credential's own",
                ));
            }
            headers.push((name, text));
        }
        Ok(headers)
    }
}

fn entries<'p>(params: &'p Params, name: &str) -> Result<Vec<(&'p String, &'p Value)>, ToolError> {
    match present(params, name) {
        None => Ok(Vec::new()),
        Some(Value::Object(map)) => Ok(map.iter().collect()),
        Some(_) => Err(refuse(name, "an object of names and values")),
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
