//! Turns to look up a name: so many in all, and so many for one organisation, so that names that nobody
//! answers for keep one organisation waiting and not the others.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::EgressError;
use crate::id::OrgId;

/// Names that are looked up at the same time; the system's resolver takes a thread for each.
const LOOKUPS: usize = 32;
/// Of these, for one organisation.
const SHARE: usize = 8;

/// The turns that there are.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    shares: Mutex<HashMap<OrgId, Arc<Semaphore>>>,
    patience: Duration,
}

/// One look-up; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _share: Option<OwnedSemaphorePermit>,
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// Whoever waits longer than `patience` for a turn gets none.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            all: Arc::new(Semaphore::new(LOOKUPS)),
            shares: Mutex::default(),
            patience,
        }
    }

    /// A turn for `org`, which may be none's, once there is one. An organisation waits for its own turns
    /// first: it stands in the line of all with no more than its share.
    ///
    /// # Errors
    /// [`EgressError::Share`] when the organisation's turns are not given back in time,
    /// [`EgressError::Busy`] when those of all are not.
    pub(super) async fn take(&self, org: Option<OrgId>) -> Result<Turn, EgressError> {
        let share = match org {
            Some(org) => Some(self.wait(self.share_of(org), EgressError::Share).await?),
            None => None,
        };
        let permit = self.wait(Arc::clone(&self.all), EgressError::Busy).await?;
        Ok(Turn {
            _share: share,
            _permit: permit,
        })
    }

    async fn wait(
        &self,
        turns: Arc<Semaphore>,
        late: EgressError,
    ) -> Result<OwnedSemaphorePermit, EgressError> {
        match timeout(self.patience, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(late),
        }
    }

    fn share_of(&self, org: OrgId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Turns and those who wait for one hold their share; what nobody holds is whole.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let share = shares.entry(org);
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(SHARE))))
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LOOKUPS, SHARE, Turns};
    use crate::egress::EgressError;
    use crate::id::OrgId;

    fn org(byte: u8) -> OrgId {
        OrgId::from_bytes([byte; 16])
    }

    #[tokio::test]
    async fn an_organisation_that_holds_its_share_leaves_turns_for_the_others() {
        let turns = Turns::new(Duration::from_millis(20));
        let mut held = Vec::new();
        for _ in 0..SHARE {
            held.push(turns.take(Some(org(1))).await.unwrap());
        }
        let late = turns.take(Some(org(1))).await;
        assert_eq!(late.map(drop), Err(EgressError::Share));
        assert!(turns.take(Some(org(2))).await.is_ok());
        assert!(turns.take(None).await.is_ok());
        held.pop();
        assert!(turns.take(Some(org(1))).await.is_ok());
        drop(held);
        assert!(turns.take(Some(org(3))).await.is_ok());
        let kept = turns.shares.lock().unwrap().len();
        assert_eq!(kept, 1, "no share is kept for ever");
    }

    #[tokio::test]
    async fn who_waits_too_long_for_the_turns_of_all_is_told_to_come_back() {
        let turns = Turns::new(Duration::from_millis(20));
        let mut held = Vec::new();
        for _ in 0..LOOKUPS {
            held.push(turns.take(None).await.unwrap());
        }
        let late = turns.take(Some(org(1))).await;
        assert_eq!(late.map(drop), Err(EgressError::Busy));
    }

    #[tokio::test]
    async fn a_turn_that_is_given_back_is_the_next_ones() {
        let turns = Turns::new(Duration::from_mins(10));
        let mut held = Vec::new();
        for _ in 0..SHARE {
            held.push(turns.take(Some(org(1))).await.unwrap());
        }
        let freed = async {
            tokio::task::yield_now().await;
            held.pop();
        };
        assert!(tokio::join!(turns.take(Some(org(1))), freed).0.is_ok());
    }
}
