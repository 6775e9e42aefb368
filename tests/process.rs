//! What the running process denies itself, seen from outside.

mod harness;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::memory::occurrences;
use harness::nobody::{as_nobody, is_root, nobodys_folder};
use harness::{Broker, Setup};
use runtools_broker::custody::{Provider, Ring};
use serde_json::json;

/// Under a careless umask, allowing core files, as a user who is not root.
fn careless() -> Vec<String> {
    let words = [
        "sh",
        "-c",
        "umask 000; ulimit -c unlimited 2>/dev/null; exec \"$@\"",
        "sh",
    ];
    let words = words.iter().map(|&word| word.to_owned());
    words.chain(as_nobody()).collect()
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
    let mut words = careless();
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
        wrapper: careless(),
        ..Setup::default()
    };
    let broker = Broker::over(nobodys_folder(), setup);
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
        "secret_page",
    ] {
        in_force(&page, control);
    }
}

#[track_caller]
fn in_force(page: &str, control: &str) {
    let line = format!("runtools_hardening_enforced{{control=\"{control}\"}} 1");
    assert!(page.lines().any(|it| it == line), "{control}: {page}");
}

fn metrics(broker: &Broker) -> String {
    String::from_utf8(broker.operator().get("/metrics").body).unwrap()
}

/// Everything that the system says of each thread of a process.
fn tasks(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let tasks: Vec<_> = tasks.map(|task| task.unwrap().path()).collect();
    assert!(tasks.len() > 2, "threads that came with work are meant too");
    let read = |task: &std::path::PathBuf| fs::read_to_string(task.join("status")).unwrap();
    tasks.iter().map(read).collect()
}

#[test]
fn a_broker_that_root_starts_keeps_none_of_roots_rights() {
    if !is_root() {
        eprintln!("not tried: this user has none to lose");
        return;
    }
    let broker = Broker::start();
    let secret = json!({"name": "MADE", "value": "some value"});
    broker.operator().post("/v1/secrets", &secret).expect(201);
    in_force(&metrics(&broker), "capabilities");
    for status in tasks(broker.pid()) {
        let sets = status.lines().filter(|line| line.starts_with("Cap"));
        let sets: Vec<_> = sets.collect();
        assert_eq!(sets.len(), 5, "{status}");
        for set in sets {
            assert!(set.ends_with("\t0000000000000000"), "{set}");
        }
    }
}

/// Ten open files, and a password in the environment.
const CARELESS_PARENT: &str = r#"export DATABASE_PASSWORD="$1"; shift
for number in {10..19}; do eval "exec $number<\$0"; done; exec "$@""#;

#[test]
fn a_broker_leaves_behind_what_whoever_started_it_left_open_or_exported() {
    let folder = tempfile::tempdir().unwrap();
    let left_open = folder.path().join("left-open");
    fs::write(&left_open, "somebody else's").unwrap();
    let password = format!("exported-{}", std::process::id());
    let parent = [
        "bash",
        "-c",
        CARELESS_PARENT,
        left_open.to_str().unwrap(),
        &password,
    ];
    let broker = Broker::with(Setup {
        wrapper: parent.iter().map(|&word| word.to_owned()).collect(),
        ..Setup::default()
    });
    let page = metrics(&broker);
    in_force(&page, "environment");
    in_force(&page, "no_inherited_files");
    let proc = Path::new("/proc").join(broker.pid().to_string());
    for file in fs::read_dir(proc.join("fd")).unwrap() {
        let (file, number) = {
            let file = file.unwrap();
            (file.path(), file.file_name().into_string().unwrap())
        };
        // One that is gone by now was none that was inherited.
        let Ok(target) = fs::read_link(&file) else {
            continue;
        };
        assert_ne!(target, left_open);
        let Ok(info) = fs::read_to_string(proc.join("fdinfo").join(&number)) else {
            continue;
        };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        let close_on_exec = flags & 0o2_000_000 != 0;
        assert!(
            number.parse::<u32>().unwrap() < 3 || close_on_exec,
            "{target:?}"
        );
    }
    let environment = fs::read_to_string(proc.join("environ")).unwrap();
    assert!(!environment.contains("DATABASE_PASSWORD"), "{environment}");
    if is_root() {
        assert_eq!(occurrences(broker.pid(), password.as_bytes()), 0);
    }
}

#[test]
fn root_finds_no_root_key_in_the_memory_of_a_broker_that_works_with_it() {
    if !is_root() {
        eprintln!("not tried: only root reads the memory of a broker");
        return;
    }
    let broker = Broker::start();
    let operator = broker.operator();
    let secret = json!({"name": "MADE", "value": "some value"});
    operator.post("/v1/secrets", &secret).expect(201);
    // What the root key is used for: slots, the keys of organisations, and opening all of it.
    let slot =
        json!({"kind": "passphrase", "label": "spare", "passphrase": "correct horse battery"});
    operator.post("/v1/operator/slots", &slot).expect(201);
    operator.send("POST", "/v1/operator/seal", None).expect(200);
    let words = json!({"passphrase": "correct horse battery"});
    operator.post("/v1/operator/unseal", &words).expect(200);
    operator
        .post("/v1/secrets/MADE/reveal", &json!({}))
        .expect(200);

    let file = broker.keys().join("root.key");
    let ring = Ring::load(&broker.keys()).unwrap();
    let root = ring.open(Provider::KeyFile(&file)).unwrap();
    let root = root.expose(|bytes| bytes.to_vec());
    let file = fs::read(file).unwrap();
    let pid = broker.pid();
    assert!(occurrences(pid, broker.keys().to_str().unwrap().as_bytes()) > 0);
    for (what, key) in [("the root key", root), ("the key file", file)] {
        let halves: Vec<_> = key.chunks(16).map(|half| occurrences(pid, half)).collect();
        assert_eq!(halves, [0, 0], "{what}");
    }
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    assert!(maps.contains("/secretmem"), "{maps}");
    // Of memory that is locked there is little: a limit of 8 MB is common, and a container's may be 64 kB.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let locked = locked.unwrap().trim().trim_end_matches(" kB");
    assert!(locked.parse::<u32>().unwrap() < 1024, "{locked}");
}

#[test]
fn no_file_of_ours_can_be_read_by_others_under_a_careless_umask() {
    let setup = Setup {
        wrapper: careless(),
        ..Setup::default()
    };
    let mut broker = Broker::over(nobodys_folder(), setup);
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
