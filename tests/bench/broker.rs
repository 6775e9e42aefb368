//! Measurements, run by hand: `cargo bench --bench broker -- [names] [--quick]`.
//!
//! Every figure has a floor that was measured in the same run: the same thing without our part of it.
//! Figures drift between machines and hours, ratios hardly do, so a ratio is what a bar is put on.
//! Servers are real processes over loopback TCP, the broker is the built binary on a folder of its
//! own, and processor time is what the kernel counted for that process.
//!
//! The names: `http`, `execute`, `lanes`, `accounts`, `connect`, `store`, `compact`, `rotation`, `journal`, `crypto`, `scrub`,
//! `start`; `http:resolve` measures those of the requests alone whose names begin so. `connect` needs Chromium and the
//! peers of `tests/peers`, which `tests/run` installs. A run of all of them
//! writes `tests/bench/RESULTS.md` and `tests/bench/plots/*.svg`; a run of some only prints.
#![allow(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    clippy::too_many_lines,
    clippy::unchecked_time_subtraction,
    clippy::unnecessary_debug_formatting,
    reason = "figures are rounded when they are shown, and a measurement is told in one piece"
)]

mod accounts;
mod browser;
mod callers;
mod compact;
mod connect;
mod crypto;
mod disk;
mod events;
mod execute;
mod handles;
#[path = "../harness/mod.rs"]
mod harness;
mod lanes;
mod load;
mod plots;
mod relay;
mod report;
mod requests;
mod rotation;
mod scrub;
mod servers;
mod start;
mod streams;
mod tunnels;

use std::time::Duration;

use report::Report;

/// How long each figure is measured, and how much is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort<'a> {
    /// Seconds per figure.
    pub(crate) time: Duration,
    /// Secrets in the large store.
    pub(crate) secrets: u64,
    /// Whether figures are rough.
    pub(crate) quick: bool,
    /// Which of the requests are measured: those whose name begins so.
    pub(crate) only: &'a str,
}

type Measure = fn(Effort<'_>, &mut Report);

const ALL: [(&str, Measure); 12] = [
    ("http", requests::measure),
    ("execute", execute::measure),
    ("lanes", lanes::measure),
    ("accounts", accounts::measure),
    ("connect", connect::measure),
    ("store", disk::store),
    ("compact", compact::measure),
    ("rotation", rotation::measure),
    ("journal", disk::journal),
    ("crypto", crypto::measure),
    ("scrub", scrub::measure),
    ("start", start::measure),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, size] = words.as_slice()
        && word == "--serve-hello"
    {
        servers::serve_hello(size.parse().unwrap());
        return;
    }
    if let [word, folder, size] = words.as_slice()
        && word == "--serve-secure"
    {
        servers::serve_secure(folder.as_ref(), size.parse().unwrap());
        return;
    }
    if let [word, upstream] = words.as_slice()
        && word == "--serve-relay"
    {
        relay::serve(upstream.parse().unwrap());
        return;
    }
    let quick = words.iter().any(|word| word == "--quick");
    let names: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let only = names.iter().find_map(|name| name.strip_prefix("http:"));
    let effort = Effort {
        only: only.unwrap_or_default(),
        time: Duration::from_millis(if quick { 1500 } else { 5000 }),
        secrets: if quick { 10_000 } else { 100_000 },
        quick,
    };
    let mut report = Report::default();
    for (name, measure) in ALL {
        let is_named = |given: &&str| given.split(':').next() == Some(name);
        if names.is_empty() || names.iter().any(is_named) {
            eprintln!("{name} …");
            measure(effort, &mut report);
        }
    }
    print!("{}", report.tables());
    if names.is_empty() {
        report.write(if quick { " Quick, so rough." } else { "" });
        plots::draw(&report);
    }
}
