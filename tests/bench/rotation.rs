//! Replacing the keys of an owner with many records, and of their organisation, while others are served:
//! how fast it is, and what it costs those others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Effort;
use crate::callers::resolving;
use crate::load;
use crate::report::Report;
use crate::requests::{TOOL, report_rate, set_secret};
use crate::servers::Broker;

/// How many ask, and how often over all in a second: without that, each asks as soon as it has its answer, which
/// leaves no processor idle. The bars are on both with four clients, twice as many as there are processors.
const LOADS: [(usize, Option<u32>); 4] = [(1, None), (4, Some(1000)), (4, None), (16, None)];
const BARRED: usize = 4;

/// Rotates once, to its end; how long it took.
fn rotate(broker: &Broker, level: &str) -> Duration {
    let began = Instant::now();
    let body = format!(r#"{{"level":"{level}"}}"#);
    broker.operator("POST", "/v1/key-rotation", &body);
    loop {
        let found = broker.operator("GET", "/v1/key-rotation", "");
        if found["data"]["rotation"]["phase"] == "finished" {
            return began.elapsed();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "Replacing keys while handles are resolved (one rotation after the other)";
    const HEAD: [&str; 8] = [
        "keys",
        "records",
        "clients",
        "records/s",
        "resolve p99 ms before",
        "during",
        "resolves/s before",
        "during",
    ];
    let broker = Broker::start();
    // A secret is two records: its pointer, and its version.
    let secrets = effort.secrets;
    load::send(broker.addr(), 64, secrets, &set_secret(&broker.key, "S"));
    let make = resolving(&broker, TOOL);
    let (addr, pid) = (broker.addr(), broker.server.pid());
    let alone = rotate(&broker, "owner");
    let rate = |took: Duration| (secrets * 2) as f64 / took.as_secs_f64();
    let verdict = Report::verdict("≥ 40,000/s", rate(alone) >= 40_000.0);
    let nobody = || "—".to_owned();
    let row = [
        "owners'".to_owned(),
        report_rate((secrets * 2) as f64),
        "0".to_owned(),
        format!("{} ({verdict})", report_rate(rate(alone))),
        nobody(),
        nobody(),
        nobody(),
        nobody(),
    ];
    report.row(TITLE, &HEAD, &row);
    for level in ["owner", "org"] {
        for (clients, pace) in LOADS {
            let ask = || match pace {
                Some(rate) => load::run_paced(addr, pid, (clients, rate), effort.time, &make),
                None => load::run(addr, pid, clients, effort.time, &make),
            };
            let before = ask();
            let over = AtomicBool::new(false);
            let (during, took) = std::thread::scope(|scope| {
                let rotating = scope.spawn(|| {
                    let mut took = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        took.push(rotate(&broker, level));
                    }
                    took
                });
                let during = ask();
                over.store(true, Ordering::Relaxed);
                (during, rotating.join().unwrap())
            });
            let mean = took.iter().sum::<Duration>() / u32::try_from(took.len()).unwrap();
            let owners = level == "owner";
            let mut speed = report_rate(rate(mean));
            let mut p99 = format!("{:.2}", during.p99 / 1000.0);
            if owners && clients == BARRED {
                let fast = Report::verdict("≥ 40,000/s", rate(mean) >= 40_000.0);
                let calm = Report::verdict("≤ twice", during.p99 <= before.p99 * 2.0);
                speed = format!("{speed} ({fast})");
                p99 = format!("{p99} ({calm})");
            }
            let row = [
                if owners {
                    "owners'"
                } else {
                    "the organisation's"
                }
                .to_owned(),
                if owners {
                    report_rate((secrets * 2) as f64)
                } else {
                    "few".to_owned()
                },
                pace.map_or_else(
                    || clients.to_string(),
                    |rate| format!("{clients}, {}/s", report_rate(f64::from(rate))),
                ),
                if owners {
                    speed
                } else {
                    format!("{:.0} ms each", mean.as_secs_f64() * 1e3)
                },
                format!("{:.2}", before.p99 / 1000.0),
                p99,
                report_rate(before.rate),
                report_rate(during.rate),
            ];
            report.row(TITLE, &HEAD, &row);
            if owners && pace.is_none() {
                let at = clients as f64;
                report.point("rotation", "before", at, before.p99 / 1000.0);
                report.point(
                    "rotation",
                    "while keys are replaced",
                    at,
                    during.p99 / 1000.0,
                );
            }
        }
    }
}
