//! Tokens that were fetched with a signed assertion, kept for the next call.
//!
//! For a minute at most, in memory only, under the very versions of the credentials that fetched them;
//! gone at sealing, and when the API refuses one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::secret::Secret;

/// How long a token is kept at most.
const KEPT: Duration = Duration::from_mins(1);
const KEPT_MILLIS: i64 = 60_000;
/// How long before its end a token counts as over, in milliseconds.
const MARGIN: i64 = 10_000;
/// The most tokens that are kept.
const MOST: usize = 256;

/// The tokens of recent calls.
#[derive(Debug, Default)]
pub(in crate::broker) struct Tokens(Arc<Mutex<HashMap<Digest, Kept>>>);

#[derive(Debug)]
struct Kept {
    token: Arc<Secret>,
    made: Timestamp,
    until: Timestamp,
}

impl Tokens {
    /// Forgets all of them.
    pub(in crate::broker) fn forget(&self) {
        locked(&self.0).clear();
    }

    /// Forgets one that was refused.
    pub(in crate::broker) fn refused(&self, key: &Digest) {
        locked(&self.0).remove(key);
    }

    pub(super) fn get(&self, key: &Digest, now: Timestamp) -> Option<Arc<Secret>> {
        let tokens = locked(&self.0);
        let kept = tokens.get(key)?;
        let fresh = (0..KEPT_MILLIS).contains(&now.millis_since(kept.made)) && now < kept.until;
        fresh.then(|| Arc::clone(&kept.token))
    }

    /// Keeps a token that is good until `ends`, where that is known.
    pub(super) fn keep(
        &self,
        key: Digest,
        token: Arc<Secret>,
        now: Timestamp,
        ends: Option<Timestamp>,
    ) {
        let until = ends.map_or(now.plus_millis(KEPT_MILLIS), |ends| {
            ends.plus_millis(-MARGIN)
        });
        // Without a runtime nothing would drop it in time.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if until <= now {
            return;
        }
        let mut tokens = locked(&self.0);
        if tokens.len() >= MOST {
            tokens.clear();
        }
        let (made, weak) = (now, Arc::downgrade(&self.0));
        let mine = Arc::downgrade(&token);
        tokens.insert(key, Kept { token, made, until });
        runtime.spawn(drop_after(KEPT, weak, key, mine));
    }
}

/// Drops a token in time even when no further call comes.
async fn drop_after(
    time: Duration,
    tokens: Weak<Mutex<HashMap<Digest, Kept>>>,
    key: Digest,
    mine: Weak<Secret>,
) {
    tokio::time::sleep(time).await;
    let (Some(tokens), Some(mine)) = (tokens.upgrade(), mine.upgrade()) else {
        return;
    };
    let mut tokens = locked(&tokens);
    // Another may stand there by now, with a minute of its own.
    let is_mine = |kept: &Kept| Arc::ptr_eq(&kept.token, &mine);
    if tokens.get(&key).is_some_and(is_mine) {
        tokens.remove(&key);
    }
}

fn locked(tokens: &Mutex<HashMap<Digest, Kept>>) -> MutexGuard<'_, HashMap<Digest, Kept>> {
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Tokens, drop_after};
    use crate::clock::Timestamp;
    use crate::secret::Secret;

    fn token() -> Arc<Secret> {
        Arc::new(Secret::copy_of(b"token"))
    }

    #[tokio::test]
    async fn a_token_is_kept_for_a_minute_or_until_shortly_before_its_end() {
        let (tokens, now) = (Tokens::default(), Timestamp::from_millis(1_000_000));
        let at = |seconds| now.plus_seconds(seconds);
        tokens.keep([1; 32], token(), now, None);
        tokens.keep([2; 32], token(), now, Some(at(30)));
        tokens.keep([3; 32], token(), now, Some(at(5)));
        let there = |key, seconds| tokens.get(&[key; 32], at(seconds)).is_some();
        assert!(there(1, 0) && there(1, 59) && !there(1, 60) && !there(1, -1));
        assert!(there(2, 19) && !there(2, 20));
        assert!(!there(3, 0));
    }

    #[tokio::test]
    async fn a_token_is_dropped_without_a_call_and_a_later_one_is_not() {
        let (tokens, now) = (Tokens::default(), Timestamp::from_millis(0));
        let (first, second) = (token(), token());
        let after = |token: &Arc<Secret>| {
            let weak = Arc::downgrade(&tokens.0);
            drop_after(Duration::ZERO, weak, [1; 32], Arc::downgrade(token))
        };
        tokens.keep([1; 32], Arc::clone(&second), now, None);
        after(&first).await;
        assert!(tokens.get(&[1; 32], now).is_some());
        after(&second).await;
        assert!(tokens.get(&[1; 32], now).is_none());
    }

    #[tokio::test]
    async fn a_token_is_gone_at_sealing_and_when_it_was_refused() {
        let (tokens, now) = (Tokens::default(), Timestamp::from_millis(0));
        tokens.keep([1; 32], token(), now, None);
        tokens.keep([2; 32], token(), now, None);
        tokens.refused(&[1; 32]);
        assert!(tokens.get(&[1; 32], now).is_none() && tokens.get(&[2; 32], now).is_some());
        tokens.forget();
        assert!(tokens.get(&[2; 32], now).is_none());
    }
}
