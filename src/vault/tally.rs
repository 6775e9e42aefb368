//! How many things one owner has: counted when somebody first makes one, and kept count of from then
//! on, so that making one more costs no scan however many there are.
//!
//! What is granted counts until its commit is over, so that those who ask at the same time do not all
//! get the last place. A count may be too high, by what was destroyed or did not come about. So it is
//! taken anew before anybody is refused. Whoever is full by what is stored stays so until something is
//! destroyed: they cannot have the broker count over and over. One owner's count keeps no other waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::crypto::Owner;
use crate::store::StoreKey;

use super::{Counted, Vault, VaultError};

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Secrets of one member.
    pub member_secrets: usize,
    /// Secrets that an organisation shares.
    pub shared_secrets: usize,
}

impl Quotas {
    pub(super) const fn secrets(self, owner: Owner) -> usize {
        if matches!(owner, Owner::ORG_SHARED) {
            self.shared_secrets
        } else {
            self.member_secrets
        }
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            member_secrets: 10_000,
            shared_secrets: 100_000,
        }
    }
}

/// What is known of one owner's things.
#[derive(Debug, Default)]
struct Count {
    /// How many were granted whose commit is not over.
    promised: AtomicUsize,
    known: tokio::sync::Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Stored and promised, once they were counted.
    at_most: Option<usize>,
    /// Whether as many as there may be were stored when it was counted, and nothing was destroyed since.
    full: bool,
}

/// The counts, by what the keys of the counted records begin with.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<StoreKey, Arc<Count>>>);

impl Tally {
    fn of(&self, prefix: &StoreKey) -> Arc<Count> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counts.entry(prefix.clone()).or_default())
    }
}

/// Room for one more record. Kept until the record's commit is over: till then it counts as promised.
#[derive(Debug)]
#[must_use = "room that is not kept until the commit is over is given to somebody else"]
pub(crate) struct Room(Arc<Count>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.promised.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Vault {
    /// Makes room for one more record under `prefix`, where there may be `limit` of `what`.
    ///
    /// # Errors
    /// [`VaultError::Quota`] when there is none; when the store fails.
    pub(crate) async fn make_room(
        &self,
        prefix: &StoreKey,
        what: Counted,
        limit: usize,
    ) -> Result<Room, VaultError> {
        let count = self.tally.of(prefix);
        let mut known = count.known.lock().await;
        if known.full {
            return Err(VaultError::Quota { what, limit });
        }
        let at_most = match known.at_most {
            Some(at_most) if at_most < limit => at_most,
            _ => {
                // Read before the scan: what is committed meanwhile counts twice rather than not at all.
                let promised = count.promised.load(Ordering::SeqCst);
                let stored = self.count_under(prefix, limit).await?;
                known.full = stored >= limit;
                stored.saturating_add(promised)
            }
        };
        known.at_most = Some(at_most);
        if at_most >= limit {
            return Err(VaultError::Quota { what, limit });
        }
        known.at_most = Some(at_most + 1);
        count.promised.fetch_add(1, Ordering::SeqCst);
        drop(known);
        Ok(Room(count))
    }

    /// Takes note that something under `prefix` was destroyed.
    pub(crate) async fn gave_room(&self, prefix: &StoreKey) {
        self.tally.of(prefix).known.lock().await.full = false;
    }

    /// How many records there are under `prefix`; what is beyond `limit` is not counted.
    async fn count_under(&self, prefix: &StoreKey, limit: usize) -> Result<usize, VaultError> {
        let (mut after, mut count) = (None, 0);
        while count < limit {
            let page = self.store.scan(prefix, after.as_ref(), 256).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            count += page.len();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::pointer::owner_prefix;
    use super::super::tests_rig::Rig;
    use super::super::{Counted, VaultError};
    use crate::crypto::Owner;
    use crate::id::UserId;

    const ANNA: UserId = UserId::from_bytes([1; 16]);
    const BORIS: UserId = UserId::from_bytes([2; 16]);

    #[tokio::test]
    async fn what_is_granted_counts_until_it_is_stored_or_given_up() {
        let rig = Rig::new().await;
        let org = rig.org(7).await;
        rig.set(&org, ANNA, "ONE", "a value").await;
        let prefix = owner_prefix(&org, Owner::user(ANNA));
        let ask = async || rig.vault.make_room(&prefix, Counted::Secrets, 2).await;
        let full = |asked| matches!(asked, Err(VaultError::Quota { limit: 2, .. }));
        let first = ask().await.unwrap();
        for _ in 0..3 {
            assert!(full(ask().await), "the last place is promised");
        }
        drop(first);
        let second = ask().await.unwrap();
        rig.set(&org, ANNA, "TWO", "a value").await;
        drop(second);
        assert!(full(ask().await), "two are stored");
    }

    #[tokio::test]
    async fn one_owner_who_is_counted_keeps_no_other_waiting() {
        let rig = Rig::new().await;
        let org = rig.org(7).await;
        let [anna, boris] = [ANNA, BORIS].map(|user| owner_prefix(&org, Owner::user(user)));
        let counted = rig.vault.tally.of(&anna);
        let counting = counted.known.lock().await;
        let asked = rig.vault.make_room(&boris, Counted::Secrets, 2);
        let room = tokio::time::timeout(Duration::from_mins(1), asked).await;
        drop((room.unwrap().unwrap(), counting));
    }
}
