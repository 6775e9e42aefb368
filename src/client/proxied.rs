//! What a program is given in place of credentials: placeholders, and the way through the egress proxy.
//!
//! Everything is in environment variables, because that is what unmodified programs read. Each library has
//! its own: [`Proxied::variables`] names them all. What the broker said is read here once, and must look
//! as it should: it goes into shells.

use std::borrow::Cow;
use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::java;
use super::{Bundle, ClientEnv, ClientError};
use crate::clock::Timestamp;
use crate::id::ResolutionId;
use crate::name::VariableName;
use crate::wire::{ProxyPlace, Resolved};

/// This machine, by its own names: reached without the proxy, unless the tool is bound to it.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The variables that name a PEM file of trusted certificates, each with the programs that read it.
pub(super) const TRUST: [(&str, &str); 8] = [
    ("SSL_CERT_FILE", "OpenSSL, Go, Python, Ruby"),
    ("NODE_EXTRA_CA_CERTS", "Node, Bun"),
    ("REQUESTS_CA_BUNDLE", "requests"),
    ("CURL_CA_BUNDLE", "curl"),
    ("GIT_SSL_CAINFO", "git"),
    ("AWS_CA_BUNDLE", "boto3, the AWS command line"),
    ("PIP_CERT", "pip"),
    ("DENO_CERT", "Deno"),
];

/// A variable of a program's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its value. That of the proxy has the handle in it.
    pub value: String,
    /// What it is for, in half a sentence.
    pub purpose: &'static str,
}

impl Variable {
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        purpose: &'static str,
    ) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            purpose,
        }
    }
}

/// A right to use a tool's credentials at the egress proxy, as a program is given it.
#[derive(Debug)]
pub struct Proxied {
    /// By which it is released.
    pub id: ResolutionId,
    /// When it ends at the latest.
    pub ends: Timestamp,
    address: String,
    authority: Vec<CertificateDer<'static>>,
    placeholders: Vec<(VariableName, String)>,
    empty: Vec<VariableName>,
    bound: Vec<String>,
}

impl Proxied {
    /// Reads the broker's answer.
    ///
    /// # Errors
    /// [`ClientError::NotAnAnswer`] when a part of it is not what it should be.
    pub fn of(resolved: Resolved) -> Result<Self, ClientError> {
        let strange = ClientError::NotAnAnswer { status: 201 };
        let Some(proxy) = &resolved.proxy else {
            return Err(strange);
        };
        let Some(address) = address(proxy, &resolved.handle) else {
            return Err(strange);
        };
        let read = CertificateDer::pem_slice_iter(proxy.certificate_authority.as_bytes());
        let authority: Vec<_> = read.collect::<Result<_, _>>().unwrap_or_default();
        if authority.is_empty() {
            return Err(strange);
        }
        let (mut placeholders, mut empty) = (Vec::new(), Vec::new());
        for field in &resolved.fields {
            let placeholder = resolved.placeholders.get(&field.field);
            if placeholder.is_some_and(|text| !text.bytes().all(is_unreserved)) {
                return Err(strange);
            }
            for name in field.env.iter().cloned() {
                match placeholder {
                    Some(placeholder) => placeholders.push((name, placeholder.clone())),
                    None => empty.push(name),
                }
            }
        }
        // Of a broker that names no others, those where a credential may go.
        let mut bound = proxy.bound_hosts.clone();
        let open = resolved.constraints.into_iter();
        let hosts = open.flat_map(|constraint| constraint.hosts);
        bound.extend(hosts.map(|host| host.to_string()));
        empty.retain(|name| placeholders.iter().all(|(set, _)| set != name));
        Ok(Self {
            id: resolved.id,
            ends: resolved.expires_at,
            address,
            authority,
            placeholders,
            empty,
            bound,
        })
    }

    /// The authority to trust besides the system's.
    #[must_use]
    pub fn authority(&self) -> &[CertificateDer<'static>] {
        &self.authority
    }

    /// The variables of the tool's fields that nothing fills: what the caller has in them is a credential of
    /// the caller's own, and no business of the program.
    #[must_use]
    pub fn empty(&self) -> &[VariableName] {
        &self.empty
    }

    /// Every variable that a program may look for, its files of trusted certificates among them. `env` is what
    /// the environment says already.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when the files' place is not text.
    pub fn variables(
        &self,
        bundle: &Bundle,
        env: &ClientEnv,
    ) -> Result<Vec<Variable>, ClientError> {
        let files = bundle.path().to_str().zip(bundle.store().to_str());
        let files = files.ok_or_else(|| {
            ClientError::usage(
                "the path of the temporary files is not text",
                "set TMPDIR to one that is UTF-8",
            )
        })?;
        Ok(self.naming(files, env))
    }

    /// The same, `roots` as PEM and `store` as Java reads it.
    fn naming(&self, (roots, store): (&str, &str), env: &ClientEnv) -> Vec<Variable> {
        let placed = |(name, placeholder): &(VariableName, String)| {
            let name = name.as_str().to_owned();
            Variable::new(
                name,
                placeholder,
                "placeholders, where programs look for the credentials",
            )
        };
        let mut all: Vec<_> = self.placeholders.iter().map(placed).collect();
        let way = "the way through the proxy; its password is the right to use the credentials";
        let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
        let proxies = proxies.iter().chain(&["ALL_PROXY", "all_proxy"]);
        all.extend(proxies.map(|name| Variable::new(*name, &self.address, way)));
        let direct = self.direct(env.no_proxy.as_deref());
        let without = "hosts that are reached without it";
        let listed = direct.join(",");
        all.extend(["NO_PROXY", "no_proxy"].map(|name| Variable::new(name, &listed, without)));
        let node =
            "makes Node 22.21, 24 and later read these; earlier ones need an agent in the program";
        all.push(Variable::new("NODE_USE_ENV_PROXY", "1", node));
        let git = "git shows the password at once";
        all.push(Variable::new("GIT_HTTP_PROXY_AUTHMETHOD", "basic", git));
        all.extend(TRUST.map(|(name, whose)| Variable::new(name, roots, whose)));
        let proxy = self.address.rsplit('@').next().unwrap_or_default();
        let inherited = env.java_options.as_deref();
        let java = java::options(inherited, (proxy, store), &direct, &self.bound);
        let whose = "Java, whose code shows the password: see the manual";
        all.push(Variable::new(java::OPTIONS, java, whose));
        all
    }

    /// The hosts for `NO_PROXY`: this machine and what was there, without those that the tool is bound to,
    /// whatever for. A placeholder that went there directly would reach the vendor as it is, and unseen; the
    /// proxy refuses it, and says why.
    fn direct<'a>(&self, inherited: Option<&'a str>) -> Vec<&'a str> {
        let between = |letter: char| letter == ',' || letter.is_whitespace();
        let inherited = inherited.unwrap_or_default().split(between);
        let mut hosts: Vec<&'a str> = Vec::new();
        for host in HERE.into_iter().chain(inherited) {
            let is_new = !host.is_empty() && !hosts.contains(&host);
            if is_new && !self.bound.iter().any(|bound| covers(host, bound)) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// The proxy's address with the handle as its password; `None` unless each part is what it should be.
fn address(proxy: &ProxyPlace, handle: &str) -> Option<String> {
    let word = |text: &str| !text.is_empty() && text.bytes().all(is_unreserved);
    let authority = proxy.url.strip_prefix("http://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = authority.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = word(host) || bare.is_some_and(|host| host.parse::<IpAddr>().is_ok());
    let sound = is_host && port.parse::<u16>().is_ok() && word(&proxy.username) && word(handle);
    sound.then(|| format!("http://{}:{handle}@{authority}", proxy.username))
}

/// What no encoding changes (RFC 3986, 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether an entry of `NO_PROXY` may speak of a host that the tool is bound to. Libraries read such
/// entries differently, so that what any of them takes for a match is one.
fn covers(entry: &str, bound: &str) -> bool {
    let entry = entry.to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    let bound = bound.trim_start_matches("*.");
    if entry.contains('/') {
        return bound.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    }
    let is_address = entry.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let name = match entry.rsplit_once(':') {
        Some((name, port)) if !is_address && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => &entry,
    };
    let name = name.trim_matches(['[', ']']).trim_start_matches(['*', '.']);
    let name = name.trim_end_matches('.');
    let bound = bound.trim_matches(['[', ']']);
    // Some match at any letter, not at a dot alone.
    let below = |rest: &str| rest.ends_with('.');
    bound.ends_with(name) || name.strip_suffix(bound).is_some_and(below)
}

#[cfg(test)]
#[path = "tests_proxied.rs"]
mod tests;
