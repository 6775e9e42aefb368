//! What the broker does for a member's account by itself, as the journal has it.

use super::connection::Connection;
use crate::audit::{Action, Actor, Event, Target, TargetKind};
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::vault::Unsealed;

/// An event about a member's account at a provider, where `id` is known that of its connection.
pub(super) fn of_system(
    vault: &Unsealed,
    action: Action,
    (org, user): (OrgId, UserId),
    (provider, id): (&ProviderId, Option<ConnectionId>),
) -> Event {
    let mut target = Target::new(TargetKind::Connection).name(provider);
    if let Some(id) = id {
        target = target.id(id.bytes());
    }
    Event::new(action, Actor::System)
        .org(org)
        .on_behalf_of(user)
        .target(target)
        .store_generation(vault.store().generation())
}

/// An event about a connection.
pub(super) fn about(vault: &Unsealed, action: Action, connection: &Connection) -> Event {
    let whose = (connection.org, connection.user);
    of_system(
        vault,
        action,
        whose,
        (&connection.provider, Some(connection.id)),
    )
}
