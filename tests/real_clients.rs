//! Vendors' own libraries and tools, unmodified, through the egress proxy: the vendor is sent the real
//! credential in its place, and the client's world holds placeholders: its environment, its arguments, what
//! it printed, what it was answered, its memory, and what went over its wire, in clear.
//!
//! The vendors are played by one origin on `localhost`; the tools are the shipped files with that host in them.

mod harness;
mod lanes;
mod stage;

#[path = "signers/aws.rs"]
#[allow(dead_code, reason = "a journey about signers uses the rest")]
mod aws;
#[path = "real_clients/boto.rs"]
mod boto;
#[path = "real_clients/direct.rs"]
mod direct;
#[path = "lane_proxy/front.rs"]
#[allow(dead_code, reason = "the journeys through the proxy use the rest")]
mod front;
#[path = "real_clients/git.rs"]
mod git;
#[path = "real_clients/hub.rs"]
mod hub;
#[path = "real_clients/java.rs"]
mod java;
#[path = "real_clients/libraries.rs"]
mod libraries;
#[path = "real_clients/socket.rs"]
mod socket;
#[path = "real_clients/tap.rs"]
mod tap;
#[path = "real_clients/vendor.rs"]
mod vendor;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Client, Upstream};
use serde_json::{Value, json};
use stage::Stage;
use tap::Tap;
use tempfile::TempDir;

/// A broker, the vendors, and somebody who runs their clients.
struct World {
    stage: Stage,
    origin: Upstream,
    admin: Client,
    key: String,
    home: TempDir,
    tap: Tap,
}

/// What a client came to.
struct Ran {
    exit: Option<i32>,
    /// The document that it printed about itself, or nothing.
    told: Value,
    out: String,
    err: String,
}

/// Where the vendors' tools are: all of the test's environment that they are given.
#[expect(
    clippy::disallowed_methods,
    reason = "node and git are where the person has them"
)]
fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap()
}

fn peers(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(name)
}

impl World {
    fn new() -> Self {
        Self::before(Upstream::tls(&["localhost"], vendor::answer))
    }

    fn before(origin: Upstream) -> Self {
        let root = origin.root_pem().to_owned();
        Self::trusting(&root, origin)
    }

    fn trusting(root: &str, origin: Upstream) -> Self {
        let mut stage = Stage::trusting(root);
        let key = stage.operator().make_key(&[]);
        stage.canaries.also(&key);
        let admin = stage.broker.anonymous().key(&key);
        let home = tempfile::tempdir().unwrap();
        let tap = Tap::start(home.path());
        Self {
            stage,
            origin,
            admin,
            key,
            home,
            tap,
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.origin.port())
    }

    /// Installs a shipped tool as one of the organisation's, with its hosts here; its slug.
    fn shipped(&self, slug: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/tools/{slug}.toml"));
        let text = std::fs::read_to_string(file).unwrap();
        let port = self.origin.port();
        let mut moved = String::new();
        let mut hosts = Vec::new();
        for line in text.lines() {
            if let Some(host) = line
                .strip_prefix("hosts = [\"")
                .and_then(|it| it.strip_suffix("\"]"))
            {
                hosts.push(host.to_owned());
                moved.push_str(&format!(
                    "hosts = [\"localhost\"]\nport = {port}\nprivate = [\"127.0.0.1/32\", \"::1/128\"]\n"
                ));
            } else {
                moved.push_str(&line.replace(
                    &format!("slug = \"{slug}\""),
                    &format!("slug = \"custom-{slug}\""),
                ));
                moved.push('\n');
            }
        }
        for host in hosts {
            moved = moved.replace(&format!("https://{host}/"), &format!("{}/", self.url()));
        }
        self.install(&moved)
    }

    /// Makes and installs the tool of a file; its slug.
    #[track_caller]
    fn install(&self, file: &str) -> String {
        let body = Some(("application/toml", file.as_bytes()));
        let made = self
            .admin
            .send("POST", "/v1/tools/custom", body)
            .expect(201);
        let slug = made["data"]["slug"].as_str().unwrap().to_owned();
        let path = format!("/v1/tools/{slug}/install");
        self.admin.post(&path, &json!({})).expect(200);
        slug
    }

    /// Plants a value as a secret.
    fn secret(&mut self, name: &str) -> String {
        let admin = self.admin.clone();
        self.stage.secret(&admin, name, &json!({}))
    }

    /// `runtools run`, as somebody with an API key in the environment. The wire to the proxy is tapped.
    fn command(&self, slug: &str, program: &[&str]) -> Command {
        let port = self.tap.port.to_string();
        let tapped = ["sh", "-c", tap::THROUGH, "sh", &port];
        let mut command = self.untapped(slug, &[&tapped, program].concat());
        // A root of one's own stays one.
        command.env("PIP_CERT", &self.tap.root);
        command
    }

    fn untapped(&self, slug: &str, program: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtools"));
        command
            .args(["run", "--tool", slug, "--"])
            .args(program)
            .current_dir(peers("real-clients"))
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env("PATH", path())
            .env("RUNTOOLS_API_URL", self.stage.broker.origin())
            .env("RUNTOOLS_API_KEY", &self.key);
        command
    }

    /// Runs a client to its end. One that tells of itself waits until its memory was searched.
    fn runs(&self, slug: &str, program: &[&str]) -> Ran {
        self.ran(self.command(slug, program), program)
    }

    fn ran(&self, mut command: Command, program: &[&str]) -> Ran {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut out = String::new();
        lines.read_line(&mut out).unwrap();
        let told: Value = serde_json::from_str(&out).unwrap_or_default();
        if let Some(pid) = told["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
            && stage::memory::may_search(pid)
        {
            let found = stage::memory::search(pid, &self.stage.canaries);
            assert!(
                found.is_empty(),
                "the memory of {program:?} holds {found:#?}"
            );
        }
        drop(child.stdin.take());
        lines.read_to_string(&mut out).unwrap();
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        let exit = child.wait().unwrap().code();
        let ran = Ran {
            exit,
            told,
            out,
            err,
        };
        for (what, text) in [("standard output", &ran.out), ("standard error", &ran.err)] {
            self.stage.canaries.absent_from(what, text.as_bytes());
        }
        ran
    }

    /// Runs a client that must do well.
    #[track_caller]
    fn works(&self, slug: &str, program: &[&str]) -> Ran {
        let ran = self.runs(slug, program);
        assert_eq!(ran.exit, Some(0), "{}\n{}", ran.out, ran.err);
        let heard = self.tap.heard();
        let told = String::from_utf8_lossy(&heard);
        assert!(told.contains("x-runtools-answer: upstream"), "{told}");
        self.stage.canaries.absent_from("the wire", &heard);
        ran
    }

    /// Every request that arrived at the vendor, none of which holds a placeholder.
    #[track_caller]
    fn arrived(&self, at_least: usize) -> Vec<harness::Seen> {
        let seen = self.origin.seen();
        assert!(seen.len() >= at_least, "{seen:?}");
        for request in &seen {
            let text = format!("{request:?}");
            assert!(!text.contains("rtPlaceh0lder"), "{text}");
            assert!(
                !text.to_ascii_lowercase().contains("proxy-authorization"),
                "{text}"
            );
        }
        seen
    }
}

/// The interpreter with `requests` and `boto3`.
fn python() -> String {
    let python = peers("real-clients/venv/bin/python");
    assert!(python.exists(), "it is not installed: tests/run does");
    python.display().to_string()
}

#[test]
fn requests_works_and_never_has_the_token() {
    let mut world = World::new();
    let value = world.secret("GITHUB_TOKEN");
    let slug = world.shipped("github");
    let url = world.url();
    let ran = world.works(&slug, &[&python(), "clients.py", "requests", &url]);
    for request in world.arrived(2) {
        assert_eq!(request.header("authorization"), format!("Bearer {value}"));
    }
    assert!(
        ran.told["env"]["GITHUB_TOKEN"]
            .as_str()
            .unwrap()
            .starts_with("ghp_rtPlaceh0lder")
    );
    assert!(
        ran.told["came"].to_string().contains("****"),
        "{}",
        ran.told
    );
    world.stage.finish();
}

#[test]
fn curl_works_and_never_has_the_token() {
    let mut world = World::new();
    let value = world.secret("GITHUB_TOKEN");
    let slug = world.shipped("github");
    // A second process shows what `ps` would of the first.
    let script = format!(
        "curl -sS -i -H \"authorization: Bearer $GITHUB_TOKEN\" {}/user; tr '\\0' ' ' < /proc/self/environ; \
         echo; echo sent $GITHUB_TOKEN",
        world.url()
    );
    let ran = world.works(&slug, &["sh", "-c", &script]);
    let arrived = world.arrived(1);
    assert_eq!(
        arrived[0].header("authorization"),
        format!("Bearer {value}")
    );
    assert!(
        ran.out.contains("200") && ran.out.contains("octocat"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("sent ghp_rtPlaceh0lder"), "{}", ran.out);
    assert!(ran.out.contains("Bearer ****"), "{}", ran.out);
    world.stage.finish();
}
