//! A broker of one's own.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Client;

/// How a broker is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// More lines for its `broker.toml`, after the harness's own.
    pub config: String,
    /// Requests that one caller may make at once, and two a second from then on.
    pub burst: Option<u32>,
    /// Wait until it listens; without it, for starts that are expected to fail.
    pub unready: bool,
    /// Where it is to kill itself: a name of `src/failpoint/places.rs`.
    pub failpoint: Option<&'static str>,
    /// Leave `broker.toml` as it is, for an installation that was made on purpose.
    pub settled: bool,
    /// Put these words before the command, e.g. `["strace", "-f", …]`.
    pub wrapper: Vec<String>,
}

/// A running broker process and its folder.
#[derive(Debug)]
pub struct Broker {
    child: Option<Child>,
    folder: Arc<TempDir>,
    log: Arc<Mutex<Vec<u8>>>,
    origin: String,
    setup: Setup,
}

impl Broker {
    /// Whether this part of the hardening is in force, by what it says of itself.
    pub fn enforces(&self, control: &str) -> bool {
        let page = self.operator().get("/metrics");
        let page = String::from_utf8(page.body).unwrap();
        let line = format!("runtools_hardening_enforced{{control=\"{control}\"}} ");
        let found = page.lines().find_map(|it| it.strip_prefix(&line));
        found.unwrap_or_else(|| panic!("{control} is not told")) == "1"
    }

    /// A fresh broker with defaults.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// A fresh broker.
    pub fn with(setup: Setup) -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), setup)
    }

    /// A broker over a folder that was used before.
    pub fn over(folder: Arc<TempDir>, setup: Setup) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut broker = Self {
            child: None,
            folder,
            log,
            origin: String::new(),
            setup,
        };
        broker.launch();
        broker
    }

    /// The binary under test.
    pub fn binary() -> &'static str {
        env!("CARGO_BIN_EXE_runtools-broker")
    }

    fn config_text(&self) -> String {
        let (burst, rate) = match self.setup.burst {
            Some(burst) => (burst, 2),
            None => (1_000_000, 1_000_000),
        };
        format!(
            "listen = [\"127.0.0.1:0\"]\nproxy.listen = \"127.0.0.1:0\"\ndata_dir = {:?}\nkeys_dir = {:?}\nsocket = {:?}\n{}\n\
             [rate]\nper_principal_per_second = {rate}\nper_principal_burst = {burst}\n\
             per_source_per_second = 1000000\nper_source_burst = 1000000\n[log]\nlevel = \"trace\"\nformat = \"json\"\n",
            self.data(),
            self.keys(),
            self.socket(),
            self.setup.config,
        )
    }

    fn launch(&mut self) {
        let config = self.path("broker.toml");
        if !self.setup.settled {
            std::fs::write(&config, self.config_text()).unwrap();
        }
        let mut words = self.setup.wrapper.clone();
        words.extend([
            Self::binary().to_owned(),
            "--config".into(),
            config.display().to_string(),
        ]);
        let mut command = Command::new(&words[0]);
        if let Some(place) = self.setup.failpoint {
            command.env("RUNTOOLS_FAILPOINT", place);
        }
        let mut child = command
            .args(&words[1..])
            .current_dir(self.folder.path())
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::clone(&self.log);
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                log.lock().unwrap().extend_from_slice(&line);
                drop(sender.send(String::from_utf8_lossy(&line).into_owned()));
                line.clear();
            }
        });
        self.child = Some(child);
        if self.setup.unready {
            return;
        }
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix("runtools-broker listens on ") {
                        let addr = rest.split(" and ").next().unwrap().trim();
                        self.origin = format!("http://{addr}");
                        return;
                    }
                }
                Err(_) => panic!("the broker does not start: {}", self.log_text()),
            }
        }
    }

    /// Starts again over the same folder, after it was stopped or killed.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// The same, with another setup.
    pub fn restart_with(&mut self, setup: Setup) {
        self.kill();
        self.setup = setup;
        self.launch();
    }

    /// How it was started.
    pub fn setup(&self) -> Setup {
        self.setup.clone()
    }

    /// SIGKILL, and wait.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// A signal by its name, e.g. `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait(Duration::from_secs(30))
    }

    /// Waits for it to end by itself; `None` when a signal ended it or it did not end.
    pub fn wait(&mut self, patience: Duration) -> Option<i32> {
        let end = Instant::now() + patience;
        let mut child = self.child.take().unwrap();
        while Instant::now() < end {
            if let Some(status) = child.try_wait().unwrap() {
                std::thread::sleep(Duration::from_millis(20));
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
        None
    }

    /// The signal that has ended it, if it has ended; fails when it ended in another way.
    #[track_caller]
    pub fn died_of(&mut self) -> Option<i32> {
        let status = self.child.as_mut().unwrap().try_wait().unwrap()?;
        self.child = None;
        let signal = status.signal();
        assert!(signal.is_some(), "{status}: {}", self.log_text());
        signal
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The operator's client: over the Unix socket, as the user that runs the test.
    pub fn operator(&self) -> Client {
        Client::unix(&self.socket())
    }

    /// An anonymous client over TCP.
    pub fn anonymous(&self) -> Client {
        Client::origin(&self.origin)
    }

    /// The first admin over TCP, with a key of these scopes (none: all).
    pub fn admin(&self, scopes: &[&str]) -> Client {
        self.anonymous().key(&self.operator().make_key(scopes))
    }

    /// A new member over TCP, with a key for everything that a member may do.
    pub fn member(&self, name: &str) -> Client {
        let body = serde_json::json!({ "name": name, "createKey": true });
        let added = self
            .operator()
            .post("/v1/organizations/current/members", &body)
            .expect(201);
        self.anonymous().key(added["data"]["key"].as_str().unwrap())
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn keys(&self) -> PathBuf {
        self.path("keys")
    }

    pub fn socket(&self) -> PathBuf {
        self.path("broker.sock")
    }

    /// Everything that it has written to stderr.
    pub fn log_bytes(&self) -> Vec<u8> {
        self.log.lock().unwrap().clone()
    }

    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&self.log_bytes()).into_owned()
    }

    /// Every file under the folder, read whole.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        collect(self.folder.path(), &mut found);
        found
    }
}

fn collect(dir: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            collect(&path, found);
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            std::fs::File::open(&path)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            found.push((path, bytes));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
