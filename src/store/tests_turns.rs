//! One group is gathered while another is on its way to the disk.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::tests_support::{
    Dry, Fault, Faulty, Place, STORE, create, key, keys, mark, open, put, record, shared,
};
use super::writer::Order;
use super::{Batch, Expect, Store, StoreError};
use crate::crypto::{Record, sha256};

type Answer = JoinHandle<Result<u64, StoreError>>;

struct Held {
    engine: Arc<Faulty>,
    place: Place,
    store: Store,
    first: Answer,
}

fn commit(store: &Store, batch: Batch) -> Answer {
    let store = store.clone();
    tokio::spawn(async move { store.commit(batch, mark(1)).await })
}

impl Held {
    /// A store one of whose groups, which is `batch`, is on its way to the disk.
    async fn on(engine: Arc<Faulty>, place: Place, store: Store, batch: Batch) -> Self {
        engine.hold();
        let first = commit(&store, batch);
        while !engine.is_waiting() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Self {
            engine,
            place,
            store,
            first,
        }
    }

    async fn with(batch: Batch) -> Self {
        let (engine, place) = (Arc::new(Faulty::default()), Place::new());
        let store = create(shared(&engine), &place.anchor()).unwrap();
        Self::on(engine, place, store, batch).await
    }

    /// Lets the writer's other thread come round.
    async fn rest(&self) {
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(self.engine.is_waiting());
    }

    /// Opening counts and digests everything anew.
    fn reopened(self) -> Store {
        self.store.close();
        open(shared(&self.engine), &self.place.anchor()).unwrap()
    }
}

fn digest(record: &Record) -> Expect {
    Expect::Exactly(sha256(record.as_bytes()))
}

/// `batch`, if what stands under `name` is as expected.
fn given(name: &str, expect: Expect, mut batch: Batch) -> Batch {
    batch.expect(key(name), expect);
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_a_group_is_on_its_way_is_the_next_group() {
    let held = Held::with(put("a", record(1))).await;
    let later = (0..40).map(|n| commit(&held.store, put(&format!("b{n}"), record(2))));
    let later: Vec<_> = later.collect();
    held.rest().await;
    assert!(later.iter().all(|answer| !answer.is_finished()));
    held.engine.free();
    for answer in later {
        assert_eq!(answer.await.unwrap(), Ok(3));
    }
    assert_eq!(held.store.records(), 42);
    assert_eq!(held.reopened().records(), 42);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_is_what_the_next_commits_find() {
    let (one, two) = (record(1), record(2));
    let held = Held::with(put("a", one.clone())).await;
    let after = commit(&held.store, given("a", digest(&one), put("a", two.clone())));
    held.rest().await;
    let late = commit(&held.store, given("a", digest(&one), put("a", record(3))));
    let absent = commit(&held.store, given("a", Expect::Absent, put("b", record(3))));
    held.rest().await;
    // They stand in the way of these, and can be read by nobody yet.
    assert!(!late.is_finished() && !absent.is_finished());
    held.engine.free();
    assert_eq!(after.await.unwrap(), Ok(3));
    assert_eq!(late.await.unwrap(), Err(StoreError::Precondition));
    assert_eq!(absent.await.unwrap(), Err(StoreError::Precondition));
    let again = held.reopened();
    assert_eq!(again.get(&key("a")).await, Ok(Some(two)));
    assert_eq!(again.get(&key("b")).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_on_its_way_is_not_there_for_the_next() {
    let (engine, place) = (Arc::new(Faulty::default()), Place::new());
    let store = create(shared(&engine), &place.anchor()).unwrap();
    store.commit(put("a", record(1)), mark(1)).await.unwrap();
    let mut removal = Batch::new();
    removal.delete(key("a"));
    let held = Held::on(engine, place, store, removal).await;
    let anew = commit(&held.store, given("a", Expect::Absent, put("a", record(2))));
    held.rest().await;
    held.engine.free();
    assert!(anew.await.unwrap().is_ok());
    assert_eq!(held.reopened().records(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_upon_a_group_that_failed() {
    for fault in [
        Fault::Before(StoreError::Full),
        Fault::After(StoreError::Full),
    ] {
        let held = Held::with(put("a", record(1))).await;
        let upon = commit(
            &held.store,
            given("a", Expect::Present, put("b", record(2))),
        );
        let refused = commit(&held.store, given("a", Expect::Absent, put("c", record(3))));
        held.rest().await;
        *held.engine.fault.lock().unwrap() = Some(fault);
        held.engine.free();
        assert_eq!(upon.await.unwrap(), Err(StoreError::Failed));
        assert_eq!(refused.await.unwrap(), Err(StoreError::Failed));
        let first = held.first;
        assert_eq!(first.await.unwrap(), Err(StoreError::Full));
        held.store.close();
        let again = open(shared(&held.engine), &held.place.anchor()).unwrap();
        assert_eq!(again.get(&key("b")).await, Ok(None));
        assert_eq!(again.get(&key("c")).await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_cannot_be_sealed_leaves_nothing_behind_for_the_next() {
    let (engine, place) = (Arc::new(Faulty::default()), Place::new());
    let (dry, mut first) = (Arc::new(Dry::default()), Batch::new());
    first.put(key("first"), record(1));
    let store = Store::create(
        shared(&engine),
        STORE,
        keys(),
        place.anchor().as_path(),
        Arc::<Dry>::clone(&dry),
        first,
    );
    let held = Held::on(engine, place, store.unwrap(), put("a", record(1))).await;
    let unsealed = commit(&held.store, put("b", record(2)));
    held.rest().await;
    dry.0.store(true, Ordering::SeqCst);
    held.engine.free();
    assert_eq!(unsealed.await.unwrap(), Err(StoreError::Sealing));
    dry.0.store(false, Ordering::SeqCst);
    let next = given("b", Expect::Absent, put("c", record(3)));
    let next = given("a", Expect::Present, next);
    assert_eq!(held.store.commit(next, mark(1)).await, Ok(3));
    assert_eq!(held.reopened().records(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rewrapped_on_its_way_stands_for_what_was_read_before() {
    let (engine, place) = (Arc::new(Faulty::default()), Place::new());
    let store = create(shared(&engine), &place.anchor()).unwrap();
    let [read, once, twice] = [1, 2, 3].map(record);
    store.commit(put("a", read.clone()), mark(1)).await.unwrap();
    let rewrap = |was: &Record, new: &Record| {
        let mut batch = Batch::new();
        batch.rewrap(key("a"), was.clone(), new.clone());
        batch
    };
    let held = Held::on(engine, place, store, rewrap(&read, &once)).await;
    let again = commit(&held.store, rewrap(&once, &twice));
    held.rest().await;
    let last = record(4);
    let change = commit(
        &held.store,
        given("a", digest(&read), put("a", last.clone())),
    );
    held.rest().await;
    held.engine.free();
    assert_eq!(again.await.unwrap(), Ok(4));
    assert_eq!(change.await.unwrap(), Ok(4));
    assert_eq!(held.reopened().get(&key("a")).await, Ok(Some(last)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_between_two_groups_waits_for_the_one_before() {
    let held = Held::with(put("a", record(1))).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let work = Order::Pause(Box::new(move |state| tell.send(state.generation).unwrap()));
    held.store.send(work).unwrap();
    let after = commit(&held.store, put("b", record(2)));
    held.rest().await;
    let mut told = Box::pin(told);
    let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut told).poll(cx).is_pending()));
    assert!(now.await);
    held.engine.free();
    assert_eq!(told.await, Ok(2));
    assert_eq!(after.await.unwrap(), Ok(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_changed_on_its_way_is_not_what_it_was_rewrapped_from_before() {
    let (engine, place) = (Arc::new(Faulty::default()), Place::new());
    let store = create(shared(&engine), &place.anchor()).unwrap();
    let [read, once, theirs, twice] = [1, 2, 3, 4].map(record);
    let rewrap = |was: &Record, new: &Record| {
        let mut batch = Batch::new();
        batch.rewrap(key("a"), was.clone(), new.clone());
        batch
    };
    store.commit(put("a", read.clone()), mark(1)).await.unwrap();
    store.commit(rewrap(&read, &once), mark(1)).await.unwrap();
    let held = Held::on(engine, place, store, put("a", theirs.clone())).await;
    let again = commit(&held.store, rewrap(&theirs, &twice));
    held.rest().await;
    let late = commit(&held.store, given("a", digest(&read), put("a", record(5))));
    held.rest().await;
    held.engine.free();
    assert!(again.await.unwrap().is_ok());
    assert_eq!(late.await.unwrap(), Err(StoreError::Precondition));
    // Nor is it afterwards; what they wrote is.
    let late = given("a", digest(&read), put("a", record(5)));
    let late = held.store.commit(late, mark(1)).await;
    assert_eq!(late, Err(StoreError::Precondition));
    let change = given("a", digest(&theirs), put("a", record(6)));
    assert!(held.store.commit(change, mark(1)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_breaks_leaves_nobody_waiting() {
    let held = Held::with(put("a", record(1))).await;
    let store = held.store.clone();
    // Both of them: one in what it does between two groups, the other in the next of these.
    let breaks = || Order::Pause(Box::new(|_| assert_eq!(1, 2, "as it is to break")));
    store.send(breaks()).unwrap();
    store.send(breaks()).unwrap();
    let behind = commit(&store, put("b", record(2)));
    let long = store.submit(put("c", record(3)), mark(1)).unwrap();
    held.rest().await;
    held.engine.free();
    assert_eq!(held.first.await.unwrap(), Ok(2));
    let soon = Duration::from_secs(5);
    let behind = tokio::time::timeout(soon, behind).await.unwrap();
    assert_eq!(behind.unwrap(), Err(StoreError::Failed));
    let long = tokio::time::timeout(soon, long.done()).await.unwrap();
    assert_eq!(long, Err(StoreError::Failed));
    assert!(!store.healthy());
}
