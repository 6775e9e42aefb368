//! How many calls of one caller run at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

use super::ApiError;
use crate::id::UserId;

/// The most calls that one caller may have running.
const MOST: usize = 64;

/// The calls that run, by caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<UserId, usize>>>);

/// One running call. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    running: Running,
    user: UserId,
}

impl Running {
    /// Counts one more call of `user`.
    ///
    /// # Errors
    /// 429 `too_many_running`.
    pub(super) fn enter(&self, user: UserId) -> Result<Turn, ApiError> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user).or_default();
        if *count >= MOST {
            return Err(too_many());
        }
        *count += 1;
        let running = self.clone();
        Ok(Turn { running, user })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let counts = &self.running.0;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

fn too_many() -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_running",
        format!("You have {MOST} calls running, which is the most."),
        "Wait until one of them has ended.",
    )
    .retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::{MOST, Running};
    use crate::id::UserId;

    #[test]
    fn one_caller_has_so_many_calls_running_and_keeps_nobody_else_waiting() {
        let running = Running::default();
        let (one, two) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let mut turns: Vec<_> = (0..MOST).map(|_| running.enter(one).unwrap()).collect();
        assert_eq!(running.enter(one).unwrap_err().code(), "too_many_running");
        let other = running.enter(two).unwrap();
        turns.pop();
        turns.push(running.enter(one).unwrap());
        assert!(running.enter(one).is_err());
        drop((turns, other));
        assert!(running.0.lock().unwrap().is_empty());
    }
}
