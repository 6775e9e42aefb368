//! The Tool Hub's lanes: requests through the egress proxy, tunnels that are new, events that stream, and
//! what many handles and many streams cost.

use std::time::Duration;

use crate::Effort;
use crate::load::{self, Maker, Outcome, Way};
use crate::report::Report;
use crate::requests::report_rate;
use crate::tunnels::{Handles, Secure, USES, install, once};
use crate::{events, handles, streams};

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    proxied(effort, report);
    events::measure(effort, report);
    handles::measure(effort, report);
    streams::measure(effort, report);
}

const TITLE: &str =
    "Through the egress proxy to a local TLS origin, against calling the origin directly";
const HEAD: [&str; 8] = [
    "what",
    "connections",
    "each/s",
    "p50 µs",
    "p99 µs",
    "CPU µs",
    "floor's each/s",
    "bar",
];

/// Requests in tunnels that are open, and tunnels for one request each.
fn proxied(effort: Effort<'_>, report: &mut Report) {
    let origin = Secure::start(300);
    let broker = origin.broker();
    install(&broker, origin.port());
    let direct = load::same("GET", "/hello", None, "");
    let (there, ours) = (origin.server.pid(), broker.server.pid());
    let go = |way: &Way, pid, clients, make: &Maker| {
        load::run_over(way, pid, clients, effort.time, make)
    };
    let mut say = |what: &str, clients: usize, run: &Outcome, floor: Option<&Outcome>, bar| {
        let row = [
            what.to_owned(),
            clients.to_string(),
            report_rate(run.rate),
            format!("{:.0}", run.p50),
            format!("{:.0}", run.p99),
            format!("{:.1}", run.cpu),
            floor.map_or_else(String::new, |floor| report_rate(floor.rate)),
            bar,
        ];
        report.row(TITLE, &HEAD, &row);
    };
    let mut rates = Vec::new();
    for clients in [1, 16, 64] {
        let floor = go(&origin.way(), there, clients, &direct);
        say("a request, direct", clients, &floor, None, String::new());
        // As many as could be used up, were the proxy as fast as the origin itself.
        let each = Duration::from_secs_f64(USES as f64 / floor.rate);
        let needed = (effort.time * 13 / 10).as_nanos() / each.as_nanos();
        let needed = clients + usize::try_from(needed).unwrap();
        let handles = Handles::ask(&broker, needed, origin.port(), "/hello");
        let run = go(&handles.way(USES), ours, clients, &direct);
        let bar = if clients == 64 {
            Report::verdict("≥ 10,000/s", run.rate >= 10_000.0)
        } else {
            String::new()
        };
        say("a request in a tunnel", clients, &run, Some(&floor), bar);
        rates.push((clients as f64, floor.rate, run.rate));
    }
    for clients in [1, 16] {
        let floor = go(&once(origin.way()), there, clients, &direct);
        let what = "TLS and a request, direct";
        say(what, clients, &floor, None, String::new());
        let handles = Handles::ask(&broker, 64, origin.port(), "/hello");
        let run = go(&handles.way(1), ours, clients, &direct);
        let bar = if clients == 16 {
            Report::verdict("≥ 1,500/s", run.rate >= 1_500.0)
        } else {
            String::new()
        };
        let what = "CONNECT, TLS and a request";
        say(what, clients, &run, Some(&floor), bar);
    }
    for (clients, floor, rate) in rates {
        report.point("lanes", "direct, TLS", clients, floor);
        report.point(
            "lanes",
            "through the proxy, TLS on both legs",
            clients,
            rate,
        );
    }
}
