//! The memory of a running process: how much there is, and what stands in it, read as root.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// How much of its memory process `pid` has in RAM, in bytes.
pub fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most that it has had there since it was last asked to forget, in bytes.
pub fn peak(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

fn status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// How often `needle` stands in the writable memory of process `pid`.
pub fn occurrences(pid: u32, needle: &[u8]) -> usize {
    let memory = File::open(format!("/proc/{pid}/mem"))
        .expect("reading another process's memory takes root and CAP_SYS_PTRACE");
    let searcher = aho_corasick::AhoCorasick::new([needle]).unwrap();
    let mut found = 0;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        if !rights.starts_with("rw") || line.ends_with("[vvar]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (number(start), number(end));
        // Pages that were never touched cannot be read in one go with others: a page may be gone.
        let mut region = vec![0; usize::try_from(end - start).unwrap()];
        let mut at = 0;
        while at < region.len() {
            let until = region.len().min(at + (1 << 20));
            let offset = start + u64::try_from(at).unwrap();
            if memory
                .read_exact_at(&mut region[at..until], offset)
                .is_err()
            {
                for page in (at..until).step_by(4096) {
                    let offset = start + u64::try_from(page).unwrap();
                    let page_end = (page + 4096).min(until);
                    drop(memory.read_exact_at(&mut region[page..page_end], offset));
                }
            }
            at = until;
        }
        found += searcher.find_iter(&region).count();
    }
    found
}
