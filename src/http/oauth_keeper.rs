//! What flows need of the broker: the journal before a person is sent away, membership and the engine
//! when they come back.

use std::sync::Arc;

use crate::audit::{Action, Actor, Event, Outcome as Ended, Target, TargetKind};
use crate::oauth::client::{ClientError, reopen};
use crate::oauth::flow::{Failure, FlowFacts, Outcome, PendingFlow, Redeemer, Soon};
use crate::secret::Secret;
use crate::vault::{Unsealed, VaultError};

use super::App;
use super::caller::stamp;

/// Redeems answers, and keeps the record of what people agreed to.
#[derive(Clone, Debug)]
pub(super) struct FlowKeeper(App);

/// The journal cannot be written, or the vault is sealed: then nothing goes on.
fn failure(error: &VaultError) -> Failure {
    match error {
        VaultError::Sealed => Failure::Sealed,
        error => {
            tracing::warn!(%error, "a connect flow could not be recorded or stored");
            Failure::Internal
        }
    }
}

fn of_audit(error: crate::audit::AuditError) -> Failure {
    failure(&error.into())
}

impl FlowKeeper {
    /// For the flows of `app`.
    #[must_use]
    pub(super) const fn new(app: App) -> Self {
        Self(app)
    }

    fn vault(&self) -> Result<Unsealed, Failure> {
        let gate = self.0.lifecycle.gate();
        gate.unsealed().map_err(|error| failure(&error))
    }

    /// An event of a flow. Its person is known by the browser alone, so the broker acts, for them.
    fn event(vault: &Unsealed, action: Action, facts: &FlowFacts) -> Event {
        let mut target = Target::new(TargetKind::Connection).name(&facts.provider);
        if let Some(id) = facts.replaces {
            target = target.id(id.bytes());
        }
        stamp(Event::new(action, Actor::System))
            .org(facts.org)
            .on_behalf_of(facts.user)
            .target(target)
            .store_generation(vault.store().generation())
    }

    /// Looking uses nothing and changes nothing, so the page does not wait for a journal that fails.
    async fn look(&self, facts: &FlowFacts) {
        let Ok(vault) = self.vault() else {
            return;
        };
        let event = Self::event(&vault, Action::OauthOpen, facts).code("opened");
        if let Err(error) = vault.journal().note(event).await {
            tracing::warn!(%error, "that a connect page was opened is not in the journal");
        }
    }

    async fn agree(&self, facts: &FlowFacts) -> Result<(), Failure> {
        let vault = self.vault()?;
        self.check_member(&vault, facts).await?;
        let event = Self::event(&vault, Action::OauthOpen, facts).code("agreed");
        vault.journal().note(event).await.map_err(of_audit)?;
        self.0.meter.operation(Action::OauthOpen.code(), "success");
        Ok(())
    }

    /// Who left the organisation since finishes nothing (B4, X7).
    async fn check_member(&self, vault: &Unsealed, facts: &FlowFacts) -> Result<(), Failure> {
        let directory = &self.0.directory;
        let member = directory.is_member(vault, facts.org, facts.user).await;
        match member {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::NotMember),
            Err(error) => {
                tracing::warn!(%error, "a membership could not be read");
                Err(Failure::Internal)
            }
        }
    }

    async fn deny(&self, facts: &FlowFacts, why: Failure) {
        let Ok(vault) = self.vault() else {
            return;
        };
        let event = Self::event(&vault, Action::OauthDeny, facts).denied(why.code());
        if let Err(error) = vault.journal().note(event).await {
            tracing::warn!(%error, "the end of a connect flow is not in the journal");
        }
        self.0.meter.operation(Action::OauthDeny.code(), "failed");
    }

    async fn signing(&self, facts: &FlowFacts) -> Result<Secret, Failure> {
        let vault = self.vault()?;
        let org = vault.org(facts.org).map_err(|error| failure(&error))?;
        let event = Self::event(&vault, Action::OauthOpen, facts).code("signature");
        let recorded = vault.journal().record(event).await.map_err(of_audit)?;
        let client = reopen(&vault, &org, &facts.provider, &facts.client, &recorded).await;
        recorded.outcome(Ended::success());
        match client {
            Ok(client) => client.secret.ok_or(Failure::Client),
            Err(ClientError::Vault(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::Client),
        }
    }

    async fn finish(&self, flow: &PendingFlow) -> Result<Outcome, Failure> {
        let vault = self.vault()?;
        let facts = flow.facts();
        let event = Self::event(&vault, Action::OauthConnect, &facts);
        if let Err(why) = self.check_member(&vault, &facts).await {
            let event = event.denied(why.code());
            vault.journal().note(event).await.map_err(of_audit)?;
            return Err(why);
        }
        let recorded = vault.journal().record(event).await.map_err(of_audit)?;
        let ended = self.0.accounts.redeem(&vault, flow, &recorded).await;
        recorded.outcome(match &ended {
            Ok(_) => Ended::success(),
            Err(why) => Ended::failed(why.code()),
        });
        // What came too late, or from another account, is revoked at once; the pass tries again.
        if ended.is_err() {
            self.0.wake_accounts();
        }
        ended
    }
}

impl Redeemer for FlowKeeper {
    fn is_sealed(&self) -> bool {
        matches!(self.vault(), Err(Failure::Sealed))
    }

    fn opened<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, ()> {
        Box::pin(self.look(facts))
    }

    fn confirming<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, Result<(), Failure>> {
        Box::pin(self.agree(facts))
    }

    fn ended<'a>(&'a self, facts: &'a FlowFacts, failure: Failure) -> Soon<'a, ()> {
        Box::pin(self.deny(facts, failure))
    }

    fn signing_secret<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, Result<Secret, Failure>> {
        Box::pin(self.signing(facts))
    }

    fn redeem(&self, flow: PendingFlow) -> Soon<'_, Outcome> {
        Box::pin(async move {
            let ended = self.finish(&flow).await;
            let word = if ended.is_ok() { "success" } else { "failed" };
            self.0.meter.operation(Action::OauthConnect.code(), word);
            ended.unwrap_or_else(Outcome::Failed)
        })
    }
}

impl App {
    /// Who redeems what browsers bring back.
    #[must_use]
    pub fn flow_keeper(&self) -> Arc<dyn Redeemer> {
        Arc::new(FlowKeeper::new(self.clone()))
    }
}
