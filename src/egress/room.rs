//! Room for connections: so many in all, and so many for one organisation, so that the slow upstreams of
//! one leave room for the calls of the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{EgressError, Limits};
use crate::id::OrgId;

/// How many connections each organisation has.
type Shares = Arc<Mutex<HashMap<OrgId, usize>>>;

/// The room that there is.
#[derive(Debug)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    share: usize,
    shares: Shares,
}

/// Room for one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

/// One connection of an organisation's share.
#[derive(Debug)]
struct Share(OrgId, Shares);

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = shares.get_mut(&self.0) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                shares.remove(&self.0);
            }
        }
    }
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        let all = limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all)),
            share: limits.connections_per_org,
            shares: Shares::default(),
        }
    }

    /// Room for one more connection of `org`, which may be none's.
    ///
    /// # Errors
    /// [`EgressError::Share`] when the organisation has its share, [`EgressError::Busy`] when there is no
    /// room at all.
    pub(super) fn take(&self, org: Option<OrgId>) -> Result<Seat, EgressError> {
        let share = org.map(|org| self.share_of(org)).transpose()?;
        let permit = Arc::clone(&self.all).try_acquire_owned();
        Ok(Seat {
            _permit: permit.map_err(|_| EgressError::Busy)?,
            _share: share,
        })
    }

    fn share_of(&self, org: OrgId) -> Result<Share, EgressError> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = shares.entry(org).or_default();
        if *taken >= self.share {
            return Err(EgressError::Share);
        }
        *taken += 1;
        Ok(Share(org, Arc::clone(&self.shares)))
    }
}
