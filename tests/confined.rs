//! What a serving broker has given up, seen from outside: which controls are in force, that it serves
//! all the same, and what happens where the kernel cannot do it.
//!
//! strace and python3 must be installed; without them these tests fail.

#[path = "confined/day.rs"]
mod day;
mod harness;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::nobody::{as_nobody, is_root, nobodys_folder};
use harness::{Broker, Setup};
use serde_json::json;

/// What this kernel's Landlock can do: 0 is nothing (landlock(7)).
fn landlock_version() -> u32 {
    let script = "import ctypes; print(max(0, ctypes.CDLL(None).syscall(444, None, 0, 1)))";
    let output = Command::new("python3").args(["-c", script]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.trim().parse().unwrap()
}

const REQUIRED: &str = "hardening = \"require\"";

/// A broker that is to be confined.
fn required(wrapper: Vec<String>) -> Broker {
    let setup = Setup {
        wrapper,
        config: REQUIRED.to_owned(),
        ..Setup::default()
    };
    Broker::over(nobodys_folder(), setup)
}

/// One that is not to start.
fn unready(wrapper: Vec<String>, config: &str) -> Broker {
    let setup = Setup {
        wrapper,
        config: config.to_owned(),
        unready: true,
        ..Setup::default()
    };
    Broker::over(nobodys_folder(), setup)
}

#[test]
fn what_root_runs_is_not_confined_enough_where_it_is_required() {
    if !is_root() {
        eprintln!("not tried: this user is not root");
        return;
    }
    let mut broker = unready(Vec::new(), REQUIRED);
    assert_eq!(broker.wait(Duration::from_mins(1)), Some(78));
    let log = broker.log_text();
    assert!(
        log.contains("root runs the broker") && log.contains("hint: "),
        "{log}"
    );
}

#[test]
fn a_serving_broker_is_confined_and_serves_all_the_same() {
    let broker = required(as_nobody());
    day::of_a_person(&broker);
    let version = landlock_version();
    assert!(
        version >= 1,
        "this kernel has no Landlock, and the test proves nothing"
    );
    for (control, from) in [
        ("landlock_files", 1),
        ("landlock_ports", 4),
        ("landlock_signals", 6),
    ] {
        assert_eq!(broker.enforces(control), version >= from, "{control}");
    }
    for control in [
        "seccomp",
        "capabilities",
        "environment",
        "deny_write_execute",
    ] {
        assert!(broker.enforces(control), "{control}");
    }
    let tasks = Path::new("/proc")
        .join(broker.pid().to_string())
        .join("task");
    let mut count = 0;
    for task in fs::read_dir(tasks).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("Seccomp:\t2\n"), "{status}");
        assert!(status.contains("CapPrm:\t0000000000000000\n"), "{status}");
        count += 1;
    }
    assert!(count > 2, "threads that came with work are meant too");
}

/// Listed, and not made on the day of this test: what for.
const NOT_EVERY_DAY: &[(&str, &str)] = &[
    (
        "another spelling of a call that is made, by another C library or on another architecture",
        "access clock_nanosleep dup dup2 dup3 epoll_pwait faccessat faccessat2 \
         fchmod fchmodat fstat getrlimit lstat mkdirat nanosleep pipe pipe2 poll ppoll preadv \
         prlimit64 pwritev readlinkat readv renameat renameat2 rmdir stat",
    ),
    (
        "a clock that the kernel has to be asked for, where the machine's own is not to be trusted",
        "clock_getres clock_gettime getcpu gettimeofday time",
    ),
    (
        "looking up a host at a server of names, with the sockets that this takes",
        "bind getsockname ioctl listen recvmmsg recvmsg sendmmsg sendmsg socketpair uname",
    ),
    (
        "a backup by its time, a disk that fills: what is asked of it, what is kept ready",
        "fadvise64 fallocate fstatfs getcwd",
    ),
    (
        "the allocator and the runtime when much is going on, or something goes wrong",
        "brk epoll_create1 eventfd2 getegid getgid getrusage getuid kill membarrier \
         mremap restart_syscall sched_yield sysinfo tgkill",
    ),
];

/// The calls that serving is allowed, as the source lists them.
fn listed() -> BTreeSet<String> {
    let source = fs::read_to_string("src/hardening/calls.rs").unwrap();
    let lists = source.split("pub(super) const ").filter(|text| {
        ["SERVING:", "OLDER: &[i64] = &[\n"]
            .iter()
            .any(|it| text.starts_with(it))
    });
    let names = lists.flat_map(|text| {
        let list = text.split("];").next().unwrap();
        list.lines()
            .filter_map(|line| line.trim().strip_prefix("libc::SYS_"))
    });
    // A socket's families are looked at, so it has a rule of its own.
    let names = names.map(|name| name.trim_end_matches(',').to_owned());
    names.chain(["socket".to_owned()]).collect()
}

#[test]
fn two_whole_days_make_the_calls_of_the_list_no_other_and_no_fewer() {
    let seen: BTreeSet<_> = [day::first(), day::second()].concat().into_iter().collect();
    let listed = listed();
    assert!(listed.len() > 90, "{listed:?}");
    // clone3 is refused on purpose: its flags cannot be looked at, and the C library has another way.
    let unlisted: Vec<_> = seen.difference(&listed).collect();
    assert!(
        unlisted
            .iter()
            .all(|&call| call == "clone3" || call == "seccomp"),
        "{unlisted:?}"
    );
    let excused = NOT_EVERY_DAY.iter().flat_map(|(_, calls)| calls.split(' '));
    let excused: BTreeSet<&str> = excused.collect();
    let mut unused: Vec<_> = listed.iter().map(String::as_str).collect();
    unused.retain(|call| !seen.contains(*call) && !excused.contains(call));
    assert!(
        unused.is_empty(),
        "listed, never made, and nobody said why: {unused:#?}"
    );
    let strange: Vec<_> = excused
        .iter()
        .filter(|call| !listed.contains(**call))
        .collect();
    assert!(strange.is_empty(), "excused, and on no list: {strange:?}");
}

/// A kernel without Landlock, as the system call tells it.
fn without_landlock() -> Vec<String> {
    let words = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=landlock_create_ruleset",
        "-e",
        "inject=landlock_create_ruleset:error=ENOSYS",
    ];
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_kernel_that_cannot_confine_is_told_of_and_where_it_is_required_nothing_starts() {
    let lesser = Broker::with(Setup {
        wrapper: without_landlock(),
        ..Setup::default()
    });
    assert!(!lesser.enforces("landlock_files"));
    assert!(lesser.enforces("seccomp"));
    let log = lesser.log_text();
    assert!(
        log.contains("landlock_files") && log.contains("WARN"),
        "{log}"
    );

    let mut required = unready([without_landlock(), as_nobody()].concat(), REQUIRED);
    assert_eq!(required.wait(Duration::from_mins(1)), Some(78));
    let log = required.log_text();
    assert!(
        log.contains("hardening is required, and landlock_files is not in force"),
        "{log}"
    );
    assert!(log.contains("hint: "), "{log}");
    assert!(
        !required.data().join("store").exists(),
        "nothing was opened"
    );
}

#[test]
fn a_confined_broker_has_programs_that_hold_keys_asked() {
    let programs = tempfile::tempdir_in("/usr/local/lib").unwrap();
    let asked = programs.path().join("asked");
    let holder = programs.path().join("holder");
    // A custodian that seals nothing: it notes that it ran, and as whom, and gives back what it was given.
    let script = format!(
        r#"#!/usr/bin/env python3
import base64, json, os, sys
question = json.load(sys.stdin)
open({asked:?}, "a").write(question["operation"] + " " + str(os.getuid()) + "\n")
answer = {{"version": 1, "keyId": "it"}}
if question["operation"] == "wrap":
    answer["ciphertext"] = question["plaintext"]
else:
    answer["plaintext"] = question["ciphertext"]
json.dump(answer, sys.stdout)
"#
    );
    fs::write(&holder, script).unwrap();
    fs::write(&asked, "").unwrap();
    for (path, mode) in [
        (programs.path(), 0o755),
        (&*holder, 0o755),
        (&*asked, 0o666),
    ] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let settings = format!("{REQUIRED}\n[custody.exec.holder]\nprogram = {holder:?}\n");
    let setup = Setup {
        wrapper: as_nobody(),
        config: settings,
        ..Setup::default()
    };
    let broker = Broker::over(nobodys_folder(), setup);
    for control in ["landlock_files", "seccomp", "capabilities", "environment"] {
        assert!(broker.enforces(control), "{control}");
    }
    for words in [
        &["key", "slot", "add", "exec", "--name", "holder"][..],
        &["key", "slot", "test", "exec"],
        &["key", "slot", "remove", "key-file", "--yes"],
        &["seal", "--yes"],
    ] {
        broker.runs(words, None).expect(0);
    }
    let operator = broker.operator();
    operator.post("/v1/operator/unseal", &json!({})).expect(200);
    let told = fs::read_to_string(&asked).unwrap();
    assert!(
        told.starts_with("wrap ") && told.contains("\nunwrap "),
        "{told}"
    );
    // It is a process of its own, and gone with the broker.
    let children = format!("/proc/{0}/task/{0}/children", broker.pid());
    let attendant = fs::read_to_string(children).unwrap();
    let attendant = format!("/proc/{}/exe", attendant.trim());
    assert!(fs::read_link(&attendant).is_ok(), "{attendant}");
    drop(broker);
    harness::eventually(|| fs::read_link(&attendant).err());
}
