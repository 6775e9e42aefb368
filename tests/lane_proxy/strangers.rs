//! Connections that show no handle: they keep nobody out who has one, and are not kept.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::tunnel::{knock, open};
use crate::{MASK, Set};

/// A request that shows nothing, and is answered.
const CHATTER: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn strangers_keep_nobody_out_who_has_a_handle() {
    let set = Set::new();
    let mut first = knock(&set.handle, CHATTER.as_bytes());
    first.until("}}");
    let strangers: Vec<_> = (0..300)
        .map(|number| {
            let says = if number % 3 == 0 { CHATTER } else { "" };
            knock(&set.handle, says.as_bytes())
        })
        .collect();
    // Who came before them had to leave.
    first.end();
    let tunnel = open(&set.handle, set.origin.port());
    drop((tunnel, strangers));
    set.stage.finish();
}

#[test]
fn who_talks_and_shows_no_handle_is_not_kept_for_ever() {
    let set = Set::new();
    let mut tunnel = open(&set.handle, set.origin.port());
    let mut spoken = knock(&set.handle, b"");
    let (began, mut piece) = (Instant::now(), [0; 4096]);
    let over = loop {
        let asked = spoken.stream.write_all(CHATTER.as_bytes());
        let answered = asked.and_then(|()| spoken.stream.read(&mut piece));
        if !answered.is_ok_and(|read| read > 0) {
            break began.elapsed();
        }
        let so_far = began.elapsed();
        assert!(so_far < Duration::from_mins(2), "{so_far:?}");
        std::thread::sleep(Duration::from_secs(2));
    };
    // Far longer than one may be silent.
    assert!(over > Duration::from_secs(20), "{over:?}");
    // Who has shown one has that time behind them.
    tunnel.get(&set.handle, set.origin.port(), "/run");
    tunnel.until(MASK);
    set.stage.finish();
}
