//! How much of everything one caller may have at a time, and for how long; and that the others have theirs
//! all the same.

mod harness;
mod lanes;
mod stage;

mod lane_limits {
    mod share;
    mod time;
}

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use harness::memory::resident;
use harness::{Client, Reply, Setup, eventually};
use lanes::origin::Served;
use lanes::set::Set;
use lanes::wire::Wire;
use lanes::{LANES, Lane, Wish, resolve, try_resolve};
use serde_json::{Value, json};
use stage::Stage;

/// Calls of one user at a time.
const RUNNING: usize = 64;
/// Handles of one user.
const HANDLES: usize = 2_000;

const EVENTS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A stream of which the head has come: the caller's end, and the upstream's.
fn stream(set: &Set) -> (Wire, Served) {
    let mut client = set.request("GET", "/run", &[]);
    let mut served = set.origin.next();
    served.write(EVENTS).unwrap();
    client.until("\r\n\r\n");
    (client, served)
}

/// Lets another user use what the admin's tool is for. That makes it another tool, and takes another handle.
fn other(set: &mut Set) -> Client {
    let other = set.stage.broker.member("Ann");
    let secret = json!({"name": "KEY", "value": "the-others-own-value-0123456789"});
    set.stage
        .send(&other, "POST", "/v1/secrets", &secret)
        .expect(201);
    let shown = json!({"visibility": "org"});
    let path = "/v1/tools/custom/custom-x/visibility";
    set.stage
        .send(&set.admin, "PATCH", path, &shown)
        .expect(200);
    set.handle = resolve(&set.stage, &set.admin, "custom-x", &json!({}));
    other
}

#[test]
fn a_user_has_so_many_calls_at_a_time_and_one_more_when_one_has_ended() {
    // One machine may have fewer connections than that unless it is said. Answers that stream take none of
    // the few requests that may be in flight.
    let mut set = Set::on(Stage::with(Setup {
        config: "limits.connections_per_source = 200\nlimits.in_flight = 16".to_owned(),
        ..Setup::default()
    }));
    let other = other(&mut set);
    let theirs = resolve(&set.stage, &other, "custom-x", &json!({}));
    let mut open: Vec<_> = (0..RUNNING).map(|_| stream(&set)).collect();
    let url = format!("http://127.0.0.1:{}/run", set.origin.port());
    for lane in LANES {
        let came = lane.send(&set.stage, &set.admin, &set.handle.text, &Wish::get(&url));
        assert_eq!(
            (came.status, &*came.code),
            (429, "too_many_running"),
            "{came:?}"
        );
    }
    // Another key of the same user's is no way around it.
    let second = set
        .stage
        .broker
        .anonymous()
        .key(&set.stage.operator().make_key(&[]));
    let handle = resolve(&set.stage, &second, "custom-x", &json!({}));
    let came = Lane::Execute.send(&set.stage, &second, &handle.text, &Wish::get(&url));
    assert_eq!(came.code, "too_many_running", "{came:?}");
    assert_eq!(set.origin.accepted(), RUNNING, "nothing was sent");
    // Their colleague has theirs.
    std::thread::scope(|scope| {
        let asked = other.clone();
        let body = json!({"handle": theirs.text, "method": "GET", "url": url});
        let asking = scope.spawn(move || asked.post("/v1/execute", &body));
        let mut served = set.origin.next();
        served.write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        asking.join().unwrap().expect(200);
    });
    // A call that is refused for another reason was let in.
    let elsewhere = Wish::get("http://127.0.0.2/run");
    let refused = || {
        Lane::Egress
            .send(&set.stage, &set.admin, &set.handle.text, &elsewhere)
            .code
    };
    assert_eq!(refused(), "too_many_running");
    drop(open.pop());
    eventually(|| (refused() == "binding_refused").then_some(()));
    drop(open);
    set.stage.finish();
}

#[test]
fn a_user_has_so_many_handles_and_one_more_when_one_is_released() {
    let mut set = Set::new();
    let other = other(&mut set);
    let ask = |client: &Client| {
        let body = json!({"tool": "custom-x", "ttlSeconds": 900, "credentialOverrides": {"apiKey": "KEY"}});
        client.post("/v1/resolve", &body)
    };
    // Two there are already.
    let left = AtomicUsize::new(HANDLES - 2);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (left, client) = (&left, set.admin.clone());
            scope.spawn(move || {
                while left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok()
                {
                    ask(&client).expect(201);
                }
            });
        }
    });
    let full = || -> Reply { try_resolve(&set.stage, &set.admin, "custom-x", &json!({})) };
    let refused = full();
    assert_eq!(refused.refused(429), "too_many_handles");
    assert!(refused.headers.contains_key("retry-after"));
    let entry = set.stage.ended("broker.resolve");
    assert_eq!(entry["outcome"]["code"], "too_many_handles", "{entry}");
    assert_eq!(ask(&other).status, 201, "their colleague has theirs");
    let path = format!("/v1/resolutions/{}", set.handle.id);
    set.stage
        .send(&set.admin, "DELETE", &path, &Value::Null)
        .expect(200);
    eventually(|| (full().status == 201).then_some(()));
    set.stage.finish();
}

#[test]
fn ht_9_an_exchange_that_is_read_whole_ends_in_its_time_and_in_the_time_that_its_caller_has() {
    let hasty = Stage::with(Setup {
        config: "egress.total_seconds = 2".to_owned(),
        ..Setup::default()
    });
    let set = Set::on(hasty);
    let url = format!("http://127.0.0.1:{}/run", set.origin.port());
    for (more, least) in [(json!({}), 2_000), (json!({"timeoutSeconds": 1}), 1_000)] {
        let mut body = json!({"handle": set.handle.text, "method": "GET", "url": url});
        stage::merge(&mut body, &more);
        let (client, began) = (set.admin.clone(), Instant::now());
        let reply = std::thread::scope(|scope| {
            let asking = scope.spawn(move || client.post("/v1/execute", &body));
            let mut served = set.origin.next();
            // It says that it begins, and nothing more.
            served
                .write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab")
                .unwrap();
            let reply = asking.join().unwrap();
            assert!(served.is_left(), "the upstream is let go of");
            reply
        });
        let took = began.elapsed().as_millis();
        assert_eq!(
            reply.value()["error"]["code"],
            "upstream_timeout",
            "{}",
            reply.value()
        );
        // Less than the minute that an upstream may be silent for.
        assert!((least..30_000).contains(&took), "{took} milliseconds");
        let entry = set.stage.ended("broker.exchange");
        assert_eq!(entry["outcome"]["code"], "upstream_timeout", "{entry}");
    }
    set.stage.finish();
}

#[test]
fn many_streams_take_no_more_memory_the_longer_they_flow() {
    const PIECES: usize = 64;
    let set = Set::new();
    let streams: Vec<_> = (0..24).map(|_| stream(&set)).collect();
    let pid = set.stage.broker.pid();
    // Each piece begins and ends with half of the value.
    let (left, right) = set.value.split_at(9);
    let piece = format!("{right}{}{left}", "s".repeat(64 << 10));
    let (early, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let read = move |at: &AtomicUsize| {
        at.fetch_max(usize::try_from(resident(pid)).unwrap(), Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        for (mut client, mut served) in streams {
            let (piece, early, late) = (&piece, &early, &late);
            scope.spawn(move || {
                for turn in 0..PIECES {
                    served.chunk(piece).unwrap();
                    if turn % 8 == 7 {
                        read(if turn < PIECES / 4 { early } else { late });
                    }
                }
                served.write(b"0\r\n\r\n").unwrap();
            });
            scope.spawn(move || {
                let mut held = Vec::new();
                while !held.ends_with(b"0\r\n\r\n") {
                    held.extend(client.some());
                    held.drain(..held.len().saturating_sub(8));
                }
            });
        }
    });
    let (early, late) = (early.into_inner(), late.into_inner());
    assert!(late < early + (16 << 20), "{early} and then {late} bytes");
    // All of it was searched.
    eventually(|| {
        let ended = set.stage.journal("broker.exchange");
        let searched = |entry: &Value| entry["outcome"]["scrub_hits"] == PIECES - 1;
        ended.iter().all(searched).then_some(())
    });
    set.stage.finish();
}
