//! What ends by itself ends the streams that it opened (reference: HS-2).

use std::time::Instant;

use runtools_broker::clock::{Clock as _, SystemClock};
use serde_json::json;

use crate::lanes::origin::{EVENTS, Served};
use crate::lanes::resolve;
use crate::lanes::set::Set;
use crate::lanes::wire::Wire;

/// An open stream of which one event has come: the caller's end, and the upstream's.
fn open(set: &Set) -> (Wire, Served) {
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    served.write(EVENTS).unwrap();
    served.chunk("data: one\n\n").unwrap();
    client.until("data: one\n\n");
    (client, served)
}

#[test]
fn hs_2_an_open_stream_is_cut_when_the_time_of_its_secret_is_over() {
    let mut set = Set::new();
    // A secret that lives long enough for this machine to open a stream with it, however busy it is.
    let began = Instant::now();
    drop(open(&set));
    let life = 2_000 + 10 * i64::try_from(began.elapsed().as_millis()).unwrap();
    let end = SystemClock.now().plus_millis(life);
    let more = json!({"expires": end.to_string()});
    let value = set.stage.secret(&set.admin, "SHORT", &more);
    let wish = json!({"credentialOverrides": {"apiKey": "SHORT"}});
    set.handle = resolve(&set.stage, &set.admin, "custom-x", &wish);
    let (mut client, mut served) = open(&set);
    assert!(served.head.contains(&value), "{}", served.head);
    client.end();
    let late = SystemClock.now().millis_since(end);
    // Every handle is looked at each ten seconds all the same: that would be later.
    assert!(late < 5_000, "{late} milliseconds after the end");
    assert!(served.is_left(), "the upstream is let go of");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "handle_dead", "{entry}");
    set.stage.finish();
}
