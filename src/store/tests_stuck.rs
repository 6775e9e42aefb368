//! A writer that does not come back from the disk.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::tests_support::{Faulty, Place, create, key, mark, open, put, record, shared};
use super::writer::Order;
use super::{Batch, Store, StoreError};

const SOON: Duration = Duration::from_secs(5);

struct Stuck {
    engine: Arc<Faulty>,
    place: Place,
    store: Store,
}

/// A store whose writer is in the middle of a commit, and will stay there.
async fn stuck() -> (Stuck, tokio::task::JoinHandle<Result<u64, StoreError>>) {
    let (engine, place) = (Arc::new(Faulty::default()), Place::new());
    let store = create(shared(&engine), &place.anchor()).unwrap();
    engine.hold();
    let (waiting, batch) = (store.clone(), put("a", record(1)));
    let commit = tokio::spawn(async move { waiting.commit(batch, mark(1)).await });
    while !engine.is_waiting() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let stuck = Stuck {
        engine,
        place,
        store,
    };
    (stuck, commit)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_given_up_has_everybody_answered_and_the_store_fail_for_good() {
    let (stuck, first) = stuck().await;
    let behind = stuck.store.clone();
    let behind = tokio::spawn(async move { behind.commit(put("b", record(2)), mark(2)).await });
    let long = stuck.store.submit(put("c", record(3)), mark(3)).unwrap();
    let pausing = stuck.store.clone();
    let pause = tokio::task::spawn_blocking(move || {
        let (answer, outcome) = std::sync::mpsc::sync_channel(1);
        let work = Box::new(move |_: &_| answer.send(Ok(())).unwrap_or_default());
        pausing.send(Order::Pause(work))?;
        pausing.shared().hear(&outcome)
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    stuck.store.shared().give_up();
    let told = StoreError::Io {
        doing: "writing to the disk",
        kind: ErrorKind::TimedOut,
    };
    let first = timeout(SOON, first).await.unwrap();
    assert_eq!(first.unwrap(), Err(told.clone()));
    // One that begins as it is given up may hear that it has failed.
    let behind = timeout(SOON, behind).await.unwrap().unwrap();
    assert!(behind == Err(told.clone()) || behind == Err(StoreError::Failed));
    assert_eq!(timeout(SOON, long.done()).await.unwrap(), Err(told));
    let paused = timeout(SOON, pause).await.unwrap().unwrap();
    assert_eq!(paused, Err(StoreError::Failed));
    // The disk comes back: what it took is there, and nothing is served but by a store that is opened again.
    stuck.engine.free();
    stuck.store.close();
    assert_eq!(stuck.store.get(&key("a")).await, Err(StoreError::Failed));
    let again = open(shared(&stuck.engine), &stuck.place.anchor()).unwrap();
    assert!(again.get(&key("a")).await.unwrap().is_some());
    assert_eq!(again.get(&key("b")).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_store_is_being_closed_only_those_wait_who_close_it() {
    let (stuck, first) = stuck().await;
    let closing = [(); 2].map(|()| {
        let store = stuck.store.clone();
        std::thread::spawn(move || store.close())
    });
    let refused = timeout(SOON, async {
        loop {
            let probe = stuck.store.submit(Batch::new(), mark(1));
            match probe {
                Err(error) => return error,
                Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    });
    assert_eq!(refused.await.unwrap(), StoreError::Closed);
    assert!(closing.iter().all(|thread| !thread.is_finished()));
    stuck.engine.free();
    for thread in closing {
        thread.join().unwrap();
    }
    assert_eq!(first.await.unwrap(), Ok(2));
}
