//! How a broker begins: without what it inherited, and with the rights that are written on its file.
//!
//! strace must be installed; without it these tests fail.

mod harness;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::nobody::{as_nobody, is_root, nobodys_folder};
use harness::{Broker, Setup};
use rustix::fs::{XattrFlags, setxattr};

/// The rights to lock memory and to listen on low ports (`linux/capability.h`).
const IPC_LOCK: u32 = 1 << 14;
const NET_BIND_SERVICE: u32 = 1 << 10;

/// A copy of the program that gives whoever runs it these rights, as `setcap` does.
fn with_rights(folder: &Path, rights: u32) -> PathBuf {
    let program = folder.join("runtools-broker");
    fs::copy(Broker::binary(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    if rights != 0 {
        // `VFS_CAP_REVISION_2`, in force at once: which are permitted, and which are inheritable.
        let words = [0x0200_0001, rights, 0, 0, 0];
        let written: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        let name = "security.capability";
        setxattr(&program, name, &written, XattrFlags::empty()).unwrap();
    }
    program
}

/// Runs `program` in the place of the broker, as a user who may lock no memory, with a password exported.
fn in_its_place(program: &Path, more: &str) -> Vec<String> {
    let script =
        format!("ulimit -l 0; export DATABASE_PASSWORD=x; shift; exec \"$0\" \"$@\" {more}");
    let words = ["bash", "-c", &script, program.to_str().unwrap()];
    let words = words.iter().map(|&word| word.to_owned());
    as_nobody().into_iter().chain(words).collect()
}

fn low_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (700..1000).find(free).unwrap()
}

#[test]
fn rights_that_are_written_on_the_program_are_there_when_it_has_begun_afresh() {
    if !is_root() {
        eprintln!("not tried: only root writes rights on a program");
        return;
    }
    let programs = nobodys_folder();
    let program = with_rights(programs.path(), IPC_LOCK | NET_BIND_SERVICE);
    let port = low_port();
    let wrapper = in_its_place(&program, &format!("--listen 127.0.0.1:{port}"));
    let setup = Setup {
        wrapper,
        ..Setup::default()
    };
    let broker = Broker::over(nobodys_folder(), setup);
    assert!(broker.enforces("environment"), "it did begin afresh");
    assert!(broker.enforces("secret_page"), "it may lock memory");
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    drop(broker);

    let program = with_rights(programs.path(), 0);
    let setup = Setup {
        wrapper: in_its_place(&program, ""),
        ..Setup::default()
    };
    let without = Broker::over(nobodys_folder(), setup);
    assert!(without.enforces("environment"));
    assert!(!without.enforces("secret_page"), "and without it may not");
}

/// A system that runs the program the first time, and not again.
fn runs_once() -> Vec<String> {
    // What strace runs itself is not counted: it is who changes the user, where there is one.
    let again = if is_root() { 2 } else { 1 };
    let inject = format!("inject=execve:error=EACCES:when={again}+");
    let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null"];
    let exported = ["-E", "DATABASE_PASSWORD=x"];
    let more = ["-e", "trace=execve", "-e", &inject]
        .into_iter()
        .chain(exported);
    let more: Vec<_> = more.collect();
    let words = words.iter().chain(&more).map(|&word| word.to_owned());
    words.chain(as_nobody()).collect()
}

#[test]
fn a_broker_that_cannot_begin_afresh_says_so_and_where_that_is_required_does_not_start() {
    let lesser = Broker::over(
        nobodys_folder(),
        Setup {
            wrapper: runs_once(),
            ..Setup::default()
        },
    );
    assert!(!lesser.enforces("environment"));
    let log = lesser.log_text();
    for said in ["not_run_afresh", "permission denied", "env -i"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    drop(lesser);

    for (wrapper, said) in [
        (runs_once(), "cannot run itself once more"),
        (
            [
                vec!["env".to_owned(), "RUNTOOLS_AFRESH=1".to_owned()],
                as_nobody(),
            ]
            .concat(),
            "RUNTOOLS_AFRESH is set",
        ),
    ] {
        let setup = Setup {
            wrapper,
            config: "hardening = \"require\"".to_owned(),
            unready: true,
            ..Setup::default()
        };
        let mut required = Broker::over(nobodys_folder(), setup);
        assert_eq!(required.wait(Duration::from_mins(1)), Some(78));
        let log = required.log_text();
        assert!(log.contains(said) && log.contains("hint: "), "{log}");
        assert!(
            !required.data().join("store").exists(),
            "nothing was opened"
        );
    }
}

#[test]
fn a_program_that_was_replaced_while_it_started_begins_afresh_all_the_same() {
    let programs = nobodys_folder();
    let program = with_rights(programs.path(), 0);
    // Run by its number among the open files, when its name is already gone.
    let script = "exec 9<\"$0\"; rm \"$0\"; export DATABASE_PASSWORD=x; shift; exec -a runtools-broker /proc/self/fd/9 \"$@\"";
    let words = ["bash", "-c", script, program.to_str().unwrap()];
    let broker = Broker::with(Setup {
        wrapper: words.iter().map(|&word| word.to_owned()).collect(),
        ..Setup::default()
    });
    assert!(!program.exists());
    assert!(broker.enforces("environment") && broker.enforces("no_inherited_files"));
}
