//! What the store holds at one moment, told record by record while it serves: what a backup is made of.
//!
//! sled keeps no older version of a record that could be read meanwhile, so the moment is the last one and
//! not the first: every record is told, then what changed meanwhile, again and again, until so little is
//! left that it can be read between two groups of commits. Who hears it does each change in turn, and has
//! in the end what the store held at that moment: of several changes of one key, the last counts.
//!
//! Nothing is told while commits wait, for whoever listens may be slow.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};

use super::copying::{PAGE, Watch};
use super::state::State;
use super::writer::{Order, Shared};
use super::{DiskEngine, Engine, JournalMark, Progress, Store, StoreError, StoreKey, Write};
use crate::crypto::Digest;

/// What may be read while commits wait: so many records …
const FEW: usize = 512;
/// … and so many bytes of them.
const FEW_BYTES: usize = 4 << 20;
/// How often it is tried to come down to that few.
const ROUNDS: usize = 64;

/// The moment that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<T> {
    /// The store's generation.
    pub generation: u64,
    /// How many records it had.
    pub records: u64,
    /// The keyed digest of all of them.
    pub digest: Digest,
    /// How far the journal had come at the newest commit.
    pub mark: JournalMark,
    /// What else was so at that moment.
    pub beside: T,
}

/// Hears of each change that leads to the moment; an error ends the telling.
pub type Listener<'a> = dyn FnMut(Write<'_>) -> Result<(), StoreError> + 'a;

/// Under each key what stands there now.
type Now = Vec<(StoreKey, Option<Vec<u8>>)>;

/// What a look between two groups came to.
enum Look<T> {
    /// Too much has changed: all of these.
    Many(BTreeSet<StoreKey>),
    /// The moment, and what is left to tell.
    Moment {
        last: Now,
        sealed: Vec<u8>,
        state: State,
        beside: T,
    },
}

impl Store {
    /// Tells `each` what leads to what the store holds at one moment, the store's own state record last, and
    /// asks `beside` at that moment, while commits wait: it must be quick, and must not use the store.
    /// Blocks until that is done; not while the store is being copied.
    ///
    /// # Errors
    /// [`StoreError::Rewriting`], before anything was told; [`StoreError::Stopped`],
    /// [`StoreError::Restless`], what `each` and the engine report.
    pub fn snapshot<T: Send + 'static>(
        &self,
        progress: &Progress,
        beside: impl Fn() -> T + Send + Sync + 'static,
        each: &mut Listener<'_>,
    ) -> Result<Snapshot<T>, StoreError> {
        let (engine, _, shared) = self.parts();
        let _turn = engine.disk().map(DiskEngine::turn).transpose()?;
        progress.expect(self.records());
        let watch = Watch::begin(&shared);
        let telling = Telling {
            engine: &engine,
            shared: &shared,
            progress,
        };
        telling.pages(each)?;
        let beside = Arc::new(beside);
        for _ in 0..ROUNDS {
            match self.look(&engine, &shared, Arc::clone(&beside))? {
                Look::Many(keys) => telling.again(keys, each)?,
                Look::Moment {
                    last,
                    sealed,
                    state,
                    beside,
                } => {
                    drop(watch);
                    tell(&last, each)?;
                    each(Write::Put(StoreKey::STATE, &sealed))?;
                    return Ok(Snapshot {
                        generation: state.generation,
                        records: state.census.count,
                        digest: state.census.digest.bytes(),
                        mark: state.mark,
                        beside,
                    });
                }
            }
        }
        Err(StoreError::Restless)
    }

    /// Looks between two groups of commits, on the commit writer's thread.
    fn look<T: Send + 'static>(
        &self,
        engine: &Arc<dyn Engine>,
        shared: &Arc<Shared>,
        beside: Arc<impl Fn() -> T + Send + Sync + 'static>,
    ) -> Result<Look<T>, StoreError> {
        let (answer, outcome) = mpsc::sync_channel(1);
        let (engine, shared) = (Arc::clone(engine), Arc::clone(shared));
        self.send(Order::Pause(Box::new(move |state: &State| {
            let looked = shared
                .usable()
                .and_then(|()| look(&*engine, &shared, state, &*beside));
            answer.send(looked).unwrap_or_default();
        })))?;
        self.shared().hear(&outcome)
    }
}

fn look<T>(
    engine: &dyn Engine,
    shared: &Shared,
    state: &State,
    beside: &dyn Fn() -> T,
) -> Result<Look<T>, StoreError> {
    let changed = shared.changed.take();
    if changed.len() > FEW {
        return Ok(Look::Many(changed));
    }
    let (mut last, mut bytes) = (Now::new(), 0_usize);
    for key in &changed {
        let value = engine.get(key.as_bytes())?;
        bytes = bytes.saturating_add(value.as_ref().map_or(0, Vec::len));
        if bytes > FEW_BYTES {
            return Ok(Look::Many(changed));
        }
        last.push((key.clone(), value));
    }
    let sealed = engine.get(StoreKey::STATE)?.ok_or(StoreError::Damaged {
        what: "the state record is missing",
    })?;
    Ok(Look::Moment {
        last,
        sealed,
        state: *state,
        beside: beside(),
    })
}

struct Telling<'a> {
    engine: &'a Arc<dyn Engine>,
    shared: &'a Shared,
    progress: &'a Progress,
}

impl Telling<'_> {
    fn go_on(&self) -> Result<(), StoreError> {
        if self.progress.stopped() {
            return Err(StoreError::Stopped);
        }
        self.shared.usable()
    }

    /// Tells every record but the state, which changes with each commit.
    fn pages(&self, each: &mut Listener<'_>) -> Result<(), StoreError> {
        let mut after = StoreKey::STATE.to_vec();
        loop {
            self.go_on()?;
            let page = self.engine.scan(&[], Some(&after), PAGE)?;
            for (key, value) in &page {
                each(Write::Put(key, value))?;
            }
            self.progress.count(page.len());
            match page.into_iter().next_back() {
                Some((key, _)) => after = key,
                None => return Ok(()),
            }
        }
    }

    /// Tells what stands now under keys that were changed.
    fn again(&self, keys: BTreeSet<StoreKey>, each: &mut Listener<'_>) -> Result<(), StoreError> {
        for keys in Vec::from_iter(keys).chunks(PAGE) {
            self.go_on()?;
            let mut now = Now::new();
            for key in keys {
                now.push((key.clone(), self.engine.get(key.as_bytes())?));
            }
            tell(&now, each)?;
        }
        Ok(())
    }
}

fn tell(now: &Now, each: &mut Listener<'_>) -> Result<(), StoreError> {
    for (key, value) in now {
        each(match value {
            Some(value) => Write::Put(key.as_bytes(), value),
            None => Write::Delete(key.as_bytes()),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::super::tests_support::{Dice, Place, STORE, key, keys, mark, put, record_of};
    use super::super::{
        Batch, EngineKind, OlderStore, Progress, Snapshot, Store, StoreError, Write,
    };

    /// What a listener has in the end.
    #[derive(Default)]
    struct Heard(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Heard {
        fn change(&mut self, write: Write<'_>) {
            match write {
                Write::Put(key, value) => self.0.insert(key.to_vec(), value.to_vec()),
                Write::Delete(key) => self.0.remove(key),
            };
        }

        /// A store of the other engine that holds it.
        fn put_down(&self, kind: EngineKind) -> (Place, OlderStore) {
            let place = Place::of(kind);
            let engine = place.engine().unwrap();
            let all: Vec<_> = self.0.iter().map(|(k, v)| Write::Put(k, v)).collect();
            for writes in all.chunks(500) {
                engine.apply(writes).unwrap();
            }
            let found = OlderStore::examine(engine, STORE, keys(), &place.anchor()).unwrap();
            (place, found)
        }
    }

    fn listen(store: &Store, heard: &mut Heard) -> Snapshot<u64> {
        let mut each = |write: Write<'_>| {
            heard.change(write);
            Ok(())
        };
        store
            .snapshot(&Progress::default(), || 7, &mut each)
            .unwrap()
    }

    fn other(kind: EngineKind) -> EngineKind {
        match kind {
            EngineKind::Sled => EngineKind::Redb,
            EngineKind::Redb => EngineKind::Sled,
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn under_eight_writers_it_is_the_store_of_one_moment_over_every_engine() {
        for kind in EngineKind::ALL {
            let place = Place::of(kind);
            let store = place.create();
            let (over, serial) = (
                Arc::new(AtomicBool::new(false)),
                Arc::new(AtomicU64::new(0)),
            );
            let writers: Vec<_> = (0..8_u64)
                .map(|at| {
                    let (store, over) = (store.clone(), Arc::clone(&over));
                    let serial = Arc::clone(&serial);
                    tokio::spawn(async move {
                        let mut dice = Dice(at);
                        while !over.load(Ordering::SeqCst) {
                            let n = serial.fetch_add(1, Ordering::SeqCst);
                            let name = key(&dice.below(600).to_string());
                            let mut batch = Batch::new();
                            if dice.below(4) == 0 {
                                batch.delete(name);
                            } else {
                                let length = 40 + dice.below(2_000);
                                batch.put(name, record_of(7, length));
                            }
                            store.commit(batch, mark(n)).await.unwrap();
                        }
                    })
                })
                .collect();
            let mut last = 0;
            for _ in 0..3 {
                let (shared, mut heard) = (store.clone(), Heard::default());
                let (moment, heard) = tokio::task::spawn_blocking(move || {
                    let moment = listen(&shared, &mut heard);
                    (moment, heard)
                })
                .await
                .unwrap();
                assert!(moment.generation > last && moment.beside == 7);
                last = moment.generation;
                // Count, digest and generation are those of the state record that was told.
                let (_place, found) = heard.put_down(other(kind));
                assert_eq!(found.generation(), moment.generation);
                assert_eq!(found.records(), moment.records);
                assert_eq!(found.journal_mark(), moment.mark);
            }
            over.store(true, Ordering::SeqCst);
            for writer in writers {
                writer.await.unwrap();
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_changes_while_it_is_told_is_told_again() {
        let store = Place::new();
        let store = store.create();
        for n in 0..1_200 {
            let name = n.to_string();
            store
                .commit(put(&name, record_of(1, 40)), mark(n))
                .await
                .unwrap();
        }
        let (mut heard, mut told) = (Heard::default(), 0);
        let late = store.clone();
        let runtime = tokio::runtime::Handle::current();
        let moment = tokio::task::spawn_blocking(move || {
            let mut each = |write: Write<'_>| {
                told += 1;
                if told == 900 {
                    runtime.block_on(async {
                        for n in 0..1_200_u64 {
                            let mut batch = Batch::new();
                            batch.delete(key(&n.to_string()));
                            late.commit(batch, mark(5_000 + n)).await.unwrap();
                        }
                    });
                }
                heard.change(write);
                Ok(())
            };
            let moment = store
                .snapshot(&Progress::default(), || 0, &mut each)
                .unwrap();
            assert_eq!(moment.records, 1, "the key that every test store has");
            assert!(moment.beside == 0);
            heard
        })
        .await
        .unwrap();
        assert_eq!(moment.0.len(), 2);
    }

    #[tokio::test]
    async fn it_ends_when_it_is_stopped_when_nobody_listens_and_waits_for_no_copy() {
        let place = Place::new();
        let store = place.create();
        let progress = Progress::default();
        progress.stop();
        let stopped = store.snapshot(&progress, || (), &mut |_| Ok(()));
        assert_eq!(stopped.unwrap_err(), StoreError::Stopped);
        let gone = store.snapshot(&Progress::default(), || (), &mut |_| Err(StoreError::Full));
        assert_eq!(gone.unwrap_err(), StoreError::Full);
        let (engine, ..) = store.parts();
        let turn = engine.disk().unwrap().turn().unwrap();
        let mut told = 0;
        let busy = store.snapshot(&Progress::default(), || (), &mut |_| {
            told += 1;
            Ok(())
        });
        assert_eq!((busy.unwrap_err(), told), (StoreError::Rewriting, 0));
        drop(turn);
        store.close();
        let closed = store.snapshot(&Progress::default(), || (), &mut |_| Ok(()));
        assert_eq!(closed.unwrap_err(), StoreError::Closed);
    }
}
