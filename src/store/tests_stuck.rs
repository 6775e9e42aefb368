//! A writer that does not come back from the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::tests_support::{Faulty, Place, create, mark, put, record, shared};
use super::{Batch, Store, StoreError};

const SOON: Duration = Duration::from_secs(5);

struct Stuck {
    engine: Arc<Faulty>,
    _place: Place,
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
        _place: place,
        store,
    };
    (stuck, commit)
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
