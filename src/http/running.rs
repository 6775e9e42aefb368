//! How many calls of one caller run at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

use super::ApiError;
use crate::id::UserId;

/// The calls that run, by caller, and how many each may have.
#[derive(Clone, Debug)]
pub(super) struct Running {
    counts: Arc<Mutex<HashMap<UserId, usize>>>,
    most: usize,
}

/// One running call. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    running: Running,
    user: UserId,
}

impl Running {
    /// At most so many of one caller.
    pub(super) fn at_most(most: usize) -> Self {
        let counts = Arc::default();
        Self { counts, most }
    }

    /// Counts one more call of `user`.
    ///
    /// # Errors
    /// 429 `too_many_running`.
    pub(super) fn enter(&self, user: UserId) -> Result<Turn, ApiError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user).or_default();
        if *count >= self.most {
            return Err(too_many(self.most));
        }
        *count += 1;
        let running = self.clone();
        Ok(Turn { running, user })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let counts = &self.running.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

fn too_many(most: usize) -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_running",
        format!("You have {most} calls running, which is the most."),
        "Wait until one of them has ended.",
    )
    .retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::Running;
    use crate::id::UserId;

    #[test]
    fn one_caller_has_so_many_calls_running_and_keeps_nobody_else_waiting() {
        let running = Running::at_most(3);
        let (one, two) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let mut turns: Vec<_> = (0..3).map(|_| running.enter(one).unwrap()).collect();
        assert_eq!(running.enter(one).unwrap_err().code(), "too_many_running");
        let other = running.enter(two).unwrap();
        turns.pop();
        turns.push(running.enter(one).unwrap());
        assert!(running.enter(one).is_err());
        drop((turns, other));
        assert!(running.counts.lock().unwrap().is_empty());
    }
}
