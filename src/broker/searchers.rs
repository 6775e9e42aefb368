//! What calls search their answers with: built beside the runtime where that takes a while, and kept.
//!
//! Building a searcher costs more than everything else in a call together, so it is kept for a minute at
//! most, keyed by the very versions it was built for. It holds spellings of the values: the cache is
//! small, swept without waiting for a call, wiped as it goes, and emptied at sealing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::id::OrgId;
use crate::tools::aside;

use super::BrokerError;
use super::scrub::{Faint, Patterns};
use super::turns::Turns;

/// How long a searcher is kept at most, in milliseconds.
const KEPT: i64 = 60_000;
/// How often old ones are dropped. One that was there twice is old, so each is gone within [`KEPT`].
const SWEEP: Duration = Duration::from_secs(30);
/// The most searchers that are kept.
const MOST: usize = 256;
/// How much memory they take together, in bytes, roughly.
const ROOM: usize = 64 << 20;
/// Larger ones are only shared, by calls that overlap: values of tens of kibibytes are spelled in megabytes.
const LARGEST: usize = 1 << 20;
/// Bytes of values for which a searcher is built at once: in a millisecond or two.
const QUICK: usize = 4 << 10;
/// The most that are built beside the runtime at a time.
const BUILDERS: usize = 4;
/// How many bytes a searcher has for each byte of the values, at most, roughly.
const SPELLED: usize = 640;

/// The searchers of recent calls.
#[derive(Debug)]
pub(super) struct Searchers {
    cache: Arc<Mutex<Cache>>,
    turns: Turns,
}

#[derive(Debug, Default)]
struct Cache {
    kept: HashMap<Digest, Kept>,
    size: usize,
    sweeping: bool,
}

#[derive(Debug)]
struct Kept {
    searcher: Searcher,
    size: usize,
    made: Timestamp,
    swept_once: bool,
}

#[derive(Debug)]
enum Searcher {
    Here(Patterns),
    InUse(Faint),
}

/// What a searcher is built of.
pub(super) trait Material: Send + 'static {
    /// How many bytes are to be spelled.
    fn size(&self) -> usize;

    /// Builds it.
    fn build(&self) -> Result<Patterns, BrokerError>;
}

impl Default for Searchers {
    fn default() -> Self {
        // Of the processors half are left for those who wait for nothing of the kind.
        let half = available_parallelism().map_or(1, |all| all.get().div_ceil(2));
        Self {
            cache: Arc::default(),
            turns: Turns::of(half.min(BUILDERS)),
        }
    }
}

impl Searchers {
    /// Forgets all of them.
    pub(super) fn forget(&self) {
        let forgotten = locked(&self.cache).forget();
        // Without the lock: wiping takes a while.
        drop(forgotten);
    }

    /// The searcher that is kept under `key`, or one that is built of `material` and kept there; and the
    /// material again. Without a key it is not kept. A large one waits for its turn among those of other
    /// organisations, and for memory.
    pub(super) async fn of<M: Material>(
        &self,
        org: OrgId,
        key: Option<Digest>,
        material: M,
        now: Timestamp,
    ) -> Result<(Patterns, M), BrokerError> {
        let kept = |key: Option<Digest>| key.and_then(|key| self.get(&key, now));
        if let Some(kept) = kept(key) {
            return Ok((kept, material));
        }
        let (patterns, material) = if material.size() <= QUICK {
            (material.build()?, material)
        } else {
            let most = material.size().saturating_mul(SPELLED);
            let turn = self.turns.take(org, most).await;
            // Another call with the same values may have built it meanwhile.
            if let Some(kept) = kept(key) {
                return Ok((kept, material));
            }
            let build = move || {
                let built = material.build().map(|patterns| match patterns.size() {
                    // Its turn ends with this, not before: a caller who goes away does not stop it.
                    size if size > LARGEST => {
                        patterns.in_room(turn.and_then(|turn| turn.built(size)))
                    }
                    _ => {
                        drop(turn);
                        patterns
                    }
                });
                (built, material)
            };
            let (built, material) = aside(build).await;
            (built?, material)
        };
        if let Some(key) = key {
            self.keep(key, &patterns, now);
        }
        Ok((patterns, material))
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        locked(&self.cache).kept.len()
    }

    fn get(&self, key: &Digest, now: Timestamp) -> Option<Patterns> {
        let cache = locked(&self.cache);
        let kept = cache.kept.get(key)?;
        if now.millis_since(kept.made).abs() >= KEPT {
            return None;
        }
        match &kept.searcher {
            Searcher::Here(patterns) => Some(patterns.clone()),
            Searcher::InUse(patterns) => patterns.patterns(),
        }
    }

    fn keep(&self, key: Digest, patterns: &Patterns, made: Timestamp) {
        // Without a runtime nothing would drop it in time.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (searcher, size) = match patterns.size() {
            size if size <= LARGEST => (Searcher::Here(patterns.clone()), size),
            _ => (Searcher::InUse(patterns.faint()), 0),
        };
        let kept = Kept {
            searcher,
            size,
            made,
            swept_once: false,
        };
        let mut cache = locked(&self.cache);
        let full = cache.kept.len() >= MOST || cache.size + size > ROOM;
        let forgotten = full.then(|| cache.forget());
        cache.size += size;
        let old = cache.kept.insert(key, kept);
        cache.size -= old.as_ref().map_or(0, |old| old.size);
        if !std::mem::replace(&mut cache.sweeping, true) {
            runtime.spawn(sweep(Arc::downgrade(&self.cache)));
        }
        drop(cache);
        // Without the lock: wiping takes a while.
        drop((forgotten, old));
    }
}

impl Cache {
    #[must_use]
    fn forget(&mut self) -> HashMap<Digest, Kept> {
        self.size = 0;
        std::mem::take(&mut self.kept)
    }

    /// Drops those that were there the last time, too: whether none is left, and nothing is to be swept.
    fn sweep(&mut self) -> bool {
        self.kept
            .retain(|_, kept| !std::mem::replace(&mut kept.swept_once, true));
        self.size = self.kept.values().map(|kept| kept.size).sum();
        self.sweeping = !self.kept.is_empty();
        !self.sweeping
    }
}

fn locked(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops old searchers even when no further call comes, until none is left.
async fn sweep(cache: Weak<Mutex<Cache>>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(cache) = cache.upgrade() else {
            return;
        };
        if locked(&cache).sweep() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::{
        BrokerError, KEPT, LARGEST, MOST, Material, Patterns, QUICK, ROOM, SPELLED, SWEEP,
        Searchers, locked,
    };
    use crate::clock::Timestamp;
    use crate::crypto::{Digest, sha256_parts};
    use crate::id::OrgId;
    use crate::secret::Secret;

    const ONE: OrgId = OrgId::from_bytes([1; 16]);

    fn key(number: usize) -> Digest {
        sha256_parts(&[&number.to_be_bytes()])
    }

    impl Material for Secret {
        fn size(&self) -> usize {
            self.len()
        }

        fn build(&self) -> Result<Patterns, BrokerError> {
            Ok(Patterns::for_values([self], [])?)
        }
    }

    /// A value of so many bytes, each of which is one that many writers escape.
    fn value(bytes: usize) -> Secret {
        Secret::take(b"\"<&/+?=\\".iter().copied().cycle().take(bytes).collect())
    }

    fn patterns(bytes: usize) -> Patterns {
        value(bytes).build().unwrap()
    }

    #[tokio::test]
    async fn lk_8_searchers_are_few_and_gone_within_a_minute_though_nobody_calls() {
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let kept = || locked(&searchers.cache).kept.len();
        let patterns = patterns(14);
        for number in 0..2 * MOST + 5 {
            searchers.keep(key(number), &patterns, now);
            assert!((1..=MOST).contains(&kept()));
        }
        let last = key(2 * MOST + 4);
        assert!(searchers.get(&last, now.plus_millis(KEPT - 1)).is_some());
        for other in [KEPT, -KEPT] {
            assert!(searchers.get(&last, now.plus_millis(other)).is_none());
        }
        // Whoever comes between two sweeps is gone after two more.
        assert!(SWEEP.as_millis() * 2 <= u128::from(KEPT.unsigned_abs()));
        for _ in 0..2 {
            assert!(locked(&searchers.cache).sweeping, "somebody sweeps");
            assert!(!locked(&searchers.cache).sweep() && kept() > 0);
            assert!(locked(&searchers.cache).sweep() && kept() == 0);
            assert_eq!(locked(&searchers.cache).size, 0);
            searchers.keep(last, &patterns, now);
        }
        searchers.forget();
        assert_eq!(kept(), 0, "sealing does not wait");
    }

    #[tokio::test]
    async fn the_memory_of_searchers_is_bounded_and_a_large_one_lives_only_while_it_is_used() {
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let size = || locked(&searchers.cache).size;
        let (usual, large) = (patterns(2_000), patterns(64 << 10));
        assert!((LARGEST / 16..LARGEST).contains(&usual.size()));
        assert!(
            (LARGEST..40 << 20).contains(&large.size()),
            "{}",
            large.size()
        );
        let (number, mut most) = (ROOM / usual.size(), 0);
        for number in 0..2 * number {
            searchers.keep(key(number % MOST), &usual, now);
            // The same again takes no more room.
            searchers.keep(key(number % MOST), &usual, now);
            most = most.max(size());
            let kept: usize = locked(&searchers.cache)
                .kept
                .values()
                .map(|one| one.size)
                .sum();
            assert_eq!(size(), kept);
        }
        assert!((ROOM / 2..=ROOM).contains(&most), "{most}");
        searchers.keep(key(MOST), &large, now);
        assert!(size() <= ROOM);
        assert!(searchers.get(&key(MOST), now).is_some(), "it is in use");
        drop(large);
        assert!(searchers.get(&key(MOST), now).is_none());
    }

    #[tokio::test]
    async fn nobody_waits_on_the_runtime_while_a_large_searcher_is_built() {
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let cx = &mut Context::from_waker(Waker::noop());
        let mut quick = pin!(searchers.of(ONE, None, value(QUICK), now));
        assert!(quick.as_mut().poll(cx).is_ready());
        let mut large = pin!(searchers.of(ONE, Some(key(1)), value(64 << 10), now));
        assert!(large.as_mut().poll(cx).is_pending());
        let (patterns, again) = large.await.unwrap();
        assert_eq!(again.len(), 64 << 10);
        // While it is used, a call with the same values has no other.
        let mut same = pin!(searchers.of(ONE, Some(key(1)), again, now));
        assert!(same.as_mut().poll(cx).is_ready());
        drop(patterns);
    }

    #[tokio::test]
    async fn a_large_searcher_is_counted_as_long_as_it_is_used_and_a_small_one_is_not() {
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let build = async |value: Secret| {
            let key = Some(key(value.len()));
            searchers.of(ONE, key, value, now).await.unwrap().0
        };
        // It is the same all over, and so spelled in few ways.
        let usual = build(Secret::take(vec![b'x'; 2 * QUICK])).await;
        assert!(usual.size() <= LARGEST, "{}", usual.size());
        assert_eq!(searchers.turns.taken(), 0);
        let large = build(value(64 << 10)).await;
        assert_eq!(searchers.turns.taken(), large.size());
        assert!(large.size() <= (64 << 10) * SPELLED);
        let same = build(value(64 << 10)).await;
        drop(large);
        assert_eq!(
            searchers.turns.taken(),
            same.size(),
            "it is one and the same"
        );
        drop(same);
        assert_eq!(searchers.turns.taken(), 0);
    }

    #[tokio::test]
    async fn a_builder_is_taken_until_its_work_is_done_though_its_caller_went_away() {
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let free = || searchers.turns.free();
        let all = free();
        {
            let mut large = pin!(searchers.of(ONE, None, value(64 << 10), now));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(large.as_mut().poll(cx).is_pending());
        }
        assert_eq!(free(), all - 1);
        while free() < all {
            tokio::task::yield_now().await;
        }
    }
}
