//! Looking for what fills one field, source by source.

use std::sync::Arc;

use crate::crypto::Owner;
use crate::name::{FieldName, SecretName};
use crate::oauth::Accounts;
use crate::policy::{self, Action as _, Denied, Principal, RevealSecret, SecretRef};
use crate::tools::{Hub, Tool};
use crate::vault::{Found, OrgKeys, Unsealed};
use crate::wire::{FieldSource, OrgSettings, SecretScope};

use super::BrokerError;
use super::account;
use super::resolve::{Ask, Filled, Filling, Looked, Named};

/// Who chose a secret for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChosenBy {
    /// The caller, by an override.
    Caller,
    /// Who wrote the tool, by its spec.
    Tool,
}

/// One field being looked for.
pub(super) struct Search<'a> {
    pub(super) vault: &'a Unsealed,
    pub(super) hub: &'a Hub,
    pub(super) accounts: &'a Accounts,
    pub(super) principal: &'a Principal,
    pub(super) org: Arc<OrgKeys>,
    pub(super) tool: &'a Tool,
    pub(super) field: &'a FieldName,
    pub(super) settings: OrgSettings,
    pub(super) looked: Vec<Looked>,
    pub(super) unfit: Option<BrokerError>,
}

fn secret(name: &SecretName) -> Named {
    Named::Secret(name.clone())
}

impl Search<'_> {
    fn note(&mut self, source: FieldSource, name: Option<Named>, outcome: &'static str) {
        self.looked.push(Looked {
            source,
            name,
            outcome,
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
        let user = self.principal.user();
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
        let principal = self.principal;
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
            Err(Denied::Scope(_) | Denied::Service) => Some("missing_scope"),
            Err(_) => Some("policy_denied"),
        }
    }

    async fn secret(&self, owner: Owner, name: &SecretName) -> Result<Option<Found>, BrokerError> {
        Ok(self.vault.find_secret(&self.org, owner, name).await?)
    }

    async fn named(&mut self, name: &SecretName) -> Result<Filled, BrokerError> {
        let own = self.principal.owner();
        for owner in [own, Owner::ORG_SHARED] {
            let Some(found) = self.secret(owner, name).await? else {
                continue;
            };
            if let Some(why) = self.unusable(&found, ChosenBy::Caller) {
                self.note(FieldSource::Override, Some(secret(name)), why);
                let field = self.field.clone();
                return Err(BrokerError::OverrideUnusable { field, why });
            }
            self.note(FieldSource::Override, Some(secret(name)), "found");
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
            self.note(source, Some(secret(name)), "absent");
            return Ok(None);
        };
        let unusable = self.unusable(&found, ChosenBy::Tool);
        self.note(source, Some(secret(name)), unusable.unwrap_or("found"));
        Ok(unusable.is_none().then(|| Filled {
            filling: Filling::Secret(Box::new(found)),
            source,
        }))
    }

    pub(super) async fn fill(
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
        let principal = self.principal;
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
        self.connected(ask.account.as_deref(), name).await
    }

    /// The caller's connected account, where the tool's spec takes the field from one.
    async fn connected(
        &mut self,
        named: Option<&str>,
        instead: Option<&SecretName>,
    ) -> Result<Option<Filled>, BrokerError> {
        let spec = self.tool.spec.credentials.oauth.as_ref();
        let member = spec.and_then(|spec| spec.credential_mapping.get(self.field));
        let Some((spec, member)) = spec.zip(member) else {
            return Ok(None);
        };
        let (principal, provider) = (self.principal, spec.provider.clone());
        let provider = Some(Named::Provider(provider));
        // As with a secret of one's own: who may not see it must not write a tool that shows it.
        if !self.tool.trusted_by(principal.user()) {
            self.note(FieldSource::Connection, provider, "not_vouched");
            return Ok(None);
        }
        let wanted = (spec, member.as_str());
        let looked = account::look(self.vault, self.accounts, principal, wanted, named).await?;
        Ok(match looked {
            Ok(chosen) => {
                self.note(FieldSource::Connection, provider, "found");
                Some(Filled {
                    filling: Filling::Account(Box::new(chosen)),
                    source: FieldSource::Connection,
                })
            }
            Err(mut unfit) => {
                self.note(FieldSource::Connection, provider, unfit.outcome);
                if let BrokerError::NeedsConnect { secret, .. } = &mut unfit.refusal {
                    *secret = instead.cloned();
                }
                self.unfit = Some(unfit.refusal);
                None
            }
        })
    }
}
