//! Damaged files make an engine panic: the panic ends here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::StoreError;
use super::error::Doing;

/// What a panic inside an engine says.
pub(super) const BROKEN: StoreError = StoreError::Damaged {
    what: "the database engine cannot read its files",
};

/// Runs `work` so that a panic inside an engine becomes an error.
pub(super) fn guarded<R>(work: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(BROKEN))
}

/// The same, on a thread of its own.
pub(super) fn aside<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, StoreError> + Send + 'static,
) -> Result<R, StoreError> {
    let opening = thread::Builder::new()
        .name("store-open".into())
        .spawn(move || guarded(work))
        .doing("opening the database")?;
    opening.join().unwrap_or(Err(BROKEN))
}
