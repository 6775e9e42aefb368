//! Which source fills each field.
//!
//! Per field, the first that has it: the request's own value, the secret that the request names, the
//! credential stored for the installed tool, the caller's secret of the matching name, the
//! organisation's. A connected account is the last place and is looked at where the spec declares a
//! provider. A secret that was named and cannot be used ends the matter: nothing falls through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::name::{FieldName, Fields, HostPattern, ProviderId, SecretName};
use crate::oauth::{Accounts, Lent};
use crate::policy::Principal;
use crate::secret::Secret;
use crate::tools::{Hub, StoredCredential, Tool};
use crate::vault::{Found, Unsealed, check_value};
use crate::wire::{self, FieldExplanation, FieldSource, OrgSettings};

use super::BrokerError;
use super::account::Chosen;
use super::handle::Wishes;
use super::search::Search;

/// What a request brings along.
#[derive(Debug, Default)]
pub struct Ask {
    pub(super) credentials: Fields<Secret>,
    pub(super) overrides: Fields<SecretName>,
    pub(super) account: Option<String>,
    pub(super) settings: OrgSettings,
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
    /// The same question, asked again by what a handle remembers of it.
    pub(super) fn again(wishes: &Wishes, settings: OrgSettings) -> Self {
        Self {
            credentials: Fields::new(),
            overrides: wishes.overrides.clone(),
            account: wishes.account.clone(),
            settings,
        }
    }

    /// What a handle remembers of the question: names.
    pub(super) fn wishes(&self) -> Wishes {
        Wishes {
            overrides: self.overrides.clone(),
            account: self.account.clone(),
        }
    }

    /// The fields whose values the request brings.
    pub(super) fn given(&self) -> BTreeSet<FieldName> {
        self.credentials.keys().cloned().collect()
    }

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

    /// When it ends by itself, if that is known.
    fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Secret(found) => found.info().expires,
            Self::Account(chosen) => chosen.until,
            Self::Request(_) | Self::Stored(_) | Self::Token(_) => None,
        }
    }
}

/// A field with what fills it.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) filling: Filling,
    pub(super) source: FieldSource,
}

/// How one field was looked for, in names: they are put into words for who asks to have it explained.
#[derive(Debug)]
pub(super) struct Sought {
    pub(super) field: FieldName,
    required: bool,
    pub(super) source: FieldSource,
    pub(super) secret: Option<SecretName>,
    looked: Vec<Looked>,
}

/// One place that was looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) source: FieldSource,
    pub(super) name: Option<Named>,
    pub(super) outcome: &'static str,
}

/// What was looked for there.
#[derive(Debug)]
pub(super) enum Named {
    Secret(SecretName),
    Provider(ProviderId),
}

impl Sought {
    fn explained(self) -> FieldExplanation {
        let looked = self.looked.into_iter().map(|looked| wire::Looked {
            source: looked.source,
            name: looked.name.map(|name| match name {
                Named::Secret(name) => name.to_string(),
                Named::Provider(name) => name.to_string(),
            }),
            outcome: looked.outcome.to_owned(),
        });
        FieldExplanation {
            field: self.field.to_string(),
            required: self.required,
            source: self.source,
            secret: self.secret.map(|name| name.to_string()),
            looked_for: looked.collect(),
        }
    }
}

/// Which source fills each field, and how that was found.
#[derive(Debug)]
pub struct Resolution {
    pub(super) filled: Fields<Filled>,
    pub(super) fields: Vec<Sought>,
    refusal: Option<BrokerError>,
    /// Why the connected account fills nothing: said when nothing else does, either.
    unfit: Option<BrokerError>,
}

impl Resolution {
    /// How each field was resolved. Nothing was used for it.
    #[must_use]
    pub fn explanation(self) -> Vec<FieldExplanation> {
        self.fields.into_iter().map(Sought::explained).collect()
    }

    /// Whether a run would have all that it needs.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.refusal.is_none() && self.missing().is_empty()
    }

    /// When the first of what fills the fields ends by itself, if that is known.
    pub(super) fn until(&self) -> Option<Timestamp> {
        let filled = self.filled.values();
        filled.filter_map(|filled| filled.filling.until()).min()
    }

    fn missing(&self) -> Vec<FieldName> {
        let lacking = self
            .fields
            .iter()
            .filter(|field| field.required && field.source == FieldSource::Missing);
        lacking.map(|field| field.field.clone()).collect()
    }

    /// The fillings, when every field that is needed has one.
    pub(super) fn complete(self) -> Result<Fields<Filled>, BrokerError> {
        Ok(self.ready()?.filled)
    }

    /// The same resolution, when every field that is needed has something to fill it.
    pub(super) fn ready(mut self) -> Result<Self, BrokerError> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal);
        }
        let fields = self.missing();
        if fields.is_empty() {
            Ok(self)
        } else {
            Err(self.unfit.unwrap_or(BrokerError::Missing { fields }))
        }
    }
}

/// Finds what fills each field of `tool`. Opens no value.
pub(super) async fn resolve(
    vault: &Unsealed,
    (hub, accounts): (&Hub, &Accounts),
    principal: &Principal,
    tool: &Tool,
    mut ask: Ask,
) -> Result<Resolution, BrokerError> {
    let org = vault.org(principal.org())?;
    let mut resolution = Resolution {
        filled: Fields::new(),
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
            principal,
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
            Filling::Secret(found) => Some(found.info().name.clone()),
            Filling::Request(_) | Filling::Stored(_) | Filling::Account(_) | Filling::Token(_) => {
                None
            }
        });
        if spec.required
            && let Some(unfit) = search.unfit
        {
            resolution.unfit.get_or_insert(unfit);
        }
        resolution.fields.push(Sought {
            field: field.clone(),
            required: spec.required,
            source: filled
                .as_ref()
                .map_or(FieldSource::Missing, |filled| filled.source),
            secret,
            looked: search.looked,
        });
        if let Some(filled) = filled {
            resolution.filled.insert(field.clone(), filled);
        }
    }
    Ok(resolution)
}
