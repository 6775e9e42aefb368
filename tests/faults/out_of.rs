//! No file to be had any more.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::harness::Broker;
use crate::{Kept, recovers};

fn limit(broker: &Broker, files: Option<u64>) {
    let pid = Pid::from_raw(broker.pid().try_into().unwrap());
    let limit = Rlimit {
        current: files,
        maximum: Some(most(broker)),
    };
    let old = prlimit(pid, Resource::Nofile, limit);
    old.expect("prlimit takes root");
}

/// What it may have at most: none of the two limits can be raised beyond that everywhere.
fn most(broker: &Broker) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", broker.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    line.unwrap()
        .split_whitespace()
        .nth(4)
        .unwrap()
        .parse()
        .unwrap()
}

/// What somebody who comes now is told within `patience`.
fn answer(broker: &Broker, patience: Duration) -> String {
    let host = broker.origin().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let asked = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut told = Vec::new();
    drop(
        stream
            .write_all(asked.as_bytes())
            .and_then(|()| stream.read_to_end(&mut told)),
    );
    String::from_utf8(told).unwrap()
}

#[test]
fn a_broker_that_may_open_no_file_any_more_keeps_what_it_has_and_recovers() {
    let mut broker = Broker::start();
    let mut kept = Kept::default();
    // One connection that was there before.
    let operator = broker.operator();
    kept.set(&operator, "BEFORE").expect(201);
    assert!(answer(&broker, Duration::from_secs(5)).contains(" 200 "));
    // What is open stays open; a number below this is taken.
    limit(&broker, Some(3));
    // Nobody comes in, and nobody is told lies: what is there waits, or is closed.
    let late: Vec<_> = (0..4)
        .map(|_| answer(&broker, Duration::from_millis(300)))
        .collect();
    assert!(
        late.iter().all(|answer| !answer.contains(" 200 ")),
        "{late:?}"
    );
    limit(&broker, Some(most(&broker).min(4096)));
    recovers(&mut broker);
    kept.set(&broker.operator(), "AFTER").expect(201);
    kept.check(&broker.operator());
    assert!(answer(&broker, Duration::from_secs(5)).contains(" 200 "));
    assert!(
        !broker.log_text().contains("panicked"),
        "{}",
        broker.log_text()
    );
}
