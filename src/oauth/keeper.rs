//! What flows need of the broker: the journal before a person is sent away, membership and the engine
//! when they come back.

use std::fmt;
use std::sync::Arc;

use super::accounts::{Accounts, Step, Way};
use super::client::{ClientError, reopen};
use super::event;
use super::flow::{Failure, FlowFacts, Outcome, PendingFlow, Redeemer, Soon};
use super::redeem::internal;
use crate::audit::{Action, AuditError, Event, Outcome as Ended};
use crate::directory::Directory;
use crate::secret::Secret;
use crate::vault::{Lifecycle, Unsealed};

/// What whoever serves flows adds to what is done for them.
pub trait FlowSurface: Send + Sync + fmt::Debug {
    /// The event, with the request that it was for.
    fn mark(&self, event: Event) -> Event;
}

/// Redeems answers, and keeps the record of what people agreed to.
#[derive(Clone, Debug)]
pub struct FlowKeeper {
    /// The engine.
    pub accounts: Arc<Accounts>,
    /// Who is a member.
    pub directory: Arc<Directory>,
    /// Whether the vault is open.
    pub lifecycle: Arc<Lifecycle>,
    /// Whoever serves.
    pub surface: Arc<dyn FlowSurface>,
}

fn of_audit(error: AuditError) -> Failure {
    internal(&error.into())
}

impl FlowKeeper {
    fn vault(&self) -> Result<Unsealed, Failure> {
        let gate = self.lifecycle.gate();
        gate.unsealed().map_err(|error| internal(&error))
    }

    fn count(&self, step: Step) {
        self.accounts.meter.step(Way::Browser, step);
    }

    /// An event of a flow. Its person is known by the browser alone, so the broker acts, for them.
    fn event(&self, vault: &Unsealed, action: Action, facts: &FlowFacts) -> Event {
        let about = (&facts.provider, facts.replaces);
        let event = event::of_system(vault, action, (facts.org, facts.user), about);
        self.surface.mark(event)
    }

    /// Looking uses nothing and changes nothing, so the page does not wait for a journal that fails.
    async fn look(&self, facts: &FlowFacts) {
        self.count(Step::Opened);
        let Ok(vault) = self.vault() else {
            return;
        };
        let event = self.event(&vault, Action::OauthOpen, facts).code("opened");
        if let Err(error) = vault.journal().note(event).await {
            tracing::warn!(%error, "that a connect page was opened is not in the journal");
        }
    }

    async fn agree(&self, facts: &FlowFacts) -> Result<(), Failure> {
        let vault = self.vault()?;
        self.check_member(&vault, facts).await?;
        let event = self.event(&vault, Action::OauthOpen, facts).code("agreed");
        vault.journal().note(event).await.map_err(of_audit)?;
        self.count(Step::Agreed);
        Ok(())
    }

    /// Who left the organisation since finishes nothing (B4, X7).
    async fn check_member(&self, vault: &Unsealed, facts: &FlowFacts) -> Result<(), Failure> {
        let member = self.directory.is_member(vault, facts.org, facts.user).await;
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
        let event = self
            .event(&vault, Action::OauthDeny, facts)
            .denied(why.code());
        if let Err(error) = vault.journal().note(event).await {
            tracing::warn!(%error, "the end of a connect flow is not in the journal");
        }
        self.count(Step::Denied);
    }

    async fn signing(&self, facts: &FlowFacts) -> Result<Secret, Failure> {
        let vault = self.vault()?;
        let org = vault.org(facts.org).map_err(|error| internal(&error))?;
        let event = self
            .event(&vault, Action::OauthOpen, facts)
            .code("signature");
        let recorded = vault.journal().record(event).await.map_err(of_audit)?;
        let client = reopen(&vault, &org, &facts.provider, &facts.client, &recorded).await;
        recorded.outcome(Ended::success());
        match client {
            Ok(client) => client.secret.ok_or(Failure::Client),
            Err(ClientError::Vault(error)) => Err(internal(&error)),
            Err(_) => Err(Failure::Client),
        }
    }

    async fn finish(&self, flow: &PendingFlow) -> Result<Outcome, Failure> {
        let vault = self.vault()?;
        let facts = flow.facts();
        let event = self.event(&vault, Action::OauthConnect, &facts);
        if let Err(why) = self.check_member(&vault, &facts).await {
            let event = event.denied(why.code());
            vault.journal().note(event).await.map_err(of_audit)?;
            return Err(why);
        }
        let recorded = vault.journal().record(event).await.map_err(of_audit)?;
        let ended = self.accounts.redeem(&vault, flow, &recorded).await;
        recorded.outcome(match &ended {
            Ok(_) => Ended::success(),
            Err(why) => Ended::failed(why.code()),
        });
        // What came too late, or from another account, is revoked at once; the pass tries again.
        if ended.is_err() {
            self.accounts.wake();
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
            self.count(if ended.is_ok() {
                Step::Connected
            } else {
                Step::Failed
            });
            ended.unwrap_or_else(Outcome::Failed)
        })
    }
}
