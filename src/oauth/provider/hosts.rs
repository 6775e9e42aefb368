//! Where a token may go (T11).

use super::Provider;
use super::bound::Bound;
use super::spec::Spec;
use super::template::{Template, TemplateError};
use super::vars::Vars;
use crate::name::HostPattern;

impl Provider {
    /// The hosts that this broker itself talks to with a token, a code or a client's secret: those of
    /// the token, refresh, revocation, device and identity requests. A host that is known only after
    /// the callback or the token answer is there once it was captured.
    ///
    /// # Errors
    /// [`TemplateError`] when a value may not stand where the file puts it.
    pub fn token_hosts(&self, bound: &Bound) -> Result<Vec<HostPattern>, TemplateError> {
        let vars = Vars::of(bound);
        let mut hosts = Vec::new();
        for url in token_urls(self.spec()) {
            match url.host(&vars) {
                Ok(host) => keep(&mut hosts, HostPattern::Exact(host)),
                Err(TemplateError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(hosts)
    }

    /// The only hosts of the provider's API, to which a tool's request may carry the token.
    ///
    /// # Errors
    /// [`TemplateError`] when a value is missing, or may not stand where the file puts it.
    pub fn api_hosts(&self, bound: &Bound) -> Result<Vec<HostPattern>, TemplateError> {
        let vars = Vars::of(bound);
        let mut hosts = Vec::new();
        for template in self.spec().api.iter().flat_map(|api| &api.hosts) {
            keep(&mut hosts, pattern(template, &vars)?);
        }
        Ok(hosts)
    }
}

fn keep(hosts: &mut Vec<HostPattern>, host: HostPattern) {
    if !hosts.contains(&host) {
        hosts.push(host);
    }
}

fn token_urls(spec: &Spec) -> impl Iterator<Item = &Template> {
    let token = spec.token.iter();
    let exchange = token.clone().flat_map(|token| &token.exchange);
    let identity = spec.identity.iter();
    let resources = identity
        .clone()
        .filter_map(|identity| identity.resources.as_ref());
    let device = spec.device.iter();
    token
        .filter_map(|token| token.url.as_ref())
        .chain(exchange.map(|exchange| &exchange.url))
        .chain(&spec.refresh.url)
        .chain(spec.revoke.iter().filter_map(|revoke| revoke.url.as_ref()))
        .chain(identity.filter_map(|identity| identity.url.as_ref()))
        .chain(resources.filter_map(|resources| resources.url.as_ref()))
        .chain(device.flat_map(|device| device.url.iter().chain(&device.token_url)))
}

/// `*.example.com`, `{params.shop}.example.com`, or the host of a captured origin.
fn pattern(template: &Template, vars: &Vars<'_>) -> Result<HostPattern, TemplateError> {
    let (star, url) = host_url(template)?;
    let host = url.host(vars)?;
    if !star {
        return Ok(HostPattern::Exact(host));
    }
    let reason = "a wildcard stands before a name of at least two labels";
    HostPattern::parse(&format!("*.{host}")).map_err(|_| TemplateError::Url { reason })
}

/// Whether an entry begins with a wildcard, and the rest of it as a URL.
pub(super) fn host_url(template: &Template) -> Result<(bool, Template), TemplateError> {
    let text = template.as_str();
    if text.starts_with("{meta.") {
        return Ok((false, template.clone()));
    }
    let (star, host) = text
        .strip_prefix("*.")
        .map_or((false, text), |host| (true, host));
    if host.contains(['/', '?']) {
        let reason = "a host has no path";
        return Err(TemplateError::Url { reason });
    }
    Ok((star, Template::parse(&format!("https://{host}"))?))
}
