//! Requests to the broker, each beside a bare server that answers as many bytes.

use std::sync::Arc;

use crate::Effort;
use crate::callers::resolving;
use crate::load::{self, Maker, Outcome};
use crate::report::Report;
use crate::servers::{Broker, Server};

pub(crate) const VALUE: &str = "sk_live_0123456789abcdefghijABCDEFGHIJ0123456789";

pub(crate) const TOOL: &str = r#"{"slug":"bench-tool","name":"B",
    "credentialsJson":{"required":["apiKey"],"schema":{"apiKey":{"type":"string","description":"k"}}},
    "bindings":[{"scheme":"https","hosts":["api.example.com"],"methods":["GET"],"paths":["/x"],
    "slots":{"apiKey":[{"header":"authorization","format":"Bearer {apiKey}"}]}}],
    "actionsJson":{"x":{"description":"x","parameters":{"type":"object","properties":{}},
    "http":{"method":"GET","url":"https://api.example.com/x"}}}}"#;

/// A request that sets a secret of its own name each time.
pub(crate) fn set_secret(key: &str, prefix: &'static str) -> Maker {
    let key = key.to_owned();
    Arc::new(move |n, out| {
        let body = format!(r#"{{"name":"{prefix}_{n}","value":"{VALUE}"}}"#);
        load::request("POST", "/v1/secrets", Some(&key), &body, out);
    })
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    let broker = Broker::start();
    let key = broker.key.as_str();
    load::send(broker.addr(), 16, 1000, &set_secret(key, "READ"));
    broker.operator("POST", "/v1/tools/custom", TOOL);
    broker.operator("POST", "/v1/tools/bench-tool/install", "");
    let reading = |method: &'static str, end: &'static str| -> Maker {
        let key = key.to_owned();
        Arc::new(move |n, out| {
            let path = format!("/v1/secrets/READ_{}{end}", n % 1000);
            load::request(method, &path, Some(&key), "", out);
        })
    };
    let explain = r#"{"credentialOverrides":{"apiKey":"READ_7"}}"#;
    let cases: [(&str, Option<f64>, Maker); 6] = [
        (
            "livez (no caller, no vault)",
            None,
            load::same("GET", "/livez", None, ""),
        ),
        ("get metadata", Some(0.60), reading("GET", "")),
        (
            "reveal (durable record)",
            Some(0.40),
            reading("POST", "/reveal"),
        ),
        (
            "resolve (handle, durable record)",
            Some(0.35),
            resolving(&broker, TOOL),
        ),
        (
            "explain (what would be resolved)",
            None,
            load::same("POST", "/v1/tools/bench-tool/explain", Some(key), explain),
        ),
        ("set a new secret (durable)", None, set_secret(key, "NEW")),
    ];
    let cases = cases.into_iter();
    for (name, bar, make) in cases.filter(|(name, ..)| name.starts_with(effort.only)) {
        let size = load::size(broker.addr(), &make);
        let floor = Server::hello(size);
        let hello = load::same("GET", "/hello", None, "");
        for clients in [1, 16, 64] {
            // Names of new secrets go on where the last run ended.
            let make = shifted(&make, clients);
            let bare = load::run(floor.addr, floor.pid(), clients, effort.time / 2, &hello);
            let ours = load::run(
                broker.addr(),
                broker.server.pid(),
                clients,
                effort.time,
                &make,
            );
            let again = load::run(floor.addr, floor.pid(), clients, effort.time / 2, &hello);
            let floor = Outcome {
                rate: f64::midpoint(bare.rate, again.rate),
                cpu: f64::midpoint(bare.cpu, again.cpu),
                ..bare
            };
            record(report, name, clients, bar, &floor, &ours);
        }
    }
}

fn shifted(make: &Maker, clients: usize) -> Maker {
    let (make, start) = (Arc::clone(make), clients as u64 * 10_000_000);
    Arc::new(move |n, out| make(start + n, out))
}

fn record(
    report: &mut Report,
    name: &str,
    clients: usize,
    bar: Option<f64>,
    floor: &Outcome,
    ours: &Outcome,
) {
    let ratio = ours.rate / floor.rate;
    let bar = bar.filter(|_| clients == 64);
    let writes = name.starts_with("set") && clients == 64;
    let verdict = match bar {
        Some(bar) => Report::verdict(&format!("≥ {:.0} %", bar * 100.0), ratio >= bar),
        None if writes => Report::verdict("≥ 10,000/s", ours.rate >= 10_000.0),
        None => String::new(),
    };
    report.row(
        "Requests over loopback TCP, keep-alive, against a bare axum server on the same accept loop",
        &[
            "what", "clients", "requests/s", "p50 ms", "p99 ms", "CPU µs", "floor requests/s",
            "floor CPU µs", "ratio", "bar",
        ],
        &[
            name.to_owned(),
            clients.to_string(),
            report_rate(ours.rate),
            format!("{:.2}", ours.p50 / 1000.0),
            format!("{:.2}", ours.p99 / 1000.0),
            format!("{:.1}", ours.cpu),
            report_rate(floor.rate),
            format!("{:.1}", floor.cpu),
            format!("{:.0} %", ratio * 100.0),
            verdict,
        ],
    );
    report.point("requests", name, clients as f64, ours.rate);
    report.point("requests", "hello-world", clients as f64, floor.rate);
}

pub(crate) fn report_rate(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
