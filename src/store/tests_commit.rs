//! Groups, preconditions, failures of writing, closing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tests_support::{
    Dry, Fault, Faulty, Place, STORE, contents, create, key, keys, mark, open, put, record,
    record_of, shared,
};
use super::{
    Batch, Class, Engine, Expect, JournalMark, MAX_BATCH_BYTES, MAX_BATCH_CHANGES,
    MAX_RECORD_BYTES, Store, StoreError, StoreKey, read_raw,
};
use crate::crypto::{Record, sha256};

struct Bench {
    engine: Arc<Faulty>,
    store: Store,
    anchor: PathBuf,
    _place: Place,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let engine = Arc::new(Faulty::default());
        Self {
            store: create(shared(&engine), &place.anchor()).unwrap(),
            engine,
            anchor: place.anchor(),
            _place: place,
        }
    }

    /// Starts commits of which the first is held back, so that all others become one group.
    async fn queue(&self, batches: Vec<Batch>) -> Vec<Result<u64, StoreError>> {
        self.engine.hold();
        let first = tokio::spawn({
            let store = self.store.clone();
            async move { store.commit(put("first", record(0)), mark(1)).await }
        });
        while !self.engine.is_waiting() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let waiting: Vec<_> = batches
            .into_iter()
            .map(|batch| {
                let store = self.store.clone();
                tokio::spawn(async move { store.commit(batch, mark(2)).await })
            })
            .collect();
        // On this runtime of one thread, the others run up to their wait before this goes on.
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.engine.free();
        first.await.unwrap().unwrap();
        let mut outcomes = vec![];
        for task in waiting {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    }
}

#[tokio::test]
async fn what_has_queued_becomes_one_commit() {
    let bench = Bench::new();
    let batches = (0..64).map(|n| put(&format!("k{n}"), record(n))).collect();
    let outcomes = bench.queue(batches).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Ok(3)));
    assert_eq!(bench.store.generation(), 3);
    assert_eq!(bench.store.records(), 66);
    assert_eq!(bench.store.journal_mark(), mark(2));
}

/// What is queued behind a commit that is held back: long work first, then those who wait for an answer. In which
/// generation each was made durable.
async fn behind_long_work(waiting: Vec<Batch>) -> (Vec<u64>, Vec<u64>) {
    let bench = Bench::new();
    bench.engine.hold();
    let first = bench.store.submit(put("first", record(0)), mark(1));
    while !bench.engine.is_waiting() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let submit = |name| bench.store.submit(put(name, record(1)), mark(1)).unwrap();
    let parts = ["one", "two"].map(submit);
    let commits = waiting.into_iter().map(|batch| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.commit(batch, mark(2)).await })
    });
    let commits: Vec<_> = commits.collect();
    tokio::task::yield_now().await;
    bench.engine.free();
    assert_eq!(first.unwrap().done().await, Ok(2));
    let (mut long, mut answered) = (Vec::new(), Vec::new());
    for part in parts {
        long.push(part.done().await.unwrap());
    }
    for commit in commits {
        answered.push(commit.await.unwrap().unwrap());
    }
    bench.store.close();
    (long, answered)
}

#[tokio::test]
async fn who_waits_for_an_answer_comes_before_long_work_and_shares_no_sync_with_it() {
    let few = (0..3).map(|n| put(&format!("k{n}"), record(n)));
    let (long, answered) = behind_long_work(few.collect()).await;
    assert_eq!((long, answered), (vec![4, 5], vec![3; 3]));
}

#[tokio::test]
async fn long_work_comes_on_however_many_wait() {
    // Each is a group by its weight alone.
    let large = (0..6).map(|n| {
        let mut batch = Batch::new();
        for part in 0..12 {
            batch.put(key(&format!("{n} {part}")), record_of(n, 90_000));
        }
        batch
    });
    let (long, answered) = behind_long_work(large.collect()).await;
    assert_eq!((long, answered), (vec![7, 10], vec![3, 4, 5, 6, 8, 9]));
}

#[tokio::test]
async fn of_many_that_expect_absence_one_wins_and_the_others_do_nothing() {
    let bench = Bench::new();
    let batches = (0..64)
        .map(|n| {
            let mut batch = put("contended", record(n));
            batch.put(key(&format!("own{n}")), record(n));
            batch.expect(key("contended"), Expect::Absent);
            batch
        })
        .collect();
    let outcomes = bench.queue(batches).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = Err(StoreError::Precondition);
    let lost = outcomes
        .iter()
        .filter(|outcome| **outcome == refused)
        .count();
    assert_eq!((won, lost), (1, 63));
    // The system key, the held-back commit, the winner's two.
    assert_eq!(bench.store.records(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_of_one_record_are_never_lost() {
    let place = Place::new();
    let store = place.create();
    let counter = key("counter");
    let start = record_of(1, 1);
    store.commit(put("counter", start), mark(1)).await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let (store, counter) = (store.clone(), counter.clone());
            tokio::spawn(async move {
                loop {
                    let old = store.get(&counter).await.unwrap().unwrap();
                    let mut batch = Batch::new();
                    // Each success makes the record one box longer, and leaves a pair behind.
                    batch.put(counter.clone(), grown(&old));
                    batch.put(key(&format!("a{n:02}")), record(n));
                    batch.put(key(&format!("b{n:02}")), record(n));
                    batch.expect(counter.clone(), Expect::Exactly(sha256(old.as_bytes())));
                    match store.commit(batch, JournalMark::GENESIS).await {
                        Err(StoreError::Precondition) => {}
                        outcome => return outcome.unwrap(),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let boxes = |record: &Record| {
        let mut reader = record.reader();
        std::iter::from_fn(move || reader.sealed().ok()).count()
    };
    store.close();
    drop(store);
    let store = place.open().unwrap();
    assert_eq!(boxes(&store.get(&counter).await.unwrap().unwrap()), 65);
    assert_eq!(store.records(), 1 + 1 + 128);
}

fn grown(record: &Record) -> Record {
    let sealed = record.reader().sealed().unwrap();
    record.clone().with_box(&sealed)
}

#[tokio::test]
async fn a_failed_write_is_told_to_the_whole_group_and_stops_the_store() {
    let io = StoreError::Io {
        doing: "syncing the database",
        kind: std::io::ErrorKind::Other,
    };
    for fault in [
        Fault::Before(StoreError::Full),
        Fault::Before(io.clone()),
        Fault::After(io),
    ] {
        let bench = Bench::new();
        bench
            .store
            .commit(put("a", record(1)), mark(5))
            .await
            .unwrap();
        let before = contents(&bench.store).await;

        *bench.engine.fault.lock().unwrap() = Some(fault.clone());
        let (one, two) = tokio::join!(
            bench.store.commit(put("a", record(2)), mark(6)),
            bench.store.commit(put("b", record(3)), mark(7)),
        );
        let (Fault::Before(told) | Fault::After(told)) = &fault;
        assert_eq!(one.as_ref(), Err(told));
        // The second was in the same group, or came after it.
        assert!(two == Err(told.clone()) || two == Err(StoreError::Failed));
        assert!(!bench.store.healthy());
        let later = bench.store.commit(put("c", record(4)), mark(8)).await;
        assert_eq!(later, Err(StoreError::Failed));
        assert_eq!(bench.store.get(&key("a")).await, Err(StoreError::Failed));
        bench.store.close();
        assert!(!bench.store.healthy());

        // What stands after reopening is the state before or the state after, and is served.
        let store = open(shared(&bench.engine), &bench.anchor).unwrap();
        let applied = matches!(fault, Fault::After(_));
        assert_eq!(contents(&store).await != before, applied);
        assert_eq!(store.generation(), if applied { 3 } else { 2 });
        store.commit(put("d", record(5)), mark(9)).await.unwrap();
    }
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_repeated_or_opened() {
    let place = Place::new();
    let engine = Arc::new(Faulty::default());
    let create = || create(shared(&engine), &place.anchor());

    *engine.fault.lock().unwrap() = Some(Fault::Before(StoreError::Full));
    assert_eq!(create().unwrap_err(), StoreError::Full);
    let opened = open(shared(&engine), &place.anchor());
    assert_eq!(opened.unwrap_err(), StoreError::NotCreated);

    *engine.fault.lock().unwrap() = Some(Fault::After(StoreError::Full));
    assert_eq!(create().unwrap_err(), StoreError::Full);
    let store = open(shared(&engine), &place.anchor()).unwrap();
    assert_eq!((store.generation(), store.records()), (1, 1));
}

#[tokio::test]
async fn without_randomness_a_commit_is_refused_and_the_store_goes_on() {
    let place = Place::new();
    let engine: Arc<dyn Engine> = Arc::new(Faulty::default());
    drop(create(Arc::clone(&engine), &place.anchor()).unwrap());
    let dry = Arc::new(Dry::default());
    let random: Arc<Dry> = Arc::clone(&dry);
    let store = Store::open(engine, STORE, keys(), &place.anchor(), random).unwrap();
    dry.0.store(true, Ordering::SeqCst);
    let outcome = store.commit(put("a", record(1)), mark(1)).await;
    assert_eq!(outcome, Err(StoreError::Sealing));
    dry.0.store(false, Ordering::SeqCst);
    assert_eq!(store.commit(put("a", record(1)), mark(1)).await, Ok(2));
}

#[tokio::test]
async fn a_commit_that_is_too_large_or_touches_the_state_record_is_refused() {
    let bench = Bench::new();
    let mut batch = Batch::new();
    batch.delete(StoreKey::new(Class::State, &[]));
    let outcome = bench.store.commit(batch, mark(1)).await;
    assert_eq!(outcome, Err(StoreError::Reserved));
    let long = put("long", record_of(1, MAX_RECORD_BYTES));
    let outcome = bench.store.commit(long, mark(1)).await;
    let limit = MAX_RECORD_BYTES;
    assert_eq!(outcome, Err(StoreError::TooLarge { limit }));
    let mut many = Batch::new();
    for n in 0..=MAX_BATCH_CHANGES {
        many.delete(key(&n.to_string()));
    }
    let mut heavy = Batch::new();
    let record = record_of(1, MAX_RECORD_BYTES - 1000);
    for n in 0..=MAX_BATCH_BYTES / record.as_bytes().len() {
        heavy.put(key(&n.to_string()), record.clone());
    }
    for batch in [many, heavy] {
        let outcome = bench.store.commit(batch, mark(1)).await;
        assert!(matches!(outcome, Err(StoreError::BatchTooLarge { .. })));
    }
    assert_eq!((bench.store.generation(), bench.store.records()), (1, 1));
    assert!(bench.store.healthy());
}

#[tokio::test]
async fn the_journal_mark_never_goes_back() {
    let bench = Bench::new();
    bench
        .store
        .commit(put("a", record(1)), mark(9))
        .await
        .unwrap();
    bench
        .store
        .commit(put("b", record(1)), mark(4))
        .await
        .unwrap();
    assert_eq!(bench.store.journal_mark(), mark(9));
}

#[tokio::test]
async fn closing_serves_what_has_queued_and_may_be_repeated() {
    let place = Place::new();
    let store = place.create();
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .commit(put(&format!("k{n}"), record(n)), mark(1))
                    .await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close();
    store.close();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(!store.healthy());
    assert_eq!(
        store.commit(Batch::new(), mark(2)).await,
        Err(StoreError::Closed)
    );
    assert_eq!(store.get(&key("k1")).await, Err(StoreError::Closed));
    drop(store);
    let engine = place.engine().unwrap();
    assert!(read_raw(&*engine, &key("k1")).unwrap().is_some());
    let store = open(engine, &place.anchor()).unwrap();
    assert_eq!(store.records(), 21);
}
