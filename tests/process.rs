//! What the running process denies itself, seen from outside.

mod harness;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use harness::{Broker, Setup};
use serde_json::json;

const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Runs a command as a user who is not root, under a careless umask, allowing core files.
fn as_nobody() -> Vec<String> {
    let mut words = vec![
        "sh",
        "-c",
        "umask 000; ulimit -c unlimited 2>/dev/null; exec \"$@\"",
        "sh",
    ];
    if is_root() {
        words.extend([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]);
    }
    words.into_iter().map(str::to_owned).collect()
}

/// A folder that nobody owns, and that everybody can reach the binary from.
fn folder() -> Arc<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    Arc::new(folder)
}

/// What the system says of a process that hardened itself.
fn assert_hardened(what: &str, pid: u32) {
    let proc = Path::new("/proc").join(pid.to_string());
    // What is not dumpable belongs to root, whoever runs it: nobody else can attach or read.
    let memory = fs::metadata(proc.join("mem")).unwrap();
    assert_eq!(
        memory.uid(),
        0,
        "{what}: /proc/{pid}/mem belongs to its user"
    );
    let status = fs::read_to_string(proc.join("status")).unwrap();
    assert!(
        !status.contains("Uid:\t0\t"),
        "{what}: this run proves nothing as root"
    );
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    let core: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"], "{what}");
    let mut tasks = 0;
    for task in fs::read_dir(proc.join("task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{what}: {status}");
        tasks += 1;
    }
    assert!(tasks > 0);
}

/// Starts `binary` where it waits, for a value on its standard input or for requests.
fn waiting(binary: &str, arguments: &[&str]) -> Child {
    let mut words = as_nobody();
    words.push(binary.to_owned());
    Command::new(&words[0])
        .args(&words[1..])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether the process reads its standard input, and so has done all that comes before.
fn waits_for_input(pid: u32) -> bool {
    let read = fs::read_to_string(format!("/proc/{pid}/syscall"));
    read.is_ok_and(|call| call.starts_with("0 0x0 "))
}

#[test]
fn neither_binary_can_be_dumped_and_none_of_their_tasks_gains_rights() {
    let setup = Setup {
        wrapper: as_nobody(),
        ..Setup::default()
    };
    let broker = Broker::over(folder(), setup);
    // Threads that come with work are meant too.
    let secret = json!({"name": "MADE", "value": "some value"});
    let operator = broker.operator();
    operator.post("/v1/secrets", &secret).expect(201);
    operator
        .post("/v1/secrets/MADE/reveal", &json!({}))
        .expect(200);
    assert_hardened("runtools-broker", broker.pid());

    let socket = broker.socket().display().to_string();
    let arguments = ["--socket", &socket, "secret", "set", "TYPED"];
    let mut client = waiting(env!("CARGO_BIN_EXE_runtools"), &arguments);
    harness::eventually(|| waits_for_input(client.id()).then_some(()));
    assert_hardened("runtools", client.id());
    drop(client.stdin.take());
    client.wait().unwrap();

    let metrics = operator.get("/metrics");
    let page = String::from_utf8(metrics.body).unwrap();
    for control in [
        "umask",
        "core_limit",
        "not_dumpable",
        "no_new_privs",
        "unprivileged",
    ] {
        let line = page
            .lines()
            .find(|line| line.starts_with("runtools_hardening_enforced") && line.contains(control));
        assert!(
            line.is_some_and(|line| line.ends_with(" 1")),
            "{control}: {line:?}"
        );
    }
}

#[test]
fn no_file_of_ours_can_be_read_by_others_under_a_careless_umask() {
    let setup = Setup {
        wrapper: as_nobody(),
        ..Setup::default()
    };
    let mut broker = Broker::over(folder(), setup);
    let secret = json!({"name": "MADE", "value": "some value"});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    broker.restart();
    broker
        .operator()
        .post("/v1/secrets/MADE/reveal", &json!({}))
        .expect(200);
    let mut seen = 0;
    for place in [broker.data(), broker.keys()] {
        let mut dirs = vec![place];
        while let Some(dir) = dirs.pop() {
            assert_eq!(
                fs::metadata(&dir).unwrap().permissions().mode() & 0o077,
                0,
                "{}",
                dir.display()
            );
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let found = fs::symlink_metadata(&path).unwrap();
                if found.is_dir() {
                    dirs.push(path);
                } else {
                    let mode = found.permissions().mode();
                    assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 6, "only {seen} files were seen");
    let socket = fs::symlink_metadata(broker.socket()).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}
