//! Asking a provider whether somebody agreed, and what follows from its answer.

use super::{Attempts, event_of};
use crate::audit::{Action, Outcome as Ended, Recorded};
use crate::oauth::accounts::Step;
use crate::oauth::device::{DeviceGrant, DeviceGranted, DeviceReply};
use crate::oauth::flow::{DeviceAnswer, DeviceAsk, DeviceTurn, Failure, Outcome};
use crate::vault::{Unsealed, VaultError};

impl Attempts {
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
        let key = turn.key();
        let Some(view) = self.book.answered(turn, answer, vault.now()) else {
            return Ok(());
        };
        match (answer, view.error) {
            // One that was cancelled meanwhile has its record.
            (DeviceAnswer::Ended(failure), Some(error)) if error == failure.code() => {
                self.deny(vault, key, event.denied(error)).await
            }
            (DeviceAnswer::SlowDown, None) => {
                self.slow_down(vault, key, view.shown.interval_s).await
            }
            _ => Ok(()),
        }
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
                let granted = granted.of(key);
                self.accounts
                    .keep_device(vault, about, granted, &recorded)
                    .await
            }
            Some(failure) => {
                self.drop_granted(vault, about, granted, &recorded).await;
                Err(failure)
            }
        };
        match &kept {
            Ok(_) => {
                self.cleared(key);
                self.count(Step::Connected);
                recorded.outcome(Ended::success());
            }
            Err(failure) => {
                // What fails here is tried again by whoever sees the flow through.
                if let Err(error) = self.clear(vault, key, &recorded).await {
                    tracing::warn!(%error, "the end of a device flow could not be stored");
                }
                self.count(Step::Failed);
                recorded.outcome(Ended::failed(failure.code()));
                self.accounts.wake();
            }
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
