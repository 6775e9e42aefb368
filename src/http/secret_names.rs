//! Which secret is meant, and when its name may be repeated.

use crate::audit::{Action, Event, Target, TargetKind};
use crate::crypto::Owner;
use crate::name::{SecretName, SecretNameError};
use crate::policy::SecretRef;

use super::ApiError;
use super::caller::Caller;
use super::error::capital;
use super::secrets::Whose;

/// Reads a name. What is none may be a value in the wrong place: only what looks like a name is repeated.
pub(super) fn named(text: &str) -> Result<SecretName, ApiError> {
    SecretName::parse(text).map_err(|error| {
        let nearest = match &error {
            SecretNameError::Alphabet { nearest } => nearest.as_ref(),
            SecretNameError::Empty | SecretNameError::TooLong => None,
        };
        let hint = nearest.map_or_else(
            || "Choose a name such as GITHUB_TOKEN.".to_owned(),
            |name| format!("The nearest legal name is {name}."),
        );
        ApiError::new(
            http::StatusCode::BAD_REQUEST,
            "bad_name",
            capital(&error.to_string()),
            hint,
        )
    })
}

impl Caller {
    pub(super) fn secret(&self, name: SecretName, org_wide: Option<bool>) -> SecretRef {
        let shared = org_wide.unwrap_or(false);
        SecretRef {
            owner: if shared {
                Owner::ORG_SHARED
            } else {
                self.principal.owner()
            },
            name,
        }
    }

    /// For reading: one's own if there is one, else the organisation's. And whether it was seen to exist.
    pub(super) async fn secret_to_read(
        &self,
        name: SecretName,
        whose: Whose,
    ) -> Result<(SecretRef, bool), ApiError> {
        if whose.org_wide.is_none() {
            let own = self.secret(name.clone(), None);
            let org = self.vault.org(self.principal.org())?;
            return Ok(if self.vault.has_secret(&org, own.owner, &name).await? {
                (own, true)
            } else {
                (self.secret(name, Some(true)), false)
            });
        }
        Ok((self.secret(name, whose.org_wide), false))
    }

    /// An event about `secret`. The name of one that never was may be anything, also a value in the wrong
    /// place: it is left out.
    pub(super) async fn secret_event(
        &self,
        action: Action,
        secret: &SecretRef,
    ) -> Result<Event, ApiError> {
        let org = self.vault.org(self.principal.org())?;
        let known = self
            .vault
            .knows_secret(&org, secret.owner, &secret.name)
            .await?;
        Ok(self.event_about(action, secret, known))
    }

    /// The event when it is clear whether there is such a secret.
    pub(super) fn event_about(&self, action: Action, secret: &SecretRef, known: bool) -> Event {
        let mut target = Target::new(TargetKind::Secret);
        if known || action == Action::SecretSet {
            target = target.name(&secret.name);
        }
        let shared = secret.owner == Owner::ORG_SHARED;
        let event = self.event(action).target(target);
        event.code(if shared { "org_wide" } else { "private" })
    }
}
