//! Checks of every template: its names are known, its URL is one, and each value stands where it may.

use super::domain::registrable;
use super::error::{Fault, ensure};
use super::hosts::host_url;
use super::reach::Reach;
use super::spec::{CaptureKind, Position, Spec};
use super::template::{Place, QuerySecrets, Template, is_secret_name};
use super::template_place::{is_host, is_loopback};
use super::template_url::{Piece, Shape};
use super::uses::{Meta, Use, Writes, secrets_in_queries, uses};
use crate::egress::{Scheme, Url};
use crate::name::Host;

pub(super) fn check_templates(spec: &Spec, reach: &Reach) -> Result<(), Fault> {
    for entry in &uses(spec) {
        check_names(spec, entry)?;
        match entry.writes {
            Writes::Value(place) => {
                for name in entry.template.names() {
                    check_place(spec, entry, name, place)?;
                }
                check_literal(entry, place)?;
            }
            Writes::Url(secrets) => check_url(spec, entry, entry.template, secrets, reach)?,
            Writes::ApiHost => check_api_host(spec, entry, reach)?,
        }
    }
    let reason = "a secret would stand in a URL, and no query_secrets_ok says that it must";
    match secrets_in_queries(spec).into_iter().next() {
        Some(key) => Err(Fault::new(key, reason)),
        None => Ok(()),
    }
}

/// Every name has a value when the template is filled in.
fn check_names(spec: &Spec, entry: &Use<'_>) -> Result<(), Fault> {
    for name in entry.template.names() {
        let key = &entry.key;
        if let Some(name) = name.strip_prefix("params.") {
            let param = spec.params.get(name);
            let reason = "a parameter that it names is not declared under params";
            let param = param.ok_or_else(|| Fault::new(key, reason))?;
            let told = param.required || param.default.is_some() || entry.optional;
            let reason = "a parameter that it names is neither required nor has a default";
            ensure(told, key, reason)?;
        } else if let Some(name) = name.strip_prefix("meta.") {
            let early = spec.callback_capture.contains_key(name);
            let late = spec.token_capture.contains_key(name);
            let known = match entry.meta {
                Meta::None => false,
                Meta::Callback => early,
                Meta::All => early || late,
            };
            ensure(known, key, "it names a value that is not captured by then")?;
        } else {
            let known = entry.names.contains(&name);
            ensure(known, key, "it names something that has no value there")?;
        }
    }
    Ok(())
}

/// The value of `name` may stand in `place`.
fn check_place(spec: &Spec, entry: &Use<'_>, name: &str, place: Place) -> Result<(), Fault> {
    let key = &entry.key;
    if is_secret_name(name) {
        let reason = "a secret stands only in a header, a body, or a query with query_secrets_ok";
        return ensure(place.takes_secrets(), key, reason);
    }
    if let Some(name) = name.strip_prefix("params.") {
        let Some(param) = spec.params.get(name) else {
            return Ok(());
        };
        let whole = param.choices.iter().all(|choice| is_host(choice));
        let holds = match place {
            Place::Origin => false,
            Place::Host => param.position == Position::Host && whole,
            Place::HostSuffix => param.position == Position::Host && !param.choices.is_empty(),
            Place::HostLabel => param.position == Position::HostLabel,
            Place::Path => matches!(
                param.position,
                Position::HostLabel | Position::Host | Position::PathSegment
            ),
            Place::Query(_) => param.position != Position::Value,
            Place::Header | Place::Body => true,
        };
        return ensure(holds, key, "a parameter's position does not allow it there");
    }
    let in_host = matches!(place, Place::Host | Place::HostSuffix | Place::HostLabel);
    let reason = "in a host, only parameters stand; a captured origin begins a URL";
    ensure(!in_host, key, reason)?;
    if place == Place::Origin {
        let reason = "a URL begins with https:// or with a captured origin";
        return ensure(is_origin(spec, name), key, reason);
    }
    let encoded = place != Place::Path || !is_origin(spec, name);
    ensure(encoded, key, "an origin stands in no path")
}

fn is_origin(spec: &Spec, name: &str) -> bool {
    let name = name.strip_prefix("meta.").unwrap_or_default();
    let early = spec.callback_capture.get(name).map(|capture| capture.kind);
    let late = spec.token_capture.get(name).map(|capture| capture.kind);
    early.or(late) == Some(CaptureKind::Origin)
}

fn check_literal(entry: &Use<'_>, place: Place) -> Result<(), Fault> {
    let plain = |b: u8| b == b' ' || b.is_ascii_graphic();
    let holds = place != Place::Header || entry.template.as_str().bytes().all(plain);
    ensure(holds, &entry.key, "a header is visible ASCII")
}

fn check_url(
    spec: &Spec,
    entry: &Use<'_>,
    template: &Template,
    secrets: QuerySecrets,
    reach: &Reach,
) -> Result<(), Fault> {
    let fault = |reason| Fault::new(&entry.key, reason);
    let shape = template.shape(secrets).map_err(fault)?;
    for (name, place) in &shape.holes {
        check_place(spec, entry, name, *place)?;
    }
    let url = template.sample(secrets).map_err(fault)?;
    check_origin(&entry.key, &url, reach)?;
    check_labels(&entry.key, &shape)
}

/// `https`, and a host out there; both differ only in the ranges of the operator's own.
fn check_origin(key: &str, url: &Url, reach: &Reach) -> Result<(), Fault> {
    let host = url.host();
    if reach.covers(host) {
        return Ok(());
    }
    let reason =
        "a host of this machine needs its range in oauth.private, and a file of the operator's own";
    ensure(!is_loopback(host), key, reason)?;
    ensure(url.scheme() == Scheme::Https, key, "a URL is https")?;
    let named = matches!(host, Host::Name(name) if name.contains('.'));
    ensure(
        named,
        key,
        "a URL has a host with a name, or an address in a range of oauth.private",
    )
}

/// What a label stands before is a domain that somebody registered: whoever chooses the label does
/// not choose the owner.
fn check_labels(key: &str, shape: &Shape<'_>) -> Result<(), Fault> {
    let label = shape
        .holes
        .iter()
        .any(|(_, place)| *place == Place::HostLabel);
    let rest = match shape.authority.last() {
        Some(Piece::Literal(text)) => text.split_once('.').map_or("", |(_, rest)| rest),
        _ => "",
    };
    let owned = registrable(rest).is_some();
    let reason = "behind a parameter, a host goes on with a domain that somebody registered";
    ensure(!label || owned, key, reason)
}

fn check_api_host(spec: &Spec, entry: &Use<'_>, reach: &Reach) -> Result<(), Fault> {
    let key = &entry.key;
    let (star, url) = host_url(entry.template).map_err(|reason| Fault::new(key, reason))?;
    check_url(spec, entry, &url, QuerySecrets::Refused, reach)?;
    let text = url.as_str();
    let alone = !text.starts_with('{') || text.ends_with('}');
    ensure(alone, key, "an origin among the hosts stands alone")?;
    let host = text.strip_prefix("https://").unwrap_or_default();
    ensure(!host.contains(':'), key, "a host has no port")?;
    let narrow = !star || (registrable(host).is_some() && url.names().next().is_none());
    let reason = "a wildcard stands before a domain that somebody registered";
    ensure(narrow, key, reason)
}
