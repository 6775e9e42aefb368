//! What was measured: tables for a person, points for the plots.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    tables: Vec<Table>,
    points: BTreeMap<String, BTreeMap<String, Vec<(f64, f64)>>>,
}

#[derive(Debug)]
struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Report {
    /// Adds a row to the table of that title.
    pub(crate) fn row(&mut self, title: &str, head: &[&str], row: &[String]) {
        eprintln!("  {}", row.join(" | "));
        if !self.tables.iter().any(|table| table.title == title) {
            self.tables.push(Table {
                title: title.to_owned(),
                head: head.iter().map(|&cell| cell.to_owned()).collect(),
                rows: Vec::new(),
            });
        }
        let table = self.tables.iter_mut().find(|table| table.title == title);
        table.unwrap().rows.push(row.to_vec());
    }

    /// A bar, and whether it is reached.
    pub(crate) fn verdict(bar: &str, reached: bool) -> String {
        format!("{bar}: {}", if reached { "reached" } else { "**missed**" })
    }

    /// Adds a point to a line of a plot. Of several at one place the best counts.
    pub(crate) fn point(&mut self, plot: &str, line: &str, x: f64, y: f64) {
        let lines = self.points.entry(plot.to_owned()).or_default();
        let line = lines.entry(line.to_owned()).or_default();
        match line.iter_mut().find(|point| point.0 == x) {
            Some(point) => point.1 = point.1.max(y),
            None => line.push((x, y)),
        }
    }

    /// The lines of a plot.
    pub(crate) fn plot(&self, name: &str) -> Option<&BTreeMap<String, Vec<(f64, f64)>>> {
        self.points.get(name)
    }

    /// All tables, as Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut out = String::new();
        for table in &self.tables {
            writeln!(out, "\n## {}\n", table.title).unwrap();
            writeln!(out, "| {} |", table.head.join(" | ")).unwrap();
            writeln!(out, "|{}", "---|".repeat(table.head.len())).unwrap();
            for row in &table.rows {
                writeln!(out, "| {} |", row.join(" | ")).unwrap();
            }
        }
        out
    }

    /// Writes `tests/bench/RESULTS.md`.
    pub(crate) fn write(&self, remark: &str) {
        let text = format!(
            "# Results\n\nMade by `cargo bench --bench broker` on {}, {}.{remark} Load average at the end: {}.\n\
             Absolute figures drift between machines and hours; a ratio compares with a floor of the same\n\
             run. The load generator shares the machine with the server. CPU µs is the server process's\n\
             own time per request, user and system.\n{}",
            machine(),
            today(),
            load(),
            self.tables()
        );
        std::fs::write(super::plots::folder().join("RESULTS.md"), text).unwrap();
    }
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = info
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name)
        .collect();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<u64>().ok());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} × {}, {} GiB, Linux {}",
        models.len(),
        models.first().unwrap_or(&"unknown processor"),
        kib.unwrap_or(0) >> 20,
        kernel.trim()
    )
}

/// Who else is at work: more than the number of processors, and absolute figures mean little.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

fn today() -> String {
    use runtools_broker::clock::{Clock, SystemClock};
    SystemClock.now().to_string().chars().take(10).collect()
}
