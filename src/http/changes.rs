//! What a change is about, as a code for the journal: of several, the weightiest.

use crate::audit::{Action, Event, Target, TargetKind};
use crate::crypto::Owner;
use crate::policy::SecretRef;
use crate::wire;

use super::ApiError;
use super::caller::Caller;

impl Caller {
    /// The event of a change of metadata: the code says which, the second target whose secret it is.
    pub(super) async fn update_event(
        &self,
        secret: &SecretRef,
        body: &wire::UpdateSecret,
    ) -> Result<Event, ApiError> {
        let owner = if secret.owner == Owner::ORG_SHARED {
            Target::new(TargetKind::Org).id(self.principal.org().bytes())
        } else {
            Target::new(TargetKind::User).id(&secret.owner.id)
        };
        let event = self.secret_event(Action::SecretUpdate, secret).await?;
        Ok(event.target(owner).code(of_secret(body)))
    }
}

/// A secret's metadata.
const fn of_secret(body: &wire::UpdateSecret) -> &'static str {
    if body.hosts.is_some() {
        "hosts_changed"
    } else if body.revealable.is_some() {
        "revealable_changed"
    } else if body.expires.is_some() {
        "expiry_changed"
    } else if body.scope.is_some() {
        "scope_changed"
    } else if body.category.is_some() {
        "category_changed"
    } else if body.description.is_some() {
        "description_changed"
    } else {
        "nothing_changed"
    }
}

/// An API key.
pub(super) const fn of_key(body: &wire::UpdateApiKey) -> &'static str {
    if body.scopes.is_some() {
        "scopes_changed"
    } else if body.project_id.is_some() {
        "project_changed"
    } else if body.name.is_some() {
        "name_changed"
    } else {
        "nothing_changed"
    }
}

/// An organisation.
pub(super) fn of_org(body: &wire::UpdateOrganization) -> &'static str {
    let Some(settings) = &body.settings else {
        let named = body.name.is_some();
        return if named {
            "name_changed"
        } else {
            "nothing_changed"
        };
    };
    // The one that matters most, when there are several.
    match (
        settings.reveal_enabled,
        settings.members_reveal_shared,
        settings.device_flows,
    ) {
        (Some(true), ..) => "reveal_on",
        (Some(false), ..) => "reveal_off",
        (None, Some(true), _) => "members_reveal_on",
        (None, Some(false), _) => "members_reveal_off",
        (None, None, Some(true)) => "device_flows_on",
        (None, None, Some(false)) => "device_flows_off",
        (None, None, None) if body.name.is_some() => "name_changed",
        (None, None, None) => "nothing_changed",
    }
}
