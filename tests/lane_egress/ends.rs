//! What ends by itself ends the streams that it opened (reference: HS-2).

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use runtools_broker::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::lanes::cut::{after_the_change, in_a_second};
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

/// Opens a stream to a caller who reads nothing of it and may still be sending, does `end` to it, and waits until
/// the upstream is let go of.
fn stalled(set: &Set, sends: bool, end: impl Fn(&Set)) {
    let length = sends.then(|| "Content-Length: 1073741824".to_owned());
    let lines: Vec<String> = length.into_iter().collect();
    let mut client = set.open("POST", &lines);
    if sends {
        // More than is held back until the request is decided on.
        client.write(&vec![b'x'; 2 << 20]).unwrap();
    }
    let (mut origin, _) = set.origin.next().into_parts();
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    origin.write_all(head).unwrap();
    // Until all that is on the way is full.
    let patience = Some(Duration::from_millis(500));
    origin.set_write_timeout(patience).unwrap();
    let piece = vec![b'x'; 1 << 20];
    while origin.write_all(&piece).is_ok() {}
    end(set);
    origin
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (mut piece, began) = (vec![0; 1 << 16], Instant::now());
    loop {
        match origin.read(&mut piece) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                break;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on");
    }
    drop(client);
}

#[test]
fn hs_2_a_stream_is_cut_though_its_caller_reads_nothing() {
    for sends in [false, true] {
        in_a_second("released", || {
            let set = Set::new();
            stalled(&set, sends, |set| {
                let path = format!("/v1/resolutions/{}", set.handle.id);
                let released = set.stage.send(&set.admin, "DELETE", &path, &Value::Null);
                released.expect(200);
            });
            let entry = set.stage.ended("broker.exchange");
            assert_eq!(entry["outcome"]["code"], "handle_dead", "{entry}");
            let took = after_the_change(&set.stage, &entry);
            set.stage.finish();
            took
        });
    }
}

#[test]
fn a_stream_whose_caller_reads_nothing_is_cut_when_the_vault_is_sealed() {
    let set = Set::new();
    stalled(&set, true, |set| {
        let sealed = set.stage.operator().post("/v1/operator/seal", &json!({}));
        assert_eq!(sealed.status, 200);
    });
}
