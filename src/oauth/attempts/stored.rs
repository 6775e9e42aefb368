//! What is on disk of a device flow: who connects what, and, apart from it and under its owner's key, what
//! the provider is asked with. Both are sealed for the places where they stand, and both go with the flow.
//!
//! A member has as many of them as the book lets be under way: whoever gives way there goes here, in the
//! commit that stores the newer one.

use serde::{Deserialize, Serialize};

use super::Attempts;
use crate::audit::{Action, Event, Recorded};
use crate::clock::Timestamp;
use crate::crypto::Owner;
use crate::id::{ConnectionId, OrgId, UserId};
use crate::name::ProviderId;
use crate::oauth::client::ClientRef;
use crate::oauth::connection::{Kept, places};
use crate::oauth::device::DeviceGrant;
use crate::oauth::event;
use crate::oauth::flow::{DeviceBegun, DeviceShown, FlowKey};
use crate::oauth::provider::Bound;
use crate::store::{Batch, Expect, StoreError};
use crate::vault::{OrgKeys, Unsealed, VaultError};

/// A device flow, as it is written down. The code for the person is in it; what the provider is asked with
/// is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    /// What the book knows it by.
    pub(super) key: FlowKey,
    pub(super) org: OrgId,
    pub(super) user: UserId,
    pub(super) provider: ProviderId,
    pub(super) bound: Bound,
    pub(super) scopes: Vec<String>,
    pub(super) client: ClientRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<ConnectionId>,
    pub(super) shown: DeviceShown,
    /// When it was begun.
    pub(super) begun: Timestamp,
}

/// What stands beside the provider's code: it ties it to its flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeOf {
    pub(super) key: FlowKey,
}

impl Waiting {
    fn of(begun: &DeviceBegun<DeviceGrant>, now: Timestamp) -> Self {
        let ask = &begun.ask;
        Self {
            key: begun.key,
            org: ask.org,
            user: ask.user,
            provider: ask.provider.id().clone(),
            bound: ask.bound.clone(),
            scopes: ask.scopes.clone(),
            client: ask.client.clone(),
            replaces: ask.replaces,
            shown: begun.shown.clone(),
            begun: now,
        }
    }

    pub(super) fn event(&self, vault: &Unsealed, action: Action) -> Event {
        let whose = (self.org, self.user);
        event::of_system(vault, action, whose, (&self.provider, None))
    }

    /// When it ends: no later than a clock that was set back since would have it.
    pub(super) fn ends(&self, now: Timestamp) -> Timestamp {
        let life = self.shown.expires_at.millis_since(self.begun);
        self.shown.expires_at.min(now.plus_millis(life))
    }
}

/// Puts into `batch` that nothing of a flow stays.
pub(in crate::oauth) fn put_end(org: &OrgKeys, batch: &mut Batch, key: FlowKey) {
    batch.delete(places::device_attempt(org, key.digest()));
    batch.delete(places::device_code(org, key.digest()));
}

impl Attempts {
    /// Stores an attempt that was just begun; those that gave way for it go.
    pub(super) async fn store(
        &self,
        vault: &Unsealed,
        begun: &DeviceBegun<DeviceGrant>,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let (waiting, key) = (Waiting::of(begun, vault.handed_out_now()), begun.key);
        let org = vault.org(waiting.org)?;
        let mut batch = Batch::new();
        for older in &begun.gave_way {
            put_end(&org, &mut batch, *older);
        }
        let code = CodeOf { key };
        let place = places::device_code(&org, key.digest());
        let whose = (&*org, Owner::user(waiting.user), place);
        let handle = begun.grant.handle();
        vault
            .put_credential(&mut batch, whose, &code, handle, recorded)
            .await?;
        let place = places::device_attempt(&org, key.digest());
        let kept = Kept::put(vault, &org, &mut batch, place, waiting)?;
        vault.commit(batch, recorded).await?;
        let mut stored = self.on_disk();
        for older in &begun.gave_way {
            stored.remove(older);
        }
        stored.insert(key, kept);
        Ok(())
    }

    /// Takes away what is stored of an attempt, if anything is.
    pub(super) async fn clear(
        &self,
        vault: &Unsealed,
        key: FlowKey,
        recorded: &Recorded,
    ) -> Result<(), VaultError> {
        let org = self.on_disk().get(&key).map(|kept| kept.value.org);
        let Some(org) = org else {
            return Ok(());
        };
        let mut batch = Batch::new();
        put_end(&*vault.org(org)?, &mut batch, key);
        vault.commit(batch, recorded).await?;
        self.on_disk().remove(&key);
        Ok(())
    }

    /// Its records went with the commit that made a connection of it.
    pub(super) fn cleared(&self, key: FlowKey) {
        self.on_disk().remove(&key);
    }

    /// Notes that the provider wants to be asked less often, for good (D1).
    pub(super) async fn slow_down(
        &self,
        vault: &Unsealed,
        key: FlowKey,
        interval_s: u32,
    ) -> Result<(), VaultError> {
        let Some(old) = self.on_disk().get(&key).cloned() else {
            return Ok(());
        };
        let org = vault.org(old.value.org)?;
        let mut waiting = (*old.value).clone();
        waiting.shown.interval_s = interval_s;
        let place = places::device_attempt(&org, key.digest());
        let mut batch = Batch::new();
        // Whoever seals it anew, for another key, changes nothing of what it says.
        batch.expect(place.clone(), Expect::Present);
        let kept = Kept::put(vault, &org, &mut batch, place, waiting)?;
        match vault.commit_bookkeeping(batch).await {
            Ok(()) => {
                if let Some(stored) = self.on_disk().get_mut(&key) {
                    *stored = kept;
                }
                Ok(())
            }
            // It ended meanwhile.
            Err(VaultError::Store(StoreError::Precondition)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Waiting;
    use crate::clock::Timestamp;
    use crate::oauth::flow::DeviceBook;

    fn waiting() -> Waiting {
        let key = DeviceBook::<()>::key_of("an attempt");
        let json = serde_json::json!({
            "key": key,
            "org": crate::id::OrgId::from_bytes([1; 16]),
            "user": crate::id::UserId::from_bytes([2; 16]),
            "provider": "acme",
            "bound": {"params": {}, "meta": {}},
            "scopes": [],
            "client": {"owner": "instance", "client_id": "client"},
            "shown": {
                "user_code": "BCDF", "verification_uri": "https://acme.example/go", "interval_s": 5,
                "expires_at": "2026-11-23T09:45:00Z",
            },
            "begun": "2026-11-23T09:30:00Z",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn d4_a_clock_that_was_set_back_lets_no_code_live_longer() {
        let at = |text| Timestamp::parse(text).unwrap();
        for (now, ends) in [
            ("2026-11-23T09:30:00Z", "2026-11-23T09:45:00Z"),
            ("2026-11-23T09:40:00Z", "2026-11-23T09:45:00Z"),
            ("2026-11-23T10:40:00Z", "2026-11-23T09:45:00Z"),
            ("2026-11-23T09:29:00Z", "2026-11-23T09:44:00Z"),
            ("2026-11-22T09:29:00Z", "2026-11-22T09:44:00Z"),
        ] {
            assert_eq!(waiting().ends(at(now)), at(ends), "{now}");
        }
    }

    #[test]
    fn d4_it_is_read_as_it_was_written() {
        let waiting = waiting();
        let text = serde_json::to_vec(&waiting).unwrap();
        assert_eq!(serde_json::from_slice::<Waiting>(&text).unwrap(), waiting);
    }
}
