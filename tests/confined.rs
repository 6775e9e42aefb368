//! What a serving broker has given up, seen from outside: which controls are in force, that it serves
//! all the same, and what happens where the kernel cannot do it.
//!
//! strace and python3 must be installed; without them these tests fail.

mod harness;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::crm::{crm_call, install_crm};
use harness::{Broker, Setup, Upstream};
use serde_json::json;

/// What this kernel's Landlock can do: 0 is nothing (landlock(7)).
fn landlock_version() -> u32 {
    let script = "import ctypes; print(max(0, ctypes.CDLL(None).syscall(444, None, 0, 1)))";
    let output = Command::new("python3").args(["-c", script]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.trim().parse().unwrap()
}

fn in_force(broker: &Broker, control: &str) -> bool {
    let page = broker.operator().get("/metrics");
    let page = String::from_utf8(page.body).unwrap();
    let line = format!("runtools_hardening_enforced{{control=\"{control}\"}} ");
    let found = page.lines().find_map(|it| it.strip_prefix(&line));
    found.unwrap_or_else(|| panic!("{control} is not told")) == "1"
}

const WORDS: &str = "correct horse battery staple";

/// A day of a broker: secrets, a tool at an upstream whose name is looked up, the key ring, the journal,
/// seal and unseal.
fn a_day(broker: &Broker) {
    let operator = broker.operator();
    let upstream = Upstream::echo();
    install_crm(&operator, upstream.port(), "value of the crm");
    let call = crm_call("person@example.com", "CRM_KEY");
    let path = "/v1/tools/custom-crm/execute";
    operator.post(path, &call).expect(200);
    assert_eq!(upstream.accepted(), 1);
    let secret = json!({ "name": "A_DAYS", "value": "value of a day" });
    operator.post("/v1/secrets", &secret).expect(201);
    let reveal = "/v1/secrets/A_DAYS/reveal";
    operator.post(reveal, &json!({})).expect(200);
    operator.delete("/v1/secrets/A_DAYS").expect(200);
    assert_eq!(operator.get("/v1/audit/export").status, 200);
    let slot = json!({ "kind": "passphrase", "label": "spare", "passphrase": WORDS });
    operator.post("/v1/operator/slots", &slot).expect(201);
    let file = broker.keys().join("second.key");
    let slot = json!({ "kind": "key-file", "label": "second", "path": file });
    operator.post("/v1/operator/slots", &slot).expect(201);
    operator
        .send("POST", "/v1/operator/store/compact", None)
        .value();
    operator.send("POST", "/v1/operator/seal", None).expect(200);
    let unseal = json!({ "passphrase": WORDS });
    operator.post("/v1/operator/unseal", &unseal).expect(200);
    operator.post(path, &call).expect(200);
}

#[test]
fn a_serving_broker_is_confined_and_serves_all_the_same() {
    let broker = Broker::with(Setup {
        config: "hardening = \"require\"".to_owned(),
        ..Setup::default()
    });
    a_day(&broker);
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
        assert_eq!(in_force(&broker, control), version >= from, "{control}");
    }
    assert!(in_force(&broker, "seccomp"));
    let tasks = Path::new("/proc")
        .join(broker.pid().to_string())
        .join("task");
    let mut count = 0;
    for task in fs::read_dir(tasks).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("Seccomp:\t2\n"), "{status}");
        count += 1;
    }
    assert!(count > 2, "threads that came with work are meant too");
}

#[test]
fn no_call_of_a_whole_day_is_missing_from_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    // The tracer stands aside, so that the broker is the process that was started.
    let words = ["strace", "-D", "-f", "-qq", "-s", "0", "-o"];
    let mut wrapper: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    wrapper.push(trace.display().to_string());
    let mut broker = Broker::with(Setup {
        wrapper,
        ..Setup::default()
    });
    a_day(&broker);
    let pid = broker.pid().to_string();
    assert_eq!(broker.stop(), Some(0), "{}", broker.log_text());
    let trace = harness::eventually(|| {
        let text = fs::read_to_string(&trace).unwrap();
        let ended = |line: &str| line.starts_with(&pid) && line.contains("exit_group(0");
        text.lines().any(ended).then_some(text)
    });
    let lines: Vec<_> = trace.lines().collect();
    let filtered = lines
        .iter()
        .rposition(|line| line.contains("seccomp(SECCOMP_SET_MODE_FILTER"));
    let after = &lines[filtered.expect("the filters are installed")..];
    assert!(
        after.len() > 1000,
        "a day has more calls than {}",
        after.len()
    );
    // clone3 is refused on purpose: its flags cannot be looked at, and the C library has another way.
    let unknown = |line: &&&str| line.contains("ENOSYS") && !line.contains("clone3");
    let missing: Vec<_> = after.iter().filter(unknown).collect();
    assert!(missing.is_empty(), "{missing:#?}");
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
    assert!(!in_force(&lesser, "landlock_files"));
    assert!(in_force(&lesser, "seccomp"));
    let log = lesser.log_text();
    assert!(
        log.contains("landlock_files") && log.contains("WARN"),
        "{log}"
    );

    let mut required = Broker::with(Setup {
        wrapper: without_landlock(),
        config: "hardening = \"require\"".to_owned(),
        unready: true,
        ..Setup::default()
    });
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
fn a_broker_that_has_a_program_hold_a_key_is_not_confined_and_says_so() {
    let settings = "[custody.exec.holder]\nprogram = \"/usr/bin/true\"\n";
    let lesser = Broker::with(Setup {
        config: settings.to_owned(),
        ..Setup::default()
    });
    for control in ["landlock_files", "seccomp"] {
        assert!(!in_force(&lesser, control), "{control}");
    }
    assert!(lesser.log_text().contains("not confined"));
    let mut required = Broker::with(Setup {
        config: format!("hardening = \"require\"\n{settings}"),
        unready: true,
        ..Setup::default()
    });
    assert_eq!(required.wait(Duration::from_mins(1)), Some(78));
    assert!(required.log_text().contains("custody names a program"));
}

#[test]
fn a_service_manager_hears_once_that_it_is_ready_and_then_that_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut broker = Broker::with(Setup {
        wrapper: vec![
            "env".to_owned(),
            format!("NOTIFY_SOCKET={}", path.display()),
            "WATCHDOG_USEC=400000".to_owned(),
        ],
        ..Setup::default()
    });
    let hear = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let first = hear();
    assert!(first.starts_with("READY=1\nSTATUS=unsealed"), "{first}");
    assert_eq!(
        (hear(), hear()),
        ("WATCHDOG=1\n".to_owned(), "WATCHDOG=1\n".to_owned())
    );
    broker
        .operator()
        .send("POST", "/v1/operator/seal", None)
        .expect(200);
    let end = Instant::now() + Duration::from_secs(30);
    while !hear().starts_with("STATUS=sealed") {
        assert!(Instant::now() < end);
    }
    // A sealed vault has no writers to wait for.
    while hear() != "WATCHDOG=1\n" {
        assert!(Instant::now() < end);
    }
    assert_eq!(broker.stop(), Some(0));
    let mut last = hear();
    while !last.starts_with("STOPPING=1") {
        assert!(!last.contains("READY=1"), "it is ready once");
        last = hear();
    }
}
