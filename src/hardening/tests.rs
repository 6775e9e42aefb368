//! Hardening cannot be undone, so it is tried on a child: this test program, running one test.

use std::fs;
use std::process::{Command, Output};

use super::{Control, harden, harden_for_keys};

/// Set for the child only. The tests named `child_…` do nothing without it.
const CHILD: &str = "RUNTOOLS_TEST_HARDENING_CHILD";

pub(super) fn is_child() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a marker between a test and its child"
    )]
    std::env::var_os(CHILD).is_some()
}

/// Runs one test of this module, by its path in it, in a child that `with` may say more to.
pub(super) fn child(test: &str, with: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("hardening::{test}"))
        .env(CHILD, "1");
    with(&mut command);
    command.output().unwrap()
}

#[test]
fn a_hardened_process_is_what_the_kernel_says_it_is() {
    let output = child("tests::child_is_hardened", |_| {});
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn child_is_hardened() {
    if !is_child() {
        return;
    }
    let report = harden_for_keys().unwrap();
    let thread = std::thread::spawn(|| fs::read_to_string("/proc/thread-self/status").unwrap());
    for status in [
        fs::read_to_string("/proc/thread-self/status").unwrap(),
        thread.join().unwrap(),
    ] {
        assert!(status.contains("NoNewPrivs:\t1\n"));
        assert!(status.contains("Umask:\t0077\n"));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let words: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);
    for control in [Control::CoreLimit, Control::NotDumpable, Control::Umask] {
        assert!(report.enforces(control), "{control}");
    }
    let root = rustix::process::getuid().is_root();
    assert_eq!(report.enforces(Control::Unprivileged), !root);
    assert_eq!(report.controls().count(), Control::ALL.len());
    // The test program's main thread was there before; a daemon's is the one that hardens.
    assert!(!report.observed_now().enforces(Control::NoNewPrivs));
    assert!(report.observed_now().enforces(Control::NotDumpable));
}

#[test]
fn a_panic_prints_its_place_and_not_its_message() {
    let output = child("tests::child_panics", |_| {});
    assert!(!output.status.success());
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("panicked at src/hardening/tests.rs:"),
        "{text}"
    );
    assert!(!text.contains("crm_canary"), "{text}");
}

#[test]
fn child_panics() {
    if is_child() {
        harden().unwrap();
        panic!("the value is crm_{}", "canary");
    }
}
