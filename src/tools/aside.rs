//! Work that may take a while, beside the threads on which everybody waits.

use std::future::pending;
use std::panic::resume_unwind;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// So many at a time. Whoever looks up a name needs one of the same threads, of which there are not many.
static TURNS: Semaphore = Semaphore::const_new(16);

/// Does `work` on a thread of its own. What a member's schema makes of compiling or validating it must not
/// keep others waiting.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // It is never closed; were it, the work would only be done at once.
    let turn = TURNS.acquire().await.ok();
    let work = move || {
        let _turn = turn;
        work()
    };
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is going: nobody is there to go on.
            Err(_) => pending().await,
        },
    }
}
