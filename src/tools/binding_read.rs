//! Reads a [`Binding`].

use std::collections::BTreeMap;

use ::http::Method;
use ipnet::IpNet;

use super::binding::{Binding, HostSource, Scheme, wrong};
use super::error::{ToolError, step_index};
use super::path::PathPattern;
use super::reader::{Item, Object, name};
use super::slot::Slot;
use crate::name::{FieldName, HostPattern};

/// The most entries of one list in a binding.
const MAX_ENTRIES: usize = 64;
/// The methods a binding may name. TRACE and CONNECT are never among them.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

impl Binding {
    pub(super) fn read(item: Item) -> Result<Self, ToolError> {
        let mut object = item.object()?;
        let scheme = match object.optional("scheme") {
            None => Scheme::Https,
            Some(item) => {
                let parse = |text: &str| Scheme::parse(text).ok_or("a scheme is https or http");
                item.name(parse)?
            }
        };
        let hosts = read_hosts(&mut object)?;
        let port = match object.optional("port") {
            None => scheme.default_port(),
            Some(item) => item.port()?,
        };
        let methods = read_methods(object.required("methods")?)?;
        let paths = read_paths(object.required("paths")?)?;
        let slots = match object.optional("slots") {
            None => BTreeMap::new(),
            Some(item) => read_slots(item)?,
        };
        let private = match object.optional("private") {
            None => Vec::new(),
            Some(item) => read_ranges(item)?,
        };
        let only_actions = match object.optional("only_actions") {
            None => false,
            Some(item) => item.flag()?,
        };
        let binding = Self {
            scheme,
            hosts,
            port,
            methods,
            paths,
            slots,
            private,
            only_actions,
        };
        binding.check().map_err(|rule| object.fail(rule))?;
        object.done()?;
        Ok(binding)
    }

    /// The short form: hosts and slots alone, over https, for every method and path.
    pub(super) fn of_hosts(hosts: Item, slots: Option<Item>) -> Result<Self, ToolError> {
        let pointer = hosts.pointer.clone();
        let everything = PathPattern::parse("/**")?;
        let [usual @ .., _options] = METHODS;
        let binding = Self {
            scheme: Scheme::Https,
            hosts: HostSource::Listed(read_host_list(hosts)?),
            port: Scheme::Https.default_port(),
            methods: usual.to_vec(),
            paths: vec![everything],
            slots: slots.map_or_else(|| Ok(BTreeMap::new()), read_slots)?,
            private: Vec::new(),
            only_actions: false,
        };
        binding
            .check()
            .map_err(|rule| ToolError::new(pointer, rule))?;
        Ok(binding)
    }
}

fn read_hosts(object: &mut Object) -> Result<HostSource, ToolError> {
    let from_secret = match object.optional("hosts_from_secret") {
        None => false,
        Some(item) => item.flag()?,
    };
    match (object.optional("hosts"), from_secret) {
        (None, true) => Ok(HostSource::FromSecret),
        (Some(item), false) => read_host_list(item).map(HostSource::Listed),
        (None, false) => object.required("hosts").map(|_| HostSource::FromSecret),
        (Some(item), true) => Err(item.fail(wrong(
            "a binding lists hosts or takes them from the secret, not both",
        ))),
    }
}

fn not_empty<T>(list: Vec<T>, pointer: &str) -> Result<Vec<T>, ToolError> {
    if list.is_empty() {
        return Err(ToolError::new(pointer, wrong("at least one is needed")));
    }
    Ok(list)
}

fn read_host_list(item: Item) -> Result<Vec<HostPattern>, ToolError> {
    let pointer = item.pointer.clone();
    let hosts = item.list(MAX_ENTRIES)?.into_iter();
    let hosts = hosts.map(|item| item.name(HostPattern::parse));
    not_empty(hosts.collect::<Result<_, _>>()?, &pointer)
}

/// Reads one of the methods a binding may name.
pub(super) fn method(text: &str) -> Result<Method, &'static str> {
    METHODS
        .into_iter()
        .find(|method| method.as_str() == text)
        .ok_or("a method is GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")
}

fn read_methods(item: Item) -> Result<Vec<Method>, ToolError> {
    let pointer = item.pointer.clone();
    let methods = item.list(MAX_ENTRIES)?.into_iter();
    let methods = methods.map(|item| item.name(method));
    not_empty(methods.collect::<Result<_, _>>()?, &pointer)
}

fn read_paths(item: Item) -> Result<Vec<PathPattern>, ToolError> {
    let pointer = item.pointer.clone();
    let mut paths = Vec::new();
    for (index, item) in item.list(MAX_ENTRIES)?.into_iter().enumerate() {
        let text = item.text()?;
        let path = PathPattern::parse(&text);
        paths.push(path.map_err(|error| error.under(&step_index(&pointer, index)))?);
    }
    not_empty(paths, &pointer)
}

fn read_slots(item: Item) -> Result<BTreeMap<FieldName, Vec<Slot>>, ToolError> {
    let mut slots = BTreeMap::new();
    for (key, item) in item.entries(MAX_ENTRIES)? {
        let pointer = item.pointer.clone();
        let field = name(&pointer, &key, FieldName::parse)?;
        // One slot may stand alone; several are a list.
        let read = if item.value.is_object() {
            vec![Slot::read(item, &field)?]
        } else {
            let items = item.list(MAX_ENTRIES)?.into_iter();
            items
                .map(|item| Slot::read(item, &field))
                .collect::<Result<_, _>>()?
        };
        slots.insert(field, not_empty(read, &pointer)?);
    }
    Ok(slots)
}

fn read_ranges(item: Item) -> Result<Vec<IpNet>, ToolError> {
    let range = |text: &str| match text.parse::<IpNet>() {
        Ok(net) if net == net.trunc() && net.prefix_len() > 0 => Ok(net),
        _ => Err("a private range is an address and a prefix length, as in 10.0.0.0/8"),
    };
    let items = item.list(MAX_ENTRIES)?.into_iter();
    items.map(|item| item.name(range)).collect()
}
