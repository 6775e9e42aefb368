//! Running an action: what the broker adds to a direct call to the same upstream.

use std::sync::Arc;
use std::time::Duration;

use crate::Effort;
use crate::handles::handle;
use crate::load::{self, Maker, Outcome};
use crate::report::Report;
use crate::requests::report_rate;
use crate::servers::{Broker, Server};

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str =
        "Running an action on a local cleartext upstream, against calling the upstream directly";
    const HEAD: [&str; 8] = [
        "what",
        "clients",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "CPU µs",
        "added p50 µs",
        "bar",
    ];
    let upstream = Server::hello(300);
    let broker = Broker::start();
    let port = upstream.addr.port();
    let secret = r#"{"name":"CRM_KEY","value":"sk_live_0123456789abcdefghij"}"#;
    broker.operator("POST", "/v1/secrets", secret);
    let tool = format!(
        r#"{{"slug":"bench-crm","name":"B",
        "credentialsJson":{{"required":["apiKey"],"schema":{{"apiKey":{{"type":"string","description":"k"}}}}}},
        "bindings":[{{"scheme":"http","hosts":["127.0.0.1"],"port":{port},"private":["127.0.0.1/32"],
        "methods":["GET"],"paths":["/hello"],
        "slots":{{"apiKey":[{{"header":"authorization","format":"Bearer {{apiKey}}"}}]}}}}],
        "actionsJson":{{"x":{{"description":"x","parameters":{{"type":"object","properties":{{}}}},
        "http":{{"method":"GET","url":"http://127.0.0.1:{port}/hello"}}}}}}}}"#
    );
    broker.operator("POST", "/v1/tools/custom", &tool);
    broker.operator("POST", "/v1/tools/bench-crm/install", "");
    let key = Some(broker.key.as_str());
    let body = r#"{"action":"x","params":{},"credentialOverrides":{"apiKey":"CRM_KEY"}}"#;
    let execute = load::same("POST", "/v1/tools/bench-crm/execute", key, body);
    let direct = load::same("GET", "/hello", None, "");
    let reveal = load::same("POST", "/v1/secrets/CRM_KEY/reveal", key, "");
    let livez = load::same("GET", "/livez", None, "");

    let ours = (broker.addr(), broker.server.pid());
    let there = (upstream.addr, upstream.pid());
    let go = |clients, (addr, pid), make: &Maker, time: Duration| {
        load::run(addr, pid, clients, time, make)
    };
    let mut say = |what: &str, clients: usize, run: &Outcome, added: Option<f64>, bar: String| {
        let row = [
            what.to_owned(),
            clients.to_string(),
            report_rate(run.rate),
            format!("{:.0}", run.p50),
            format!("{:.0}", run.p99),
            format!("{:.1}", run.cpu),
            added.map_or_else(String::new, |added| format!("{added:.0}")),
            bar,
        ];
        report.row(TITLE, &HEAD, &row);
    };
    let floor = go(1, there, &direct, effort.time);
    say("direct", 1, &floor, None, String::new());
    let relay = Server::relay(upstream.addr);
    let relayed = load::same("POST", "/relay", key, body);
    let two = (relay.addr, relay.pid());
    let legs = go(1, two, &relayed, effort.time);
    let second = legs.p50 - floor.p50;
    say("a bare relay", 1, &legs, Some(second), String::new());
    let bare = go(1, ours, &livez, effort.time);
    say(
        "the broker's own leg (livez)",
        1,
        &bare,
        None,
        String::new(),
    );
    let commit = go(1, ours, &reveal, effort.time);
    say(
        "one durable record (reveal)",
        1,
        &commit,
        Some(commit.p50 - bare.p50),
        String::new(),
    );
    let run = go(1, ours, &execute, effort.time);
    let added = run.p50 - floor.p50;
    say("execute", 1, &run, Some(added), String::new());
    // What is left once the record is taken away. It is measured apart, so a disk that is busy with
    // something else can make the difference meaningless; then nothing is claimed.
    let rest = added - (commit.p50 - bare.p50);
    let bar = if rest < 0.0 {
        "≤ 40 µs: not measurable, the disk varies too much".to_owned()
    } else {
        Report::verdict("≤ 40 µs", rest <= 40.0)
    };
    let name = "execute, without the audit commit";
    say(name, 1, &run, Some(rest), bar);
    // The slowest of a hundred, each of its own: a bound of what the broker adds, and no measure of one call.
    let slow = run.p99 - floor.p99 - (commit.p99 - bare.p99);
    let verdict = if slow < 0.0 {
        "≤ 250 µs: not measurable, the disk varies too much".to_owned()
    } else {
        format!(
            "{slow:.0} at p99, {}",
            Report::verdict("≤ 250 µs", slow <= 250.0)
        )
    };
    let name = "the same, the slowest of a hundred";
    say(name, 1, &run, None, verdict);
    let name = "the same, against the bare relay";
    say(name, 1, &run, Some(rest - second), String::new());
    let mut many = floor;
    for clients in [16, 64] {
        many = go(clients, there, &direct, effort.time / 2);
        say("direct", clients, &many, None, String::new());
        let legs = go(clients, two, &relayed, effort.time / 2);
        let second = legs.p50 - many.p50;
        say("a bare relay", clients, &legs, Some(second), String::new());
        let run = go(clients, ours, &execute, effort.time);
        say(
            "execute",
            clients,
            &run,
            Some(run.p50 - many.p50),
            String::new(),
        );
    }
    for (what, make) in by_handle(&broker, port) {
        for (clients, floor) in [(1, &floor), (64, &many)] {
            let run = go(clients, ours, &make, effort.time / 2);
            let added = run.p50 - floor.p50;
            say(what, clients, &run, Some(added), String::new());
        }
    }
}

/// The lanes of a Tool Hub that sends requests through us, each by right of one handle after the other: a use costs
/// one of a thousand.
fn by_handle(broker: &Broker, port: u16) -> [(&'static str, Maker); 2] {
    const HANDLES: u64 = 400;
    let key = broker.key.clone();
    let body = r#"{"tool":"bench-crm","credentialOverrides":{"apiKey":"CRM_KEY"},"maxUses":1000,"ttlSeconds":900}"#;
    let make = load::same("POST", "/v1/resolve", Some(&key), body);
    let handles = Arc::new(load::each(broker.addr(), 16, HANDLES, &make, handle));
    let next = |handles: &[String], n: u64| {
        let n = usize::try_from(n).unwrap() % handles.len();
        handles[n].clone()
    };
    let (all, by) = (Arc::clone(&handles), key.clone());
    let execute: Maker = Arc::new(move |n, out| {
        let handle = next(&all, n);
        let url = format!("http://127.0.0.1:{port}/hello");
        let body = format!(r#"{{"handle":"{handle}","method":"GET","url":"{url}"}}"#);
        load::request("POST", "/v1/execute", Some(&by), &body, out);
    });
    let stream: Maker = Arc::new(move |n, out| {
        let handle = next(&handles, n);
        let path = format!("/v1/egress/http/127.0.0.1:{port}/hello");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\nx-runtools-handle: {handle}\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
    });
    [
        ("a request by right of a handle", execute),
        ("the same, streaming", stream),
    ]
}
