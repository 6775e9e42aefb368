//! Where the records of connections stand, and of what is to become one: keyed hashes under the
//! organisation's own key.

use crate::crypto::Digest;
use crate::id::{ConnectionId, UserId};
use crate::name::ProviderId;
use crate::store::{Class, StoreKey};
use crate::vault::OrgKeys;

fn listed(org: &OrgKeys, class: Class, list: &[u8], parts: &[&[u8]]) -> StoreKey {
    let list = org.index().hash(&[list]);
    let one = org.index().hash(parts);
    StoreKey::new(class, &[list.get(..16).unwrap_or_default(), &one])
}

fn prefix(org: &OrgKeys, class: Class, list: &[u8]) -> StoreKey {
    let list = org.index().hash(&[list]);
    StoreKey::new(class, &[list.get(..16).unwrap_or_default()])
}

/// Where a connection stands.
pub(in crate::oauth) fn connection(org: &OrgKeys, id: ConnectionId) -> StoreKey {
    let parts: [&[u8]; 2] = [b"connection", id.bytes()];
    listed(org, Class::Connection, b"connections", &parts)
}

/// Before all connections of an organisation.
pub(in crate::oauth) fn connections(org: &OrgKeys) -> StoreKey {
    prefix(org, Class::Connection, b"connections")
}

/// Where the state of a token set stands.
pub(in crate::oauth) fn state(org: &OrgKeys, id: ConnectionId, set: &str) -> StoreKey {
    let parts: [&[u8]; 3] = [b"token-state", id.bytes(), set.as_bytes()];
    listed(org, Class::TokenState, b"token-states", &parts)
}

/// Before the states of all token sets of an organisation.
pub(in crate::oauth) fn states(org: &OrgKeys) -> StoreKey {
    prefix(org, Class::TokenState, b"token-states")
}

/// Where the tokens of a set stand.
pub(in crate::oauth) fn value(org: &OrgKeys, id: ConnectionId, set: &str) -> StoreKey {
    let parts: [&[u8]; 3] = [b"token-value", id.bytes(), set.as_bytes()];
    listed(org, Class::TokenValue, b"token-values", &parts)
}

/// Where a member's default connection of a provider stands.
pub(in crate::oauth) fn default(org: &OrgKeys, user: UserId, provider: &ProviderId) -> StoreKey {
    let provider = provider.as_str().as_bytes();
    let parts: [&[u8]; 3] = [b"default-connection", user.bytes(), provider];
    listed(
        org,
        Class::DefaultConnection,
        b"default-connections",
        &parts,
    )
}

/// Before all defaults of an organisation.
pub(in crate::oauth) fn defaults(org: &OrgKeys) -> StoreKey {
    prefix(org, Class::DefaultConnection, b"default-connections")
}

/// Where tokens that are still to be revoked stand: one record of what to do, under its own id.
pub(in crate::oauth) fn revocation(org: &OrgKeys, id: ConnectionId) -> StoreKey {
    let parts: [&[u8]; 2] = [b"revocation", id.bytes()];
    listed(org, Class::Revocation, b"revocations", &parts)
}

/// Where a device flow under way stands.
pub(in crate::oauth) fn device_attempt(org: &OrgKeys, attempt: &Digest) -> StoreKey {
    let parts: [&[u8]; 2] = [b"device-attempt", attempt];
    listed(org, Class::DeviceAttempt, b"device-attempts", &parts)
}

/// Before all device flows of an organisation.
pub(in crate::oauth) fn device_attempts(org: &OrgKeys) -> StoreKey {
    prefix(org, Class::DeviceAttempt, b"device-attempts")
}

/// Where stands what the provider of a device flow is asked with.
pub(in crate::oauth) fn device_code(org: &OrgKeys, attempt: &Digest) -> StoreKey {
    let parts: [&[u8]; 2] = [b"device-code", attempt];
    listed(org, Class::DeviceCode, b"device-codes", &parts)
}

/// Before all revocations of an organisation.
pub(in crate::oauth) fn revocations(org: &OrgKeys) -> StoreKey {
    prefix(org, Class::Revocation, b"revocations")
}
