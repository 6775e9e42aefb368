//! The URL of a template: scheme, host and port are text, parameters stand in path segments.

use super::binding::{Binding, Scheme};
use super::error::{Rule, ToolError};
use super::path::segments;
use super::template_text::{Part, Text};
use crate::name::Host;

/// Where a written request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    /// The segments after the first `/`, literals percent-encoded as written.
    pub(super) path: Vec<Text>,
}

fn wrong(reason: &'static str) -> ToolError {
    ToolError::new("", Rule::Template { reason })
}

impl Address {
    /// Reads `https://host[:port]/path`, or `/path` alone when the tool's first binding names one
    /// exact host.
    pub(super) fn parse(text: &str, bindings: &[Binding]) -> Result<Self, ToolError> {
        let (scheme, host, port, path) = if text.starts_with('/') {
            let home = bindings.first().and_then(|b| Some((b, b.only_host()?)));
            let (binding, host) = home.ok_or_else(|| {
                wrong("a URL that starts with / needs a first binding with one exact host")
            })?;
            (binding.scheme, host.clone(), binding.port, text)
        } else {
            let (scheme, rest) = text
                .split_once("://")
                .and_then(|(scheme, rest)| Some((Scheme::parse(scheme)?, rest)))
                .ok_or_else(|| wrong("a URL starts with https://, http:// or /"))?;
            let slash = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(slash).unwrap_or((rest, ""));
            let (host, port) = parse_authority(authority, scheme)?;
            (scheme, host, port, if path.is_empty() { "/" } else { path })
        };
        let path = parse_path(path)?;
        Ok(Self {
            scheme,
            host,
            port,
            path,
        })
    }

    /// `scheme://host[:port]`, the port only where it is not the scheme's own.
    pub(super) fn source(&self) -> String {
        let mut text = origin(self.scheme, &self.host, self.port);
        for segment in &self.path {
            text.push('/');
            text.push_str(&segment.source());
        }
        text
    }
}

/// `scheme://host[:port]`, the port only where it is not the scheme's own.
pub(super) fn origin(scheme: Scheme, host: &Host, port: u16) -> String {
    if port == scheme.default_port() {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}

fn parse_authority(text: &str, scheme: Scheme) -> Result<(Host, u16), ToolError> {
    if text.contains(['{', '}']) {
        return Err(wrong(
            "no parameter stands in the scheme, host or port of a URL",
        ));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let digits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
            let port = port.parse().ok().filter(|_| digits);
            (
                host,
                port.ok_or_else(|| wrong("a port is a number from 1 to 65535"))?,
            )
        }
        _ => (text, scheme.default_port()),
    };
    let host = Host::parse(host).map_err(|_| wrong("the URL has no plain host"))?;
    Ok((host, port))
}

fn parse_path(path: &str) -> Result<Vec<Text>, ToolError> {
    if path.contains(['?', '#']) {
        return Err(wrong("the URL has no ? or #: put parameters under query"));
    }
    let raw = path.strip_prefix('/').unwrap_or(path).split('/');
    let texts: Vec<Text> = raw.map(Text::parse).collect::<Result<_, _>>()?;
    let mut sample = String::new();
    for text in &texts {
        if text.has_place() && text.parts().len() != 1 {
            return Err(wrong("{@name} stands only as a whole path segment"));
        }
        sample.push('/');
        sample.extend(text.parts().iter().map(|part| match part {
            Part::Literal(literal) => literal.as_str(),
            Part::Param(_) | Part::Place(_) => "x",
        }));
    }
    segments(&sample)?;
    Ok(texts)
}
