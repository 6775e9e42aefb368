//! Where the credentials of a tool may go: hosts, port, methods, paths, and the slots.

use std::collections::BTreeMap;
use std::fmt;

use ::http::Method;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::error::Rule;
use super::path::{PathPattern, segments};
use super::signer::Signer;
use super::slot::{BasicOther, PlaceName, Slot};
use crate::name::{FieldName, Host, HostPattern, is_name_like};

/// The scheme of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// TLS with a verified certificate.
    Https,
    /// Cleartext, only towards addresses a binding grants as private.
    Http,
}

impl Scheme {
    /// The port a URL of this scheme has when it names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }

    /// `https` or `http`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    /// Reads `https` or `http`, in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "https" => Some(Self::Https),
            "http" => Some(Self::Http),
            _ => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which hosts a binding admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostSource {
    /// These, narrowed by the own binding of each secret in use.
    Listed(Vec<HostPattern>),
    /// Exactly those of the secret's own binding. A secret without one cannot be used.
    FromSecret,
}

/// Where a request wants to go. All parts in their canonical form, taken from one parse of the URL.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The method.
    pub method: &'a Method,
    /// The scheme.
    pub scheme: Scheme,
    /// The host.
    pub host: &'a Host,
    /// The port, also where it is the scheme's default.
    pub port: u16,
    /// The path, percent-encoded as it will be sent, without query.
    pub path: &'a str,
}

/// One right of a tool to use its credentials somewhere.
///
/// A binding with scheme `http` has private ranges, and the caller must dial only addresses inside
/// them: cleartext never leaves for a public address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The scheme, `https` unless the spec says otherwise.
    pub scheme: Scheme,
    /// The hosts.
    pub hosts: HostSource,
    /// The one port.
    pub port: u16,
    /// The methods.
    pub methods: Vec<Method>,
    /// The paths.
    pub paths: Vec<PathPattern>,
    /// The placements of each field, the preferred one first: that is where the broker itself places
    /// the field. A path-segment slot is filled as well wherever the path has its place; the others
    /// are where a request of unmodified tool code may carry the field's placeholder.
    pub slots: BTreeMap<FieldName, Vec<Slot>>,
    /// Private ranges this binding may reach, as the spec's author asks. Data only: they count when
    /// an administrator made the tool, and that is the caller's to check.
    pub private: Vec<IpNet>,
    /// Whether its requests are the tool's declared actions and no others: for an endpoint that a
    /// free request could have make another credential, which no search would know.
    pub only_actions: bool,
}

/// Whether a secret's own, narrower binding lets it go to `host`. A secret without one (`own` is
/// empty) goes wherever the tool's binding lets it.
#[must_use]
pub fn narrow(own: &[HostPattern], host: &Host) -> bool {
    own.is_empty() || own.iter().any(|pattern| pattern.matches(host))
}

pub(super) fn wrong(reason: &'static str) -> Rule {
    Rule::Binding { reason }
}

impl Binding {
    /// Whether a request to `to` may carry the credentials of secrets whose own host bindings are
    /// `lent`, one entry per secret, empty for a secret without one. The intersection counts.
    #[must_use]
    pub fn admits(&self, to: &Destination<'_>, lent: &[&[HostPattern]]) -> bool {
        self.admits_host(to.host, lent)
            && self.scheme == to.scheme
            && self.port == to.port
            && self.methods.contains(to.method)
            && segments(to.path)
                .is_ok_and(|path| self.paths.iter().any(|pattern| pattern.covers(&path)))
    }

    fn admits_host(&self, host: &Host, lent: &[&[HostPattern]]) -> bool {
        let narrowed = lent.iter().all(|own| narrow(own, host));
        match &self.hosts {
            HostSource::Listed(hosts) => {
                narrowed && hosts.iter().any(|pattern| pattern.matches(host))
            }
            HostSource::FromSecret => {
                narrowed && !lent.is_empty() && lent.iter().all(|own| !own.is_empty())
            }
        }
    }

    /// Whether the binding names `host`, or a pattern for it and what stands in its place looks like a name.
    pub(super) fn declares(&self, host: &Host) -> bool {
        let HostSource::Listed(hosts) = &self.hosts else {
            return false;
        };
        let label = match host {
            Host::Name(name) => name.split('.').next().unwrap_or_default(),
            Host::Address(_) => "",
        };
        hosts
            .iter()
            .filter(|pattern| pattern.matches(host))
            .any(|pattern| matches!(pattern, HostPattern::Exact(_)) || is_name_like(label))
    }

    /// The slot in which the broker itself places `field`.
    #[must_use]
    pub fn preferred(&self, field: &FieldName) -> Option<&Slot> {
        self.slots.get(field).and_then(|slots| slots.first())
    }

    /// Every field that the slots speak of.
    pub fn fields(&self) -> impl Iterator<Item = &FieldName> {
        let others = self.slots.values().flatten().flat_map(Slot::others);
        self.slots.keys().chain(others)
    }

    /// Whether the slots speak of `field`.
    #[must_use]
    pub fn uses(&self, field: &FieldName) -> bool {
        self.fields().any(|used| used == field)
    }

    /// The signer of its requests, with the field that it signs with.
    #[must_use]
    pub fn signer(&self) -> Option<(&FieldName, &Signer)> {
        self.slots.iter().find_map(|(field, slots)| {
            slots.iter().find_map(|slot| match slot {
                Slot::Signed(signer) => Some((field, &**signer)),
                _ => None,
            })
        })
    }

    /// Which segment of `path` is the place `name`, counted from 0. `None` when no pattern that covers
    /// the path has the place, or two have it in different segments.
    #[must_use]
    pub fn place_in(&self, path: &str, name: &PlaceName) -> Option<usize> {
        let path = segments(path).ok()?;
        let covering = self.paths.iter().filter(|pattern| pattern.covers(&path));
        let mut found = covering.filter_map(|pattern| pattern.place(name));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// The single exact host, when that is what the binding names.
    pub(super) fn only_host(&self) -> Option<&Host> {
        match &self.hosts {
            HostSource::Listed(hosts) => match hosts.as_slice() {
                [HostPattern::Exact(host)] => Some(host),
                _ => None,
            },
            HostSource::FromSecret => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Rule> {
        if self.scheme == Scheme::Http && self.private.is_empty() {
            return Err(wrong(
                "cleartext http goes only to private ranges: name them in private, or use https",
            ));
        }
        if self.hosts == HostSource::FromSecret && !self.private.is_empty() {
            return Err(wrong(
                "a binding that takes its hosts from the secret grants no private ranges",
            ));
        }
        self.check_places()?;
        self.check_signers()?;
        self.check_collisions()
    }

    /// Every place in a path has one slot that fills it, and every such slot a place.
    fn check_places(&self) -> Result<(), Rule> {
        let mut filled: Vec<_> = self.slots.values().flatten().filter_map(place).collect();
        let count = filled.len();
        filled.sort();
        filled.dedup();
        if filled.len() != count {
            return Err(wrong("two slots fill the same place {@name}"));
        }
        let named: Vec<_> = self.paths.iter().flat_map(PathPattern::places).collect();
        if named.iter().any(|place| !filled.contains(place)) {
            return Err(wrong("a path has a place {@name} that no slot fills"));
        }
        if filled.iter().any(|place| !named.contains(place)) {
            return Err(wrong("a path segment slot names a place that no path has"));
        }
        let twice = |path: &PathPattern| {
            let mut places: Vec<_> = path.places().collect();
            let count = places.len();
            places.sort();
            places.dedup();
            places.len() != count
        };
        if self.paths.iter().any(twice) {
            return Err(wrong("a path has the same place {@name} twice"));
        }
        Ok(())
    }

    /// One signer at most, last of all; its key goes nowhere, and its token endpoint is as guarded as the
    /// hosts are.
    fn check_signers(&self) -> Result<(), Rule> {
        let signs = |slot: &Slot| matches!(slot, Slot::Signed(_));
        let signers = self.slots.values().flatten().filter(|slot| signs(slot));
        if signers.count() > 1 {
            return Err(wrong("a binding has one signer"));
        }
        let mut listed = self.slots.values();
        if listed.any(|slots| slots.len() > 1 && slots.iter().any(signs)) {
            return Err(wrong("a signer is its field's only slot"));
        }
        let endpoint = self.signer().and_then(|(_, signer)| signer.exchanged_at());
        let clear = |url: &crate::egress::Url| url.scheme() == crate::egress::Scheme::Http;
        if endpoint.is_some_and(clear) && self.private.is_empty() {
            return Err(wrong(
                "a token is fetched in clear only from private ranges: name them in private, or use https",
            ));
        }
        Ok(())
    }

    /// Two fields are not both placed in one header, except as the two halves of one Basic pair.
    fn check_collisions(&self) -> Result<(), Rule> {
        let preferred: Vec<_> = self
            .slots
            .iter()
            .filter_map(|(field, slots)| Some((field, slots.first()?)))
            .collect();
        for (index, (field, slot)) in preferred.iter().enumerate() {
            for (other_field, other) in preferred.iter().skip(index + 1) {
                let taken = slot.headers();
                let same = slot == other || other.headers().iter().any(|name| taken.contains(name));
                if same && !(is_half(slot, other_field) && is_half(other, field)) {
                    return Err(wrong("two fields are placed in the same slot"));
                }
            }
        }
        let own_half = |(field, slots): (&FieldName, &Vec<Slot>)| {
            slots.iter().any(|slot| is_half(slot, field))
        };
        if self.slots.iter().any(own_half) {
            return Err(wrong("a Basic slot pairs a field with itself"));
        }
        Ok(())
    }

    /// The canonical JSON form.
    pub(super) fn to_json(&self) -> Value {
        let slots_of = |(field, slots): (&FieldName, &Vec<Slot>)| {
            let slots: Vec<Value> = slots.iter().map(|slot| slot.to_json(field)).collect();
            (field.to_string(), Value::from(slots))
        };
        let slots: serde_json::Map<_, _> = self.slots.iter().map(slots_of).collect();
        let mut json = json!({
            "scheme": self.scheme.as_str(),
            "port": self.port,
            "methods": self.methods.iter().map(Method::as_str).collect::<Vec<_>>(),
            "paths": self.paths.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "slots": slots,
            "private": self.private.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        let (key, hosts) = match &self.hosts {
            HostSource::Listed(hosts) => ("hosts", json!(hosts)),
            HostSource::FromSecret => ("hostsFromSecret", json!(true)),
        };
        if let Value::Object(map) = &mut json {
            map.insert(key.to_owned(), hosts);
            if self.only_actions {
                map.insert("onlyActions".to_owned(), json!(true));
            }
        }
        json
    }
}

fn place(slot: &Slot) -> Option<&PlaceName> {
    match slot {
        Slot::PathSegment { name } => Some(name),
        _ => None,
    }
}

/// Whether `field` is the other half of the Basic slot.
fn is_half(slot: &Slot, field: &FieldName) -> bool {
    matches!(slot, Slot::Basic { other: BasicOther::Field(other), .. } if other == field)
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
