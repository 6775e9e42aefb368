//! The attacks on a journal (reference: A-01), each on the export of a real one, as an auditor meets them who has
//! it, the public key and `runtools`: with nothing else, and with a position that was kept elsewhere.
//!
//! What is signed with the stolen key itself is tried in `src/audit/tests_export.rs`, where that key is at hand.
#![expect(clippy::too_many_lines, reason = "a table is told in one piece")]

mod harness;

use std::path::Path;
use std::process::Command;

use harness::Broker;
use runtools_broker::audit::Head;
use serde_json::{Value, json};

/// A real journal: three starts, each with a few records and checkpoints before and behind them.
struct Real {
    lines: Vec<String>,
    key: String,
    /// The head, as somebody wrote it down.
    known: String,
}

impl Real {
    fn new() -> Self {
        let mut broker = Broker::start();
        for start in 0..3 {
            for n in 0..3 {
                let secret = json!({"name": format!("S{start}_{n}"), "value": "a value"});
                broker.operator().post("/v1/secrets", &secret).expect(201);
            }
            assert_eq!(broker.stop(), Some(0));
            broker.restart();
        }
        let operator = broker.operator();
        let head = operator.get("/v1/audit/head").expect(200)["data"].clone();
        let text = |name: &str| head[name].as_str().unwrap().to_owned();
        let export = operator.get("/v1/audit/export").body;
        let export = String::from_utf8(export).unwrap();
        Self {
            lines: export.lines().map(str::to_owned).collect(),
            key: text("publicKey"),
            known: format!("{}:{}", head["seq"], text("hash")),
        }
    }

    /// Where the records are among the lines.
    fn records(&self) -> Vec<usize> {
        let is_record = |at: &usize| self.lines[*at].starts_with(r#"{"hash""#);
        (1..self.lines.len()).filter(is_record).collect()
    }

    fn checkpoints(&self) -> Vec<usize> {
        let is_checkpoint = |at: &usize| self.lines[*at].starts_with(r#"{"checkpoint""#);
        (1..self.lines.len()).filter(is_checkpoint).collect()
    }

    /// What `runtools audit verify` finds: its exit code, the first bad record, and what is wrong with it.
    fn verify(&self, lines: &[String], known: bool) -> (i32, Value, String) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("export.jsonl");
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let file = file.display().to_string();
        let mut words = vec!["--json", "audit", "verify", "--file", &file];
        words.extend(["--public-key", &self.key]);
        if known {
            words.extend(["--known", &self.known]);
        }
        let ran = Command::new(Path::new(env!("CARGO_BIN_EXE_runtools")))
            .args(words)
            .env_clear()
            .env("HOME", home.path())
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        let told = told.get("data").unwrap_or(&told).clone();
        let finding = told["finding"].as_str().unwrap_or_default().to_owned();
        (
            ran.status.code().unwrap(),
            told["firstBad"].clone(),
            finding,
        )
    }
}

/// Gives each record from `at` on the hash that a forger would compute.
fn rechain(lines: &mut [String], at: usize) {
    let hash_of = |line: &str| -> [u8; 32] {
        let hex = line
            .strip_prefix(r#"{"hash":""#)
            .and_then(|it| it.get(..64))
            .unwrap();
        data_encoding::HEXLOWER
            .decode(hex.as_bytes())
            .unwrap()
            .try_into()
            .unwrap()
    };
    let before = lines[..at]
        .iter()
        .rev()
        .find(|line| line.starts_with(r#"{"hash""#))
        .unwrap();
    let mut head = Head {
        seq: 0,
        hash: hash_of(before),
    };
    for line in lines[at..]
        .iter_mut()
        .filter(|line| line.starts_with(r#"{"hash""#))
    {
        let (_, record) = line.split_once(r#","record":"#).unwrap();
        let record = record.strip_suffix('}').unwrap().to_owned();
        head = head.after(record.as_bytes());
        let hash = data_encoding::HEXLOWER.encode(&head.hash);
        *line = format!(r#"{{"hash":"{hash}","record":{record}}}"#);
    }
}

/// An attack: what is done to the lines, and what is found without and with a known position: the exit code,
/// which of the records is the first bad one, counted from those that there are, and the finding's words.
struct Attack {
    name: &'static str,
    lines: Vec<String>,
    alone: (i32, Option<usize>, &'static str),
    known: (i32, &'static str),
}

const MISSING: &str = "a known position is not in the journal";

fn attacks(real: &Real, other: &Real) -> Vec<Attack> {
    let records = real.records();
    let middle = records[records.len() / 2];
    let seq_of = |at: usize| records.iter().position(|it| *it == at).unwrap() + 1;
    let last = *real.checkpoints().last().unwrap();
    let mut all = Vec::new();
    let mut row = |name, alone, known, change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = real.lines.clone();
        change(&mut lines);
        all.push(Attack {
            name,
            lines,
            alone,
            known,
        });
    };
    let tampered = |at: usize, words: &'static str| (6, Some(seq_of(at)), words);
    row("nothing", (0, None, ""), (0, ""), &|_| {});
    row(
        "one bit",
        tampered(middle, "its hash does not match"),
        (6, "its hash"),
        &|lines| {
            lines[middle] = lines[middle].replacen("\"time\":\"2", "\"time\":\"3", 1);
        },
    );
    row(
        "an edit, chained anew",
        (6, None, "was rewritten"),
        (6, "was rewritten"),
        &|lines| {
            lines[middle] = lines[middle].replacen("\"time\":\"2", "\"time\":\"3", 1);
            rechain(lines, middle);
        },
    );
    row(
        "a record deleted",
        tampered(middle, "is missing"),
        (6, "is missing"),
        &|lines| {
            lines.remove(middle);
        },
    );
    row(
        "two swapped",
        tampered(records[2], "is missing"),
        (6, "is missing"),
        &|lines| {
            lines.swap(records[2], records[3]);
        },
    );
    row(
        "one doubled",
        (6, Some(seq_of(middle) + 1), "is missing"),
        (6, "is missing"),
        &|lines| {
            lines.insert(middle, lines[middle].clone());
        },
    );
    row(
        "cut behind the last checkpoint",
        (0, None, ""),
        (6, MISSING),
        &|lines| {
            lines.truncate(real.checkpoints()[1] + 1);
        },
    );
    row(
        "cut before a checkpoint",
        (7, None, ""),
        (7, ""),
        &|lines| lines.truncate(last),
    );
    row(
        "two logs spliced",
        tampered(middle, "its hash does not match"),
        (6, "its hash"),
        &|lines| {
            lines.truncate(middle);
            lines.extend_from_slice(&other.lines[middle..]);
        },
    );
    row(
        "a foreign checkpoint",
        (6, None, "did not sign"),
        (6, "did not sign"),
        &|lines| {
            lines[last].clone_from(
                other
                    .lines
                    .iter()
                    .rfind(|it| it.starts_with("{\"check"))
                    .unwrap(),
            );
        },
    );
    all
}

#[test]
fn each_attack_on_an_export_has_its_finding_and_the_record_where_it_begins() {
    let (real, other) = (Real::new(), Real::new());
    assert!(real.checkpoints().len() >= 4, "{}", real.lines.join("\n"));
    for Attack {
        name,
        lines,
        alone,
        known,
    } in attacks(&real, &other)
    {
        let (exit, first, finding) = real.verify(&lines, false);
        assert_eq!(exit, alone.0, "{name}: {finding}");
        assert!(finding.contains(alone.2), "{name}: {finding}");
        if let Some(expected) = alone.1 {
            assert_eq!(first, json!(expected), "{name}: {finding}");
        }
        assert_eq!(first.is_null(), exit != 6, "{name}: {finding}");
        let (exit, _, finding) = real.verify(&lines, true);
        assert_eq!(exit, known.0, "{name}, with a known position: {finding}");
        assert!(
            finding.contains(known.1),
            "{name}, with a known position: {finding}"
        );
    }
}
