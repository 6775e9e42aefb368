//! Starting with many secrets: how long until it is ready, and how much memory it then has.

use std::time::Instant;

use crate::Effort;
use crate::load;
use crate::report::Report;
use crate::requests::{report_rate, set_secret};
use crate::servers::{Broker, launch, ready, resident_mib};

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "Starting the real binary";
    const HEAD: [&str; 5] = [
        "secrets",
        "ms until ready",
        "MiB resident",
        "peak MiB",
        "bar",
    ];
    for count in [0, effort.secrets] {
        let mut broker = Broker::start();
        if count > 0 {
            let took = load::send(broker.addr(), 64, count, &set_secret(&broker.key, "S"));
            let rate = count as f64 / took.as_secs_f64();
            eprintln!("  loaded at {}/s", report_rate(rate));
        }
        let folder = broker.folder();
        std::process::Command::new("kill")
            .args(["-TERM", &broker.server.pid().to_string()])
            .status()
            .unwrap();
        broker.server.wait();
        let mut times = Vec::new();
        let (mut now, mut peak) = (0.0_f64, 0.0_f64);
        for _ in 0..3 {
            let began = Instant::now();
            let server = launch(folder.path());
            times.push(ready(server.addr, began).as_secs_f64() * 1000.0);
            now = now.max(resident_mib(server.pid(), "VmRSS"));
            peak = peak.max(resident_mib(server.pid(), "VmHWM"));
        }
        times.sort_by(f64::total_cmp);
        let bar = if count == 100_000 {
            let time = Report::verdict("≤ 1 s", times[1] <= 1000.0);
            format!(
                "{time}; {}",
                Report::verdict("≤ 150 MB", now * 1.048_576 <= 150.0)
            )
        } else {
            String::new()
        };
        let row = [
            report_rate(count as f64),
            format!("{:.0}", times[1]),
            format!("{now:.0}"),
            format!("{peak:.0}"),
            bar,
        ];
        report.row(TITLE, &HEAD, &row);
    }
}
