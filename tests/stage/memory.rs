//! The memory of a process, searched for planted values. Needs the right to trace it.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use crate::harness::Canaries;

/// A place where a planted text was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub canary: String,
    pub form: &'static str,
    pub region: String,
    pub around: String,
}

/// Every place in the readable memory of `pid` that holds a planted text in any form.
pub fn search(pid: u32, canaries: &Canaries) -> Vec<Found> {
    const PIECE: usize = 4 << 20;
    const OVERLAP: usize = 1024;
    let forms = canaries.forms();
    let searcher = aho_corasick::AhoCorasick::new(forms.iter().map(|(_, _, bytes)| bytes)).unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = BTreeMap::new();
    let mut read_anything = 0_u64;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let region = words.nth(3).unwrap_or("anonymous").to_owned();
        if !rights.starts_with('r') || region.starts_with("[v") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (mut at, to) = (
            u64::from_str_radix(from, 16).unwrap(),
            u64::from_str_radix(to, 16).unwrap(),
        );
        let mut tail = Vec::new();
        while at < to {
            let want = usize::try_from(to - at).unwrap().min(PIECE);
            let mut piece = vec![0; want];
            if memory.seek(SeekFrom::Start(at)).is_err() || memory.read_exact(&mut piece).is_err() {
                break;
            }
            read_anything += piece.len() as u64;
            let mut whole = std::mem::take(&mut tail);
            whole.extend_from_slice(&piece);
            for hit in searcher.find_iter(&whole) {
                let (canary, form, _) = &forms[hit.pattern().as_usize()];
                let start = hit.start().saturating_sub(48);
                let end = (hit.end() + 16).min(whole.len());
                let around = whole[start..end].escape_ascii().to_string();
                let place = at + hit.start() as u64 - (whole.len() - piece.len()) as u64;
                let entry = Found {
                    canary: canary.clone(),
                    form,
                    region: region.clone(),
                    around,
                };
                found.insert(place, entry);
            }
            tail = whole.split_off(whole.len().saturating_sub(OVERLAP));
            at += want as u64;
        }
    }
    assert!(read_anything > 1 << 20, "the memory could not be read");
    found.into_values().collect()
}

/// Fails unless every planted text leaves the memory of `pid` within `patience`.
#[track_caller]
pub fn is_rid_of(pid: u32, canaries: &Canaries, patience: Duration) {
    if !may_search(pid) {
        return;
    }
    let started = Instant::now();
    loop {
        let found = search(pid, canaries);
        if found.is_empty() {
            return;
        }
        assert!(started.elapsed() < patience, "{found:#?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Whether the memory of `pid` is to be searched. Who cannot read it says so: a test that has searched
/// nothing does not pass in silence.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "who runs it says so")]
pub fn may_search(pid: u32) -> bool {
    if std::env::var_os("RUNTOOLS_NO_MEMORY").is_some() {
        eprintln!("memory is not searched: RUNTOOLS_NO_MEMORY is set");
        return false;
    }
    assert!(
        is_readable(pid),
        "the memory of process {pid} cannot be read: that takes root with CAP_SYS_PTRACE; \
         RUNTOOLS_NO_MEMORY=1 leaves it unsearched"
    );
    true
}

fn is_readable(pid: u32) -> bool {
    let Ok(mut memory) = std::fs::File::open(format!("/proc/{pid}/mem")) else {
        return false;
    };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let from = maps.split('-').next().unwrap_or_default();
    let at = u64::from_str_radix(from, 16).unwrap_or_default();
    memory.seek(SeekFrom::Start(at)).is_ok() && memory.read_exact(&mut [0; 16]).is_ok()
}
