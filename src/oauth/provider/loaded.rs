//! A provider file that passed all its checks.

use std::collections::BTreeMap;

use regex::Regex;

use super::bound::Bound;
use super::check::check;
use super::error::{Fault, ProviderError, ensure};
use super::extends::{merged, parent_of};
use super::param::{ParamFault, Rules, anchored};
use super::pointer_text::PointerText;
use super::reach::Reach;
use super::spec::{ClientAuth, Kind, Pkce, Position, Spec};
use crate::name::{HostPattern, ProviderId};

/// The largest file, in bytes.
const MAX_FILE: usize = 64 * 1024;

/// Who issues tokens, and how to talk to them.
#[derive(Clone, Debug)]
pub struct Provider {
    spec: Spec,
    reach: Reach,
    account: PointerText,
    rules: BTreeMap<String, Rules>,
    captured: BTreeMap<String, Regex>,
}

impl Provider {
    /// Reads and checks a file. Besides public hosts it may name those that `reach` covers.
    ///
    /// # Errors
    /// [`ProviderError`] for the first rule that it breaks.
    pub fn read(file: &str, text: &str, reach: &Reach) -> Result<Self, ProviderError> {
        Self::read_over(file, text, reach, |_| None)
    }

    /// The same for a file that may build on another, whose text `parent` finds by id.
    pub(super) fn read_over<'t>(
        file: &str,
        text: &str,
        reach: &Reach,
        parent: impl FnOnce(&str) -> Option<&'t str>,
    ) -> Result<Self, ProviderError> {
        let spec = parse(file, text, parent)?;
        let named = file.strip_suffix(".toml") == Some(spec.id.as_str());
        ensure(
            named,
            "id",
            "the file is named after its id, with .toml behind it",
        )
        .map_err(|fault| fault.of(file))?;
        check(&spec, reach)?;
        Self::of(spec, reach.clone()).map_err(|fault| fault.of(file))
    }

    fn of(spec: Spec, reach: Reach) -> Result<Self, Fault> {
        let account = spec.identity.as_ref().map_or("", |identity| &identity.id);
        let account = PointerText::parse(account).map_err(|e| Fault::new("identity.id", e))?;
        let mut rules = BTreeMap::new();
        for (name, param) in &spec.params {
            let read = Rules::of(param).map_err(|e| Fault::new(format!("params.{name}"), e))?;
            rules.insert(name.clone(), read);
        }
        let mut captured = BTreeMap::new();
        for (name, capture) in &spec.callback_capture {
            if let Some(pattern) = &capture.pattern {
                let key = || format!("callback_capture.{name}.pattern");
                let regex = anchored(pattern).map_err(|e| Fault::new(key(), e))?;
                captured.insert(name.clone(), regex);
            }
        }
        Ok(Self {
            spec,
            reach,
            account,
            rules,
            captured,
        })
    }

    /// The provider's id.
    #[must_use]
    pub const fn id(&self) -> &ProviderId {
        &self.spec.id
    }

    /// All that its file says.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Where it may be.
    #[must_use]
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Where an account's id stands in the document that tells the identity.
    #[must_use]
    pub const fn account(&self) -> &PointerText {
        &self.account
    }

    /// Whether its clients prove themselves with a key, which is stored as their secret (RFC 7523).
    #[must_use]
    pub fn proves_by_key(&self) -> bool {
        let token = self.spec.token.as_ref();
        token.is_some_and(|token| token.client_auth == ClientAuth::PrivateKeyJwt)
    }

    /// Whether the browser brings home a payload that was signed, in place of a code.
    #[must_use]
    pub fn brings_payload(&self) -> bool {
        self.spec.kind == Kind::SignedPayload
    }

    /// Whether a flow sends a challenge (RFC 7636).
    #[must_use]
    pub fn uses_pkce(&self) -> bool {
        let authorize = self.spec.authorize.as_ref();
        authorize.is_some_and(|authorize| authorize.pkce != Pkce::Off)
    }

    /// Whether a flow that asks for `scopes` sends a nonce: as the file says, or for `openid`.
    #[must_use]
    pub fn wants_nonce(&self, scopes: &[String]) -> bool {
        let said = self
            .spec
            .authorize
            .as_ref()
            .and_then(|authorize| authorize.nonce);
        said.unwrap_or_else(|| scopes.iter().any(|scope| scope == "openid"))
    }

    /// Checks what the person who connects told, and fills in what the file says otherwise. Hosts
    /// that are not the file's own must be among `allowed_hosts`.
    ///
    /// # Errors
    /// [`ParamFault`] for the first parameter that is not right.
    pub fn bind(
        &self,
        told: &BTreeMap<String, String>,
        allowed_hosts: &[HostPattern],
    ) -> Result<Bound, ParamFault> {
        if told.keys().any(|name| !self.spec.params.contains_key(name)) {
            return Err(ParamFault::Undeclared);
        }
        let mut bound = Bound::default();
        for (name, param) in &self.spec.params {
            let value = match (told.get(name), self.rules.get(name), &param.default) {
                (Some(told), Some(rules), _) => rules.settle(name, param, told, allowed_hosts)?,
                (_, _, Some(default)) => default.clone(),
                _ if param.required => {
                    let name = name.as_str().into();
                    return Err(ParamFault::Missing { name });
                }
                _ => continue,
            };
            bound.params.insert(name.clone(), value);
        }
        Ok(bound)
    }

    /// The hosts that a client is for, where whoever connects may choose one: a client's secret goes to no
    /// other. By the names of their parameters.
    ///
    /// # Errors
    /// [`ParamFault`] for the first that is not right, or is missing.
    pub fn bind_hosts(
        &self,
        told: &BTreeMap<String, String>,
        allowed_hosts: &[HostPattern],
    ) -> Result<BTreeMap<String, String>, ParamFault> {
        let params = &self.spec.params;
        let is_host = |name: &String| {
            let param = params.get(name);
            param.is_some_and(|param| param.position == Position::Host)
        };
        if !told.keys().all(is_host) {
            return Err(ParamFault::Undeclared);
        }
        let mut hosts = BTreeMap::new();
        for (name, param) in params.iter().filter(|(name, _)| is_host(name)) {
            let value = match (told.get(name), self.rules.get(name), &param.default) {
                (Some(told), Some(rules), _) => rules.settle(name, param, told, allowed_hosts)?,
                (_, _, Some(default)) => default.clone(),
                _ => {
                    let name = name.as_str().into();
                    return Err(ParamFault::Missing { name });
                }
            };
            hosts.insert(name.clone(), value);
        }
        Ok(hosts)
    }

    /// Whether a client that is for `hosts` may be used with these parameters.
    #[must_use]
    pub fn client_fits(&self, hosts: &BTreeMap<String, String>, bound: &Bound) -> bool {
        let params = self.spec.params.iter();
        let mut chosen = params.filter(|(_, param)| param.position == Position::Host);
        chosen.all(|(name, param)| {
            let meant = hosts.get(name).or(param.default.as_ref());
            meant.is_some() && meant == bound.params.get(name)
        })
    }

    /// Whether a value from the callback matches the file's pattern for it.
    pub(super) fn capture_matches(&self, name: &str, value: &str) -> bool {
        let regex = self.captured.get(name);
        regex.is_none_or(|regex| regex.is_match(value))
    }
}

fn parse<'t>(
    file: &str,
    text: &str,
    parent: impl FnOnce(&str) -> Option<&'t str>,
) -> Result<Spec, ProviderError> {
    ensure(
        text.len() <= MAX_FILE,
        "/",
        "a provider file has at most 64 KiB",
    )
    .map_err(|fault| fault.of(file))?;
    let syntax = |error| ProviderError::syntax(file, text, &error);
    let table: toml::Table = toml::from_str(text).map_err(syntax)?;
    // Most files stand alone and have no such hole, and keep their line numbers for what is wrong in them.
    if parent_of(&table).is_none() && !text.contains("{issuer}") {
        return toml::from_str(text).map_err(syntax);
    }
    let mut table = merged(table, parent).map_err(|fault| fault.of(file))?;
    if let Some(toml::Value::String(issuer)) = table.get("issuer").cloned() {
        table
            .iter_mut()
            .for_each(|(_, value)| expand(value, &issuer));
    }
    table.try_into().map_err(syntax)
}

/// Writes the issuer where it is named: it may hold parameters, and they stand in the right places
/// only after that.
fn expand(value: &mut toml::Value, issuer: &str) {
    match value {
        toml::Value::String(text) => *text = text.replace("{issuer}", issuer),
        toml::Value::Array(items) => items.iter_mut().for_each(|item| expand(item, issuer)),
        toml::Value::Table(table) => table.iter_mut().for_each(|(_, item)| expand(item, issuer)),
        _ => {}
    }
}
