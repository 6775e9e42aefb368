//! Acknowledged is durable: the system calls of a broker under load, as strace saw them.
//!
//! strace must be installed (`apt-get install -y strace`); without it these tests fail.
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use harness::{Broker, Client, Setup};
use serde_json::json;

const WRITERS: usize = 8;
const WRITES: usize = 12;

/// What one line of the trace says.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// A durable sync of this file ended.
    Synced(String),
    /// An answer with this request's id began to be written to a client.
    Answered(String),
}

fn is_segment(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "log")
}

/// Reads `strace -f -y -ttt` output: whole calls, and calls that were interrupted by another's.
fn calls(trace: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((_, call)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        if let Some(found) = answer(call) {
            calls.push(Call::Answered(found));
            continue;
        }
        let sync = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        let whole = if call.ends_with("<unfinished ...>") {
            if sync {
                begun.insert(pid, call);
            }
            continue;
        } else if call.starts_with("<... fdatasync resumed>")
            || call.starts_with("<... fsync resumed>")
        {
            assert!(call.ends_with("= 0"), "{line}");
            begun.remove(pid)
        } else if sync {
            assert!(call.ends_with("= 0"), "{line}");
            Some(call)
        } else {
            None
        };
        let path = whole.and_then(|call| call.split_once('<')?.1.split_once('>'));
        calls.extend(path.map(|(path, _)| Call::Synced(path.to_owned())));
    }
    calls
}

/// The request that a write to a client answers with success.
fn answer(call: &str) -> Option<String> {
    let written = ["write(", "writev(", "sendto(", "sendmsg("];
    let to_client = written.iter().any(|name| call.starts_with(name));
    if !to_client || !call.contains("HTTP/1.1 20") {
        return None;
    }
    let (_, id) = call.split_once("x-request-id: req_")?;
    Some(id.get(..36)?.to_owned())
}

/// The engines, and the file that each has to sync.
const ENGINES: [(&str, &str); 2] = [("sled", "store/sled/db"), ("redb", "store/redb-1/db")];

fn traced(engine: &str, trace: &Path) -> Setup {
    let found = Command::new("strace").arg("-V").output();
    assert!(
        found.is_ok(),
        "strace is not installed: apt-get install -y strace"
    );
    let words = [
        "strace",
        "-f",
        "-y",
        "-ttt",
        "-s",
        "4096",
        "-e",
        "trace=fdatasync,fsync,write,writev,sendto,sendmsg",
        "-o",
    ];
    let mut wrapper: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    wrapper.push(trace.display().to_string());
    Setup {
        config: format!("[store]\nengine = \"{engine}\""),
        wrapper,
        ..Setup::default()
    }
}

/// The requests that were acknowledged to `WRITERS` clients at once.
fn write_all(operator: &Client) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let one = |n: usize| {
                        let name = format!("DURABLE_{writer}_{n}");
                        let body = json!({"name": name, "value": "a value to keep"});
                        let reply = operator.post("/v1/secrets", &body);
                        reply.expect(201);
                        let id = reply.headers["x-request-id"].to_str().unwrap();
                        id.strip_prefix("req_").unwrap().to_owned()
                    };
                    (0..WRITES).map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        for writer in writers {
            acknowledged.extend(writer.join().unwrap());
        }
    });
    acknowledged
}

/// The generation of the store that the newest record of the journal carries.
fn generation(operator: &Client) -> u64 {
    let page = operator.get("/v1/audit?limit=1").expect(200);
    page["data"][0]["store_generation"].as_u64().unwrap()
}

fn sequence(operator: &Client) -> u64 {
    let head = operator.get("/v1/audit/head").expect(200);
    head["data"]["seq"].as_u64().unwrap()
}

fn touch(operator: &Client, name: &str) {
    operator
        .post("/v1/secrets", &json!({"name": name, "value": "touched"}))
        .expect(201);
    // Recorded after the commit above, so it carries that commit's generation.
    operator
        .post(&format!("/v1/secrets/{name}/reveal"), &json!({}))
        .expect(200);
}

#[test]
fn every_acknowledged_write_was_synced_in_store_and_journal_before_its_answer() {
    for (engine, file) in ENGINES {
        every_write_was_synced(engine, file);
    }
}

fn every_write_was_synced(engine: &str, file: &str) {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let trace = folder.path().join("trace");
    let mut broker = Broker::over(folder, traced(engine, &trace));
    let operator = broker.operator();
    touch(&operator, "BEFORE");
    let (first, first_seq) = (generation(&operator), sequence(&operator));
    let acknowledged = write_all(&operator);
    assert_eq!(acknowledged.len(), WRITERS * WRITES);
    touch(&operator, "AFTER");
    let (last, last_seq) = (generation(&operator), sequence(&operator));
    // strace ends with its child, and its output is whole then.
    let child = child_of(broker.pid());
    assert!(
        Command::new("kill")
            .args(["-TERM", &child])
            .status()
            .unwrap()
            .success()
    );
    broker.wait(std::time::Duration::from_secs(30));

    let calls = calls(&std::fs::read_to_string(&trace).unwrap());
    let store = broker.data().join(file).display().to_string();
    let audit = broker.data().join("audit/").display().to_string();
    let is_store = |call: &Call| matches!(call, Call::Synced(path) if *path == store);
    let is_audit = |call: &Call| matches!(call, Call::Synced(path) if path.starts_with(&audit) && is_segment(path));

    let answers: Vec<usize> = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| matches!(call, Call::Answered(id) if acknowledged.contains(id)))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(
        answers.len(),
        acknowledged.len(),
        "each answer was seen in the trace"
    );
    let (from, to) = (answers[0], answers[answers.len() - 1]);
    let synced = |which: &dyn Fn(&Call) -> bool, range: &[Call]| {
        range.iter().filter(|call| which(call)).count()
    };

    // Each writer waits for its answer before it sends again: between two of its answers lies a sync
    // of the journal and then one of the store, or its second write was not made durable.
    let mut before_each = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        if let Call::Answered(id) = call {
            before_each.insert(id.as_str(), at);
        }
    }
    for id in &acknowledged {
        let at = before_each[id.as_str()];
        let before = &calls[..at];
        let commit = before
            .iter()
            .rposition(is_store)
            .expect("no sync of the store before an answer");
        assert!(
            before[..commit].iter().any(is_audit),
            "no sync of the journal before the commit"
        );
    }
    // Groups are counted by the store itself: none was acknowledged without a sync of its own.
    let window = &calls[..=to];
    let groups = usize::try_from(last - first).unwrap();
    let stores = synced(&is_store, &calls);
    assert!(
        stores >= groups,
        "{stores} syncs of the store for {groups} groups"
    );
    assert!(
        groups >= WRITES,
        "{groups} groups are fewer than one writer's {WRITES} writes in a row"
    );
    assert!(
        groups <= WRITERS * WRITES + 2,
        "{groups} groups are more than writes"
    );
    let journals = synced(&is_audit, window);
    assert!(journals >= WRITES, "{journals} syncs of the journal");
    assert!(last_seq - first_seq >= u64::try_from(acknowledged.len()).unwrap());
    println!(
        "{engine}, {} writes by {WRITERS}: {groups} groups, {} syncs of the store and {} of the journal between the first and last answer",
        acknowledged.len(),
        synced(&is_store, &calls[from..=to]),
        synced(&is_audit, &calls[from..=to]),
    );
}

#[test]
fn a_single_writer_pays_one_sync_of_each_for_each_write() {
    for (engine, file) in ENGINES {
        one_sync_of_each(engine, file);
    }
}

fn one_sync_of_each(engine: &str, file: &str) {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let trace = folder.path().join("trace");
    let mut broker = Broker::over(folder, traced(engine, &trace));
    let operator = broker.operator();
    let mut ids = Vec::new();
    for n in 0..10 {
        let body = json!({"name": format!("ALONE_{n}"), "value": "a value to keep"});
        let reply = operator.post("/v1/secrets", &body);
        reply.expect(201);
        let id = reply.headers["x-request-id"].to_str().unwrap();
        ids.push(id.strip_prefix("req_").unwrap().to_owned());
    }
    let child = child_of(broker.pid());
    assert!(
        Command::new("kill")
            .args(["-TERM", &child])
            .status()
            .unwrap()
            .success()
    );
    broker.wait(std::time::Duration::from_secs(30));
    let calls = calls(&std::fs::read_to_string(&trace).unwrap());
    let store = broker.data().join(file).display().to_string();
    let at = |id: &String| {
        let found = calls
            .iter()
            .position(|call| *call == Call::Answered(id.clone()));
        found.expect("the answer is not in the trace")
    };
    for pair in ids.windows(2) {
        let between = &calls[at(&pair[0])..at(&pair[1])];
        let order: Vec<_> = between
            .iter()
            .filter_map(|call| match call {
                Call::Synced(path) if *path == store => Some("store"),
                Call::Synced(path) if is_segment(path) => Some("journal"),
                _ => None,
            })
            .collect();
        // The outcome of the write before may be synced at any time in between.
        let commit = order
            .iter()
            .rposition(|file| *file == "store")
            .expect("no sync of the store");
        assert!(order[..commit].contains(&"journal"), "{order:?}");
    }
}

fn child_of(pid: u32) -> String {
    let children = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(children).unwrap();
    children.split_whitespace().next().unwrap().to_owned()
}
