//! What the maker of a handle is shown of it: names, places and placeholders, never a value, a length or
//! a digest of one.

use std::time::Instant;

use http::Method;

use crate::clock::Timestamp;
use crate::name::{FieldName, Fields, Host, HostPattern};
use crate::tools::{self, Binding, HostSource, Slot, Tool, narrow};
use crate::{egress, wire};

use super::LaneLimits;
use super::handle::Handle;
use super::holder::Reach;
use super::resolve::{Filling, Resolution};

/// A new handle, but for its text.
pub(super) fn resolved(
    handle: &Handle,
    resolution: &Resolution,
    (now, limits): (Timestamp, &LaneLimits),
) -> wire::Resolved {
    let hosts = at_hand(resolution);
    let free = free(&handle.purpose.tool);
    let constraints = free.filter_map(|binding| constraint(binding, &hosts, limits));
    let life = handle.ends().saturating_duration_since(Instant::now());
    let life = i64::try_from(life.as_millis()).unwrap_or_default();
    let fields = resolution.fields.iter();
    let specs = &handle.purpose.tool.spec.credentials.fields;
    let env = |name: &FieldName| {
        let spec = specs.get(name);
        spec.map(|spec| spec.env.clone()).unwrap_or_default()
    };
    let placeholders = handle.purpose.placeholders.iter();
    wire::Resolved {
        id: handle.id,
        handle: String::new(),
        tool: handle.purpose.tool.spec.slug.to_string(),
        expires_at: now.plus_millis(life),
        uses_left: handle.uses_left(),
        fields: fields
            .map(|field| wire::ResolvedField {
                field: field.field.clone(),
                source: field.source,
                secret: field.secret.clone(),
                account: account(resolution, &field.field),
                env: env(&field.field),
            })
            .collect(),
        placeholders: placeholders
            .map(|(field, placeholder)| (field.clone(), placeholder.text().to_owned()))
            .collect(),
        constraints: constraints.collect(),
        proxy: None,
    }
}

/// The bindings by which a request may be sent by right of a handle: not those for declared actions alone.
fn free(tool: &Tool) -> impl Iterator<Item = &Binding> {
    let bindings = tool.spec.bindings.iter();
    bindings.filter(|binding| !binding.only_actions)
}

/// Where a free request by right of a handle may bring the fields at hand.
pub(super) fn reach(tool: &Tool, resolution: &Resolution) -> Vec<Reach> {
    let at_hand = at_hand(resolution);
    let bound = free(tool).filter(|binding| takes(binding, &at_hand).is_some());
    let reach = |binding: &Binding| {
        let used = binding.slots.keys().filter_map(|field| at_hand.get(field));
        let own: Vec<&[HostPattern]> = used.map(Vec::as_slice).collect();
        Reach {
            scheme: match binding.scheme {
                tools::Scheme::Https => egress::Scheme::Https,
                tools::Scheme::Http => egress::Scheme::Http,
            },
            hosts: hosts(binding, &own),
            port: binding.port,
        }
    };
    bound.map(reach).collect()
}

/// Every host that the tool is bound to, whatever for: also where no field at hand may go, or declared
/// actions alone may.
pub(super) fn bound(tool: &Tool, resolution: &Resolution) -> Vec<HostPattern> {
    let at_hand = at_hand(resolution);
    let mut bound = Vec::new();
    for binding in &tool.spec.bindings {
        match &binding.hosts {
            HostSource::Listed(listed) => bound.extend(listed.iter().cloned()),
            HostSource::FromSecret => {
                let used = binding.slots.keys().filter_map(|field| at_hand.get(field));
                bound.extend(used.flatten().cloned());
            }
        }
    }
    bound.sort_by_cached_key(ToString::to_string);
    bound.dedup();
    bound
}

/// The fields that are filled, with the hosts that each may go to besides what the tool says.
fn at_hand(resolution: &Resolution) -> Fields<Vec<HostPattern>> {
    let filled = resolution.filled.iter();
    filled
        .map(|(field, filled)| (field.clone(), filled.filling.hosts()))
        .collect()
}

/// What the account that fills a field is called.
fn account(resolution: &Resolution, field: &FieldName) -> Option<String> {
    match &resolution.filled.get(field)?.filling {
        Filling::Account(chosen) => Some(chosen.connection.account.shown().to_owned()),
        _ => None,
    }
}

/// Fields with their slots, and the hosts that they may go to.
type Taken<'a> = (Vec<(&'a FieldName, &'a Vec<Slot>)>, Vec<HostPattern>);

/// What a binding takes of the fields at hand; `None` when nothing.
fn takes<'a>(binding: &'a Binding, at_hand: &Fields<Vec<HostPattern>>) -> Option<Taken<'a>> {
    let used = binding.slots.iter();
    let used: Vec<_> = used
        .filter(|(field, _)| at_hand.contains_key(*field))
        .collect();
    let own: Vec<&[HostPattern]> = used
        .iter()
        .filter_map(|(field, _)| at_hand.get(*field))
        .map(Vec::as_slice)
        .collect();
    let hosts = hosts(binding, &own);
    let is_none = hosts.is_empty() || (used.is_empty() && !binding.slots.is_empty());
    (!is_none).then_some((used, hosts))
}

/// Where the fields at hand may go by one binding; `None` when nowhere.
fn constraint(
    binding: &Binding,
    at_hand: &Fields<Vec<HostPattern>>,
    limits: &LaneLimits,
) -> Option<wire::Constraint> {
    let (used, hosts) = takes(binding, at_hand)?;
    let slots = used.into_iter().map(|(field, slots)| {
        let names = slots.iter().map(describe).collect();
        (field.clone(), names)
    });
    Some(wire::Constraint {
        scheme: binding.scheme.as_str().into(),
        hosts,
        port: binding.port,
        methods: binding.methods.iter().map(ToString::to_string).collect(),
        paths: binding.paths.iter().map(ToString::to_string).collect(),
        slots: slots.collect(),
        max_body_bytes: limits.upload_bytes,
        websocket: binding.methods.contains(&Method::GET),
    })
}

/// The hosts that both the binding and every secret's own binding name.
fn hosts(binding: &Binding, own: &[&[HostPattern]]) -> Vec<HostPattern> {
    let narrowed: Vec<_> = own.iter().filter(|own| !own.is_empty()).collect();
    let all_admit = |host: &Host| own.iter().all(|own| narrow(own, host));
    let all_have = |pattern: &HostPattern| narrowed.iter().all(|own| own.contains(pattern));
    let fits = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(host) => all_admit(host),
        HostPattern::OneLabel(_) => all_have(pattern),
    };
    let named = narrowed.iter().flat_map(|own| own.iter());
    let mut found: Vec<HostPattern> = match &binding.hosts {
        HostSource::FromSecret => named.filter(|pattern| fits(pattern)).cloned().collect(),
        HostSource::Listed(listed) => {
            let bound = |host: &Host| listed.iter().any(|pattern| pattern.matches(host));
            let inside = named.filter(|pattern| match pattern {
                HostPattern::Exact(host) => bound(host) && all_admit(host),
                HostPattern::OneLabel(_) => false,
            });
            listed
                .iter()
                .filter(|pattern| fits(pattern))
                .chain(inside)
                .cloned()
                .collect()
        }
    };
    found.sort_by_cached_key(ToString::to_string);
    found.dedup();
    found
}

/// A slot in a few words, e.g. `header authorization`.
fn describe(slot: &Slot) -> String {
    match slot {
        Slot::Header { name, .. } => format!("header {name}"),
        Slot::Basic { .. } => "header authorization (Basic)".to_owned(),
        Slot::Query { name } => format!("query {name}"),
        Slot::JsonPointer { pointer } => format!("json {pointer}"),
        Slot::FormField { name } => format!("form {name}"),
        Slot::PathSegment { name } => format!("path {name}"),
        Slot::Signed(_) => "signature".to_owned(),
    }
}
