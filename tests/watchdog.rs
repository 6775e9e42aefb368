//! What a service manager hears (`sd_notify(3)`): that the broker is ready, that it lives, and nothing while one of
//! those who write does not come round. It takes root: a single thread is held with ptrace(2), by python3.

mod harness;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Broker, Setup};
use tempfile::TempDir;

/// The service manager wants to hear something in this time, in microseconds.
const INTERVAL: u64 = 400_000;
const ALIVE: &str = "WATCHDOG=1\n";

/// A service manager, and a broker that tells it.
struct Watched {
    broker: Broker,
    manager: UnixDatagram,
    _folder: TempDir,
}

impl Watched {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let broker = Broker::with(Setup {
            wrapper: vec![
                "env".to_owned(),
                format!("NOTIFY_SOCKET={}", path.display()),
                format!("WATCHDOG_USEC={INTERVAL}"),
            ],
            ..Setup::default()
        });
        Self {
            broker,
            manager,
            _folder: folder,
        }
    }

    /// The next word, if one comes within `patience`.
    fn within(&self, patience: Duration) -> Option<String> {
        self.manager.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        match self.manager.recv(&mut buffer) {
            Ok(length) => Some(String::from_utf8(buffer[..length].to_vec()).unwrap()),
            Err(error) => {
                let waited = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
                assert!(waited.contains(&error.kind()), "{error}");
                None
            }
        }
    }

    fn hear(&self) -> String {
        self.within(Duration::from_secs(30)).expect("a word")
    }
}

/// Seizes a thread, holds it until a line comes in, and lets it go on.
const HOLDER: &str = r"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
thread = int(sys.argv[1])
def trace(request):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
trace(SEIZE)
trace(INTERRUPT)
os.waitpid(thread, WALL)
print('held', flush=True)
sys.stdin.readline()
trace(DETACH)
";

/// A thread of the broker that does nothing until this is let go.
struct Held(Child);

impl Held {
    fn of(broker: &Broker, name: &str) -> Self {
        let tasks = format!("/proc/{}/task", broker.pid());
        let mut threads = fs::read_dir(tasks).unwrap().map(Result::unwrap);
        let is_it = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let thread = threads.find(is_it).expect("such a thread");
        let mut holder = Command::new("python3")
            .args(["-c", HOLDER])
            .arg(thread.file_name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        let read = holder.stdout.as_mut().unwrap().read_exact(&mut said);
        assert!(read.is_ok(), "a thread can be held by root only");
        assert_eq!(&said, b"held\n");
        Self(holder)
    }

    fn let_go(mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn a_service_manager_hears_once_that_it_is_ready_and_then_that_it_lives() {
    let mut watched = Watched::start();
    let first = watched.hear();
    assert!(first.starts_with("READY=1\nSTATUS=unsealed"), "{first}");
    assert_eq!(
        (watched.hear(), watched.hear()),
        (ALIVE.to_owned(), ALIVE.to_owned())
    );
    watched
        .broker
        .operator()
        .send("POST", "/v1/operator/seal", None)
        .expect(200);
    let end = Instant::now() + Duration::from_secs(30);
    while !watched.hear().starts_with("STATUS=sealed") {
        assert!(Instant::now() < end);
    }
    // A sealed vault has no writers to wait for.
    while watched.hear() != ALIVE {
        assert!(Instant::now() < end);
    }
    assert_eq!(watched.broker.stop(), Some(0));
    let mut last = watched.hear();
    while !last.starts_with("STOPPING=1") {
        assert!(!last.contains("READY=1"), "it is ready once");
        last = watched.hear();
    }
}

#[test]
fn a_service_manager_hears_nothing_while_a_writer_hangs_and_again_once_it_goes_on() {
    let silence = Duration::from_micros(INTERVAL * 3);
    for writer in ["audit", "store-commit"] {
        let watched = Watched::start();
        while watched.hear() != ALIVE {}
        let held = Held::of(&watched.broker, writer);
        // What was said until then may still be on its way.
        let end = Instant::now() + Duration::from_secs(5);
        while watched.within(silence).is_some() {
            assert!(Instant::now() < end, "{writer}: it is said to live");
        }
        // The event loop comes round all the while.
        let serves = watched.broker.anonymous().get("/livez");
        assert_eq!(serves.status, 200);
        assert_eq!(watched.within(silence), None, "{writer}");
        held.let_go();
        assert_eq!(watched.hear(), ALIVE, "{writer}");
        assert_eq!(watched.hear(), ALIVE, "{writer}");
    }
}
