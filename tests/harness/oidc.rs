//! A real authorization server: the npm package oidc-provider, in a process of its own.
//!
//! `tests/peers/oidc-provider/server.mjs` is its program; `tests/run` installs what that needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use super::oidc_client::{PeerClient, challenge, provider_file};
pub use super::oidc_log::{Asked, Fault, Then};

/// Whether a refresh gives a new refresh token and ends the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    Always,
    Never,
}

/// How a peer is to be started. Lifetimes are seconds.
#[derive(Clone, Debug)]
pub struct PeerSetup {
    pub rotate: Rotate,
    pub access_ttl: u32,
    /// Of access tokens that a refresh gives, where that is another.
    pub refreshed_ttl: Option<u32>,
    /// So long a refresh token still works after it was spent.
    pub grace: u32,
    pub refresh_ttl: u32,
    pub code_ttl: u32,
    pub device_ttl: u32,
    /// Where its clients may be called back; see [`Peer::call_back`].
    pub redirect_uris: Vec<String>,
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    talk: Mutex<Option<(ChildStdin, Receiver<String>)>>,
    said: Arc<Mutex<Vec<u8>>>,
    port: u16,
    clients: Mutex<Vec<PeerClient>>,
    redirect_uris: Mutex<Vec<String>>,
}

impl Default for PeerSetup {
    fn default() -> Self {
        Self {
            rotate: Rotate::Always,
            access_ttl: 3600,
            refreshed_ttl: None,
            grace: 0,
            refresh_ttl: 86400,
            code_ttl: 60,
            device_ttl: 600,
            redirect_uris: vec!["http://127.0.0.1:9/callback".into()],
        }
    }
}

/// How long the peer may take to say where it listens.
const FIRST_WORD: Duration = Duration::from_secs(30);

impl Rotate {
    const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl Peer {
    pub fn start() -> Self {
        Self::with(PeerSetup::default())
    }

    /// Node 20 hangs now and then before its first word, with everything loaded and nothing to do. One that
    /// says nothing for half a minute is ended, and another is started.
    pub fn with(setup: PeerSetup) -> Self {
        let mut started = (1..4).filter_map(|_| Self::spawn(setup.clone(), Some(FIRST_WORD)));
        if let Some(peer) = started.next() {
            return peer;
        }
        Self::spawn(setup, None).unwrap()
    }

    /// Starts one; none when it says nothing for so long. Without a patience of one's own, that is a failure.
    fn spawn(setup: PeerSetup, patience: Option<Duration>) -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/oidc-provider");
        assert!(
            folder.join("node_modules/oidc-provider").is_dir(),
            "the peer is not installed: `npm ci` in {}, or tests/run",
            folder.display()
        );
        let clients = super::oidc_client::clients();
        let described: Vec<_> = clients
            .iter()
            .map(|client| client.described(&setup.redirect_uris))
            .collect();
        let settings = json!({
            "rotate": setup.rotate.word(), "access_ttl": setup.access_ttl,
            "refreshed_ttl": setup.refreshed_ttl, "grace": setup.grace,
            "refresh_ttl": setup.refresh_ttl, "code_ttl": setup.code_ttl,
            "device_ttl": setup.device_ttl, "clients": described,
        });
        let child = Command::new("node")
            .arg("server.mjs")
            .arg(settings.to_string())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("node is missing: apt-get install nodejs npm");
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (mut stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        let (sender, lines) = std::sync::mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        let talk = (child.stdin.take().unwrap(), lines);
        let mut peer = Self {
            child,
            talk: Mutex::new(Some(talk)),
            said,
            port: 0,
            clients: Mutex::new(clients),
            redirect_uris: Mutex::new(setup.redirect_uris),
        };
        let first = match patience {
            Some(patience) => peer.first_word(patience)?,
            None => peer.answer(None),
        };
        peer.port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Some(peer)
    }

    fn first_word(&self, patience: Duration) -> Option<Value> {
        let talk = self.talk.lock().unwrap();
        let line = talk.as_ref().unwrap().1.recv_timeout(patience).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Sends a command, if there is one, and reads one line.
    fn answer(&self, command: Option<&Value>) -> Value {
        let mut talk = self.talk.lock().unwrap();
        let (stdin, lines) = talk.as_mut().unwrap();
        if let Some(command) = command {
            stdin.write_all(format!("{command}\n").as_bytes()).unwrap();
        }
        let line = lines.recv_timeout(Duration::from_secs(180));
        let answer = line.ok().and_then(|line| serde_json::from_str(&line).ok());
        answer.unwrap_or_else(|| {
            let said = self.said.lock().unwrap();
            panic!("the peer says nothing: {}", String::from_utf8_lossy(&said))
        })
    }

    fn tell(&self, word: &str, more: Value) -> Value {
        let mut command = more;
        command["do"] = word.into();
        self.answer(Some(&command))
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its origin, which is its issuer.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The client that is registered for Basic.
    pub fn basic(&self) -> PeerClient {
        self.clients.lock().unwrap()[0].clone()
    }

    /// The client that is registered for its secret in the body. The server itself takes both ways
    /// from both clients: see [`Asked::auth`] for which was used.
    pub fn post(&self) -> PeerClient {
        self.clients.lock().unwrap()[1].clone()
    }

    /// The public client.
    pub fn native(&self) -> PeerClient {
        self.clients.lock().unwrap()[2].clone()
    }

    /// Sets where its clients may be called back: known only once the broker has started.
    pub fn call_back(&self, redirect_uris: &[&str]) {
        let uris: Vec<_> = redirect_uris.iter().map(|uri| (*uri).to_owned()).collect();
        *self.redirect_uris.lock().unwrap() = uris;
        for client in self.clients.lock().unwrap().iter() {
            self.register(client);
        }
    }

    /// Registers one more client.
    pub fn add_client(&self, id: &str, secret: &str, auth: &'static str) -> PeerClient {
        let client = PeerClient {
            id: id.to_owned(),
            secret: secret.to_owned(),
            auth,
        };
        self.register(&client);
        self.clients.lock().unwrap().push(client.clone());
        client
    }

    /// Registers a client for one broker of several: only that is called back, whatever is set for others.
    pub fn client_of(&self, id: &str, back: &str) -> PeerClient {
        let client = PeerClient {
            id: id.to_owned(),
            secret: super::Canaries::new().value(),
            auth: "post",
        };
        let described = client.described(&[back.to_owned()]);
        self.tell("client", json!({ "client": described }));
        client
    }

    /// Gives a client another secret: the old one is refused from now on.
    pub fn change_secret(&self, id: &str, secret: &str) {
        let mut clients = self.clients.lock().unwrap();
        let client = clients.iter_mut().find(|client| client.id == id).unwrap();
        secret.clone_into(&mut client.secret);
        self.register(client);
    }

    fn register(&self, client: &PeerClient) {
        let client = client.described(&self.redirect_uris.lock().unwrap());
        self.tell("client", json!({ "client": client }));
    }

    /// From now on refreshes give new refresh tokens, or do not.
    pub fn rotate(&self, rotate: Rotate) {
        self.tell("set", json!({ "rotate": rotate.word() }));
    }

    /// Seconds that tokens made from now on live.
    pub fn lifetimes(&self, access: u32, refresh: u32) {
        let lives = json!({ "access_ttl": access, "refresh_ttl": refresh });
        self.tell("set", lives);
    }

    /// Every request that arrived, pages and all.
    pub fn log(&self) -> Vec<Asked> {
        serde_json::from_value(self.tell("log", json!({}))).unwrap()
    }

    /// The requests for one path: `/token`, `/me`, `/token/revocation`, `/device/auth`, `/auth` …
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let mut log = self.log();
        log.retain(|asked| asked.path == path);
        log
    }

    /// The token requests of one grant type, e.g. `refresh_token`.
    pub fn granted(&self, grant: &str) -> Vec<Asked> {
        let mut asked = self.asked("/token");
        asked.retain(|asked| asked.form("grant_type") == Some(grant));
        asked
    }

    /// Begins the log anew.
    pub fn forget(&self) {
        self.tell("forget", json!({}));
    }

    /// Every token, code, verifier and client secret that came or went, for
    /// [`Canaries::also`](super::Canaries::also).
    pub fn secrets(&self) -> Vec<String> {
        serde_json::from_value(self.tell("secrets", json!({}))).unwrap()
    }

    /// Makes something go wrong.
    pub fn fault(&self, fault: &Fault) {
        self.tell("fault", fault.command());
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        self.tell("mend", json!({}));
    }

    /// Waits until `count` requests are held.
    #[track_caller]
    pub fn wait_held(&self, count: u64) {
        self.wait_held_for(count, Duration::from_secs(10));
    }

    /// The same with another patience.
    #[track_caller]
    pub fn wait_held_for(&self, count: u64, patience: Duration) {
        let end = Instant::now() + patience;
        while self.tell("held", json!({})) != count {
            assert!(Instant::now() < end, "it never came");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets what is held go on.
    pub fn release(&self) {
        self.tell("release", json!({}));
    }

    /// The person takes back on the peer's side all that was granted.
    pub fn revoke_all_of(&self, login: &str) {
        self.tell("revoke", json!({ "login": login }));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.talk.get_mut().map(Option::take));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
