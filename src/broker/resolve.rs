//! Which source fills each field.
//!
//! Per field, the first that has it: the request's own value, the secret that the request names, the
//! credential stored for the installed tool, the caller's secret of the matching name, the
//! organisation's. A connected account is the last place and is looked at where the spec declares a
//! provider. A secret that was named and cannot be used ends the matter: nothing falls through.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::Owner;
use crate::name::{FieldName, HostPattern, SecretName};
use crate::oauth::{Accounts, Lent};
use crate::policy::{self, Action as _, Denied, ExecuteTool, Permit, RevealSecret, SecretRef};
use crate::secret::Secret;
use crate::tools::{Hub, StoredCredential, Tool};
use crate::vault::{Found, OrgKeys, Unsealed, check_value};
use crate::wire::{FieldExplanation, FieldSource, Looked, OrgSettings, SecretScope};

use super::BrokerError;
use super::account::{self, Chosen};

/// What a request brings along.
#[derive(Debug, Default)]
pub struct Ask {
    credentials: BTreeMap<FieldName, Secret>,
    overrides: BTreeMap<FieldName, SecretName>,
    account: Option<String>,
    settings: OrgSettings,
}

/// Who chose a secret for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChosenBy {
    /// The caller, by an override.
    Caller,
    /// Who wrote the tool, by its spec.
    Tool,
}

impl Ask {
    /// Checks that every field is one of the tool's, every value one that can be sent, and every
    /// name one that a secret can have. `settings` is the organisation's policy.
    ///
    /// # Errors
    /// [`BrokerError::UnknownField`], [`BrokerError::OverrideUnavailable`], or a bad value.
    pub fn new(
        tool: &Tool,
        settings: OrgSettings,
        credentials: BTreeMap<String, Secret>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, BrokerError> {
        let field = |name: &str| {
            let field = FieldName::parse(name).ok();
            let field = field.filter(|field| tool.spec.credentials.fields.contains_key(field));
            field.ok_or(BrokerError::UnknownField)
        };
        let mut ask = Self {
            settings,
            ..Self::default()
        };
        for (name, value) in credentials {
            check_value(&value)?;
            ask.credentials.insert(field(&name)?, value);
        }
        for (name, secret) in overrides {
            let field = field(name)?;
            let secret =
                SecretName::parse(secret).map_err(|_| BrokerError::OverrideUnavailable {
                    field: field.clone(),
                })?;
            ask.overrides.insert(field, secret);
        }
        Ok(ask)
    }
}

impl Ask {
    /// Names the connected account to use, by its id or by what it is called.
    #[must_use]
    pub fn with_account(mut self, account: Option<String>) -> Self {
        self.account = account;
        self
    }
}

/// What fills a field. No value of the store is open yet.
#[derive(Debug)]
pub(super) enum Filling {
    Request(Secret),
    Secret(Box<Found>),
    Stored(Box<StoredCredential>),
    Account(Box<Chosen>),
    Token(Box<Lent>),
}

impl Filling {
    /// The only hosts that the credential may go to; empty when the tool's binding decides alone.
    pub(super) fn hosts(&self) -> Vec<HostPattern> {
        match self {
            Self::Secret(found) => found.info().hosts.clone(),
            Self::Account(chosen) => chosen.hosts.clone(),
            Self::Request(_) | Self::Stored(_) | Self::Token(_) => Vec::new(),
        }
    }
}

/// A field with what fills it.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) filling: Filling,
    pub(super) source: FieldSource,
}

/// Which source fills each field, and how that was found.
#[derive(Debug)]
pub struct Resolution {
    pub(super) filled: BTreeMap<FieldName, Filled>,
    fields: Vec<FieldExplanation>,
    refusal: Option<BrokerError>,
    /// Why the connected account fills nothing: said when nothing else does, either.
    unfit: Option<BrokerError>,
}

impl Resolution {
    /// How each field was resolved. Nothing was used for it.
    #[must_use]
    pub fn explanation(self) -> Vec<FieldExplanation> {
        self.fields
    }

    /// Whether a run would have all that it needs.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.refusal.is_none() && self.missing().is_empty()
    }

    fn missing(&self) -> Vec<FieldName> {
        let lacking = self
            .fields
            .iter()
            .filter(|field| field.required && field.source == FieldSource::Missing);
        lacking
            .filter_map(|field| FieldName::parse(&field.field).ok())
            .collect()
    }

    /// The fillings, when every field that is needed has one.
    pub(super) fn complete(mut self) -> Result<BTreeMap<FieldName, Filled>, BrokerError> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let fields = self.missing();
        if fields.is_empty() {
            Ok(self.filled)
        } else {
            Err(self.unfit.unwrap_or(BrokerError::Missing { fields }))
        }
    }
}

/// One field being looked for.
struct Search<'a> {
    vault: &'a Unsealed,
    hub: &'a Hub,
    accounts: &'a Accounts,
    permit: &'a Permit<ExecuteTool>,
    org: Arc<OrgKeys>,
    tool: &'a Tool,
    field: &'a FieldName,
    settings: OrgSettings,
    looked: Vec<Looked>,
    unfit: Option<BrokerError>,
}

impl Search<'_> {
    fn note(&mut self, source: FieldSource, name: Option<&SecretName>, outcome: &str) {
        let name = name.map(ToString::to_string);
        self.looked.push(Looked {
            source,
            name,
            outcome: outcome.to_owned(),
        });
    }

    /// Why a secret that is there cannot be used for this tool.
    fn unusable(&self, found: &Found, chosen: ChosenBy) -> Option<&'static str> {
        let info = found.info();
        if info.expired(self.vault.now()) {
            return Some("expired");
        }
        if !matches!(info.scope, SecretScope::All | SecretScope::Tools) {
            return Some("scope");
        }
        // A tool that no admin stands behind may be a member's way to send shared secrets home. A
        // host binding does not help: the member may have an account at that host, and a tool that
        // writes the value into what others can read there.
        let shared = found.owner() == Owner::ORG_SHARED;
        if shared {
            return (!self.tool.vouched()).then_some("not_vouched");
        }
        // Nor may a key that can write and run tools, but show no value, make one that shows it.
        let user = self.permit.principal().user();
        if !self.tool.trusted_by(user) {
            return Some("not_vouched");
        }
        if self.tool.vouched() {
            return None;
        }
        self.hidden(found, chosen)
    }

    /// Why the value may not go to a tool that nobody but its writer vouches for. What it is given it can
    /// show them, so that lending is revealing, and takes what that takes. A key that chose the secret
    /// itself needs the scope for it; that of who wrote the tool was looked at then.
    fn hidden(&self, found: &Found, chosen: ChosenBy) -> Option<&'static str> {
        if !found.info().revealable {
            return Some("not_revealable");
        }
        let principal = self.permit.principal();
        let secret = SecretRef {
            owner: found.owner(),
            name: found.info().name.clone(),
        };
        let object = (secret, self.settings.clone());
        let scope = match chosen {
            ChosenBy::Caller => policy::check_scope::<RevealSecret>(principal),
            ChosenBy::Tool => Ok(()),
        };
        match scope.and_then(|()| RevealSecret::rule(principal, &object)) {
            Ok(()) => None,
            Err(Denied::Scope(_)) => Some("missing_scope"),
            Err(_) => Some("policy_denied"),
        }
    }

    async fn secret(&self, owner: Owner, name: &SecretName) -> Result<Option<Found>, BrokerError> {
        Ok(self.vault.find_secret(&self.org, owner, name).await?)
    }

    async fn named(&mut self, name: &SecretName) -> Result<Filled, BrokerError> {
        let own = self.permit.principal().owner();
        for owner in [own, Owner::ORG_SHARED] {
            let Some(found) = self.secret(owner, name).await? else {
                continue;
            };
            if let Some(why) = self.unusable(&found, ChosenBy::Caller) {
                self.note(FieldSource::Override, Some(name), why);
                let field = self.field.clone();
                return Err(BrokerError::OverrideUnusable { field, why });
            }
            self.note(FieldSource::Override, Some(name), "found");
            let filling = Filling::Secret(Box::new(found));
            return Ok(Filled {
                filling,
                source: FieldSource::Override,
            });
        }
        // What names no secret may be a value in the wrong place: it is not repeated.
        self.note(FieldSource::Override, None, "absent");
        Err(BrokerError::OverrideUnavailable {
            field: self.field.clone(),
        })
    }

    async fn matching(
        &mut self,
        owner: Owner,
        source: FieldSource,
        name: &SecretName,
    ) -> Result<Option<Filled>, BrokerError> {
        let Some(found) = self.secret(owner, name).await? else {
            self.note(source, Some(name), "absent");
            return Ok(None);
        };
        let unusable = self.unusable(&found, ChosenBy::Tool);
        self.note(source, Some(name), unusable.unwrap_or("found"));
        Ok(unusable.is_none().then(|| Filled {
            filling: Filling::Secret(Box::new(found)),
            source,
        }))
    }

    async fn fill(
        &mut self,
        ask: &mut Ask,
        name: Option<&SecretName>,
    ) -> Result<Option<Filled>, BrokerError> {
        if let Some(value) = ask.credentials.remove(self.field) {
            self.note(FieldSource::Request, None, "found");
            let filling = Filling::Request(value);
            return Ok(Some(Filled {
                filling,
                source: FieldSource::Request,
            }));
        }
        self.note(FieldSource::Request, None, "absent");
        if let Some(name) = ask.overrides.remove(self.field) {
            return self.named(&name).await.map(Some);
        }
        self.note(FieldSource::Override, None, "absent");
        let principal = self.permit.principal();
        let slug = &self.tool.spec.slug;
        let stored = self
            .hub
            .stored_credential(self.vault, principal, slug, self.field)
            .await?;
        let outcome = match &stored {
            None => "absent",
            Some(stored) if self.tool.still_fits(stored) => "found",
            Some(_) => "tool_changed",
        };
        self.note(FieldSource::Stored, None, outcome);
        if let Some(stored) = stored.filter(|stored| self.tool.still_fits(stored)) {
            let filling = Filling::Stored(Box::new(stored));
            return Ok(Some(Filled {
                filling,
                source: FieldSource::Stored,
            }));
        }
        if let Some(name) = name {
            let own = principal.owner();
            if let Some(filled) = self.matching(own, FieldSource::UserSecret, name).await? {
                return Ok(Some(filled));
            }
            let shared = Owner::ORG_SHARED;
            if let Some(filled) = self.matching(shared, FieldSource::OrgSecret, name).await? {
                return Ok(Some(filled));
            }
        }
        self.connected(ask.account.as_deref()).await
    }

    /// The caller's connected account, where the tool's spec takes the field from one.
    async fn connected(&mut self, named: Option<&str>) -> Result<Option<Filled>, BrokerError> {
        let spec = self.tool.spec.credentials.oauth.as_ref();
        let member = spec.and_then(|spec| spec.credential_mapping.get(self.field));
        let Some((spec, member)) = spec.zip(member) else {
            return Ok(None);
        };
        let principal = self.permit.principal();
        // As with a secret of one's own: who may not see it must not write a tool that shows it.
        if !self.tool.trusted_by(principal.user()) {
            self.note(FieldSource::Connection, None, "not_vouched");
            return Ok(None);
        }
        let wanted = (spec, member.as_str());
        let looked = account::look(self.vault, self.accounts, principal, wanted, named).await?;
        Ok(match looked {
            Ok(chosen) => {
                self.note(FieldSource::Connection, None, "found");
                Some(Filled {
                    filling: Filling::Account(Box::new(chosen)),
                    source: FieldSource::Connection,
                })
            }
            Err(unfit) => {
                self.note(FieldSource::Connection, None, unfit.outcome);
                self.unfit = Some(unfit.refusal);
                None
            }
        })
    }
}

/// Finds what fills each field of `tool`. Opens no value.
pub(super) async fn resolve(
    vault: &Unsealed,
    (hub, accounts): (&Hub, &Accounts),
    permit: &Permit<ExecuteTool>,
    tool: &Tool,
    mut ask: Ask,
) -> Result<Resolution, BrokerError> {
    let org = vault.org(permit.principal().org())?;
    let mut resolution = Resolution {
        filled: BTreeMap::new(),
        fields: Vec::new(),
        refusal: None,
        unfit: None,
    };
    for (field, spec) in &tool.spec.credentials.fields {
        let org = Arc::clone(&org);
        let mut search = Search {
            vault,
            hub,
            accounts,
            permit,
            org,
            tool,
            field,
            settings: ask.settings.clone(),
            looked: Vec::new(),
            unfit: None,
        };
        let filled = match search.fill(&mut ask, spec.secret.as_ref()).await {
            Ok(filled) => filled,
            Err(
                refusal @ (BrokerError::OverrideUnavailable { .. }
                | BrokerError::OverrideUnusable { .. }),
            ) => {
                resolution.refusal.get_or_insert(refusal);
                None
            }
            Err(error) => return Err(error),
        };
        let secret = filled.as_ref().and_then(|filled| match &filled.filling {
            Filling::Secret(found) => Some(found.info().name.to_string()),
            Filling::Request(_) | Filling::Stored(_) | Filling::Account(_) | Filling::Token(_) => {
                None
            }
        });
        if spec.required
            && let Some(unfit) = search.unfit
        {
            resolution.unfit.get_or_insert(unfit);
        }
        resolution.fields.push(FieldExplanation {
            field: field.to_string(),
            required: spec.required,
            source: filled
                .as_ref()
                .map_or(FieldSource::Missing, |filled| filled.source),
            secret,
            looked_for: search.looked,
        });
        if let Some(filled) = filled {
            resolution.filled.insert(field.clone(), filled);
        }
    }
    Ok(resolution)
}
