//! Damaged, missing and swapped files at the start, failing disks at run time: each has its own
//! words, changes nothing and loses nothing.

#[path = "../harness/mod.rs"]
mod harness;

mod disk;
mod golden;
mod journal;
mod keys;
mod store;

use std::sync::Arc;

use golden::{check_all, installation, refused, small_segments};
use harness::Broker;

#[test]
fn a_second_broker_on_the_same_data_is_refused() {
    let folder = installation();
    let first = Broker::over(Arc::clone(&folder), small_segments());
    let log = refused(&folder, "second broker");
    assert!(
        log.contains("error: the data directory is in use by another process"),
        "{log}"
    );
    assert!(log.contains("hint: Stop the other broker"), "{log}");
    check_all(&first.operator());
}
