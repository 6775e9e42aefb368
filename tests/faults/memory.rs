//! No memory to be had any more.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::harness::{Broker, Setup, eventually};
use crate::{Kept, value_of};

/// SIGABRT: what an allocation that fails ends with.
const ABORT: i32 = 6;

/// The address space that a process has, in bytes.
fn size_of(broker: &Broker) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", broker.pid())).unwrap();
    let pages: u64 = text.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_broker_that_gets_no_memory_any_more_ends_at_once_and_has_lost_nothing() {
    // What is not given to one of its threads is not kept for others.
    let wrapper = ["env", "RUNTOOLS_AFRESH=1", "MALLOC_ARENA_MAX=1"];
    let mut broker = Broker::with(Setup {
        wrapper: wrapper.map(str::to_owned).to_vec(),
        ..Setup::default()
    });
    let kept = Mutex::new(Kept::default());
    kept.lock()
        .unwrap()
        .set(&broker.operator(), "BEFORE")
        .expect(201);
    let limit = Rlimit {
        current: Some(size_of(&broker) + (4 << 20)),
        maximum: None,
    };
    let pid = Pid::from_raw(broker.pid().try_into().unwrap());
    prlimit(pid, Resource::As, limit).expect("prlimit takes root");
    let end = Instant::now() + Duration::from_mins(1);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (broker, kept) = (&broker, &kept);
            scope.spawn(move || {
                for n in 0.. {
                    // Long enough that some hundred of them do not fit, and told apart by their names.
                    let name = format!("W{writer}_{n}");
                    let body = json!({"name": name, "value": value_of(&name), "orgWide": true,
                        "description": "d".repeat(400), "hosts": vec!["a.example.com"; 30]});
                    let body = body.to_string();
                    let sent = Some(("application/json", body.as_bytes()));
                    let reply = broker.operator().try_send("POST", "/v1/secrets", sent);
                    let mut kept = kept.lock().unwrap();
                    match reply {
                        Ok(reply) if reply.status == 201 => kept.acknowledged.insert(name),
                        _ => kept.doubtful.insert(name),
                    };
                    if is_over(broker) || Instant::now() > end {
                        break;
                    }
                }
            });
        }
    });
    let signal = eventually(|| broker.died_of());
    assert_eq!(signal, ABORT, "it had enough");
    broker.restart();
    kept.into_inner().unwrap().check(&broker.operator());
}

fn is_over(broker: &Broker) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", broker.pid()));
    state.map_or(true, |text| text.contains(") Z "))
}
