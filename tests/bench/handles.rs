//! Many handles, for tools that are bound to many hosts: what one more costs, what a use costs, and memory.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::Effort;
use crate::load::{self, Maker};
use crate::report::Report;
use crate::requests::report_rate;
use crate::servers::{Broker, Server, resident_mib};

/// Hosts of one binding, and of one tool, as many as there may be; one binding more is where it is used.
const PER_BINDING: usize = 64;
const PER_TOOL: usize = 15 * PER_BINDING;
/// Handles that are used, of all that there are.
const USED: usize = 500;

/// A tool of this number, with `hosts` hosts besides the one that it is used at.
fn tool(number: usize, hosts: usize, port: u16) -> Value {
    let binding = |names: Vec<String>, port: u16, scheme: &str| {
        json!({
            "scheme": scheme, "hosts": names, "port": port, "private": ["127.0.0.1/32"],
            "methods": ["GET"], "paths": ["/hello"],
            "slots": {"apiKey": [{"header": "authorization", "format": "Bearer {apiKey}"}]},
        })
    };
    let named = |n: usize| format!("host-{n}.tool-{number}.example.com");
    let all: Vec<usize> = (0..hosts).collect();
    let mut bindings: Vec<_> = all
        .chunks(PER_BINDING)
        .map(|some| binding(some.iter().map(|n| named(*n)).collect(), 443, "https"))
        .collect();
    // Where all are used, and the last that is looked at.
    bindings.push(binding(vec!["127.0.0.1".to_owned()], port, "http"));
    json!({
        "slug": format!("bench-{number}"), "name": "B", "actionsJson": {}, "bindings": bindings,
        "credentialsJson": {"required": ["apiKey"], "schema": {"apiKey": {"type": "string", "description": "k"}}},
    })
}

/// Asks for a handle, of one tool after the other.
fn resolving(key: &str, tools: usize) -> Maker {
    let key = key.to_owned();
    Arc::new(move |n, out| {
        let number = usize::try_from(n).unwrap() % tools;
        let body = format!(
            r#"{{"tool":"bench-{number}","credentialOverrides":{{"apiKey":"CRM_KEY"}},"maxUses":1000,"ttlSeconds":900}}"#
        );
        load::request("POST", "/v1/resolve", Some(&key), &body, out);
    })
}

/// The handle in an answer.
pub(crate) fn handle(body: &[u8]) -> String {
    let made: Value = serde_json::from_slice(body).unwrap();
    made["data"]["handle"].as_str().unwrap().to_owned()
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "Handles that are good at once, and hosts that their tools are bound to";
    const HEAD: [&str; 9] = [
        "handles",
        "hosts",
        "resolve p50 µs",
        "resolves/s at 16",
        "use p50 µs",
        "uses/s at 16",
        "MiB resident",
        "KiB each",
        "against few",
    ];
    let large = if effort.quick { 10_000 } else { 100_000 };
    let upstream = Server::hello(300);
    let mut few = None;
    for (count, tools, hosts) in [(1_000, 1, 1), (large, 11, PER_TOOL)] {
        let broker = Broker::start();
        let secret = r#"{"name":"CRM_KEY","value":"sk_live_0123456789abcdefghij"}"#;
        broker.operator("POST", "/v1/secrets", secret);
        for number in 0..tools {
            let tool = tool(number, hosts, upstream.addr.port());
            broker.operator("POST", "/v1/tools/custom", &tool.to_string());
            let path = format!("/v1/tools/bench-{number}/install");
            broker.operator("POST", &path, "");
        }
        let make = resolving(&broker.key, tools);
        let (addr, pid) = (broker.addr(), broker.server.pid());
        // What the first of each tool brings stays for all.
        load::send(addr, 16, 200, &make);
        let before = resident_mib(pid, "VmRSS");
        let texts = load::each(addr, 16, count, &make, handle);
        let after = resident_mib(pid, "VmRSS");
        let each = (after - before) * 1024.0 / count as f64;
        let step = texts.len() / USED;
        let used: Vec<String> = texts.into_iter().step_by(step.max(1)).take(USED).collect();
        let (key, port) = (broker.key.clone(), upstream.addr.port());
        let using: Maker = Arc::new(move |n, out| {
            let handle = &used[usize::try_from(n).unwrap() % used.len()];
            let body = format!(
                r#"{{"handle":"{handle}","method":"GET","url":"http://127.0.0.1:{port}/hello"}}"#
            );
            load::request("POST", "/v1/execute", Some(&key), &body, out);
        });
        let time = effort.time / 2;
        let resolve = load::run(addr, pid, 1, time, &make);
        let resolves = load::run(addr, pid, 16, time, &make);
        let one = load::run(addr, pid, 1, time, &using);
        let many = load::run(addr, pid, 16, time, &using);
        let against = match few {
            None => String::new(),
            Some((resolve_few, use_few)) => format!(
                "resolve {:.2}, use {:.2}",
                resolve.p50 / resolve_few,
                one.p50 / use_few
            ),
        };
        few = few.or(Some((resolve.p50, one.p50)));
        let row = [
            report_rate(count as f64),
            report_rate((tools * hosts) as f64),
            format!("{:.0}", resolve.p50),
            report_rate(resolves.rate),
            format!("{:.0}", one.p50),
            report_rate(many.rate),
            format!("{after:.0}"),
            format!("{each:.1}"),
            against,
        ];
        report.row(TITLE, &HEAD, &row);
    }
}
