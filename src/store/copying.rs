//! What a copy of the store is filled by: page by page, then what was changed meanwhile.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Copy, DiskEngine, Names};
use super::rewrite::Progress;
use super::state::{Census, State};
use super::writer::{Health, Shared};
use super::{Engine, EngineKind, Pair, StoreError, StoreKey, Write, census};
use crate::crypto::MacKey;
use crate::failpoint::{Failpoint, reached};

/// How many records are read, compared and written at a time.
pub(super) const PAGE: usize = 128;
/// The last changes are copied while commits wait: no more than these.
const FEW: usize = 512;
/// How often it is tried to come down to that few.
const ROUNDS: usize = 32;
/// More than these are not copied while commits wait.
const MANY: usize = 16 * 1024;

/// Nor for longer than this.
const WAIT: Duration = Duration::from_secs(10);

/// What stays free of the disk (64 MiB): the store itself still grows while it is copied, and fails when it
/// cannot.
const MARGIN: u64 = 64 << 20;

/// Which keys were changed since somebody asked.
#[derive(Debug, Default)]
pub(super) struct Changed(Mutex<Option<BTreeSet<StoreKey>>>);

impl Changed {
    /// Notes keys, if somebody wants to know.
    pub(super) fn note<'a>(&self, keys: impl Iterator<Item = &'a StoreKey>) {
        if let Some(noted) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            noted.extend(keys.cloned());
        }
    }

    /// What was noted; noting goes on from nothing.
    pub(super) fn take(&self) -> BTreeSet<StoreKey> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.replace(BTreeSet::new()).unwrap_or_default()
    }

    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Has changes noted for as long as it is there.
pub(super) struct Watch<'a>(&'a Shared);

impl<'a> Watch<'a> {
    pub(super) fn begin(shared: &'a Shared) -> Self {
        shared.changed.take();
        Self(shared)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.changed.end();
    }
}

/// Steps 1 to 4 of [`rewrite`](super::rewrite).
pub(super) struct Copying<'a> {
    pub(super) disk: &'a DiskEngine,
    pub(super) mac: &'a MacKey,
    pub(super) shared: &'a Shared,
    pub(super) progress: &'a Progress,
    pub(super) names: Names<'a>,
}

/// A copy that was read back, and what was found in it.
pub(super) struct Verified {
    copy: Copy,
    census: Census,
}

impl Copying<'_> {
    pub(super) fn all_of_it(&self, kind: EngineKind) -> Result<Verified, StoreError> {
        let copy = self.disk.begin_copy(kind, self.names)?;
        self.prune(&*copy.engine)?;
        self.pages(&*copy.engine)?;
        reached(Failpoint::RewriteCopied);
        for _ in 0..ROUNDS {
            let changed = self.shared.changed.take();
            let enough = changed.len() <= FEW;
            self.go_on()?;
            for keys in Vec::from_iter(changed).chunks(PAGE) {
                take_over(self.disk, &*copy.engine, keys.iter(), |_, _| {})?;
            }
            if enough {
                break;
            }
        }
        let copy = self.disk.reopen(copy)?;
        let census = census::take(&*copy.engine, self.mac)?;
        self.go_on()?;
        reached(Failpoint::RewriteVerified);
        Ok(Verified { copy, census })
    }

    fn go_on(&self) -> Result<(), StoreError> {
        if self.progress.stopped() {
            return Err(StoreError::Stopped);
        }
        if self.disk.free_bytes()? < MARGIN {
            return Err(StoreError::NoRoom);
        }
        self.shared.usable()
    }

    /// Takes out of a copy that is taken up what the store does not hold any more.
    fn prune(&self, copy: &dyn Engine) -> Result<(), StoreError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            self.go_on()?;
            let page = copy.scan(&[], after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            let mut gone = vec![];
            for (key, value) in &page {
                if self.disk.get(key)?.as_ref() != Some(value) {
                    gone.push(Write::Delete(key));
                }
            }
            if !gone.is_empty() {
                copy.apply(&gone)?;
            }
        }
    }

    /// Puts into the copy what the store holds, page by page.
    fn pages(&self, copy: &dyn Engine) -> Result<(), StoreError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            self.go_on()?;
            let page = self.disk.scan(&[], after.as_deref(), PAGE)?;
            let last = page.last().map(|(key, _)| key.clone());
            copy_page(copy, &page)?;
            self.progress.count(page.len());
            reached(Failpoint::RewritePage);
            match last {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

/// Puts into `copy` what of `page` is not there already.
fn copy_page(copy: &dyn Engine, page: &[Pair]) -> Result<(), StoreError> {
    let mut writes = vec![];
    for (key, value) in page {
        if copy.get(key)?.as_ref() != Some(value) {
            writes.push(Write::Put(key, value));
        }
    }
    if writes.is_empty() {
        return Ok(());
    }
    copy.apply(&writes)
}

/// Copies what now stands under `keys`; `each` is shown what the copy had, and what it has then.
fn take_over<'a>(
    store: &dyn Engine,
    copy: &dyn Engine,
    keys: impl Iterator<Item = &'a StoreKey>,
    mut each: impl FnMut(Option<Pair>, Option<Pair>),
) -> Result<(), StoreError> {
    let mut now = vec![];
    for key in keys.map(StoreKey::as_bytes) {
        let (old, new) = (copy.get(key)?, store.get(key)?);
        let pair = |value: Option<Vec<u8>>| value.map(|value| (key.to_vec(), value));
        each(pair(old), pair(new.clone()));
        now.push((key, new));
    }
    let writes: Vec<_> = now
        .iter()
        .map(|(key, value)| match value {
            Some(value) => Write::Put(key, value),
            None => Write::Delete(key),
        })
        .collect();
    if writes.is_empty() {
        return Ok(());
    }
    copy.apply(&writes)
}

impl Verified {
    /// Step 5: the last changes and the state record; then, if all is as the store says, the new name.
    pub(super) fn finish(
        mut self,
        disk: &DiskEngine,
        mac: &MacKey,
        shared: &Shared,
        state: &State,
    ) -> Result<u64, StoreError> {
        let changed = shared.changed.take();
        if changed.len() > MANY {
            return Err(StoreError::Restless);
        }
        let began = Instant::now();
        for keys in Vec::from_iter(changed).chunks(PAGE) {
            // Whoever commits waits meanwhile.
            if began.elapsed() > WAIT {
                return Err(StoreError::Restless);
            }
            let census = &mut self.census;
            take_over(disk, &*self.copy.engine, keys.iter(), |old, new| {
                let member = |(key, value): Pair| mac.hash(&[&key, &value]);
                if let Some(old) = old {
                    census.take_out(&member(old));
                }
                if let Some(new) = new {
                    census.take_in(&member(new));
                }
            })?;
        }
        let sealed = disk.get(StoreKey::STATE)?.ok_or(StoreError::Damaged {
            what: "the state record is missing",
        })?;
        self.copy
            .engine
            .apply(&[Write::Put(StoreKey::STATE, &sealed)])?;
        if self.census != state.census {
            return Err(StoreError::Damaged {
                what: "a copy of the records is not what the store says it holds",
            });
        }
        reached(Failpoint::RewriteCaughtUp);
        let placed = disk.put_in_place(self.copy);
        if placed.is_err() {
            // Which files the next start finds is not known, and both must not be written to.
            shared.end(Health::Failed);
        }
        placed?;
        reached(Failpoint::RewritePlaced);
        Ok(self.census.count)
    }
}
