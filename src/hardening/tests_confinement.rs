//! Confinement cannot be undone, so it is tried on children: this test program running one test, and a
//! Python that takes the filters on and makes one call after the other.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, kill_process};
use seccompiler::BpfProgram;

use super::calls::{NEVER, OLDER, SERVING, never, serving};
use super::confinement::deny_written_code;
use super::tests::{child, is_child};
use super::{Confinement, Reach, confine};

/// Tells the child where it may write.
const FOLDER: &str = "RUNTOOLS_TEST_FOLDER";

fn folder() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "a word between a test and its child"
    )]
    let folder = std::env::var_os(FOLDER).unwrap();
    PathBuf::from(folder)
}

/// What this kernel's Landlock can do: 0 is nothing (landlock(7)).
fn landlock_version() -> u32 {
    let script = "import ctypes; print(max(0, ctypes.CDLL(None).syscall(444, None, 0, 1)))";
    let output = Command::new("python3").args(["-c", script]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn a_confined_process_reaches_what_it_was_left_and_nothing_else() {
    assert!(
        landlock_version() >= 1,
        "this kernel has no Landlock, and the test proves nothing"
    );
    let folder = tempfile::tempdir().unwrap();
    for name in ["own", "read", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file"), name).unwrap();
    }
    let output = child("tests_confinement::child_is_confined", |command| {
        command.env(FOLDER, folder.path());
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "{text}");
}

/// The table: one thing that is allowed and one that is refused of each kind.
#[test]
fn child_is_confined() {
    if !is_child() {
        return;
    }
    let folder = folder();
    let (own, read, other) = (
        folder.join("own"),
        folder.join("read"),
        folder.join("other"),
    );
    let version = landlock_version();
    // A daemon has no other thread at this time, and `confine` wants to see that. A test program has, so
    // what it does is called by itself.
    let reach = Reach {
        own: vec![own.clone()],
        read: vec![read.clone()],
        ports: vec![0],
    };
    let all = confine(&reach);
    assert!(
        !all.holds(Confinement::Files),
        "beside another thread it proves nothing"
    );
    let given_up = super::files::give_up(&reach);
    let from = |what, needed| assert_eq!(given_up.contains(&what), version >= needed, "{what}");
    from(Confinement::Files, 1);
    from(Confinement::Ports, 4);
    from(Confinement::Signals, 6);

    own_folder(&own);
    // What is read only.
    assert_eq!(fs::read(read.join("file")).unwrap(), b"read");
    refused(fs::write(read.join("file"), "x"));
    refused(fs::remove_file(read.join("file")));
    refused(fs::File::create(read.join("new")).map(drop));
    // Everything else.
    refused(fs::read(other.join("file")).map(drop));
    refused(fs::read_dir(&other).map(drop));
    refused(fs::write(other.join("file"), "x"));
    refused(fs::rename(own.join("made"), other.join("made")));
    refused(fs::read("/usr/bin/env").map(drop));
    // What looking up a host reads.
    fs::read("/etc/hosts").unwrap();
    fs::read("/etc/nsswitch.conf").unwrap();
    fs::read("/proc/self/status").unwrap();
    refused(Command::new("/usr/bin/env").spawn().map(drop));
    ports_and_signals(version);
}

#[test]
fn memory_that_was_written_is_never_run() {
    let output = child("tests_confinement::child_denies_written_code", |_| {});
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn child_denies_written_code() {
    if !is_child() {
        return;
    }
    // A program that is started inherits it, so that somebody else can try.
    let maps = || {
        let script = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)";
        let output = Command::new("python3").args(["-c", script]).output();
        let output = output.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), errors.contains("[Errno 13]"))
    };
    assert_eq!(maps(), (true, false));
    assert!(
        deny_written_code(),
        "this kernel has no PR_SET_MDWE, and the test proves nothing"
    );
    assert_eq!(maps(), (false, true));
}

/// In a folder of its own: everything but programs, devices and links.
fn own_folder(own: &Path) {
    let made = own.join("made");
    fs::write(&made, "a longer text").unwrap();
    fs::write(&made, "short").unwrap();
    fs::create_dir(own.join("dir")).unwrap();
    fs::rename(&made, own.join("dir/moved")).unwrap();
    fs::rename(own.join("dir/moved"), &made).unwrap();
    fs::remove_dir(own.join("dir")).unwrap();
    drop(UnixListener::bind(own.join("socket")).unwrap());
    fs::remove_file(own.join("socket")).unwrap();
    refused(symlink("/etc/hosts", own.join("link")));
    let pipe = rustix::fs::mknodat(
        rustix::fs::CWD,
        own.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    );
    refused(pipe.map_err(Into::into));
    fs::copy("/etc/hosts", own.join("program")).unwrap();
    let runnable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(own.join("program"), runnable).unwrap();
    refused(Command::new(own.join("program")).spawn().map(drop));
}

fn ports_and_signals(version: u32) {
    drop(TcpListener::bind("127.0.0.1:0").unwrap());
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port.local_addr().unwrap().port();
    let named = TcpListener::bind(("127.0.0.1", port)).map(drop);
    // Whoever started this runs, and a signal to go on does nothing to it.
    let signal = kill_process(getppid().unwrap(), Signal::CONT);
    if version >= 4 {
        refused(named);
    }
    if version >= 6 {
        assert_eq!(signal, Err(rustix::io::Errno::PERM));
        kill_process(getpid(), Signal::CONT).unwrap();
    }
}

#[track_caller]
fn refused(result: std::io::Result<()>) {
    let error = result.expect_err("it is reached");
    let kind = error.raw_os_error();
    let denied = [rustix::io::Errno::ACCESS, rustix::io::Errno::XDEV];
    assert!(
        denied.iter().any(|it| Some(it.raw_os_error()) == kind),
        "{error}"
    );
}

/// Takes filters on (the first argument names a file of them, each instruction eight bytes) and makes
/// the calls of the others, each in a child of its own: `ended`, or the error's number.
const PYTHON: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
code = open(sys.argv[1], "rb").read()
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
buffer = ctypes.create_string_buffer(code, len(code))
program = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_char_p))
for number in map(int, sys.argv[2:]):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            os._exit(7)
        # Arguments that no call takes: it fails, or the filter was first.
        failed = libc.syscall(number, *[ctypes.c_long(-1)] * 6)
        os.write(writing, b"%d" % (ctypes.get_errno() if failed == -1 else 0))
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 16).decode()
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        print(number, "ended", os.WTERMSIG(status))
    else:
        print(number, "error", said if os.WEXITSTATUS(status) == 0 else "unfiltered")
"#;

/// What each call came to under the filter.
fn tried(program: &BpfProgram, calls: &[i64]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = Vec::new();
    for instruction in program {
        bytes.extend(instruction.code.to_ne_bytes());
        bytes.extend([instruction.jt, instruction.jf]);
        bytes.extend(instruction.k.to_ne_bytes());
    }
    fs::write(file.path(), bytes).unwrap();
    let output = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(file.path())
        .args(calls.iter().map(ToString::to_string))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.to_owned());
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), calls.len());
    lines
}

#[test]
fn each_call_that_a_broker_never_makes_ends_the_process() {
    for (call, came_to) in NEVER.iter().zip(tried(&never().unwrap(), NEVER)) {
        assert_eq!(came_to, "ended 31", "{call}");
    }
    // Every argument is -1 there, which has every flag.
    let with_flags = [libc::SYS_clone, libc::SYS_mmap, libc::SYS_mprotect];
    for (call, came_to) in with_flags.iter().zip(tried(&never().unwrap(), &with_flags)) {
        assert_eq!(came_to, "ended 31", "{call}");
    }
}

#[test]
fn a_call_that_serving_needs_not_is_not_there_and_the_process_lives() {
    // None of them harmful, and none that a C library needs for itself.
    let unlisted = [
        libc::SYS_swapon,
        libc::SYS_mq_unlink,
        libc::SYS_inotify_init1,
        libc::SYS_setuid,
        libc::SYS_symlinkat,
        libc::SYS_mknodat,
        libc::SYS_memfd_create,
        libc::SYS_clone3,
        // Nobody knows it yet.
        999,
    ];
    for (call, came_to) in unlisted.iter().zip(tried(&serving().unwrap(), &unlisted)) {
        assert_eq!(came_to, format!("error {}", libc::ENOSYS), "{call}");
    }
    // Of a socket's families the listed ones are known: -1 is none of them.
    let socket = tried(&serving().unwrap(), &[libc::SYS_socket]);
    assert_eq!(socket, [format!("error {}", libc::ENOSYS)]);
}

#[test]
fn no_call_is_on_both_lists_or_twice_on_one() {
    let mut all: Vec<_> = NEVER.iter().chain(SERVING).chain(OLDER).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}
