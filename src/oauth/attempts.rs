//! Device flows under way. The provider is asked in the background, as often as it allows, whether or not
//! anybody asks us: a grant that a person gave must not be lost because their terminal was closed.
//!
//! In the journal stand its beginning and its end, and the granting before anything is made of it.
//! Questions leave no record: each would be one more write to the disk, every few seconds.

use std::sync::Arc;
use std::time::Duration;

use super::accounts::{Accounts, Step, Way};
use super::device::{DeviceGrant, DeviceGranted, DeviceReply};
use super::event;
use super::flow::{
    DeviceAnswer, DeviceAsk, DeviceBook, DeviceStatus, DeviceTurn, Failure, Outcome, Turn,
};
use crate::audit::{Action, Event, Outcome as Ended, Recorded};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::id::{OrgId, UserId};
use crate::vault::{Lifecycle, Unsealed, VaultError};

/// The device flows under way, and what is needed to bring them to an end.
#[derive(Debug)]
pub struct Attempts {
    book: DeviceBook<DeviceGrant>,
    accounts: Arc<Accounts>,
    directory: Arc<Directory>,
    lifecycle: Arc<Lifecycle>,
    clock: Arc<dyn Clock>,
}

impl Attempts {
    /// None are under way.
    #[must_use]
    pub fn new(
        accounts: Arc<Accounts>,
        directory: Arc<Directory>,
        lifecycle: Arc<Lifecycle>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            book: DeviceBook::new(),
            accounts,
            directory,
            lifecycle,
            clock,
        }
    }

    /// The book of them.
    #[must_use]
    pub const fn book(&self) -> &DeviceBook<DeviceGrant> {
        &self.book
    }

    /// Asks the provider until the flow ends, as often as it allows.
    pub async fn see_through(&self, (org, user): (OrgId, UserId), attempt: &str) {
        loop {
            let pause = match self.book.turn(org, user, attempt, self.clock.now()) {
                Some(Turn::Ask(turn)) => {
                    self.ask(turn).await;
                    1
                }
                Some(Turn::Stored(view)) if view.status == DeviceStatus::Pending => {
                    u64::from(view.shown.interval_s).clamp(1, 60)
                }
                Some(Turn::Stored(_)) | None => return,
            };
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }

    /// Asks the provider once, and does what follows from its answer.
    pub async fn ask(&self, turn: DeviceTurn<DeviceGrant>) {
        let Ok(vault) = self.lifecycle.gate().unsealed() else {
            return;
        };
        let about = (turn.ask(), turn.grant());
        let ended = match self.accounts.ask_device(&vault, about).await {
            DeviceReply::Not(answer) => self.not_granted(&vault, turn, answer).await,
            DeviceReply::Granted(granted) => self.granted(&vault, turn, granted).await,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "a device flow could not be recorded or stored");
        }
    }

    async fn not_granted(
        &self,
        vault: &Unsealed,
        turn: DeviceTurn<DeviceGrant>,
        answer: DeviceAnswer,
    ) -> Result<(), VaultError> {
        let event = event_of(vault, Action::OauthDeny, turn.ask());
        let view = self.book.answered(turn, answer, vault.now());
        match (answer, view.and_then(|view| view.error)) {
            // One that was cancelled meanwhile has its record.
            (DeviceAnswer::Ended(failure), Some(error)) if error == failure.code() => {
                self.count(Step::Denied);
                Ok(vault.journal().note(event.denied(error)).await?)
            }
            _ => Ok(()),
        }
    }

    fn count(&self, step: Step) {
        self.accounts.meter.step(Way::Device, step);
    }

    /// The person agreed. Nothing of it is used before that is on record.
    async fn granted(
        &self,
        vault: &Unsealed,
        turn: DeviceTurn<DeviceGrant>,
        granted: DeviceGranted,
    ) -> Result<(), VaultError> {
        self.count(Step::Agreed);
        let event = event_of(vault, Action::OauthConnect, turn.ask()).code("device");
        let recorded = match vault.journal().record(event).await {
            Ok(recorded) => recorded,
            Err(error) => {
                self.count(Step::Failed);
                self.give_back(vault, turn, (granted, error.into())).await;
                return Ok(());
            }
        };
        let (ask, grant, key) = (turn.ask_shared(), turn.grant_shared(), turn.key());
        let about = (&*ask, &*grant);
        let member = self.directory.is_member(vault, ask.org, ask.user).await;
        let awaited = self.book.approved(turn, vault.now());
        let unwanted = match member {
            Ok(true) if awaited => None,
            Ok(true) => Some(Failure::Cancelled),
            Ok(false) => Some(Failure::NotMember),
            Err(_) => Some(Failure::Internal),
        };
        let kept = match unwanted {
            None => {
                self.accounts
                    .keep_device(vault, about, granted, &recorded)
                    .await
            }
            Some(failure) => {
                self.drop_granted(vault, about, granted, &recorded).await;
                Err(failure)
            }
        };
        recorded.outcome(match &kept {
            Ok(_) => Ended::success(),
            Err(failure) => Ended::failed(failure.code()),
        });
        self.count(if kept.is_ok() {
            Step::Connected
        } else {
            Step::Failed
        });
        if kept.is_err() {
            self.accounts.wake();
        }
        let outcome = kept.unwrap_or_else(Outcome::Failed);
        self.book.settle(key, outcome, vault.now());
        Ok(())
    }

    /// Nobody waits for it any more.
    async fn drop_granted(
        &self,
        vault: &Unsealed,
        about: (&DeviceAsk, &DeviceGrant),
        granted: DeviceGranted,
        recorded: &Recorded,
    ) {
        let dropped = self.accounts.drop_device(vault, about, granted, recorded);
        if let Err(failure) = dropped.await {
            tracing::warn!(
                code = failure.code(),
                "tokens that nobody waits for could not be queued to be revoked"
            );
        }
    }

    /// That it was granted cannot be recorded, so it is not used: the provider is told, and the person.
    async fn give_back(
        &self,
        vault: &Unsealed,
        turn: DeviceTurn<DeviceGrant>,
        unkept: (DeviceGranted, VaultError),
    ) {
        let (ask, grant, key) = (turn.ask_shared(), turn.grant_shared(), turn.key());
        let awaited = self.book.approved(turn, vault.now());
        let failure = self
            .accounts
            .give_back_device(vault, (&ask, &grant), unkept)
            .await;
        if awaited {
            self.book.settle(key, Outcome::Failed(failure), vault.now());
        }
    }
}

fn event_of(vault: &Unsealed, action: Action, ask: &DeviceAsk) -> Event {
    event::of_system(
        vault,
        action,
        (ask.org, ask.user),
        (ask.provider.id(), None),
    )
}
